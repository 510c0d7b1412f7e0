//! The memory of a process that computes on the CPU: where its blocks begin, and what becomes of them when they are freed.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, but blocks that may hold tensors begin at a cache line. They would begin at any multiple of 16 bytes, and
/// most vectors of the CPU kernels would lie on two lines.
#[derive(Debug)]
pub struct LineAligned;

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
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Bytes of a block that is still mapped apart, and given back when it is freed.
        const APART: i32 = 1 << 30;
        // SAFETY: the library takes its own lock. A value that it refuses changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, APART);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
