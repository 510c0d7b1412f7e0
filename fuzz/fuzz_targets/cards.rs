//! Cards of models and banks, and the lines of files of results: of evaluations, of forms side by side, of times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_spec::bank::BankCard;
use riposte_spec::card::ModelCard;
use riposte_spec::pareto;
use riposte_spec::record::Record;
use riposte_spec::results::Header;
use riposte_spec::speed;
use riposte_spec::summary::Summary;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelCard::from_json(bytes);
    let _ = BankCard::from_json(bytes);
    let _ = serde_json::from_slice::<pareto::Header>(bytes);
    let _ = serde_json::from_slice::<pareto::Line>(bytes);
    let _ = serde_json::from_slice::<speed::Head>(bytes);
    if let Ok(header) = serde_json::from_slice::<Header>(bytes) {
        assert!(header.settings.same_run(&header.settings));
        let _ = header.settings.setup().check();
    }
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let _ = (record.outcome(), Summary::of(&[record.clone()]));
        let text = serde_json::to_vec(&record).expect("a record is written");
        let again = serde_json::from_slice::<Record>(&text).expect("and read again");
        assert_eq!(serde_json::to_vec(&again).ok(), Some(text));
    }
});
