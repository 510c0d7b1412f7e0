//! `riposte bank`, answers with one, and `riposte pareto`.

use std::fs;
use std::path::Path;

use riposte::data::digits::{self, Split};
use riposte::models::Architecture;
use riposte::rng::Seed;
use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, text, weights};

/// Little work, on the CPU.
const SMALL: [&str; 8] = ["--device", "cpu", "--post-iterations", "2", "--post-batch-size", "8", "--post-samples", "400"];

fn make(folder: &Path, more: &[&str]) -> Vec<String> {
    let base = ["bank", "--out", text(folder), "--riposte", "fast"];
    [&base, &SMALL[..], more].concat().into_iter().map(str::to_owned).collect()
}

fn run(arguments: &[String]) {
    output(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_bank_that_was_stopped_goes_on_and_answers() {
    let folder = tempdir().unwrap();
    let bank = folder.path().join("bank");
    run(&make(&bank, &["--draws", "2"]));
    let files = fs::read_dir(&bank).unwrap().count();
    assert_eq!(files, 46, "a card and 45 pairs of classes");
    let pair = bank.join("3-5.safetensors");
    let before = fs::read(&pair).unwrap();
    fs::remove_file(&pair).unwrap();
    let eval =
        ["eval", "--bank", text(&bank), "--images", "40", "--natural", "off", "--device", "cpu", "--search-epsilon", "0.3"];
    let refusal = failure(1, &eval);
    assert!(refusal.contains("not finished") && refusal.contains("riposte bank"), "{refusal}");
    run(&make(&bank, &["--draws", "2"]));
    assert_eq!(fs::read(&pair).unwrap(), before, "the same seed, the same copies");
    let lines = folder.path().join("out.jsonl");
    let report = json(&[&eval[..], &["--json", "--out", text(&lines)]].concat());
    assert_eq!(report["settings"]["bank"], serde_json::json!({"seed": 0, "draws": 2, "pick": "drawn"}));
    assert_eq!(report["settings"]["riposte"]["iterations"], 2, "the bank's settings, not the preset's");
    assert!(report["riposted"].as_u64().unwrap() > 0, "{report}");
    // Another pick is another run.
    let refusal = failure(1, &[&eval[..], &["--bank-copy", "mean", "--out", text(&lines)]].concat());
    assert!(refusal.contains("pick"), "{refusal}");
}

#[test]
fn a_duel_with_a_bank_says_that_the_copy_was_made_beforehand() {
    let folder = tempdir().unwrap();
    let bank = folder.path().join("bank");
    run(&make(&bank, &[]));
    let report = folder.path().join("duel.html");
    let index = json(&[
        "duel",
        "--bank",
        text(&bank),
        "--pick",
        "fooled",
        "--out",
        "none",
        "--json",
        "--device",
        "cpu",
        "--search-epsilon",
        "0.3",
    ]);
    let (original, neighbor) = (&index["original"], &index["neighbor"]);
    assert_ne!(original, neighbor, "{index}");
    assert_eq!(index["race"].as_array().unwrap().len(), 2, "before and after");
    let index = index["index"].to_string();
    let story = output(&[
        "duel",
        "--bank",
        text(&bank),
        "--index",
        &index,
        "--out",
        text(&report),
        "--device",
        "cpu",
        "--search-epsilon",
        "0.3",
    ]);
    assert!(story.contains("has trained beforehand for 2 steps"), "{story}");
    assert!(fs::read_to_string(&report).unwrap().contains("made beforehand for the two classes"));
}

#[test]
fn what_a_bank_does_not_hold_is_refused() {
    let folder = tempdir().unwrap();
    let bank = folder.path().join("bank");
    let fixed = failure(1, &["bank", "--out", text(&bank), "--riposte", "fixed"]);
    assert!(fixed.contains("x'' - x'"), "{fixed}");
    run(&make(&bank, &[]));
    let other = make(&bank, &["--seed", "1"]);
    let refusal = failure(1, &other.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refusal.contains("another bank") && refusal.contains("seed is 0 there and 1 here"), "{refusal}");
    let eval = |more: &[&str]| failure(1, &[&["eval", "--bank", text(&bank), "--device", "cpu"], more].concat());
    assert!(eval(&["--post-iterations", "7"]).contains("--post-iterations 7"), "the bank's copies took 2");
    assert!(eval(&["--riposte", "none"]).contains("--riposte is none"));
    let random = folder.path().join("random.safetensors");
    weights(Architecture::FastMnistCnn, &random);
    let other = ["--weights", text(&random), "--architecture", "fast-mnist-cnn", "--dataset", "digits"];
    assert!(eval(&other).contains("other weights"));
    assert!(failure(1, &["eval", "--bank", text(folder.path())]).contains("no bank"));
}

#[test]
fn forms_are_compared_on_the_same_inputs_and_a_run_goes_on() {
    let folder = tempdir().unwrap();
    let lines = folder.path().join("forms.jsonl");
    let arguments = |images: &'static str| {
        let forms = ["--form", "", "--form", "post-parameters=head,last-stage post-draws=kept", "--search-epsilon", "0.3"];
        let base = ["pareto", "--images", images, "--out", text(&lines), "--batch", "8"];
        [&base, &forms[..], &SMALL].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    run(&arguments("20"));
    let whole = fs::read_to_string(&lines).unwrap();
    assert_eq!(whole.lines().count(), 21);
    let cut: Vec<&str> = whole.lines().take(10).collect();
    fs::write(&lines, cut.join("\n") + "\n{\"input\":9,").unwrap();
    run(&arguments("20"));
    let answers = |text: &str| -> Vec<Value> {
        let of = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.lines().skip(1).map(|line| of(line)["answers"].clone()).collect()
    };
    assert_eq!(answers(&fs::read_to_string(&lines).unwrap()), answers(&whole), "resumed as without a stop");
    let plot = folder.path().join("front.svg");
    let table = output(&["pareto", "--table", text(&lines), "--plot", text(&plot)]);
    assert!(table.contains("post-parameters=head post-draws=kept") && table.contains("of the full's"), "{table}");
    assert!(fs::read_to_string(&plot).unwrap().contains("<circle"));
    // The full form agrees with itself.
    let full = table.lines().find(|line| line.contains("nothing changes")).unwrap();
    assert!(full.trim_end().ends_with("100.00 % |"), "{full}");
}

#[test]
fn an_attacker_has_a_bank_of_the_same_riposte_alone() {
    let folder = tempdir().unwrap();
    let (bank, other) = (folder.path().join("bank"), folder.path().join("other"));
    run(&make(&bank, &["--draws", "1"]));
    run(&make(&other, &["--draws", "1", "--seed", "1"]));
    let eval = |more: &[&str]| {
        let base = ["eval", "--dataset", "digits", "--images", "2", "--natural", "off", "--device", "cpu", "--counter", "bank"];
        [&base[..], &["--counter-steps", "3", "--json"], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let report = |more: &[&str]| json(&eval(more).iter().map(String::as_str).collect::<Vec<_>>());
    // The defense's own copies are known, or others take their place.
    let own = report(&["--bank", text(&bank)]);
    assert_eq!(own["counter"]["rows"][1]["after"], "bank");
    assert!(own["settings"]["counter_bank"].is_null());
    let others = report(&["--bank", text(&bank), "--counter-bank", text(&other)]);
    assert_eq!(others["settings"]["counter_bank"]["seed"], 1);
    let arguments = eval(&["--counter-bank", text(&bank)]);
    let refusal = failure(1, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refusal.contains("adapt otherwise than the defense") && refusal.contains("perturbation"), "{refusal}");
}

/// MNIST's four files with drawn digits in them: so many training images, and ten for tests.
fn mnist(folder: &Path, train: u32) {
    let write = |prefix: &str, split, count: u32| {
        let digits = digits::generate(Seed(0), split, 0..count);
        let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
            std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes()).collect()
        };
        let images = [header(0x803, &[count, 28, 28]), digits.images().pixels().to_vec()].concat();
        let labels = [header(0x801, &[count]), digits.labels().to_vec()].concat();
        fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
    };
    fs::create_dir_all(folder).unwrap();
    write("train", Split::Train, train);
    write("t10k", Split::Test, 10);
}

#[test]
fn a_bank_knows_the_training_samples_that_its_copies_adapted_on() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (bank, data, lines) = (at("bank"), at("mnist"), at("lines.jsonl"));
    mnist(&data, 200);
    let base = ["bank", "--out", text(&bank), "--riposte", "fast", "--model", "mnist-undefended", "--data", text(&data)];
    let little = ["--device", "cpu", "--post-iterations", "1", "--post-batch-size", "4", "--draws", "1"];
    let make = [&base[..], &little].concat();
    output(&make);
    let card = || serde_json::from_slice::<Value>(&fs::read(bank.join("bank.json")).unwrap()).unwrap();
    let hash = card()["pool_sha256"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 64);
    // Results that the copies give are of those samples, too.
    let model = ["eval", "--bank", text(&bank), "--model", "mnist-undefended", "--data", text(&data)];
    let few = ["--images", "4", "--device", "cpu", "--natural", "off", "--steps", "2"];
    let report = json(&[&model[..], &few, &["--json", "--out", text(&lines)]].concat());
    assert_eq!(report["settings"]["pool_sha256"], hash.as_str());

    // Others of the same number are refused before anything is written.
    let images = data.join("train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&images, &bytes).unwrap();
    fs::remove_file(bank.join("3-5.safetensors")).unwrap();
    let message = failure(1, &make);
    assert!(message.contains("other training samples") && message.contains(&hash), "{message}");
    assert!(!bank.join("3-5.safetensors").exists());
    let pareto = ["pareto", "--bank", text(&bank), "--model", "mnist-undefended", "--data", text(&data), "--out", text(&lines)];
    let pareto = [&pareto[..], &["--device", "cpu", "--images", "2", "--riposte", "fast"]].concat();
    assert!(failure(1, &pareto).contains("not finished"));

    // A card of an earlier version, which says nothing of them, is gone on with.
    let whole = card();
    let mut old = whole.clone();
    old.as_object_mut().unwrap().remove("pool_sha256");
    fs::write(bank.join("bank.json"), old.to_string()).unwrap();
    output(&make);
    assert!(bank.join("3-5.safetensors").exists());
    fs::write(bank.join("bank.json"), serde_json::to_string(&whole).unwrap()).unwrap();
    assert!(failure(1, &pareto).contains("other training samples"));
}
