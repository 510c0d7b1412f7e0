//! The command-line program. Everything but its memory is in the library, so that tests can reach it.

use std::alloc::{GlobalAlloc, Layout, System};

fn main() -> std::process::ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_freed_memory();
    riposte_cli::main()
}

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

/// The system's allocator, but blocks that may hold tensors begin at a cache line. They would begin at any multiple of 16 bytes, and
/// most vectors of the CPU kernels would lie on two lines.
struct LineAligned;

impl LineAligned {
    /// Bytes of a cache line, and of the longest vector.
    const LINE: usize = 64;

    /// Bytes of a block that may hold a tensor worth it.
    const LARGE: usize = 1024;

    fn layout(layout: Layout) -> Layout {
        match layout.size() < Self::LARGE {
            true => layout,
            false => layout.align_to(Self::LINE).unwrap_or(layout),
        }
    }
}

// SAFETY: the system's allocator gets the same layout for a block whenever it is named: it depends on the block's alone.
unsafe impl GlobalAlloc for LineAligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(Self::layout(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(Self::layout(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, Self::layout(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            if layout.size().max(size) < Self::LARGE {
                return System.realloc(block, layout, size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Has the C library keep what is freed for the next step, which needs as much again: by default it gives blocks of this size
/// back to the system, and up to a quarter of a step on the CPU goes by while their pages are mapped and zeroed anew.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    /// Bytes of a block that is still mapped apart, and given back when it is freed.
    const APART: i32 = 1 << 30;
    // SAFETY: no other thread runs yet. A value that the library refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, APART);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn large_blocks_begin_at_a_cache_line_and_keep_their_content_as_they_grow_and_shrink() {
        let mut numbers: Vec<u32> = Vec::new();
        for number in 0..100_000 {
            numbers.push(number);
            assert!(numbers.capacity() < 256 || numbers.as_ptr().addr().is_multiple_of(64));
        }
        assert!(numbers.iter().enumerate().all(|(index, number)| index == *number as usize));
        for length in [50_000, 1000, 257, 100] {
            numbers.truncate(length);
            numbers.shrink_to_fit();
            assert!(length < 256 || numbers.as_ptr().addr().is_multiple_of(64));
            assert!(numbers.iter().enumerate().all(|(index, number)| index == *number as usize));
        }
        let zeros = vec![0u8; 1 << 20];
        assert!(zeros.as_ptr().addr().is_multiple_of(64) && zeros.iter().all(|byte| *byte == 0));
    }
}
