//! Programs that build the page, at the versions it was made with: installed where they are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::toolchain::on_path;

/// A program that cargo can install.
pub struct Tool {
    program: &'static str,
    package: &'static str,
    version: String,
    /// For cargo, beside the package and its version.
    options: &'static [&'static str],
}

/// Where programs are installed: kept between checkouts where the user has a cache folder.
pub fn folder(root: &Path) -> PathBuf {
    let cache = std::env::home_dir().map(|home| home.join(".cache")).filter(|cache| cache.is_dir());
    cache.map_or_else(|| root.join("target"), |cache| cache.join("riposte")).join("tools")
}

impl Tool {
    /// It builds by the versions of its own dependencies only: later ones of some do not go together.
    pub fn trunk() -> Self {
        Self { program: "trunk", package: "trunk", version: "0.21.14".to_owned(), options: &["--locked"] }
    }

    /// The version must be that of the library.
    pub fn wasm_bindgen(root: &Path) -> Result<Self> {
        let lock = std::fs::read_to_string(root.join("web/Cargo.lock")).context("web/Cargo.lock")?;
        let entry = lock.split("[[package]]").find(|entry| entry.contains("name = \"wasm-bindgen\"\n"));
        let version = entry.and_then(|entry| entry.split('"').nth(3)).context("web/Cargo.lock has no wasm-bindgen")?;
        Ok(Self { program: "wasm-bindgen", package: "wasm-bindgen-cli", version: version.to_owned(), options: &[] })
    }

    /// The program's path, once it is there in this version.
    pub fn ready(&self, root: &Path, folder: &Path) -> Result<PathBuf> {
        let installed = folder.join("bin").join(self.program).with_extension(std::env::consts::EXE_EXTENSION);
        // In the order in which they are found when trunk calls them.
        let found = Some(installed.clone()).filter(|path| path.is_file()).or_else(|| on_path(self.program));
        if let Some(found) = found.filter(|found| self.is(found)) {
            return Ok(found);
        }
        eprintln!("Installing {} {}, which builds the page, in {}.", self.program, self.version, folder.display());
        if !self.download(folder) {
            self.compile(root, folder)?;
        }
        ensure!(self.is(&installed), "{} is not {} {}", installed.display(), self.program, self.version);
        Ok(installed)
    }

    fn is(&self, path: &Path) -> bool {
        let said = Command::new(path).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).split_whitespace().any(|word| word == self.version)
    }

    fn exact(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// Fetches the program as its makers compiled it, where `cargo binstall` is at hand.
    fn download(&self, folder: &Path) -> bool {
        on_path("cargo-binstall").is_some()
            && Command::new("cargo")
                .args(["binstall", "--no-confirm", "--disable-strategies", "compile", "--root"])
                .arg(folder)
                .arg(self.exact())
                .status()
                .is_ok_and(|status| status.success())
    }

    /// Compiles it, with little optimization: it takes a few minutes instead of ten, and both run for seconds.
    fn compile(&self, root: &Path, folder: &Path) -> Result<()> {
        let status = Command::new("cargo")
            .current_dir(root)
            .args(["install", "--force", "--root"])
            .arg(folder)
            .args(self.options)
            .arg(self.exact())
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            // What is compiled on the way is of no use afterwards.
            .env_remove("CARGO_TARGET_DIR")
            .status()
            .context("cargo could not be started")?;
        ensure!(status.success(), "{} {} could not be installed", self.program, self.version);
        Ok(())
    }
}
