//! `riposte bank`, answers with one, and `riposte pareto`.

use std::fs;
use std::path::Path;

use riposte::data::digits::{self, Split};
use riposte::models::Architecture;
use riposte::rng::Seed;
use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, riposte, text, weights};

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
    let used = &report["settings"]["bank"];
    assert_eq!((&used["seed"], &used["draws"], &used["pick"]), (&0.into(), &2.into(), &"drawn".into()));
    assert_eq!(used["card_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report["settings"]["riposte"]["iterations"], 2, "the bank's settings, not the preset's");
    assert!(report["riposted"].as_u64().unwrap() > 0, "{report}");
    // Another pick is another run.
    let refusal = failure(1, &[&eval[..], &["--bank-copy", "mean", "--out", text(&lines)]].concat());
    assert!(refusal.contains("pick"), "{refusal}");
    // So is a bank of other copies, though seed, draws and settings are the same.
    let other = folder.path().join("other");
    let words = make(&other, &["--draws", "2"]);
    run(&words.iter().map(|word| if word == "400" { "300".to_owned() } else { word.clone() }).collect::<Vec<_>>());
    let with_other: Vec<&str> = eval.iter().map(|word| if *word == text(&bank) { text(&other) } else { word }).collect();
    let refusal = failure(1, &[&with_other[..], &["--out", text(&lines)]].concat());
    assert!(refusal.contains("post_samples") || refusal.contains("other copies than those of --bank"), "{refusal}");
    // A file whose bank is not told apart, as earlier versions wrote it, goes on.
    let whole = fs::read_to_string(&lines).unwrap();
    let (begin, end) = (whole.find(",\"card_sha256\"").unwrap(), whole.find("\"drawn\"").unwrap());
    assert!(end < begin, "{}", &whole[..400]);
    fs::write(&lines, whole.replacen(&whole[begin..begin + ",\"card_sha256\":\"\"".len() + 64], "", 1)).unwrap();
    let again = json(&[&eval[..], &["--json", "--out", text(&lines)]].concat());
    assert_eq!(again["images_computed"], 0);
}

#[test]
fn a_damaged_file_of_a_bank_is_named_and_made_anew() {
    let folder = tempdir().unwrap();
    let bank = folder.path().join("bank");
    run(&make(&bank, &[]));
    let pair = bank.join("3-4.safetensors");
    let before = fs::read(&pair).unwrap();
    for damaged in [&b"x"[..], &before[..before.len() - 1]] {
        fs::write(&pair, damaged).unwrap();
        let refusal = failure(1, &["eval", "--bank", text(&bank), "--images", "1", "--device", "cpu"]);
        assert!(
            refusal.contains("3-4.safetensors` is damaged") && refusal.contains("`riposte bank` with the same words"),
            "{refusal}"
        );
        let words = make(&bank, &[]);
        let ended = riposte(&words.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && told.contains("3-4.safetensors` is damaged") && told.contains("made anew"), "{told}");
        assert!(told.contains("Going on with 44 of 45 pairs"), "{told}");
        assert_eq!(fs::read(&pair).unwrap(), before);
    }
}

#[test]
fn a_duel_with_a_bank_is_fought_again_with_that_bank_alone() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (bank, other, record, own) = (at("bank"), at("other"), at("record.json"), at("own.json"));
    run(&make(&bank, &[]));
    run(&make(&other, &["--seed", "1"]));
    let few = ["--steps", "5", "--step-size", "0.1", "--device", "cpu", "--out", "none", "--json", "--index", "3"];
    let banked = json(&[&["duel", "--bank", text(&bank), "--bank-copy", "mean"], &few[..]].concat());
    assert_eq!((&banked["bank"]["pick"], &banked["link"]), (&"mean".into(), &Value::Null), "a page has no bank");
    fs::write(&record, banked.to_string()).unwrap();
    let replay = |path: &Path, more: &[&str]| -> Vec<String> {
        let base = ["duel", "--replay", text(path), "--device", "cpu", "--out", "none"];
        [&base[..], more].concat().into_iter().map(str::to_owned).collect()
    };
    let refused = |words: Vec<String>| failure(1, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused(replay(&record, &[])).contains("name its folder with --bank"));
    let refusal = refused(replay(&record, &["--bank", text(&other)]));
    assert!(refusal.contains("another bank") && refusal.contains("seed is 0 there and 1 here"), "{refusal}");
    let words = replay(&record, &["--bank", text(&bank), "--json"]);
    let again = json(&words.iter().map(String::as_str).collect::<Vec<_>>());
    for field in ["bank", "answer", "race", "riposte"] {
        assert_eq!(banked[field], again[field], "{field}");
    }
    // So does the command that it gives.
    let command = again["command"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).chain(["--device", "cpu", "--out", "none", "--json"]).collect();
    let third = json(&words);
    assert_eq!((&third["bank"], &third["answer"]), (&banked["bank"], &banked["answer"]), "{command}");
    // A record without a bank, as the page writes it, takes none.
    let adapting = json(&[&["duel", "--post-samples", "400"], &few[..]].concat());
    assert_eq!(adapting.get("bank"), None);
    fs::write(&own, adapting.to_string()).unwrap();
    assert!(refused(replay(&own, &["--bank", text(&bank)])).contains("leave out --bank"));
}

#[test]
fn an_attack_on_the_defense_is_refused_where_it_would_be_ignored() {
    let folder = tempdir().unwrap();
    let (bank, out) = (folder.path().join("bank"), folder.path().join("forms.jsonl"));
    let words = make(&bank, &["--counter", "all"]);
    let refusal = failure(1, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refusal.contains("leave --counter out") && !bank.exists(), "{refusal}");
    let pareto =
        |more: &[&str]| failure(1, &[&["pareto", "--images", "2", "--device", "cpu", "--out", text(&out)], more].concat());
    assert!(pareto(&["--form", "", "--counter", "all"]).contains("leave --counter out"));
    for form in ["counter=all", "counter=all counter-steps=3", "target=3"] {
        assert!(pareto(&["--form", form]).contains("forms differ in the riposte alone"), "{form}");
    }
    assert!(!out.exists());
    assert!(failure(2, &["pareto", "--form", ""]).contains("--out"));
    assert!(failure(2, &["pareto", "--out", text(&out)]).contains("--form"));

    run(&make(&bank, &[]));
    let eval = |more: &[&str]| {
        let base = ["eval", "--dataset", "digits", "--images", "1", "--device", "cpu", "--counter-bank", text(&bank)];
        failure(1, &[&base[..], more].concat())
    };
    assert!(eval(&[]).contains("name one with --counter"));
    let median = eval(&["--defense", "median", "--counter", "bank"]);
    assert!(median.contains("of its copies, and --defense median has none"), "{median}");
    let all = eval(&["--defense", "median", "--counter", "all"]);
    assert!(all.contains("a --defense has no copies"), "{all}");
    let decoy = eval(&["--bank", text(&bank), "--counter", "decoy"]);
    assert!(decoy.contains("--counter decoy does not climb on copies"), "{decoy}");
}

#[test]
fn a_file_of_forms_is_written_by_one_run_and_tells_which_form_differs() {
    let folder = tempdir().unwrap();
    let lines = folder.path().join("forms.jsonl");
    let arguments = |images: &'static str, forms: &[&'static str]| -> Vec<String> {
        let base = ["pareto", "--images", images, "--out", text(&lines), "--batch", "8"];
        let forms: Vec<&str> = forms.iter().flat_map(|form| ["--form", form]).collect();
        [&base[..], &forms, &SMALL].concat().into_iter().map(str::to_owned).collect()
    };
    let words = arguments("5000", &["", "post-draws=kept"]);
    let count = || fs::read_to_string(&lines).unwrap_or_default().lines().count();
    let mut child = std::process::Command::new(crate::cli_program::binary())
        .args(&words)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while count() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let refused = |words: Vec<String>| failure(1, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused(words).contains("another run of this program is writing it"));
    #[cfg(unix)]
    {
        assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(130), "{message}");
        assert!(message.contains("of 5000 images are in") && message.contains("the same command goes on"), "{message}");
    }
    #[cfg(not(unix))]
    child.kill().and_then(|()| child.wait()).unwrap();
    let names = refused(arguments("5000", &["", "post-draws=kept", "post-parameters=head"]));
    assert!(names.contains("compares the forms ``, `post-draws=kept`, and this run") && names.len() < 600, "{names}");
    let mut other = arguments("5000", &["", "post-draws=kept"]);
    let at = other.iter().position(|word| word == "--post-iterations").unwrap();
    other[at + 1] = "3".to_owned();
    let settings = refused(other);
    assert!(settings.contains("riposte.iterations is 2 there and 3 here") && settings.len() < 600, "{settings}");
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
