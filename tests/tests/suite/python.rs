//! The Python module, by tests in Python: `tests/python`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use riposte_harness::Need;

/// An interpreter with NumPy: `RIPOSTE_PYTHON`, or `python3`.
static PYTHON: Need = Need::new("Python with NumPy", "RIPOSTE_REQUIRE_PYTHON", || can("import numpy"));
/// One with mypy, too, of a version that knows `Unpack`.
static MYPY: Need = Need::new("Python with mypy 1.10", "RIPOSTE_REQUIRE_MYPY", || {
    can("import numpy, mypy.version as v; assert tuple(map(int, v.__version__.split('.')[:2])) >= (1, 10)")
});
/// One with what runs a notebook, and with what the notebook plots with.
static NOTEBOOK: Need =
    Need::new("Python with nbclient", "RIPOSTE_REQUIRE_NOTEBOOK", || can("import numpy, nbclient, ipykernel, matplotlib"));

#[test(needs(PYTHON))]
fn the_python_module_computes_what_the_command_line_does() {
    let folder = staged();
    unittest(folder.path(), "test_module.py");
}

#[test(needs(PYTHON))]
fn the_examples_of_the_document_on_python_run() {
    let folder = staged();
    unittest(folder.path(), "test_documents.py");
}

#[test(needs(NOTEBOOK))]
fn the_notebook_runs_from_begin_to_end() {
    let folder = staged();
    unittest(folder.path(), "test_notebook.py");
}

#[test(needs(MYPY))]
fn the_types_of_the_python_module_are_strict() {
    let folder = staged();
    run(python().args(["-m", "mypy", "--strict", "riposte"]).current_dir(folder.path()));
}

/// Whether the interpreter is there and runs `program`.
fn can(program: &str) -> Result<(), String> {
    let said = |error: std::io::Error| format!("`{}` cannot be run ({error})", name());
    let output = Command::new(name()).args(["-c", program]).output().map_err(said)?;
    if output.status.success() { Ok(()) } else { Err(format!("`{} -c '{program}'` fails", name())) }
}

fn name() -> String {
    env::var("RIPOSTE_PYTHON").unwrap_or_else(|_| if cfg!(windows) { "python" } else { "python3" }.to_owned())
}

fn python() -> Command {
    let mut command = Command::new(name());
    // Whatever a user's settings are. The examples need drawn digits alone.
    command.env_remove("RIPOSTE_DATA").env_remove("RIPOSTE_MIRROR").env_remove("PYTHONHOME");
    command
}

fn unittest(folder: &Path, file: &str) {
    let tests = crate::package().join("python");
    run(python().args(["-m", "unittest", "discover", "-s"]).arg(tests).args(["-p", file]).env("PYTHONPATH", folder));
}

/// The package with its library, as a wheel installs it.
fn staged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let package = folder.path().join("riposte");
    fs::create_dir(&package).expect("the folder is empty");
    let sources = crate::package().join("../crates/python/riposte");
    for entry in fs::read_dir(sources).expect("the package is in the repository") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_file() {
            fs::copy(&path, package.join(path.file_name().expect("a file has a name"))).expect("a file can be copied");
        }
    }
    let library = package.join(if cfg!(windows) { "_riposte.pyd" } else { "_riposte.abi3.so" });
    // A link where that can be: the library is large.
    let linked = fs::hard_link(built(), &library);
    if linked.is_err() {
        fs::copy(built(), &library).expect("a file can be copied");
    }
    folder
}

/// The library that cargo built beside this test.
fn built() -> PathBuf {
    let test = env::current_exe().expect("the system knows the test's path");
    let folder = test.ancestors().nth(2).expect("cargo runs tests from target/*/deps");
    let path = folder.join(format!("{}_riposte{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX));
    assert!(path.is_file(), "`{}` is not built: `cargo build --release --workspace --exclude xtask --lib`", path.display());
    path
}

fn run(command: &mut Command) {
    let output = command.output().expect("the interpreter starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", said(&output.stdout), said(&output.stderr));
}
