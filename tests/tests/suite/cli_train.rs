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
            .flat_map(|line| {
                // A sum that was written as a decimal number and read again may be off in the last place.
                let loss = format!("{:.9}", line["loss"].as_f64().unwrap()).into();
                ["step", "natural_correct", "robust_correct"].map(|key| line[key].clone()).into_iter().chain([loss])
            })
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
    replaced(arguments(out), "--epochs", count)
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

#[cfg(unix)]
#[test]
fn a_folder_takes_one_run_at_a_time_and_what_a_killed_one_left_is_removed() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = epochs(&out, "200");
    let mut child = spawn(&arguments);
    wait_for(&out.join("checkpoint.safetensors"), &mut child);
    let second = with(arguments.clone(), &["--resume"]);
    let message = failure(1, &second);
    assert!(message.contains("cannot train in") && message.contains("another run of this program"), "{message}");
    child.kill().unwrap();
    child.wait().unwrap();
    let left = out.join("checkpoint.safetensors.123.tmp");
    std::fs::write(&left, b"half of it").unwrap();
    let mut child = spawn(&second);
    while left.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it looked");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_an_epoch_is_measured_says_what_is_kept() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    // The first checkpoint is that of the only step, after which 5000 images are measured.
    let edits = [("--samples", "5100"), ("--check-images", "5000"), ("--checkpoint-steps", "1000"), ("--epochs", "1")];
    let arguments = edits.iter().fold(arguments(&out), |arguments, (flag, value)| replaced(arguments, flag, value));
    let mut child = spawn(&arguments);
    wait_for(&out.join("checkpoint.safetensors"), &mut child);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{message}");
    assert!(message.contains("after step 1 of 1") && message.contains("--resume"), "{message}");
    assert_eq!(std::fs::read_to_string(out.join("log.jsonl")).unwrap(), "", "the epoch was to be measured still");
}

#[test]
fn an_attack_short_of_its_radius_is_noted_and_a_single_step_grows_with_it() {
    let folder = tempdir().unwrap();
    let ended = |name: &str, more: &[&str]| -> (String, Value) {
        let out = folder.path().join(name);
        let arguments = replaced(epochs(&out, "1"), "--method", name);
        let ended = riposte(&with(arguments, more)).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{told}");
        (told, serde_json::from_slice(&std::fs::read(out.join("small.json")).unwrap()).unwrap())
    };
    let (told, card) = ended("pgd", &["--steps", "2"]);
    assert!(told.contains("lead 0.02 from") && told.contains("the 0.3 that `epsilon` allows"), "{told}");
    assert!(card["training"].as_str().unwrap().contains("--step-size 0.01 "), "{card}");
    let (told, card) = ended("n-fgsm", &["--epsilon", "0.2"]);
    assert!(!told.contains("`epsilon` allows"), "{told}");
    assert!(card["training"].as_str().unwrap().contains("--epsilon 0.2 --step-size 0.2 "), "{card}");
    let (told, card) = ended("natural", &[]);
    assert!(!told.contains("`epsilon` allows"), "{told}");
    let training = card["training"].as_str().unwrap();
    assert!(training.contains("--check-images 20") && !training.contains("--epsilon"), "{training}");
    let (_, card) = ended("kurakin", &["--epsilon", "0.2"]);
    let training = card["training"].as_str().unwrap();
    assert!(training.contains("--epsilon 0.2 --ramp"), "its steps are as long as its radius: {training}");
    let kurakin = with(replaced(epochs(folder.path(), "1"), "--method", "kurakin"), &["--step-size", "0.1"]);
    let message = failure(1, &kurakin);
    assert!(message.contains("--step-size does not belong to --method kurakin"), "{message}");
}

#[test]
fn a_teacher_has_to_know_such_images_and_one_of_others_is_noted() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let taught = |teacher: &'static str| {
        let arguments = replaced(epochs(&out, "1"), "--method", "uat");
        with(arguments, &["--targets", "fixed", "--labelled", "500", "--steps", "2", "--step-size", "0.2", "--teacher", teacher])
    };
    let message = failure(1, &taught("cifar10-robust"));
    assert!(message.contains("the teacher `cifar10-robust`") && message.contains("3 x 32 x 32"), "{message}");
    let message = failure(1, &taught("nope"));
    assert!(message.contains("--teacher") && message.contains("`nope`") && !message.contains("--weights"), "{message}");
    let ended = riposte(&taught("mnist-robust")).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && told.contains("was trained on mnist, not on digits"), "{told}");
}

#[test]
fn what_there_is_too_little_of_is_named_before_anything_is_trained() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let message = failure(1, &replaced(arguments(&out), "--test-images", "99999"));
    assert!(message.contains("--test-images 99999") && message.contains("10000"), "{message}");
    let message = failure(1, &replaced(arguments(&out), "--method", "uat"));
    assert!(message.contains("--labelled") && message.contains("4000") && message.contains("980"), "{message}");
    assert!(!out.join("checkpoint.safetensors").exists());
}

/// `arguments` with another value of a flag that is among them.
fn replaced<'a>(mut arguments: Vec<&'a str>, flag: &str, value: &'a str) -> Vec<&'a str> {
    let at = arguments.iter().position(|word| *word == flag).unwrap();
    arguments[at + 1] = value;
    arguments
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
