//! Notes which Burn the program was built with.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let lock = manifest.join("../../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    println!("cargo:rustc-env=BURN_VERSION={}", burn_version(&fs::read_to_string(lock).unwrap_or_default()));
}

fn burn_version(lock: &str) -> &str {
    lock.split("[[package]]")
        .find_map(|package| {
            package.contains("name = \"burn\"\n").then(|| package.split("version = \"").nth(1)?.split('"').next())?
        })
        .unwrap_or("unknown")
}
