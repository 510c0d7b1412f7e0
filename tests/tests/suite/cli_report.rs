//! `riposte report`: its tables are those of the lines, whoever computed them and in how many files.

use std::fs;
use std::path::Path;

use riposte::bank::{BankUse, Pick};
use riposte::defense::Transform;
use riposte::evaluate::{Defended, Gain, Record};
use riposte::models::Architecture;
use riposte::presets::Preset;
use riposte::spec::bench::{Protocol, Suite, Table};
use riposte::spec::dataset::DatasetId;
use riposte::spec::normalization::{Normalization, Reading};
use riposte::spec::results::{Header, Processor, Settings};
use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{failure, output, text};

/// The records of a run in which the attack fools every fourth image and the riposte saves most of those.
fn records(inputs: std::ops::Range<u64>) -> Vec<Record> {
    let record = |input: u64| {
        let label = (input % 10) as usize;
        let attacked = if input.is_multiple_of(4) { (label + 1) % 10 } else { label };
        let answer = if input.is_multiple_of(20) { attacked } else { label };
        let defended = |original: usize, answer: usize| Some(Defended { original, neighbor: label, answer, ahead: false });
        Record {
            attacked: Some(attacked),
            perturbation: Some(0.3),
            riposte_natural: defended(label, label),
            riposte_attacked: defended(attacked, answer),
            ..Record::of_input(input, label, label)
        }
    };
    inputs.map(record).collect()
}

/// Writes the cell `index` of MNIST's Table 2 for the Fast-FGSM network.
fn write(path: &Path, index: usize, inputs: std::ops::Range<u64>) {
    write_changed(path, index, inputs, |_| {});
}

/// The same with other settings.
fn write_changed(path: &Path, index: usize, inputs: std::ops::Range<u64>, change: impl Fn(&mut Settings)) {
    let suite = Suite { tables: &[Table::Mnist], protocols: &[Protocol::Paper, Protocol::Strict], seeds: 1 };
    let cell = suite.cells(DatasetId::Mnist, Architecture::FastMnistCnn).unwrap()[index];
    let mut settings = Settings {
        architecture: Architecture::FastMnistCnn,
        weights_sha256: "0123456789".to_owned(),
        reading: Default::default(),
        test_sha256: None,
        pool_sha256: None,
        dataset: DatasetId::Mnist,
        first: inputs.start,
        seed: cell.seed,
        device: Processor::Cpu,
        batch: 128,
        natural: cell.natural,
        attack: cell.setup.attack,
        target: cell.setup.target,
        quantize: cell.setup.quantize,
        riposte: cell.setup.riposte,
        counter: None,
        post_samples: None,
        bank: None,
        defense: None,
        counter_bank: None,
        images_sha256: None,
    };
    change(&mut settings);
    let mut lines = vec![serde_json::to_string(&Header::new(settings)).unwrap()];
    lines.extend(records(inputs).iter().map(|record| serde_json::to_string(record).unwrap()));
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn report(folder: &Path) -> Value {
    output(&["report", text(folder)]);
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_report_computes_the_tables_from_the_lines_and_compares_them_with_the_paper() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("mine-fixed-paper-seed0.jsonl"), 0, 0..1000);
    write(&folder.path().join("mine-fixed-strict-seed0.jsonl"), 1, 0..1000);
    let report = report(folder.path());
    let table = &report["tables"][0];
    let rows = table["rows"].as_array().unwrap();
    let row = |protocol: &str, on: &str| rows.iter().find(|row| row["protocol"] == protocol && row["accuracy_on"] == on).unwrap();
    let robust = row("paper", "attacked");
    let gain = Gain::robust(&records(0..1000)).unwrap();
    assert_eq!((robust["gain"]["won"].as_u64(), robust["gain"]["lost"].as_u64()), (Some(200), Some(0)));
    assert_eq!(robust["gain"]["interval"][0].as_f64(), Some(gain.interval[0]));
    assert_eq!((robust["before"]["right"].as_u64(), robust["after"]["right"].as_u64()), (Some(750), Some(950)));
    assert_eq!(robust["model"], "mine");
    // 20 points, where the paper gains 2.37.
    let difference = robust["difference"]["difference"].as_f64().unwrap();
    assert!((difference - (0.2 - 0.0237)).abs() < 1e-9, "{difference}");
    assert_eq!(robust["difference"]["verdict"], "not reproduced");
    assert_eq!(table["verdict"], "not reproduced");
    assert_eq!(row("strict", "attacked")["difference"], Value::Null, "another question than the paper's");
    assert!(rows.iter().any(|row| row["model"] == "in the paper" && row["what"] == "TRADES (Zhang et al. 2019b)"));
    let card = &report["robustbench"][0];
    assert_eq!((card["clean_acc"].as_str(), card["reported"].as_str()), (Some("100.00"), Some("95.00")));
    assert_eq!((card["eps"].as_str(), card["unreliable"].as_bool()), (Some("0.3"), Some(true)));
}

#[test]
fn the_page_needs_nothing_else_and_markdown_has_the_same_tables() {
    let folder = tempdir().unwrap();
    write(&folder.path().join("<b>-fixed-paper-seed0.jsonl"), 0, 0..100);
    report(folder.path());
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("{{") && !page.contains("<b>-fixed"), "a marker was not filled, or a name is not escaped");
    for outside in ["http://", "https://", "<script", "<link", "src="] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside}");
    }
    let markdown = fs::read_to_string(folder.path().join("report.md")).unwrap();
    for content in [&page, &markdown] {
        assert!(content.contains("Table 2") && content.contains("20 : 0") && content.contains("92.04 % to 94.41 % (+2.37)"));
        assert!(content.contains("riposte eval --weights FILE --architecture fast-mnist-cnn --dataset mnist --preset f-mnist"));
    }
}

#[test]
fn parts_of_a_run_are_joined_and_gaps_and_overlaps_are_refused() {
    let whole = tempdir().unwrap();
    write(&whole.path().join("mine-fixed-paper-seed0.jsonl"), 0, 0..300);
    let parts = tempdir().unwrap();
    let part = |name: &str| parts.path().join(format!("mine-fixed-paper-seed0.{name}.jsonl"));
    write(&part("shard-1-of-2"), 0, 128..300);
    write(&part("shard-0-of-2"), 0, 0..128);
    let (whole, joined) = (report(whole.path()), report(parts.path()));
    assert_eq!(whole["tables"], joined["tables"]);
    assert_eq!(joined["runs"][0]["files"].as_array().unwrap().len(), 2);
    write(&part("shard-1-of-2"), 0, 129..300);
    let message = failure(1, &["report", text(parts.path())]);
    assert!(message.contains("begins with input 129, not 128") && message.contains("shard-1-of-2"), "{message}");
    write(&part("shard-1-of-2"), 0, 100..300);
    assert!(failure(1, &["report", text(parts.path())]).contains("begins with input 100, not 128"));
}

#[test]
fn a_folder_without_results_is_refused_and_other_files_are_left_out() {
    let folder = tempdir().unwrap();
    assert!(failure(1, &["report", text(folder.path())]).contains("has no results"));
    assert!(failure(1, &["report", text(&folder.path().join("absent"))]).contains("absent"));
    fs::write(folder.path().join("notes.jsonl"), "my notes\n").unwrap();
    write(&folder.path().join("mine-fixed-paper-seed0.jsonl"), 0, 0..10);
    let output = crate::cli_program::riposte(&["report", text(folder.path())]).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("notes.jsonl"));
}

fn banked(settings: &mut Settings) {
    settings.bank = Some(BankUse { seed: 0, draws: 1, pick: Pick::Drawn, card_sha256: None });
    settings.post_samples = Some(500);
}

#[test]
fn what_is_not_the_papers_riposte_is_no_cell_of_a_table() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("mine-fixed-paper-seed0.jsonl");
    let changes: [fn(&mut Settings); 4] = [
        banked,
        |settings| settings.defense = Some(Transform::Median { side: 2 }),
        |settings| settings.images_sha256 = Some("11".to_owned()),
        |settings| settings.counter = Some(riposte::spec::counter::Counter::STANDARD),
    ];
    for change in changes {
        write_changed(&path, 0, 0..100, change);
        let report = report(folder.path());
        let tables = report["tables"].as_array().unwrap();
        assert!(tables.iter().all(|table| table["title"] == "Other runs" && table["verdict"].is_null()), "{tables:?}");
    }
    // Fewer training samples are a cell, which says so and stands beside the one with all.
    write(&path, 0, 0..100);
    write_changed(&folder.path().join("few-fixed-paper-seed0.jsonl"), 0, 0..100, |settings| settings.post_samples = Some(500));
    let report = report(folder.path());
    let names: Vec<&str> =
        report["tables"][0]["rows"].as_array().unwrap().iter().filter_map(|row| row["what"].as_str()).collect();
    assert!(names.contains(&"+ post train (fixed)"), "{names:?}");
    assert!(names.contains(&"+ post train (fixed), from the first 500 training samples"), "{names:?}");
}

#[test]
fn the_command_of_a_run_names_what_it_was_made_with() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let command = |change: &dyn Fn(&mut Settings)| {
        write_changed(&path, 0, 0..10, change);
        let command = report(folder.path())["runs"][0]["command"].as_str().unwrap().to_owned();
        // It is refused for what is not there, and not for how it is written.
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let message = failure(1, &words);
        assert!(message.contains("cannot read `FILE`") || message.contains("no bank in `FOLDER`"), "{command}: {message}");
        command
    };
    let transformed = command(&|settings| {
        (settings.defense, settings.riposte) = (Some(Transform::Jpeg { quality: 50 }), None);
        settings.counter = Some(Preset::F_MNIST.counter);
    });
    assert!(transformed.contains(" --defense jpeg:50") && transformed.contains(" --counter "), "{transformed}");
    assert!(!transformed.contains("--riposte"), "{transformed}");
    let given = command(&|settings| (settings.images_sha256, settings.attack) = (Some("11".to_owned()), None));
    assert!(given.contains(" --images-from FILE") && !given.contains("--attack"), "{given}");
    let read = command(&|settings| {
        settings.reading = Reading {
            state: Some("ema".to_owned()),
            normalization: Some(Normalization::new(&[0.5], &[0.25], 1).unwrap()),
            batch_norm_epsilon: None,
        };
    });
    assert!(read.contains("--weights FILE --architecture fast-mnist-cnn --state ema --mean=0.5 --std=0.25"), "{read}");
    let bank = command(&banked);
    assert!(bank.contains(" --bank FOLDER --bank-copy drawn") && !bank.contains("--post-samples"), "{bank}");
}

#[test]
fn given_images_without_a_riposte_are_told_apart_from_the_natural_ones() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    write_changed(&path, 0, 0..20, |settings| (settings.images_sha256, settings.attack) = (Some("11".to_owned()), None));
    let undefended = fs::read_to_string(&path).unwrap();
    let lines = undefended.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        fields.retain(|name, _| !name.starts_with("riposte_"));
        line.to_string()
    });
    fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let report = report(folder.path());
    let rows = report["tables"][0]["rows"].as_array().unwrap();
    let of = |on: &str| rows.iter().find(|row| row["accuracy_on"] == on).unwrap()["before"]["right"].as_u64();
    assert_eq!((rows.len(), of("attacked"), of("natural")), (2, Some(15), Some(20)));
}

#[test]
fn parts_that_are_missing_are_named() {
    let folder = tempdir().unwrap();
    let part = |name: &str| folder.path().join(format!("mine-fixed-paper-seed0.{name}.jsonl"));
    let refused = || failure(1, &["report", text(folder.path())]);
    write(&part("shard-0-of-2"), 0, 0..128);
    assert!(refused().contains("no result of `mine-fixed-paper-seed0.shard-1-of-2.jsonl`"));
    fs::rename(part("shard-0-of-2"), part("shard-0-of-3")).unwrap();
    write(&part("shard-2-of-3"), 0, 256..300);
    assert!(refused().contains("no result of `mine-fixed-paper-seed0.shard-1-of-3.jsonl`"));
    fs::remove_file(part("shard-0-of-3")).unwrap();
    let message = refused();
    assert!(message.contains("shard-0-of-3") && message.contains("shard-1-of-3"), "{message}");
    // Two images have three parts of which the first is empty.
    fs::remove_file(part("shard-2-of-3")).unwrap();
    write(&part("shard-1-of-3"), 0, 0..1);
    write(&part("shard-2-of-3"), 0, 1..2);
    assert_eq!(report(folder.path())["runs"][0]["images"], 2);
    fs::remove_file(part("shard-1-of-3")).unwrap();
    assert!(refused().contains("no result of `mine-fixed-paper-seed0.shard-1-of-3.jsonl`"));
}
