//! CIFAR-10's batches, binary and Python's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_data::cifar;

fuzz_target!(|bytes: &[u8]| {
    let _ = cifar::parse_binary(bytes);
    let _ = cifar::parse_pickle(bytes);
});
