//! Packs of images, as the page's engine fetches them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_data::pack::Pack;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pack) = Pack::from_bytes(bytes, 10) {
        assert_eq!(pack.samples().len(), pack.numbers().len());
        assert!(pack.samples().labels().iter().all(|label| *label < 10));
    }
});
