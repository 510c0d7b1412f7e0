//! From a compiled `.wasm` to what a browser loads: wasm-bindgen's JavaScript, and the stripped WebAssembly.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use wasm_bindgen_cli_support::Bindgen;

/// A crate of `web/`, ready to be loaded as an ES module.
pub struct Bundle {
    pub js: String,
    pub wasm: Vec<u8>,
    /// JavaScript of dependencies: path from the module's folder, and text. A path names its crate and version.
    pub snippets: Vec<(String, String)>,
}

impl Bundle {
    /// Binds a compiled crate. The library is the bundler of the same version, so the two always match. `named` keeps the names of
    /// functions, for a profiler.
    pub fn new(wasm: &Path, name: &str, named: bool) -> Result<Self> {
        let mut output = Bindgen::new()
            .input_path(wasm)
            .out_name(name)
            .web(true)?
            .typescript(false)
            .omit_default_module_path(true)
            .remove_name_section(!named)
            .remove_producers_section(true)
            .generate_output()
            .with_context(|| format!("binding {}", wasm.display()))?;
        ensure!(output.npm_dependencies().is_empty(), "{name} pulls in npm packages, which the site has no place for");
        let modules = output.local_modules().iter().map(|(path, text)| (format!("snippets/{path}"), text.clone()));
        let inline = output.snippets().iter().flat_map(|(crate_name, texts)| {
            texts.iter().enumerate().map(move |(place, text)| (format!("snippets/{crate_name}/inline{place}.js"), text.clone()))
        });
        let snippets = modules.chain(inline).collect();
        let js = output.js().to_owned();
        let wasm = optimise(output.wasm_mut().emit_wasm(), name)?;
        Ok(Self { js, wasm, snippets })
    }

    pub fn write_snippets(&self, folder: &Path) -> Result<()> {
        for (path, text) in &self.snippets {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().context("a snippet lies in a folder")?)?;
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    /// What a visitor downloads from a host that compresses.
    pub fn gzipped_bytes(&self) -> Result<u64> {
        Ok(gzip(&self.wasm)?.len() as u64 + gzip(self.js.as_bytes())?.len() as u64)
    }
}

/// Compresses as a web server at its best would.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Runs Binaryen's `wasm-opt` where it is at hand and new enough; the module is right without it, a little larger.
fn optimise(wasm: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    const OLDEST: u32 = 116;
    let version = Command::new("wasm-opt").arg("--version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().find_map(|word| word.parse::<u32>().ok())
    });
    if version.is_none_or(|version| version < OLDEST) {
        return Ok(wasm);
    }
    let folder = std::env::temp_dir();
    let stem = format!("riposte-{}-{name}", std::process::id());
    let (from, to) = (folder.join(format!("{stem}.wasm")), folder.join(format!("{stem}-opt.wasm")));
    std::fs::write(&from, &wasm)?;
    let level = if name == "page" { "-Oz" } else { "-O3" };
    let status = Command::new("wasm-opt")
        .args([level, "--all-features", "--disable-gc", "--disable-custom-descriptors"])
        .arg(&from)
        .arg("-o")
        .arg(&to)
        .status();
    let optimised = std::fs::read(&to);
    drop((std::fs::remove_file(&from), std::fs::remove_file(&to)));
    match (status, optimised) {
        (Ok(status), Ok(optimised)) if status.success() => Ok(optimised),
        _ => {
            eprintln!("wasm-opt failed on {name}: leaving it as it is.");
            Ok(wasm)
        }
    }
}
