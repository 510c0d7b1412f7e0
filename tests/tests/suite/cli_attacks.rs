//! `riposte eval` with the strong attacks.

use std::path::Path;

use riposte::models::Architecture;
use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, text, weights};

/// Random weights under an attack, without a riposte, on the CPU.
fn arguments<'a>(weights: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["eval", "--architecture", "fast-mnist-cnn", "--dataset", "digits", "--device", "cpu", "--riposte", "none"];
    [&base, &["--weights", text(weights)][..], more].concat()
}

#[test]
fn every_strong_attack_runs_by_its_name_and_is_told_in_the_settings() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let cases: [(&[&str], &str, &str); 7] = [
        (&["apgd-ce", "--steps", "4", "--loss", "margin"], "apgd", "epsilon"),
        (&["apgd-t", "--steps", "4", "--targets", "2"], "apgd", "targets"),
        (&["fab-t", "--steps", "4", "--targets", "2"], "fab-t", "targets"),
        (&["square", "--queries", "5", "--colors", "changing"], "square", "share"),
        (&["auto", "--steps", "3", "--targets", "2", "--queries", "5"], "auto", "queries"),
        (&["cw", "--norm", "linf", "--rounds", "2", "--steps", "5"], "cw", "constant"),
        (&["deepfool", "--steps", "3", "--candidates", "3"], "deepfool", "candidates"),
    ];
    for (attack, kind, setting) in cases {
        let report = json(&arguments(&path, &[&["--images", "6", "--json", "--attack"], attack].concat()));
        let settings = &report["settings"]["attack"];
        assert!(settings["kind"] == kind && !settings[setting].is_null(), "{settings}");
        let (natural, robust) = (report["natural_correct"].as_u64().unwrap(), report["robust_correct"].as_u64().unwrap());
        assert!(robust <= natural, "{kind}: a strong attack leaves alone what is wrong as it is");
        let fooled: u64 = report["fooled"].as_array().map_or(0, |all| all.iter().map(|by| by["images"].as_u64().unwrap()).sum());
        assert_eq!(fooled, natural - robust, "{kind}: {report}");
    }
}

#[test]
fn the_ensemble_tells_which_attack_fooled_an_image_and_a_stopped_run_goes_on() {
    let folder = tempdir().unwrap();
    let attack = ["--attack", "auto", "--epsilon", "0.35", "--steps", "5", "--targets", "2", "--queries", "10", "--batch", "4"];
    let model = ["eval", "--model", "digits-robust", "--device", "cpu", "--riposte", "none"];
    let (whole, cut) = (folder.path().join("whole.jsonl"), folder.path().join("cut.jsonl"));
    output(&[&model[..], &attack, &["--images", "12", "--out", text(&whole)]].concat());
    output(&[&model[..], &attack, &["--images", "6", "--out", text(&cut)]].concat());
    output(&[&model[..], &attack, &["--images", "12", "--out", text(&cut)]].concat());
    let (whole, cut) = (std::fs::read_to_string(whole).unwrap(), std::fs::read_to_string(cut).unwrap());
    assert_eq!(whole, cut);
    let records: Vec<Value> = whole.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &records {
        let fooled = record["natural"] == record["label"] && record["attacked"] != record["label"];
        assert_eq!(fooled, record.get("fooled_by").is_some(), "{record}");
    }
    assert!(records.iter().any(|record| record["fooled_by"] == "apgd"), "{whole}");
    let told = output(&[&model[..], &attack, &["--images", "12"]].concat());
    assert!(told.contains("Fooled by apgd: "), "{told}");
}

#[test]
fn settings_of_another_attack_are_refused_by_name() {
    for (flags, setting, attack) in [
        ("--attack square --step-size 0.1", "step-size", "square"),
        ("--attack cw --epsilon 0.3", "epsilon", "cw"),
        ("--attack auto --target 3", "target", "auto"),
        ("--queries 10", "queries", "pgd"),
    ] {
        let flags: Vec<&str> = flags.split(' ').collect();
        let message = failure(1, &[&["eval", "--dataset", "digits"], &flags[..]].concat());
        assert!(message.contains(setting) && message.contains(attack), "{message}");
    }
    let message = failure(1, &["duel", "--dataset", "digits", "--attack", "auto"]);
    assert!(message.contains("PGD") && message.contains("riposte eval"), "{message}");
}

#[test]
fn an_attack_on_the_riposte_is_in_each_line_and_goes_on_where_it_stopped() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("fast.safetensors");
    weights(Architecture::FastMnistCnn, &path);
    let common = ["eval", "--architecture", "fast-mnist-cnn", "--dataset", "digits", "--device", "cpu", "--weights", text(&path)];
    let few =
        ["--counter", "all", "--counter-steps", "3", "--counter-rounds", "2", "--counter-adaptations", "1", "--judges", "2"];
    let small =
        ["--post-samples", "100", "--post-iterations", "2", "--post-batch-size", "8", "--search-steps", "3", "--batch", "2"];
    let settings = [&common[..], &few, &small].concat();
    let (whole, parts) = (folder.path().join("whole.jsonl"), folder.path().join("parts.jsonl"));
    let report = json(&[&settings[..], &["--images", "3", "--json", "--out", text(&whole)]].concat());
    let rows = report["counter"]["rows"].as_array().unwrap();
    assert_eq!((report["counter"]["images"].as_u64(), report["counter"]["judges"].as_u64()), (Some(3), Some(2)));
    assert!(rows.len() >= 2 && rows[0]["after"] == "none", "{rows:?}");
    output(&[&settings[..], &["--images", "2", "--out", text(&parts)]].concat());
    let table = output(&[&settings[..], &["--images", "3", "--out", text(&parts)]].concat());
    assert!(table.contains("Against an attacker who knows the defense (2 answers"), "{table}");
    // All points are handed out, those of the run that was there before, too.
    let points = |run: &Path, name: &str| {
        let file = folder.path().join(name);
        output(&[&settings[..], &["--images", "3", "--out", text(run), "--export", text(&file)]].concat());
        let bytes = std::fs::read(file).unwrap();
        let arrays = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let [natural, countered] = ["natural", "countered"].map(|name| arrays.tensor(name).unwrap());
        assert_eq!((natural.shape(), countered.shape()), (&[3, 1, 28, 28][..], &[3, 1, 28, 28][..]));
        let floats = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
        (floats(natural.data()), floats(countered.data()))
    };
    let new = folder.path().join("new.jsonl");
    let (natural, countered) = points(&new, "new.safetensors");
    assert_eq!(countered, points(&parts, "again.safetensors").1);
    let change = natural.iter().zip(&countered).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // One rounding of a sum below 2.
    assert!(change > 0.0 && change <= 0.3 + 1.2e-7, "{change}");
    let lines = |path: &Path| -> Vec<Value> {
        std::fs::read_to_string(path).unwrap().lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(lines(&whole), lines(&parts));
    assert!(lines(&whole).iter().all(|line| line["counter"]["natural"]["of"] == 2));
}

#[test]
fn an_attack_on_a_riposte_that_cannot_be_is_refused() {
    for (flags, expected) in [
        (&["eval", "--counter", "fpa", "--riposte", "none"][..], "attacks a riposte"),
        (&["eval", "--counter", "fpa", "--attack", "none"], "needs an attack in a ball"),
        (&["eval", "--counter", "fpa", "--target", "3"], "contradicts `target`"),
        (&["eval", "--counter-rounds", "3"], "fixed-point and all, and `counter` is none"),
        (&["eval", "--counter", "rays", "--counter-steps", "3"], "climbs, and `counter` is rays"),
        (&["eval", "--counter", "bank"], "--counter-bank FOLDER"),
        (&["eval", "--counter", "bank", "--counter-bank", "nowhere"], "there is no bank in `nowhere`"),
        (&["duel", "--counter", "fpa", "--target", "3"], "contradicts `target`"),
        (&["duel", "--counter", "bank"], "--bank FOLDER"),
    ] {
        let error = failure(1, &[flags, &["--dataset", "digits"]].concat());
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
}
