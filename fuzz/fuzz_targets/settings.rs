//! Settings and names as the address of a page and a command line have them: `name=value&name=value`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_spec::architecture::Architecture;
use riposte_spec::keys;
use riposte_spec::preset::Preset;

fuzz_target!(|text: &str| {
    let pairs: Vec<(&str, &str)> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
    for preset in Preset::ALL {
        // A link leads to settings that can be used, whatever it says, and names what it leaves out.
        let (setup, refused) = preset.with_link(pairs.iter().copied());
        assert!(setup.check().is_ok());
        assert!(refused.len() <= pairs.len());
        if let Ok(setup) = preset.with(pairs.iter().copied()) {
            assert!(setup.check().is_ok());
            let differences = keys::differences(&preset, &setup);
            let given = differences.iter().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(preset.with(given), Ok(setup), "{differences:?}");
        }
    }
    if let Ok(architecture) = text.parse::<Architecture>() {
        assert_eq!(architecture.to_string().parse(), Ok(architecture));
    }
});
