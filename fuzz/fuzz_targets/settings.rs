//! Settings and names as the address of a page and a command line have them: `name=value&name=value`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_spec::architecture::Architecture;
use riposte_spec::preset::Preset;

fuzz_target!(|text: &str| {
    let pairs: Vec<(&str, &str)> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if let Ok(setup) = Preset::F_MNIST.with(pairs) {
        assert!(setup.check().is_ok());
    }
    if let Ok(architecture) = text.parse::<Architecture>() {
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
});
