//! The project's tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use riposte_spec::dataset::DatasetId;

use crate::page::{self, Page};
use crate::single;
use crate::toolchain::on_path;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Formatting of both workspaces.
    Format,
    /// The core's law, by clippy: no files, network, clock, threads or printing (`crates/core/clippy.toml`).
    Lint,
    /// Tests of the native crates.
    Native,
    /// The kernels and the built site in a real browser.
    Browser,
}

/// Runs the parts asked for; without any, all of them.
pub fn run(root: &Path, page: &Page, only: &[Part]) -> Result<()> {
    let wanted = |part: Part| only.is_empty() || only.contains(&part);
    if wanted(Part::Format) {
        cargo(root, &["fmt", "--all", "--check"])?;
        cargo(&root.join("web"), &["fmt", "--all", "--check"])?;
    }
    if wanted(Part::Lint) {
        cargo(root, &["clippy", "--release", "--package", "riposte", "--no-deps", "--", "--deny", "warnings"])?;
    }
    // The native summary comes last: it is what a reader of the log looks for.
    if wanted(Part::Browser) {
        let folder = page.build(root)?;
        let kernels = root.join("target/checks");
        page::checks(root, &kernels, false)?;
        // Both with the data set that every site has.
        let (file, element) = (root.join("target/riposte.html"), root.join(page::ELEMENT));
        single::write(&folder, single::Page::Main, &[DatasetId::Digits], &file)?;
        single::write(&folder, single::Page::Frame, &[DatasetId::Digits], &element)?;
        let files =
            [("RIPOSTE_SITE", folder), ("RIPOSTE_CHECKS", kernels), ("RIPOSTE_SINGLE", file), ("RIPOSTE_ELEMENT", element)];
        browser(root, &files)?;
    }
    if wanted(Part::Native) {
        native(root)?;
    }
    Ok(())
}

/// The native crates without xtask: its own dependencies would switch features on in theirs, and compile Burn anew.
const NATIVE: [&str; 4] = ["--release", "--workspace", "--exclude", "xtask"];

fn native(root: &Path) -> Result<()> {
    tell_of_missing_adapter();
    // The libraries are compiled anyway, but for linking the Python module, which its tests load.
    cargo(root, &[&["build"][..], &NATIVE, &["--bins", "--lib"]].concat())?;
    cargo(root, &[&["test"][..], &NATIVE, &["--doc"]].concat())?;
    cargo(root, &["test", "--release", "--package", "xtask"])?;
    // Nextest's summary names the tests that were skipped, with what they need in their names.
    let nextest = ["nextest", "run", "--final-status-level", "skip"];
    let runner: &[&str] = if on_path("cargo-nextest").is_some() { &nextest } else { &["test", "--tests"] };
    cargo(root, &[runner, &NATIVE].concat())
}

/// The tests of WebGPU natively need an adapter; without one they say so themselves.
fn tell_of_missing_adapter() {
    let drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let driver = drivers.iter().any(|folder| Path::new(folder).read_dir().is_ok_and(|mut files| files.next().is_some()));
    if cfg!(target_os = "linux") && !driver {
        eprintln!(
            "No Vulkan driver was found, so the native tests of wgpu have no adapter. Mesa has one for the processor \
             (Debian: mesa-vulkan-drivers, libvulkan1)."
        );
    }
}

/// Drives the site with Playwright, in the Chromium that is installed.
fn browser(root: &Path, files: &[(&str, PathBuf)]) -> Result<()> {
    let tests = root.join("tests/browser");
    let chromium =
        chromium().context("no Chromium or Chrome was found: install one (Debian: chromium), or name its program in CHROMIUM")?;
    ensure!(on_path("npm").is_some(), "npm was not found, which runs the tests in the browser: install Node.js (Debian: npm)");
    let lock = std::fs::read(tests.join("package-lock.json"))?;
    let installed = tests.join("node_modules/.riposte-lock");
    if std::fs::read(&installed).ok().as_ref() != Some(&lock) {
        command(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&tests))?;
        std::fs::write(&installed, &lock)?;
    }
    command(
        Command::new("npm")
            .arg("test")
            .current_dir(&tests)
            .env("CHROMIUM", chromium)
            .envs(files.iter().map(|(name, path)| (*name, path)))
            .env("RIPOSTE_BINARY", riposte(root)?)
            .env("RIPOSTE_LIBRARY", library(root)?),
    )
}

/// The native program, built.
pub fn riposte(root: &Path) -> Result<PathBuf> {
    cargo(root, &[&["build"][..], &NATIVE, &["--bins"]].concat())?;
    Ok(built(root, &format!("riposte{}", std::env::consts::EXE_SUFFIX)))
}

/// The library of the Python module, built.
fn library(root: &Path) -> Result<PathBuf> {
    cargo(root, &[&["build"][..], &NATIVE, &["--lib"]].concat())?;
    Ok(built(root, &format!("{}_riposte{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)))
}

fn built(root: &Path, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target).join("release").join(name)
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| names.into_iter().find_map(on_path))
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    // What the cargo that runs this program says of it: build scripts that read these would run anew, and all that depends on them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    command(cargo.args(arguments).current_dir(folder))
}

fn command(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
