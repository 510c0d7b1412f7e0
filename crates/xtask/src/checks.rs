//! The kernels' checks for a browser: `web/checks`, no part of the site.

use std::path::Path;

use anyhow::{Context, Result};

use crate::bundle::Bundle;
use crate::wasm::{self, Toolchain};

/// Compiles them with the engine's profile, which shares the engine's dependencies, and writes `checks.js` and `checks.wasm` to `out`.
pub fn build(root: &Path, out: &Path, stock: bool) -> Result<()> {
    let web = root.join("web");
    let features: &[&str] = if stock { &["stock"] } else { &[] };
    let wasm = Toolchain::find(&web)?.build(&web, &wasm::target_dir(root), "checks", "engine", features)?;
    let bundle = Bundle::new(&wasm, "checks", false)?;
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    std::fs::write(out.join("checks.js"), &bundle.js)?;
    std::fs::write(out.join("checks.wasm"), &bundle.wasm)?;
    bundle.write_snippets(out)
}
