//! The real program, as a user runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use riposte::models::{Architecture, Model};
use riposte::rng::Seed;
use riposte::weights::Precision;
use serde_json::Value;

/// A run of `riposte`, away from the user's cache folder and settings.
pub fn riposte(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("RIPOSTE_DATA").env_remove("RIPOSTE_MIRROR");
    command
}

/// The program itself: `RIPOSTE_BIN`, or what cargo built beside this test.
///
/// # Panics
/// If it is not there.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("RIPOSTE_BIN").map_or_else(
        || {
            // target/release/deps/suite-HASH, and the program in target/release.
            let test = std::env::current_exe().expect("the system knows the test's path");
            let folder = test.ancestors().nth(2).expect("cargo runs tests from target/*/deps");
            folder.join(format!("riposte{}", std::env::consts::EXE_SUFFIX))
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "`{}` is not built: `cargo build --release -p riposte-cli`", path.display());
    path
}

/// What a successful run prints on standard output.
pub fn output(arguments: &[&str]) -> String {
    let output = riposte(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// The one JSON object that a successful run prints.
pub fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&output(arguments)).expect("standard output is one JSON object")
}

/// What a run says on standard error when it ends with exit code `code` and prints nothing on standard output.
pub fn failure(code: i32, arguments: &[&str]) -> String {
    refusal(code, &mut riposte(arguments))
}

/// The same of a run that is set up already.
pub fn refusal(code: i32, command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let message = String::from_utf8(output.stderr).expect("the message is text");
    assert_eq!(output.status.code(), Some(code), "{command:?}: {message}");
    assert!(output.stdout.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// Random weights of an architecture in a file.
pub fn weights(architecture: Architecture, path: &Path) {
    let model = Model::random(architecture, Seed(1), &burn::tensor::Device::flex());
    let bytes = pollster::block_on(model.weights()).expect("the CPU reads back").to_safetensors(Precision::F32);
    std::fs::write(path, bytes).expect("the folder is writable");
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
