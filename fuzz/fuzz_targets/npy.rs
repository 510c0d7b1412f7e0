//! NumPy's arrays and archives of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_data::npy;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = npy::decode(bytes) {
        assert_eq!(npy::decode(&npy::encode(&array)).map(|again| again.shape).ok(), Some(array.shape));
    }
    let _ = npy::decode_archive(bytes);
});
