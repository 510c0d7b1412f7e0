//! The command-line program. Everything is in the library, so that tests can reach it.

fn main() -> std::process::ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_freed_memory();
    riposte_cli::main()
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
