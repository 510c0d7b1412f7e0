//! `riposte train`: a small run, stopped and gone on with, ends with the weights of a run without a stop.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{binary, failure, json, output, riposte, text};

/// Three epochs of nine steps on 980 digits.
fn arguments(out: &Path) -> Vec<&str> {
    vec![
        "train",
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "digits",
        "--method",
        "fast",
        "--epochs",
        "3",
        "--batch-size",
        "100",
        "--samples",
        "1000",
        "--check-images",
        "20",
        "--test-images",
        "40",
        "--checkpoint-steps",
        "4",
        "--seed",
        "5",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--id",
        "small",
        "--out",
        text(out),
    ]
}

fn with<'a>(mut arguments: Vec<&'a str>, more: &[&'a str]) -> Vec<&'a str> {
    arguments.extend(more);
    arguments
}

#[test]
fn a_run_leaves_weights_a_card_and_a_log_that_agree() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    output(&arguments(&out));
    let card: Value = serde_json::from_slice(&std::fs::read(out.join("small.json")).unwrap()).unwrap();
    assert_eq!((card["id"].as_str(), card["architecture"].as_str()), (Some("small"), Some("fast-mnist-cnn")));
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    let epochs: Vec<u64> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 2, 3]);
    // The model is that of the epoch which did best on the samples held out, of equals the latest.
    let robust = |line: &str| serde_json::from_str::<Value>(line).unwrap()["robust_correct"].as_u64().unwrap();
    let best = 1 + log.lines().enumerate().max_by_key(|(_, line)| robust(line)).unwrap().0;
    assert!(card["training"].as_str().unwrap().contains(&format!("epoch {best} of 3")), "{}", card["training"]);
    let same = |name: &str| std::fs::read(out.join(name)).unwrap();
    assert!(same("best.safetensors") == same("small.safetensors"));
    // The card beside the weights says which architecture and dataset they are, and its figures are those that eval finds.
    let weights = out.join("small.safetensors");
    let report = json(&["eval", "--weights", text(&weights), "--images", "40", "--riposte", "none", "--device", "cpu", "--json"]);
    assert_eq!(report["natural_correct"], card["accuracies"][0]["correct"]);
    assert_eq!(report["robust_correct"], card["accuracies"][1]["correct"]);
    assert_eq!(card["accuracies"][1]["images"], 40);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on_exactly() {
    let folder = tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    output(&arguments(&whole));
    let mut child = spawn(&arguments(&parts));
    wait_for(&parts.join("checkpoint.safetensors"), &mut child);
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{message}");
    assert!(!parts.join("small.safetensors").exists(), "the run was to stop before its end");
    output(&with(arguments(&parts), &["--resume"]));
    let weights = |out: &Path| std::fs::read(out.join("small.safetensors")).unwrap();
    assert!(weights(&parts) == weights(&whole), "the weights differ from those of a run without a stop");
    let figures = |out: &Path| -> Vec<Value> {
        let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        log.lines()
            .map(line)
            .flat_map(|line| ["step", "natural_correct", "robust_correct"].map(|key| line[key].clone()))
            .collect()
    };
    assert_eq!(figures(&parts), figures(&whole));
}

#[test]
fn a_folder_with_a_run_is_neither_overwritten_nor_mixed_with_another() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let short = with(arguments(&out), &["--epochs", "1"]);
    // The later flag counts for no one: clap refuses a flag given twice.
    assert!(failure(2, &short).contains("--epochs"));
    output(&arguments(&out));
    let checkpoint = std::fs::read(out.join("checkpoint.safetensors")).unwrap();
    assert!(failure(1, &arguments(&out)).contains("--resume"));
    let other: Vec<&str> = arguments(&out).into_iter().map(|word| if word == "5" { "6" } else { word }).collect();
    let message = failure(1, &with(other, &["--resume"]));
    assert!(message.contains("other settings"), "{message}");
    assert_eq!(std::fs::read(out.join("checkpoint.safetensors")).unwrap(), checkpoint);
    std::fs::write(out.join("checkpoint.safetensors"), &checkpoint[..checkpoint.len() / 2]).unwrap();
    let message = failure(1, &with(arguments(&out), &["--resume"]));
    assert!(message.contains("damaged"), "{message}");
}

/// [`arguments`] with another number of epochs.
fn epochs<'a>(out: &'a Path, count: &'a str) -> Vec<&'a str> {
    let mut arguments = arguments(out);
    let at = arguments.iter().position(|word| *word == "--epochs").unwrap();
    arguments[at + 1] = count;
    arguments
}

#[test]
fn a_run_goes_on_with_more_epochs_and_says_what_becomes_of_its_learning_rate() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    output(&arguments(&out));
    let log = || -> Vec<Value> {
        let text = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].clone()).collect()
    };
    assert_eq!(log(), [9, 18, 27]);
    let longer = riposte(&with(epochs(&out, "4"), &["--resume"])).output().unwrap();
    let told = String::from_utf8_lossy(&longer.stderr).into_owned();
    assert!(longer.status.success(), "{told}");
    // 27 of 36 steps; the rate falls from its peak, 0.01 unless told otherwise, and had come to 0.
    assert!(told.contains("4 epochs in place of 3") && told.contains("0.00e0 after step 27"), "{told}");
    assert_eq!(log(), [9, 18, 27, 36]);
    let card: Value = serde_json::from_slice(&std::fs::read(out.join("small.json")).unwrap()).unwrap();
    let training = card["training"].as_str().unwrap();
    assert!(training.contains("--epochs 4") && training.contains("extended after step 27"), "{training}");
    // The same command once more has nothing to do, and an earlier one is another run.
    let weights = std::fs::read(out.join("small.safetensors")).unwrap();
    output(&with(epochs(&out, "4"), &["--resume"]));
    assert!(std::fs::read(out.join("small.safetensors")).unwrap() == weights);
    let message = failure(1, &with(epochs(&out, "2"), &["--resume"]));
    assert!(message.contains("--epochs 2 are fewer") && message.contains("4 epochs") && !message.contains('{'), "{message}");
}

#[test]
fn a_run_whose_attack_grows_over_its_epochs_is_not_extended() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    output(&with(epochs(&out, "1"), &["--ramp", "0.5"]));
    let message = failure(1, &with(epochs(&out, "2"), &["--ramp", "0.5", "--resume"]));
    assert!(message.contains("its attack grows") && message.contains("a folder of its own"), "{message}");
    // One difference, one sentence.
    let message = failure(1, &with(epochs(&out, "1"), &["--ramp", "0.25", "--resume"]));
    assert!(message.contains("config.ramp is 0.5 there and 0.25 here") && !message.contains('{'), "{message}");
}

#[test]
fn a_run_in_mixed_precision_needs_a_device_that_has_it_and_is_another_run() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let mixed = with(arguments(&out), &["--precision", "mixed"]);
    let message = failure(1, &mixed);
    assert!(message.contains("mixed precision needs a GPU"), "{message}");
    output(&arguments(&out));
    let message = failure(1, &with(mixed, &["--resume"]));
    assert!(message.contains("other settings"), "{message}");
}

#[test]
fn a_run_that_diverges_stops_and_says_so() {
    let folder = tempdir().unwrap();
    let message = failure(1, &with(arguments(&folder.path().join("run")), &["--lr", "1e38"]));
    assert!(message.contains("training has diverged") && message.contains("learning rate"), "{message}");
    assert!(!folder.path().join("run/checkpoint.safetensors").exists());
}

fn spawn(arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(arguments).env_remove("RIPOSTE_DATA").stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until a file is there.
fn wait_for(path: &Path, child: &mut Child) {
    let begin = Instant::now();
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first checkpoint");
        assert!(begin.elapsed() < Duration::from_secs(120), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}
