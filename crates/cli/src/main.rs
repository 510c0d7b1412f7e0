//! The command-line program. Everything is in the library, so that tests can reach it.

fn main() -> std::process::ExitCode {
    riposte_cli::main()
}
