//! Cards of models and banks, and the lines of results files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_spec::bank::BankCard;
use riposte_spec::card::ModelCard;
use riposte_spec::record::Record;
use riposte_spec::results::Header;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelCard::from_json(bytes);
    let _ = BankCard::from_json(bytes);
    let _ = serde_json::from_slice::<Header>(bytes);
    let _ = serde_json::from_slice::<Record>(bytes);
});
