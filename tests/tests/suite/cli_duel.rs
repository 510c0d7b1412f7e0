//! `riposte duel`: the story, its JSON and its report agree, and the same command tells the same story.

use std::path::Path;

use riposte::models::Architecture;
use tempfile::tempdir;

use crate::cli_program::{json, output, text, weights};

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
