//! `riposte eval --export` and `--images-from`: attacked images leave and come back as they were.

use std::fs;
use std::path::Path;

use riposte::data::npy;
use serde_json::Value;
use tempfile::tempdir;

use crate::cli_program::{failure, json, output, text};

/// A small evaluation of the model that comes with the program for the digits, on the CPU.
fn eval<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["eval", "--dataset", "digits", "--device", "cpu", "--post-iterations", "2"], more].concat()
}

fn records(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn exported_images_are_judged_as_the_attack_left_them() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let attacked = path("attacked.jsonl");
    for (images, lines) in [("a.npz", "a.jsonl"), ("a.safetensors", "b.jsonl")] {
        let (images, lines) = (path(images), path(lines));
        output(&eval(&["--first", "3", "--images", "5", "--export", text(&images), "--out", text(&attacked)]));
        output(&eval(&["--images-from", text(&images), "--out", text(&lines)]));
        assert_eq!(records(&lines), records(&attacked));
        // Killed in the middle of a line, and gone on with.
        let bytes = fs::read(&lines).unwrap();
        fs::write(&lines, &bytes[..bytes.len() - 30]).unwrap();
        output(&eval(&["--images-from", text(&images), "--out", text(&lines)]));
        assert_eq!(fs::read(&lines).unwrap(), bytes);
    }
}

/// The numbers of an array in an exported file.
fn array(path: &Path, name: &str) -> Vec<f32> {
    npy::decode_archive(&fs::read(path).unwrap()).unwrap()[name].values.floats()
}

#[test]
fn images_that_must_survive_a_file_have_its_levels_and_the_records_are_theirs() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (lines, images, again) = (path("lines.jsonl"), path("images.npz"), path("again.jsonl"));
    let few = ["--images", "4", "--steps", "10", "--step-size", "0.05", "--epsilon", "0.299", "--counter", "transfer"];
    let little = ["--counter-steps", "2", "--counter-judges", "2", "--post-batch-size", "8", "--out", text(&lines)];
    let quantized = eval(&[&few[..], &little, &["--quantize", "8", "--export", text(&images)]].concat());
    output(&quantized);
    let natural = array(&images, "natural");
    for name in ["attacked", "countered"] {
        let points = array(&images, name);
        assert!(points != natural);
        for (point, natural) in points.iter().zip(&natural) {
            let level = (point * 255.0).round();
            assert!(*point == level / 255.0 && (level - natural * 255.0).abs() < 76.001, "{name}: {natural} became {point}");
        }
    }
    // What was judged are the images of the file.
    let record = |path: &Path| -> Vec<Value> {
        records(path).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["attacked"].clone()).collect()
    };
    output(&eval(&["--images-from", text(&images), "--out", text(&again)]));
    assert_eq!(record(&again), record(&lines));
    let header = fs::read_to_string(&lines).unwrap().lines().next().unwrap().to_owned();
    assert!(header.contains(r#""quantize":"8""#), "{header}");
    let without = failure(1, &eval(&[&few[..], &little].concat()));
    assert!(without.contains("quantize"), "{without}");
    assert!(failure(1, &eval(&["--attack", "none", "--quantize", "8"])).contains("`quantize` belongs to an attack"));
    assert!(failure(1, &eval(&["--quantize", "8", "--epsilon", "0.003"])).contains("1/255"));
    assert!(failure(2, &eval(&["--quantize", "7"])).contains("8"));
}

#[test]
fn other_images_do_not_go_on_with_a_results_file() {
    let folder = tempdir().unwrap();
    let [a, b, lines] = ["a.npz", "b.npz", "lines.jsonl"].map(|name| folder.path().join(name));
    output(&eval(&["--images", "2", "--export", text(&a)]));
    output(&eval(&["--images", "2", "--export", text(&b), "--seed", "1"]));
    output(&eval(&["--images-from", text(&a), "--out", text(&lines)]));
    let message = failure(1, &eval(&["--images-from", text(&b), "--out", text(&lines)]));
    assert!(message.contains("images_sha256"), "{message}");
}

#[test]
fn images_of_something_else_are_refused_in_a_sentence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    output(&eval(&["--images", "4", "--export", text(&path)]));
    let from = |more: &[&str]| failure(1, &eval(&[&["--images-from", text(&path)], more].concat()));
    assert!(from(&["--first", "2"]).contains("--first says 2"));
    assert!(from(&["--images", "5"]).contains("more than the 4"));
    assert!(from(&["--epsilon", "0.3"]).contains("`epsilon` belongs to an attack"));
    assert!(failure(2, &eval(&["--images-from", text(&path), "--attack", "pgd"])).contains("--attack"));
    assert!(from(&["--counter", "attack"]).contains("--images-from stands in the place of an attack"));
    assert!(failure(1, &eval(&["--attack", "none", "--export", text(&path)])).contains("--export needs an attack"));
    for (name, says) in [("x.npy", "one array"), ("x.png", ".safetensors or .npz"), ("a.npz/x.npz", "cannot write")] {
        // Said before anything is computed.
        let message = failure(1, &eval(&["--images", "100000", "--export", text(&folder.path().join(name))]));
        assert!(message.contains(says), "{message}");
    }
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(from(&[]).contains("cannot read the arrays in"));
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "notes").unwrap();
    assert!(failure(1, &eval(&["--images-from", text(&notes)])).contains(".npz or .npy"));
}

#[test]
fn a_report_of_exported_images_counts_them() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.npz");
    output(&eval(&["--images", "6", "--export", text(&path)]));
    let report = json(&eval(&["--images-from", text(&path), "--json"]));
    assert_eq!(report["images"], 6);
    let perturbation = report["max_perturbation"].as_f64().unwrap();
    assert!(perturbation > 0.2 && perturbation < 0.3 + 1e-6, "the last bit of x + 0.3 - x: {perturbation}");
}
