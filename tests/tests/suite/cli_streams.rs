//! Where results go that go to no ordinary file, and what Ctrl-C leaves of a run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use riposte::models::Architecture;
use tempfile::tempdir;

use crate::cli_program::{failure, output, riposte, text, weights};

const RUN: [&str; 9] = ["eval", "--dataset", "digits", "--images", "5", "--attack", "fgsm", "--riposte", "none"];

#[test]
fn standard_output_takes_the_lines_for_itself_and_devices_stay_devices() {
    for out in ["-", "/dev/stdout"] {
        let lines = output(&[&RUN[..], &["--out", out]].concat());
        assert_eq!(lines.lines().count(), 6, "{lines}");
        assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
    }
    if cfg!(unix) {
        assert!(output(&[&RUN[..], &["--out", "/dev/null"]].concat()).contains("base, natural"));
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}

/// Twenty images of one gray level each, as MNIST's test files.
fn write_mnist(folder: &Path, gray: u8) {
    let idx = |magic: u32, sizes: &[u32], body: Vec<u8>| -> Vec<u8> {
        std::iter::once(magic).chain(sizes.iter().copied()).flat_map(u32::to_be_bytes).chain(body).collect()
    };
    std::fs::write(folder.join("t10k-images-idx3-ubyte"), idx(0x803, &[20, 28, 28], vec![gray; 20 * 784])).unwrap();
    std::fs::write(folder.join("t10k-labels-idx1-ubyte"), idx(0x801, &[20], vec![3; 20])).unwrap();
}

#[test]
fn a_results_file_goes_on_with_the_same_images_alone() {
    let folder = tempdir().unwrap();
    let (out, net) = (folder.path().join("out.jsonl"), folder.path().join("net.safetensors"));
    weights(Architecture::FastMnistCnn, &net);
    write_mnist(folder.path(), 7);
    let eval = |images| {
        let data = ["--dataset", "mnist", "--data", text(folder.path()), "--images", images, "--out", text(&out)];
        [&["eval", "--weights", text(&net), "--attack", "none", "--riposte", "none"][..], &data]
            .concat()
            .into_iter()
            .map(str::to_owned)
    };
    let arguments = |images| eval(images).collect::<Vec<String>>();
    let run = |images| output(&arguments(images).iter().map(String::as_str).collect::<Vec<_>>());
    run("3");
    run("5");
    write_mnist(folder.path(), 8);
    let message = failure(1, &arguments("7").iter().map(String::as_str).collect::<Vec<_>>());
    assert!(message.contains("other test images"), "{message}");
    write_mnist(folder.path(), 7);
    run("7");
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 8);
}

#[test]
fn a_known_accuracy_makes_a_wrong_guess_fail_before_anything_is_written() {
    let folder = tempdir().unwrap();
    let (out, net) = (folder.path().join("out.jsonl"), folder.path().join("net.safetensors"));
    weights(Architecture::FastMnistCnn, &net);
    write_mnist(folder.path(), 7);
    let data = ["--dataset", "mnist", "--data", text(folder.path()), "--images", "20", "--out", text(&out)];
    let run = [&["eval", "--weights", text(&net), "--attack", "none", "--riposte", "none"][..], &data].concat();
    // All images are the same: right on all or on none.
    let expected = |share| [&run[..], &["--expect-accuracy", share]].concat();
    let message = failure(1, &expected("0.5"));
    assert!(message.contains("50.00 %") && message.contains("fast-mnist-cnn, raw pixels"), "{message}");
    assert!(!out.exists());
    let right = riposte(&expected("1")).output().unwrap().status.success();
    let wrong = riposte(&expected("0")).output().unwrap().status.success();
    assert!(right != wrong);
}

#[cfg(unix)]
#[test]
fn ctrl_c_is_answered_at_once_and_what_is_finished_is_kept() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    // Batches of 4 that take a while each.
    let slow = [
        "eval",
        "--dataset",
        "digits",
        "--images",
        "2000",
        "--steps",
        "400",
        "--stop",
        "never",
        "--riposte",
        "none",
        "--batch",
        "4",
    ];
    let mut run = riposte(&slow)
        .args(["--threads", "1", "--out", text(&out)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    while lines() < 6 {
        assert!(begin.elapsed() < Duration::from_secs(120), "the run does not get on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pressed = Instant::now();
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    // The program gives itself 1.5 seconds; a machine with other work may take as long again.
    assert!(pressed.elapsed() < Duration::from_secs(4), "{:?}", pressed.elapsed());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut run.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("Stopping") && said.contains("the same command goes on"), "{said}");
    let kept = lines() - 1;
    assert!(said.contains(&format!("{kept} of 2000")), "{kept}: {said}");
}
