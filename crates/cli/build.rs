//! Embeds the models of `static/models` with their cards, so that the program works from any folder without a download,
//! and notes which Burn it was built with.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Larger weights stay files.
const LARGEST_EMBEDDED: u64 = 32 << 20;

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = manifest.join("../..");
    embed_models(&workspace.join("static/models"));
    let lock = workspace.join("Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    println!("cargo:rustc-env=BURN_VERSION={}", burn_version(&fs::read_to_string(lock).unwrap_or_default()));
}

/// Writes `EMBEDDED`, a list of (card, weights), to a file that `models.rs` includes.
fn embed_models(folder: &Path) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut cards: Vec<PathBuf> =
        fs::read_dir(folder).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect()).unwrap_or_default();
    cards.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    cards.sort();
    let mut code = "pub(super) static EMBEDDED: &[(&[u8], &[u8])] = &[\n".to_owned();
    for card in cards {
        let weights = card.with_extension("safetensors");
        if fs::metadata(&weights).is_ok_and(|metadata| metadata.len() <= LARGEST_EMBEDDED) {
            for path in [&card, &weights] {
                println!("cargo:rerun-if-changed={}", path.display());
            }
            writeln!(code, "    (include_bytes!({card:?}), include_bytes!({weights:?})),").expect("a string takes it");
        }
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    fs::write(out, code).expect("the build folder is writable");
}

fn burn_version(lock: &str) -> &str {
    lock.split("[[package]]")
        .find_map(|package| {
            package.contains("name = \"burn\"\n").then(|| package.split("version = \"").nth(1)?.split('"').next())?
        })
        .unwrap_or("unknown")
}
