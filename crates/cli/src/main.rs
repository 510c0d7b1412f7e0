//! The command-line program. Everything is in the library, so that tests and the Python module can reach it.

use riposte_cli::memory::{self, LineAligned};

fn main() -> std::process::ExitCode {
    memory::keep_freed_memory();
    riposte_cli::main(std::env::args_os())
}

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

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
