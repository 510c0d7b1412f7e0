//! MNIST's files, packed or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_data::idx;

fuzz_target!(|bytes: &[u8]| {
    let _ = idx::parse_images(bytes);
    let _ = idx::parse_labels(bytes);
});
