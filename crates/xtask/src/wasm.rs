//! Compiling a crate of `web/` to WebAssembly, with whatever toolchain there is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";

/// Where cargo builds what runs in a browser.
pub fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("web")
}

/// A Rust that can compile for the browser.
pub enum Toolchain {
    /// The project's own, with the target's standard library installed.
    Installed,
    /// A distribution's Rust that ships the standard library as source (Debian: rustc-web, cargo-web, rust-web-src): it is
    /// compiled along. For machines where rustup cannot download the target.
    BuildStd { linker: PathBuf },
}

impl Toolchain {
    /// Takes the installed target, else installs it, else falls back to building the standard library.
    pub fn find(web: &Path) -> Result<Self> {
        let sysroot = sysroot(web)?;
        let installed = || sysroot.join("lib/rustlib").join(TARGET).is_dir();
        if installed() {
            return Ok(Self::Installed);
        }
        eprintln!("The WebAssembly target is not installed: asking rustup for it.");
        let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(web).status();
        if added.is_ok_and(|status| status.success()) && installed() {
            return Ok(Self::Installed);
        }
        Self::build_std(&sysroot).context(format!(
            "rustup could not install the target {TARGET}; on Debian, \
             `apt-get install rustc-web cargo-web rust-web-src lld` serves as well"
        ))
    }

    fn build_std(sysroot: &Path) -> Result<Self> {
        for needed in ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library"] {
            ensure!(Path::new(needed).exists(), "{needed} is missing");
        }
        let bundled = glob_one(&sysroot.join("lib/rustlib"), "bin/rust-lld");
        let linker = bundled.or_else(|| on_path("wasm-ld")).context("no linker: neither rust-lld nor wasm-ld was found")?;
        eprintln!("Using Debian's Rust, and compiling the standard library along.");
        Ok(Self::BuildStd { linker })
    }

    /// Compiles one crate with a profile and features, and returns its `.wasm` file.
    pub fn build(&self, web: &Path, target_dir: &Path, name: &str, profile: &str, features: &[&str]) -> Result<PathBuf> {
        let mut command = match self {
            Self::Installed => Command::new("cargo"),
            Self::BuildStd { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                let path = std::env::var("PATH").unwrap_or_default();
                command
                    .env("PATH", format!("/usr/bin:{path}"))
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        };
        // Cargo runs in `web/`, whose own configuration sets the target and its features.
        let status = command
            .current_dir(web)
            .args(["build", "--locked", "--target", TARGET, "--package", &format!("riposte-{name}"), "--profile", profile])
            .args(["--features", &features.join(",")])
            .arg("--target-dir")
            .arg(target_dir)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .context("cargo could not be started")?;
        if !status.success() {
            bail!("riposte-{name} did not compile for the browser");
        }
        Ok(target_dir.join(TARGET).join(profile).join(format!("riposte_{name}.wasm")))
    }
}

fn sysroot(web: &Path) -> Result<PathBuf> {
    let output =
        Command::new("rustc").args(["--print", "sysroot"]).current_dir(web).output().context("rustc could not be started")?;
    ensure!(output.status.success(), "rustc failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// `folder/*/rest`, where there is one.
fn glob_one(folder: &Path, rest: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path().join(rest)).find(|path| path.is_file())
}

/// A program on the search path.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
