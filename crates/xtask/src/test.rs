//! The project's tests, in the order in which they fail fastest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::SiteArgs;
use crate::wasm::on_path;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Formatting of both workspaces.
    Format,
    /// Tests of the native crates.
    Native,
    /// The built site in a real browser.
    Browser,
}

/// Runs the parts asked for, all of them where none is named.
pub fn run(root: &Path, site: &SiteArgs, only: &[Part]) -> Result<()> {
    let wanted = |part| only.is_empty() || only.contains(&part);
    if wanted(Part::Format) {
        cargo(root, &["fmt", "--all", "--check"])?;
        cargo(&root.join("web"), &["fmt", "--all", "--check"])?;
    }
    if wanted(Part::Native) {
        native(root)?;
    }
    if wanted(Part::Browser) {
        let folder = site.build(root)?;
        browser(root, &folder)?;
    }
    Ok(())
}

fn native(root: &Path) -> Result<()> {
    if on_path("cargo-nextest").is_some() {
        cargo(root, &["nextest", "run", "--release", "--workspace"])
    } else {
        cargo(root, &["test", "--release", "--workspace"])
    }
}

/// Drives the site with Playwright, in the Chromium that is installed.
fn browser(root: &Path, site: &Path) -> Result<()> {
    let tests = root.join("tests/browser");
    let chromium = chromium().context("no Chromium or Chrome was found: install one, or name its program in CHROMIUM")?;
    let lock = std::fs::read(tests.join("package-lock.json"))?;
    let installed = tests.join("node_modules/.riposte-lock");
    if std::fs::read(&installed).ok().as_ref() != Some(&lock) {
        command(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&tests))?;
        std::fs::write(&installed, &lock)?;
    }
    command(Command::new("npm").arg("test").current_dir(&tests).env("CHROMIUM", chromium).env("RIPOSTE_SITE", site))
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| names.into_iter().find_map(on_path))
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<()> {
    command(Command::new("cargo").args(arguments).current_dir(folder))
}

fn command(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
