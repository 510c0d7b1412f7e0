//! Usage: versions, help, devices, and bad input that must end in one clear sentence.

use riposte::models::Architecture;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, refusal, riposte, text, weights};

#[test]
fn the_version_is_one_line() {
    assert_eq!(output(&["--version"]), format!("riposte {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_shows_examples_for_every_command() {
    for command in ["duel", "eval", "bench", "report", "import", "train", "models", "data", "devices", "bench-speed"] {
        let help = output(&[command, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("riposte {command}")), "{help}");
    }
}

#[test]
fn models_are_listed_with_their_recipes_and_accuracies_those_of_the_page_first() {
    let listing = output(&["models", "--dataset", "mnist"]);
    let rows: Vec<&str> = listing.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    let row =
        |id: &str| *rows.iter().find(|row| row.starts_with(&format!("{id} "))).unwrap_or_else(|| panic!("no {id}: {listing}"));
    for (id, recipe) in [
        ("mnist-robust", "PGD adversarial training"),
        ("mnist-fast", "Fast-FGSM adversarial training"),
        ("mnist-n-fgsm", "N-FGSM adversarial training"),
        ("mnist-trades", "TRADES training"),
        ("mnist-free", "Free adversarial training"),
        ("mnist-kurakin", "one-step adversarial training after Kurakin et al."),
        ("mnist-alp", "adversarial logit pairing"),
    ] {
        assert!(row(id).contains(recipe), "{listing}");
    }
    assert!(row("mnist-robust").contains("98.16 %") && row("mnist-robust").contains("91.86 %"), "{listing}");
    assert!(listing.contains("`riposte eval --model NAME`"), "{listing}");
    assert!(rows[0].starts_with("mnist-undefended ") && !listing.contains("cifar10"), "{listing}");
    let cards = json(&["models", "--json"]);
    let cards = cards.as_array().unwrap();
    for card in cards {
        let accuracies = card["accuracies"].as_array().unwrap();
        let attacks: Vec<&str> = accuracies.iter().map(|accuracy| accuracy["attack"].as_str().unwrap()).collect();
        assert!(attacks[0] == "none" && attacks.len() > 1, "{card}");
        assert!(accuracies.iter().all(|accuracy| accuracy["images"] == 10_000), "{card}");
        assert!(
            accuracies.iter().all(|accuracy| accuracy["command"].as_str().unwrap().starts_with("riposte eval --model ")),
            "{card}"
        );
        assert!(card["bytes"].as_u64().unwrap() > 0 && card["training"].as_str().unwrap().contains("riposte train"), "{card}");
    }
    assert!(cards.iter().filter(|card| card["dataset"] == "mnist").count() >= 8, "{cards:?}");
}

#[test]
fn wrong_usage_ends_with_2_and_names_the_flag() {
    for (arguments, named) in [
        (&["eval", "--epsilon", "8"][..], "8/255"),
        (&["eval", "--epsilon", "nan"], "--epsilon"),
        (&["eval", "--epsilon", "-0.1"], "--epsilon"),
        (&["eval", "--steps", "many"], "--steps"),
        (&["eval", "--images", "0"], "--images"),
        (&["eval", "--device", "abacus"], "--device"),
        (&["eval", "--architecture", "lenet", "--weights", "x"], "fast-mnist-cnn"),
        (&["eval", "--architecture", "fast-mnist-cnn"], "--weights"),
        (&["duel", "--index", "1", "--pick", "failed"], "--pick"),
        (&["eval", "--preset", "no-such-preset"], "f-mnist"),
        (&["eval", "--loss", "hinge"], "cross-entropy"),
        (&["bench"], "WHAT"),
        (&["bench", "table7"], "table1"),
        (&["bench", "all", "--shard", "4/4"], "3/4, the last"),
        (&["bench", "all", "--budget", "soon"], "--budget"),
        (&["unknown"], "unknown"),
    ] {
        let message = failure(2, arguments);
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}

#[test]
fn a_radius_beyond_its_norm_is_refused_and_one_within_it_is_not() {
    let message = failure(2, &["eval", "--norm", "linf", "--step-size", "2"]);
    assert!(message.contains("--step-size") && message.contains("2/255"), "{message}");
    let message = failure(1, &["eval", "--norm", "l2", "--epsilon", "80"]);
    assert!(message.contains("epsilon must be between 0 and 55.5"), "{message}");
    let report = json(&["eval", "--norm", "l2", "--epsilon", "2", "--images", "2", "--riposte", "none", "--json"]);
    assert_eq!(report["settings"]["attack"]["norm"], "l2", "{report}");
    // One rounding of each of 784 changes.
    let distance = report["max_distance"].as_f64().unwrap();
    assert!(distance > 1.0 && distance < 2.0 + 1e-4, "{report}");
}

#[test]
fn missing_files_and_models_end_with_1_and_are_named() {
    let folder = tempdir().unwrap();
    let absent = folder.path().join("absent.pth");
    let message = failure(1, &["eval", "--weights", text(&absent), "--architecture", "fast-mnist-cnn"]);
    assert!(message.contains("absent.pth"), "{message}");
    let message = failure(1, &["eval", "--model", "no-such-model"]);
    assert!(message.contains("no-such-model"), "{message}");
}

#[test]
fn weights_need_an_architecture_that_fits_them() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let wide = folder.path().join("wide.safetensors");
    weights("wrn-10-1-conv-relu".parse().unwrap(), &wide);
    let message = failure(1, &["eval", "--weights", text(&wide)]);
    assert!(message.contains("--architecture") && message.contains("wrn-10-1-conv-leaky"), "{message}");
    let message = failure(2, &["eval", "--weights", text(&wide), "--architecture", "wrn-10-1-conv"]);
    assert!(message.contains("activation") && message.contains("wrn-10-1-conv-relu"), "{message}");
    let message = failure(1, &["eval", "--weights", text(&path), "--architecture", "madry-mnist-cnn", "--dataset", "digits"]);
    assert!(message.contains("madry-mnist-cnn") && message.contains('`'), "{message}");
    let color = [
        "eval",
        "--weights",
        text(&path),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "cifar10",
        "--data",
        text(folder.path()),
    ];
    assert!(failure(1, &color).contains("cifar10"));
}

#[test]
fn truncated_and_foreign_weights_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let whole = std::fs::read(&path).unwrap();
    let arguments = ["eval", "--weights", text(&path), "--architecture", "fast-mnist-cnn", "--dataset", "digits"];
    for (bytes, word) in [
        (&whole[..whole.len() / 2], "truncated"),
        (b"PK\x03\x04".as_slice(), "truncated"),
        (b"", "empty"),
        (b"hello, world", "neither"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = failure(1, &arguments);
        assert!(message.contains("fast.safetensors") && message.contains(word), "{message}");
    }
}

#[test]
fn images_out_of_range_are_refused_with_the_number_there_is() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let model = ["--weights", text(&path), "--architecture", "fast-mnist-cnn", "--dataset", "digits", "--device", "cpu"];
    let with = |more: &[&'static str]| [more, &model].concat();
    assert!(failure(1, &with(&["eval", "--first", "9999", "--images", "2", "--riposte", "none"])).contains("10000"));
    assert!(failure(1, &with(&["duel", "--index", "10000", "--out", "none"])).contains("10000"));
    assert!(failure(1, &with(&["duel", "--attack", "none", "--out", "none"])).contains("riposte eval"));
}

#[test]
fn a_data_folder_without_the_files_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let arguments = [
        "eval",
        "--weights",
        text(&path),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "mnist",
        "--data",
        text(folder.path()),
    ];
    let message = failure(1, &arguments);
    assert!(message.contains(text(folder.path())), "{message}");
}

#[test]
fn devices_always_list_the_cpu_and_auto_takes_one_that_is_listed() {
    let listing = json(&["devices", "--json"]);
    let ids: Vec<&str> = listing["devices"].as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "cpu");
    assert!(ids.contains(&listing["auto"].as_str().unwrap()));
    let auto = listing["devices"].as_array().unwrap().iter().find(|device| device["id"] == listing["auto"]).unwrap();
    assert_ne!(auto["kind"], "software", "auto never takes a software adapter");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(crate::cli_program::binary()).args(["help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn the_speed_test_prints_its_times() {
    for (task, batch_size, steps, iterations) in [
        ("post-train", 200, None, Some(50)),
        ("pgd-batch", 500, Some(40), None),
        ("pgd-single", 1, Some(40), None),
        ("train-step", 256, None, None),
        ("fast-step", 100, Some(1), None),
    ] {
        let timing = json(&["bench-speed", "--task", task, "--repeats", "1", "--device", "cpu", "--threads", "1", "--json"]);
        assert_eq!(timing["task"], task);
        assert_eq!(timing["threads"], 1);
        assert_eq!((timing["batch_size"].as_u64(), timing["seed"].as_u64()), (Some(batch_size), Some(0)), "{timing}");
        assert_eq!((timing["steps"].as_u64(), timing["iterations"].as_u64()), (steps, iterations), "{timing}");
        let seconds = timing["seconds"].as_array().unwrap();
        assert!(seconds.len() == 1 && seconds[0].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn the_speed_test_takes_a_methods_own_steps_and_refuses_what_a_task_has_not() {
    let step = ["bench-speed", "--task", "trades-step", "--architecture", "preact-resnet-w1-b1", "--batch-size", "8"];
    let step = [&step[..], &["--repeats", "1", "--device", "cpu", "--json"]].concat();
    let steps = |more: &[&str]| json(&[&step, more].concat())["steps"].clone();
    // On CIFAR-10 TRADES makes ten.
    assert_eq!((steps(&[]), steps(&["--steps", "3"])), (10.into(), 3.into()));
    for (task, flag) in [
        ("pgd-single", ["--batch-size", "9"]),
        ("fast-step", ["--steps", "7"]),
        ("train-step", ["--steps", "7"]),
        ("pgd-batch", ["--iterations", "7"]),
        ("post-train", ["--steps", "7"]),
    ] {
        let message = failure(1, &[&["bench-speed", "--task", task][..], &flag].concat());
        assert!(message.contains(flag[0]) && message.contains(task), "{message}");
    }
}

#[test]
fn a_contact_sheet_is_a_png_of_ten_rows() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("digits.png");
    output(&["data", "preview", "digits", "--columns", "4", "--out", text(&path)]);
    let bytes = std::fs::read(&path).unwrap();
    // The PNG header holds width and height, big-endian: 4 images of 28 pixels with gaps of one, twice enlarged.
    let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(&bytes[1..4], b"PNG");
    assert_eq!((size(16), size(20)), (2 * (4 * 29 + 1), 2 * (10 * 29 + 1)));
}

#[test]
fn datasets_are_listed_with_where_they_are() {
    let folder = tempdir().unwrap();
    let list = json(&["data", "list", "--data", text(folder.path()), "--json"]);
    let place = |name: &str| list.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap()["place"].clone();
    assert!(place("digits").is_string());
    assert!(place("mnist").is_null() && place("cifar10").is_null());
    let message = failure(1, &["data", "verify", "mnist", "--data", text(folder.path())]);
    assert!(message.contains("riposte data fetch mnist"), "{message}");
}

#[test]
fn a_folder_that_is_none_is_told_and_an_empty_variable_is_as_none() {
    let folder = tempdir().unwrap();
    let (file, missing) = (folder.path().join("file"), folder.path().join("missing"));
    std::fs::write(&file, "").unwrap();
    for (path, expected) in [(&file, "is a file"), (&missing, "there is no folder")] {
        for command in [&["data", "verify", "mnist"][..], &["data", "list"], &["eval", "--dataset", "mnist", "--images", "1"]] {
            let message = failure(1, &[command, &["--data", text(path)]].concat());
            assert!(message.contains(expected), "{command:?}: {message}");
        }
    }
    let mut command = riposte(&["data", "list"]);
    command.env("RIPOSTE_DATA", "").env("RIPOSTE_MIRROR", "").env("XDG_CACHE_HOME", folder.path());
    let listed = command.output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let message = failure(1, &["eval", "--threads", "100000"]);
    assert!(message.contains("--threads 100000"), "{message}");
}

#[test]
fn a_download_without_a_host_says_which_one_did_not_answer() {
    let folder = tempdir().unwrap();
    // Port 9 discards: nothing listens there.
    let mut command = riposte(&["data", "fetch", "mnist"]);
    command.env("XDG_CACHE_HOME", folder.path()).env("HOME", folder.path()).env("RIPOSTE_MIRROR", "http://127.0.0.1:9");
    let message = refusal(1, &mut command);
    assert!(message.contains("127.0.0.1:9"), "{message}");
}
