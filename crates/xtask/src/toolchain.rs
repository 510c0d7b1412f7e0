//! A Rust that can compile for the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const TARGET: &str = "wasm32-unknown-unknown";

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
            "rustup could not install the target {TARGET}; Debian's packages rustc-web, cargo-web, rust-web-src and lld serve as well"
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

    /// Sets the environment of a program that calls cargo.
    pub fn prepare(&self, command: &mut Command) {
        let Self::BuildStd { linker } = self else { return };
        command
            .env("CARGO", "/usr/bin/cargo")
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            .env_remove("RUSTUP_TOOLCHAIN");
    }

    /// Folder of its programs, which must come first on the search path; none where that has them already.
    pub fn programs(&self) -> Option<PathBuf> {
        matches!(self, Self::BuildStd { .. }).then(|| "/usr/bin".into())
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
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|candidate| candidate.is_file())
}
