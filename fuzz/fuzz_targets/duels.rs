//! Records of duels, as the page saves them and `riposte duel --replay` reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_spec::duel::Duel;

fuzz_target!(|bytes: &[u8]| {
    let Ok(duel) = serde_json::from_slice::<Duel>(bytes) else { return };
    let setup = duel.setup();
    if setup.check().is_err() {
        return;
    }
    let _ = duel.repeating();
    // What differs from the preset leads from the preset to these settings.
    let differences = duel.differences();
    let given = differences.iter().map(|(name, value)| (*name, value.as_str()));
    if let Ok(again) = duel.preset.preset().for_duel().with(given) {
        assert_eq!(again, setup, "{differences:?}");
    }
});
