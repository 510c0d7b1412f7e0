//! With the feature `zoo`: embeds the models of `static/models` and `static/zoo` with their cards.

#![expect(clippy::disallowed_methods, reason = "a build script is not the core")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Larger weights stay files, in bytes.
const LARGEST_EMBEDDED: u64 = 32 << 20;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_ZOO").is_some() {
        let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        embed_models(["models", "zoo"].map(|folder| manifest.join("../../static").join(folder)));
    }
}

/// Writes `EMBEDDED`, a list of (card, weights), the smallest weights of each folder first, to a file that `zoo.rs` includes.
fn embed_models(folders: [PathBuf; 2]) {
    let models: Vec<(u64, PathBuf, PathBuf)> = folders.iter().flat_map(|folder| models_in(folder)).collect();
    let mut code = "pub(super) static EMBEDDED: &[(&[u8], &[u8])] = &[\n".to_owned();
    for (_, card, weights) in models {
        for path in [&card, &weights] {
            println!("cargo:rerun-if-changed={}", path.display());
        }
        writeln!(code, "    (include_bytes!({card:?}), include_bytes!({weights:?})),").expect("a string takes it");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("zoo.rs");
    fs::write(out, code).expect("the build folder is writable");
}

/// Sizes of weights, cards and weights files of a folder, the smallest first.
fn models_in(folder: &Path) -> Vec<(u64, PathBuf, PathBuf)> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        panic!(
            "the models of the feature `zoo` are not in {} ({error}): they come with the repository, so depend on riposte by path or \
             from git, or leave the feature out",
            folder.display()
        )
    });
    let mut models = Vec::new();
    for card in entries.map(|entry| entry.expect("a folder can be listed").path()) {
        let weights = card.with_extension("safetensors");
        if card.extension().is_some_and(|extension| extension == "json") && weights.exists() {
            let size = fs::metadata(&weights).expect("a file has a size").len();
            models.push((size, card, weights));
        }
    }
    models.retain(|(size, ..)| *size <= LARGEST_EMBEDDED);
    models.sort();
    models
}
