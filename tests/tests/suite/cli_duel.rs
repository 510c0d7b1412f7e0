//! `riposte duel`: the story, its JSON and its report agree, and the same command tells the same story.

use std::path::Path;

use riposte::models::Architecture;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, text, weights};

fn arguments<'a>(weights: &'a Path, report: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "--weights",
        text(weights),
        "--architecture",
        "fast-mnist-cnn",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--steps",
        "5",
        "--step-size",
        "0.1",
        "--post-iterations",
        "4",
        "--post-batch",
        "16",
        "--out",
        text(report),
    ];
    [&base, more].concat()
}

#[test]
fn the_default_command_tells_a_story_and_writes_one_html_file() {
    let folder = tempdir().unwrap();
    let (model, report) = (folder.path().join("fast.safetensors"), folder.path().join("report.html"));
    weights(Architecture::FastMnistCnn, &model);
    let story = output(&arguments(&model, &report, &["--index", "3"]));
    assert!(story.contains("Test image 3 of digits shows") && story.contains("report.html"), "{story}");
    assert!(!story.contains('\u{1b}'), "no control codes when standard output is no terminal");
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    // Every line of the story is in the report, up to the escapes of HTML.
    for line in story.lines().filter(|line| !line.starts_with("Report:")) {
        let escaped = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        assert!(page.contains(&escaped), "{line}");
    }
}

#[test]
fn the_json_of_a_duel_is_the_same_each_time() {
    let folder = tempdir().unwrap();
    let (model, report) = (folder.path().join("fast.safetensors"), folder.path().join("report.html"));
    weights(Architecture::FastMnistCnn, &model);
    let run = || {
        let mut facts = json(&[&["duel"], &arguments(&model, &report, &["--json"])[..]].concat());
        facts.as_object_mut().unwrap().remove("seconds");
        facts
    };
    let facts = run();
    assert_eq!(facts, run());
    let riposted = facts["original"] != facts["neighbor"];
    assert_eq!(facts["riposted"], riposted);
    assert_eq!(facts["race"].as_array().unwrap().len(), if riposted { 5 } else { 0 });
    let right = facts["answer"]["class"] == facts["label"];
    let outcome = facts["outcome"].as_str().unwrap();
    assert_eq!(right, ["answered", "not-fooled"].contains(&outcome), "{outcome}");
    // The command in the report repeats the duel with the image that was chosen.
    let command = facts["command"].as_str().unwrap();
    assert!(command.ends_with(&format!("--index {}", facts["index"])), "{command}");
}

#[test]
fn a_duel_with_an_attack_on_the_defense_tells_its_rounds_and_how_it_ended() {
    let folder = tempdir().unwrap();
    let (model, report) = (folder.path().join("fast.safetensors"), folder.path().join("report.html"));
    weights(Architecture::FastMnistCnn, &model);
    let counter =
        ["--index", "3", "--counter", "gmsa-average", "--counter-steps", "3", "--counter-rounds", "2", "--counter-judges", "2"];
    let with = |more: &[&'static str]| {
        arguments(&model, &report, &[&counter, more].concat()).iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let run = |words: &[String]| json(&std::iter::once("duel").chain(words.iter().map(String::as_str)).collect::<Vec<_>>());
    let facts = run(&with(&["--json", "--images"]));
    let course = &facts["counter"];
    // What was not set is as a duel has it.
    assert_eq!(course["settings"]["adaptations"], 1);
    let rounds = course["rounds"].as_array().unwrap();
    assert!((1..=2).contains(&rounds.len()) && rounds[0]["copies"] == 1 && rounds[0]["kind"] == "gmsa-average", "{course}");
    assert_eq!(facts["images"]["rounds"].as_array().unwrap().len(), rounds.len());
    let judgments = course["judgments"].as_array().unwrap();
    assert_eq!((judgments.len(), &judgments[0]["kind"], &judgments[1]["judged"]["of"]), (2, &serde_json::Value::Null, &2.into()));
    // The attack and the defense before it are those of a duel without it.
    let mut without = json(&[&["duel"], &arguments(&model, &report, &["--index", "3", "--json"])[..]].concat());
    for field in ["attacked", "answer", "race"] {
        assert_eq!(without[field], facts[field], "{field}");
    }
    assert!(without["counter"].take().is_null());

    let words = with(&[]);
    let story = output(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(story.contains("The counter-riposte (gmsa-average) knows that the model adapts. Round 1: the riposte"), "{story}");
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("<h2>The counter-riposte</h2>") && page.contains("gmsa-average, 3 steps an ascent, 2 rounds"));
}

#[test]
fn a_record_is_replayed_with_every_setting_that_it_has() {
    let folder = tempdir().unwrap();
    let (record, report) = (folder.path().join("record.json"), folder.path().join("report.html"));
    let settings = ["--steps", "4", "--step-size", "0.1", "--post-iterations", "3", "--post-batch", "16", "--counter", "fpa"];
    let base =
        ["duel", "--dataset", "digits", "--device", "cpu", "--out", text(&report), "--json", "--index", "7", "--seed", "5"];
    let more = ["--post-samples", "500", "--counter-steps", "2", "--counter-rounds", "2", "--counter-judges", "2"];
    let first = json(&[&base[..], &settings, &more].concat());
    std::fs::write(&record, first.to_string()).unwrap();
    let again = json(&["duel", "--replay", text(&record), "--device", "cpu", "--out", "none", "--json"]);
    for field in
        ["index", "seed", "model", "preset", "attack", "riposte", "post_samples", "attacked", "answer", "race", "counter", "link"]
    {
        assert_eq!(first[field], again[field], "{field}");
    }
    // The command that it gives, in place of one that needs the file, does the same.
    let command = again["command"].as_str().unwrap();
    assert!(
        command.contains("--index 7") && command.contains("--counter fixed-point") && !command.contains("--replay"),
        "{command}"
    );
    let words: Vec<&str> = command.split(' ').skip(1).chain(["--device", "cpu", "--out", "none", "--json"]).collect();
    assert_eq!(json(&words)["counter"], first["counter"]);
    let link = again["link"].as_str().unwrap();
    assert!(link.starts_with("#dataset=digits&model=digits-robust&image=test:7&") && link.ends_with("&run=3"), "{link}");
    let story = output(&["--replay", text(&record), "--device", "cpu", "--out", "none"]);
    assert!(story.contains("It came out as the record says."), "{story}");

    // The same classes of something that is less sure are not the same answer.
    let mut unsure = first.clone();
    let class = unsure["answer"]["class"].as_u64().unwrap() as usize;
    let sure = unsure["answer"]["probabilities"][class].as_f64().unwrap();
    for (less, words) in [(0.001, "It came out as the record says; a probability"), (0.2, "hardly what answered there")] {
        unsure["answer"]["probabilities"][class] = (sure - less).into();
        std::fs::write(&record, unsure.to_string()).unwrap();
        let story = output(&["--replay", text(&record), "--device", "cpu", "--out", "none"]);
        assert!(story.contains(words) && story.contains(&format!("differs by {less:.4}")), "{story}");
    }
    std::fs::write(&record, first.to_string()).unwrap();

    let refused = |words: &[&str]| failure(1, &[&["duel", "--replay", text(&record), "--out", "none"], words].concat());
    assert!(refused(&["--epsilon", "0.1"]).contains("leave out --epsilon"));
    let mut other = first.clone();
    other["weights_sha256"] = "0".repeat(64).into();
    std::fs::write(&record, other.to_string()).unwrap();
    assert!(refused(&[]).contains("other weights"));
    other["index"] = serde_json::Value::Null;
    std::fs::write(&record, other.to_string()).unwrap();
    assert!(refused(&[]).contains("--json --images"));
    std::fs::write(&record, "{}").unwrap();
    assert!(refused(&[]).contains("is not a record of a duel"));
}

/// A 24-bit BMP of a gray image, from its bytes row by row.
fn bitmap(gray: &[u8], edge: usize) -> Vec<u8> {
    // The header's numbers; rows begin at multiples of four bytes, and the last row comes first.
    let row = (3 * edge).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    for number in [54 + row * edge, 0, 54, 40, edge, edge, 0x18_0001, 0, row * edge, 0, 0, 0, 0] {
        bytes.extend(u32::try_from(number).unwrap().to_le_bytes());
    }
    for line in gray.chunks(edge).rev() {
        let begin = bytes.len();
        bytes.extend(line.iter().flat_map(|value| [*value; 3]));
        bytes.resize(begin + row, 0);
    }
    bytes
}

#[test]
fn a_picture_of_ones_own_is_attacked_and_answered() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, report) = (at("fast.safetensors"), at("report.html"));
    weights(Architecture::FastMnistCnn, &model);
    let duel = |more: &[&str]| json(&[&["duel"], &arguments(&model, &report, &[&["--json"], more].concat())[..]].concat());

    // The first test image from a file is what it is from the test set: same size, light on dark, the same draws.
    let there = duel(&["--index", "0", "--images"]);
    let pixels = |facts: &serde_json::Value| -> Vec<f64> {
        facts["images"]["natural"]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let gray: Vec<u8> = pixels(&there).iter().map(|value| (value * 255.0).round() as u8).collect();
    std::fs::write(at("digit.bmp"), bitmap(&gray, 28)).unwrap();
    let here = duel(&["--image", text(&at("digit.bmp")), "--label", &there["label"].to_string()]);
    // Red, green and blue are weighed with factors whose sum is one but for a rounding.
    let probability = |facts: &serde_json::Value| facts["natural"]["probabilities"][3].as_f64().unwrap();
    assert!((probability(&there) - probability(&here)).abs() < 1e-5);
    assert_eq!((here["index"].clone(), here["label"].clone()), (serde_json::Value::Null, there["label"].clone()));
    assert_eq!(there["outcome"], here["outcome"]);
    assert!(here["command"].as_str().unwrap().contains("--image") && here["link"].is_null());

    // Dark ink on shaded paper; nobody says what it is.
    let paper: Vec<u8> = (0..80 * 80)
        .map(|at| if (20..60).contains(&(at / 80)) && (36..44).contains(&(at % 80)) { 30 } else { 230 - (at % 80) as u8 })
        .collect();
    std::fs::write(at("one.bmp"), bitmap(&paper, 80)).unwrap();
    std::fs::copy(at("one.bmp"), at("lent.bmp")).unwrap();
    let unsaid = duel(&["--image", text(&at("lent.bmp")), "--images", "--quantize", "8"]);
    let levels = |facts: &serde_json::Value, which: &str| -> Vec<f64> {
        facts["images"][which]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() * 255.0).collect()
    };
    for which in ["natural", "attacked"] {
        // A level over 255 in f32, times 255.
        assert!(levels(&unsaid, which).iter().all(|level| (level - level.round()).abs() < 1e-4), "{which}");
    }
    assert!(levels(&unsaid, "natural") != levels(&unsaid, "attacked"));
    assert_eq!(unsaid["quantize"], "8");

    // Its record holds the picture: the duel can be fought again without the file.
    let record = at("record.json");
    std::fs::write(&record, unsaid.to_string()).unwrap();
    std::fs::remove_file(at("lent.bmp")).unwrap();
    let replay = ["duel", "--replay", text(&record), "--device", "cpu", "--out", "none"];
    let model_words = ["--architecture", "fast-mnist-cnn", "--weights", text(&model)];
    let again = json(&[&replay[..], &model_words, &["--json", "--images"]].concat());
    for field in ["index", "label", "outcome", "natural", "attacked", "answer", "race", "quantize", "images"] {
        assert_eq!(unsaid[field], again[field], "{field}");
    }
    assert!(again["command"].as_str().unwrap().contains("--replay") && again["link"].is_null());
    assert!(output(&[&replay[..], &model_words].concat()).contains("It came out as the record says."));
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut other = unsaid.clone();
        change(&mut other);
        std::fs::write(&record, other.to_string()).unwrap();
        failure(1, &[&replay[..], &model_words].concat())
    };
    assert!(refused(&|other| other["images"]["natural"]["shape"] = serde_json::json!([3, 32, 32])).contains("its shape is"));
    assert!(refused(&|other| other["images"]["natural"]["values"] = serde_json::json!([0.5])).contains("has 1 values"));
    assert!(refused(&|other| other["images"]["natural"]["values"][7] = serde_json::json!(2.0)).contains("between 0 and 1"));
    assert!(refused(&|other| other["label"] = serde_json::json!(10)).contains("class 10"));
    assert!(unsaid["label"].is_null() && unsaid["outcome"].is_null());
    let pixels = pixels(&unsaid);
    // A bar in the middle, 20 pixels high.
    assert!(pixels[14 * 28 + 14] > 0.9 && pixels[4 * 28 + 14] > 0.9 && pixels[3 * 28 + 14] < 0.1 && pixels[14 * 28 + 4] < 0.1);

    std::fs::write(at("flat.bmp"), bitmap(&[128; 900], 30)).unwrap();
    std::fs::write(at("text.png"), "<html>").unwrap();
    let refusal = |code, more: &[&str]| failure(code, &[&["duel"], &arguments(&model, &report, more)[..]].concat());
    assert!(refusal(1, &["--image", text(&at("flat.bmp"))]).contains("no digit to be seen"));
    assert!(refusal(1, &["--image", text(&at("text.png"))]).contains("is not a picture"));
    assert!(refusal(1, &["--image", text(&at("one.bmp")), "--label", "10"]).contains("no class 10"));
    assert!(refusal(2, &["--label", "1"]).contains("--image"));
}
