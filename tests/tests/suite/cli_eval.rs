//! `riposte eval`: its JSON, its results file, and going on where a file ends.

use std::path::Path;

use riposte::models::Architecture;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::cli_program::{failure, json, output, text, weights};

/// A folder with random weights in `fast.safetensors`.
fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    weights(Architecture::FastMnistCnn, &folder.path().join("fast.safetensors"));
    folder
}

/// A small evaluation on the CPU, with `more` flags.
fn arguments<'a>(weights: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "eval",
        "--weights",
        text(weights),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--attack",
        "pgd",
        "--epsilon",
        "0.3",
        "--step-size",
        "0.1",
        "--steps",
        "3",
        "--start",
        "uniform",
        "--stop",
        "never",
        "--restarts",
        "1",
        "--seed",
        "0",
        "--json",
    ];
    let riposte = ["--post-iterations", "2", "--post-batch", "8", "--search-steps", "3", "--search-step-size", "0.1"];
    // Flags that would be ignored are refused.
    let riposte = if more.contains(&"none") { &[][..] } else { &riposte[..] };
    [&base, riposte, more].concat()
}

/// The figures that do not depend on the clock.
fn figures(report: &Value) -> Vec<&Value> {
    const KEYS: [&str; 9] = [
        "images",
        "natural_correct",
        "robust_correct",
        "riposte_natural_correct",
        "riposte_robust_correct",
        "neighbor_correct",
        "riposted",
        "max_perturbation",
        "nan_count",
    ];
    KEYS.iter().map(|key| report.get(key).unwrap_or_else(|| panic!("`{key}` is missing"))).collect()
}

#[test]
fn the_contract_holds_for_every_riposte() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    for riposte in ["fixed", "fast", "pgd", "normal"] {
        let report = json(&arguments(&path, &["--images", "6", "--riposte", riposte]));
        assert!(figures(&report).iter().all(|figure| figure.is_number()), "{report}");
        assert_eq!((report["images"].as_u64(), report["nan_count"].as_u64()), (Some(6), Some(0)));
        assert!(report["seconds"].as_f64().unwrap() > 0.0);
        let perturbation = report["max_perturbation"].as_f64().unwrap();
        // The last bit of x + 0.3 - x.
        assert!(perturbation > 0.2 && perturbation < 0.3 + 1e-6, "{perturbation}");
        let [low, high] = [0, 1].map(|end| report["intervals"]["robust"][end].as_f64().unwrap());
        let share = report["robust_correct"].as_f64().unwrap() / 6.0;
        assert!(low <= share && share <= high);
        assert_eq!(report["settings"]["attack"]["epsilon"].as_f64(), Some(0.3));
    }
}

#[test]
fn a_targeted_attack_leaves_images_of_its_target_alone() {
    let folder = folder();
    let (path, out) = (folder.path().join("fast.safetensors"), folder.path().join("targeted.jsonl"));
    let more = ["--images", "20", "--riposte", "none", "--target", "3", "--out", text(&out)];
    let report = json(&arguments(&path, &more));
    assert_eq!((&report["settings"]["target"], &report["of_target"]), (&3.into(), &2.into()));
    let lines = std::fs::read_to_string(&out).unwrap();
    let records: Vec<Value> = lines.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let moved = |record: &&Value| record["perturbation"].as_f64().unwrap() > 0.0;
    // Ten images in a row hold every digit once.
    assert_eq!(records.iter().filter(moved).count(), 18);
    assert!(records.iter().filter(|record| !moved(record)).all(|r| r["label"] == 3 && r["attacked"] == r["natural"]));
}

#[test]
fn what_was_not_computed_is_null() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    let base = json(&arguments(&path, &["--images", "6", "--riposte", "none"]));
    for key in ["riposte_natural_correct", "riposte_robust_correct", "neighbor_correct", "riposted"] {
        assert_eq!(base[key], Value::Null, "{key}");
    }
    assert!(base["robust_correct"].is_number());
    let natural = json(&[
        "eval",
        "--weights",
        text(&path),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "digits",
        "--images",
        "6",
        "--attack",
        "none",
        "--riposte",
        "none",
        "--device",
        "cpu",
        "--json",
    ]);
    assert_eq!((&natural["robust_correct"], &natural["max_perturbation"]), (&Value::Null, &Value::Null));
    let attacked_alone = json(&arguments(&path, &["--images", "2", "--natural", "off"]));
    assert_eq!(attacked_alone["riposte_natural_correct"], Value::Null);
    assert!(attacked_alone["riposte_robust_correct"].is_number());
}

#[test]
fn results_go_on_where_the_file_ends_and_equal_those_of_one_run() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    let (whole, parts) = (folder.path().join("whole.jsonl"), folder.path().join("parts.jsonl"));
    let run = |file: &Path, images: &str, batch: &str| {
        json(&arguments(&path, &["--images", images, "--batch", batch, "--out", text(file)]))
    };
    let report = run(&whole, "10", "4");
    let first = run(&parts, "3", "4");
    assert_eq!(first["images"], 3);
    // Killed in the middle of a line.
    let bytes = std::fs::read(&parts).unwrap();
    std::fs::write(&parts, &bytes[..bytes.len() - 10]).unwrap();
    let second = run(&parts, "10", "4");
    assert_eq!(second["images_computed"], 8);
    assert_eq!(figures(&second), figures(&report));
    assert_eq!(std::fs::read_to_string(&parts).unwrap(), std::fs::read_to_string(&whole).unwrap());
    // Nothing is left to do.
    let third = run(&parts, "10", "4");
    assert_eq!((&third["images_computed"], figures(&third)), (&Value::from(0), figures(&report)));
}

#[test]
fn a_results_file_has_a_header_and_a_line_for_each_input() {
    let folder = folder();
    let (path, file) = (folder.path().join("fast.safetensors"), folder.path().join("out.jsonl"));
    json(&arguments(&path, &["--images", "3", "--first", "5", "--out", text(&file)]));
    let lines: Vec<Value> =
        std::fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((lines[0]["settings"]["first"].as_u64(), lines[0]["settings"]["seed"].as_u64()), (Some(5), Some(0)));
    let inputs: Vec<u64> = lines[1..].iter().map(|line| line["input"].as_u64().unwrap()).collect();
    assert_eq!(inputs, [5, 6, 7]);
}

#[test]
fn other_settings_do_not_go_on_with_a_results_file() {
    let folder = folder();
    let (path, file) = (folder.path().join("fast.safetensors"), folder.path().join("out.jsonl"));
    json(&arguments(&path, &["--images", "2", "--out", text(&file)]));
    let before = std::fs::read(&file).unwrap();
    let message = failure(1, &arguments(&path, &["--images", "2", "--out", text(&file), "--loss", "margin"]));
    assert!(message.contains("attack.loss"), "{message}");
    let message = failure(1, &arguments(&path, &["--images", "2", "--out", text(&file), "--first", "1"]));
    assert!(message.contains("it begins with input 0, not 1") && message.contains("riposte eval --first 0"), "{message}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn parts_of_several_runs_make_one_file() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    let file = |name: &str| folder.path().join(name);
    let run = |name: &str, first: &str, images: &str, batch: &str| {
        let file = file(name);
        json(&arguments(&path, &["--first", first, "--images", images, "--batch", batch, "--out", text(&file)]))
    };
    let whole = run("whole", "2", "7", "4");
    run("a", "2", "2", "4");
    run("b", "4", "3", "4");
    let joined = [file("a"), file("b")].map(|file| std::fs::read(file).unwrap()).concat();
    std::fs::write(file("joined"), joined).unwrap();
    // Two images are left, and other batches compute them.
    let report = run("joined", "2", "7", "3");
    assert_eq!((&report["images_computed"], figures(&report)), (&Value::from(2), figures(&whole)));
    let parts: Vec<_> = report["parts"].as_array().unwrap().iter().map(|part| (&part["first"], &part["images"])).collect();
    assert_eq!(format!("{parts:?}"), "[(Number(2), Number(2)), (Number(4), Number(3)), (Number(7), Number(2))]");
    assert_eq!((&report["parts"][1]["batch"], &report["parts"][2]["batch"]), (&Value::from(4), &Value::from(3)));
    // The table of fewer images names the parts that they are from.
    let fewer = run("joined", "2", "3", "4");
    assert_eq!((&fewer["images_computed"], fewer["parts"].as_array().unwrap().len()), (&Value::from(0), 2));
    assert_eq!(fewer["parts"][1]["images"], 1);
    // The last part goes on.
    let more = run("joined", "2", "9", "3");
    assert_eq!((&more["parts"][2]["images"], more["parts"].as_array().unwrap().len()), (&Value::from(4), 3));
    assert_eq!(figures(&more), figures(&run("fresh", "2", "9", "4")));
    let joined = file("joined");
    let mut table = arguments(&path, &["--first", "2", "--images", "9", "--batch", "3", "--out", text(&joined)]);
    table.retain(|argument| *argument != "--json");
    let table = output(&table);
    for line in ["Inputs 2 to 3: cpu, batches of 4", "Inputs 4 to 6: cpu, batches of 4", "Inputs 7 to 10: cpu, batches of 3"] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn the_number_of_threads_and_the_run_do_not_change_the_records() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    let run = |name: &str, threads: &str| {
        let file = folder.path().join(name);
        json(&arguments(&path, &["--images", "7", "--batch", "3", "--threads", threads, "--out", text(&file)]));
        std::fs::read_to_string(&file).unwrap()
    };
    assert_eq!(run("one.jsonl", "1"), run("three.jsonl", "3"));
}

#[test]
fn people_get_a_table_with_intervals() {
    let folder = folder();
    let path = folder.path().join("fast.safetensors");
    let arguments = [
        "eval",
        "--weights",
        text(&path),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--preset",
        "f-mnist",
        "--images",
        "1",
    ];
    let table = output(&arguments);
    for part in ["base, natural", "riposte, attacked", "95 % interval"] {
        assert!(table.contains(part), "{table}");
    }
    // The paper has no digits.
    assert!(!table.contains('{') && !table.contains("the paper's figure"), "{table}");
}

#[test]
fn what_post_exit_ahead_leaves_out_is_told_and_in_the_lines() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lines.jsonl");
    let few = ["eval", "--dataset", "digits", "--images", "20", "--natural", "off", "--stop", "never", "--device", "cpu"];
    // A search that reaches far finds neighbors that are far behind.
    let more = [
        "--search-epsilon",
        "0.1",
        "--post-exit",
        "ahead",
        "--post-iterations",
        "2",
        "--post-batch-size",
        "8",
        "--out",
        text(&path),
    ];
    let arguments = [&few[..], &more].concat();
    let table = output(&arguments);
    let lines = std::fs::read_to_string(&path).unwrap();
    let answers: Vec<Value> =
        lines.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap()["riposte_attacked"].clone()).collect();
    let left: Vec<&Value> = answers.iter().filter(|answer| answer["ahead"] == true).collect();
    assert!(
        !left.is_empty() && answers.iter().any(|answer| answer["original"] != answer["neighbor"] && answer["ahead"].is_null()),
        "{lines}"
    );
    for answer in &left {
        assert!(answer["original"] != answer["neighbor"] && answer["answer"] == answer["original"], "{answer}");
    }
    assert!(table.contains(&format!(", {} were answered by it, too", left.len())), "{table}");
    assert_eq!(json(&[&arguments[..], &["--json"]].concat())["ahead"], left.len());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_records_and_the_same_command_goes_on() {
    use std::process::{Command, Stdio};
    let folder = folder();
    let (path, file, whole) =
        (folder.path().join("fast.safetensors"), folder.path().join("out.jsonl"), folder.path().join("whole.jsonl"));
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    // More than a computer does before the signal arrives.
    let long = arguments(&path, &["--images", "5000", "--batch", "4", "--out", text(&file)]);
    let mut child =
        Command::new(crate::cli_program::binary()).args(&long).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while lines() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{message}");
    assert!(message.contains("the same command goes on"), "{message}");
    let images = (lines() - 1 + 3).to_string();
    json(&arguments(&path, &["--images", &images, "--batch", "4", "--out", text(&file)]));
    json(&arguments(&path, &["--images", &images, "--batch", "4", "--out", text(&whole)]));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&whole).unwrap());
}

#[test]
fn another_defense_answers_in_the_place_of_the_riposte() {
    let folder = tempdir().unwrap();
    for (defense, counter) in [
        ("bit-depth:2", "none"),
        ("median", "trajectory"),
        ("jpeg:50", "trajectory"),
        ("resize-pad:4:2", "none"),
        ("anti-adversary", "none"),
    ] {
        let kind = defense.split(':').next().unwrap();
        let path = folder.path().join(format!("{kind}.jsonl"));
        let arguments = ["eval", "--defense", defense, "--images", "4", "--counter", counter, "--counter-steps", "4"];
        let arguments = if counter == "none" { &arguments[..5] } else { &arguments[..] };
        let report = json(&[arguments, &["--steps", "5", "--step-size", "0.1", "--json", "--out", text(&path)]].concat());
        assert_eq!(report["settings"]["defense"]["kind"], *kind, "{report}");
        assert_eq!((&report["settings"]["riposte"], &report["paper"]), (&Value::Null, &Value::Null), "{report}");
        assert!(report["riposte_robust_correct"].is_u64() && report["riposte_natural_correct"].is_u64(), "{report}");
        assert_eq!(report["counter"].is_null(), counter == "none", "{report}");
        let head = std::fs::read_to_string(&path).unwrap();
        assert!(head.lines().next().unwrap().contains(&format!("\"kind\":\"{kind}\"")), "{head}");
    }
    for also in ["--riposte", "--post-iterations"] {
        let value = if also == "--riposte" { "fast" } else { "5" };
        let code = if also == "--riposte" { 2 } else { 1 };
        assert!(failure(code, &["eval", "--defense", "median", also, value]).contains(also));
    }
    for counter in ["suppression", "decoy", "gmsa-minimum", "fixed-point"] {
        let message = failure(1, &["eval", "--defense", "median", "--counter", counter]);
        assert!(message.contains(counter) && message.contains("trajectory"), "{message}");
    }
    assert!(failure(1, &["eval", "--counter", "square", "--counter-queries", "0"]).contains("--counter-queries"));
    assert!(failure(1, &["eval", "--natural", "off", "--attack", "none"]).contains("--natural off"));
}
