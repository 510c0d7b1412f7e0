//! `riposte import`: what PyTorch wrote arrives; what is broken is refused, key and shapes named. Fixtures: `fixtures/pth`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use riposte::models::{Architecture, Model, ModelCard, PreActForm};
use riposte::rng::Seed;
use riposte::weights::{Precision, StateDict};
use riposte_cli::weights_file;
use tempfile::tempdir;

use crate::cli_program::{failure, output, text};

fn fixture(name: &str) -> PathBuf {
    crate::package().join("fixtures/pth").join(name)
}

/// `riposte import` of a fixture to `out`.
fn import<'a>(input: &'a Path, out: &'a Path) -> [&'a str; 6] {
    ["import", text(input), "--architecture", "preact-resnet-w1-b1", "-o", text(out)]
}

#[test]
fn every_container_and_nesting_gives_the_same_weights() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut first = None;
    for name in ["plain.pth", "legacy.pt", "data_parallel.pth", "checkpoint.pth", "double.pth"] {
        output(&import(&fixture(name), &out));
        let dict = StateDict::from_safetensors(&std::fs::read(&out).unwrap()).unwrap();
        // The formula of `make.py`; `conv1.weight` is the first tensor, `linear.bias` the last but one.
        let expected: Vec<f32> = (0..27).map(|index| index as f32 / 4096.0).collect();
        assert_eq!(dict.0["conv1.weight"].values, expected, "{name}");
        assert_eq!(dict.0["linear.weight"].shape, [10, 8]);
        assert!(!dict.0.contains_key("bn.num_batches_tracked"), "integer buffers are no parameters");
        assert_eq!(first.get_or_insert_with(|| dict.clone()), &dict, "{name}");
    }
}

#[test]
fn half_precision_halves_the_file_and_imports_again() {
    let folder = tempdir().unwrap();
    let (full, half) = (folder.path().join("full.safetensors"), folder.path().join("half.safetensors"));
    output(&import(&fixture("plain.pth"), &full));
    let mut arguments = import(&fixture("plain.pth"), &half).map(str::to_owned).to_vec();
    arguments.push("--half".to_owned());
    output(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let read = |path: &Path| StateDict::from_safetensors(&std::fs::read(path).unwrap()).unwrap();
    let (full, half) = (read(&full), read(&half));
    assert_eq!(full.0["bn.running_var"], half.0["bn.running_var"], "batch normalization stays 32-bit");
    let pairs = full.0["layer4.0.conv2.weight"].values.iter().zip(&half.0["layer4.0.conv2.weight"].values);
    // Half precision rounds to 11 bits.
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= a.abs() / 2048.0));
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for (name, parts) in [
        ("wrong_shape.pth", &["linear.weight", "[10, 8]", "[8, 10]"][..]),
        ("missing.pth", &["bn.weight", "missing"]),
        ("extra.pth", &["head.weight", "unexpected"]),
    ] {
        let message = failure(1, &import(&fixture(name), &out));
        assert!(message.contains(name) && parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(!out.exists());
    }
    let message = failure(1, &["import", text(&fixture("plain.pth")), "--architecture", "fast-mnist-cnn", "-o", text(&out)]);
    assert!(message.contains("0.weight") && message.contains("[16, 1, 4, 4]"), "{message}");
    let message = failure(1, &import(&fixture("make.py"), &out));
    assert!(message.contains("neither"), "{message}");
}

#[test]
fn truncated_pytorch_files_are_refused_at_any_length() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for name in ["plain.pth", "legacy.pt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(whole.len() / 40) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let result = weights_file::parse(&path, &whole[..length]);
            let message = format!("{:#}", result.expect_err("a part is not the whole"));
            assert!(message.contains("cut.pth"), "{message}");
        }
    }
}

#[test]
fn damaged_pytorch_files_give_an_error_or_weights_and_never_a_panic() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let originals = ["plain.pth", "legacy.pt", "checkpoint.pth"].map(|name| std::fs::read(fixture(name)).unwrap());
    for_damaged(&originals, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let _ = weights_file::parse(&path, bytes);
    });
}

#[test]
fn damaged_safetensors_and_cards_give_an_error_or_a_model_and_never_a_panic() {
    let architecture = Architecture::PreActResNet { width: 1, blocks: 1, form: PreActForm::Fast };
    let device = burn::tensor::Device::flex();
    let model = Model::random(architecture, Seed(1), &device);
    let weights = pollster::block_on(model.weights()).unwrap().to_safetensors(Precision::F16);
    for_damaged(&[weights], |bytes| {
        if let Ok(dict) = weights_file::parse(Path::new("damaged.safetensors"), bytes) {
            let _ = Model::from_weights(architecture, &dict, &device);
        }
    });
    let card = br#"{"id":"a","name":"A","architecture":"fast-mnist-cnn","dataset":"digits","epsilon":0.3,"training":"none",
        "weights":"a.safetensors","sha256":"00","accuracies":[{"attack":"none","correct":1,"images":2,"command":"riposte eval"}]}"#;
    ModelCard::from_json(card).expect("the undamaged card is one");
    for_damaged(&[card.to_vec()], |bytes| {
        let _ = ModelCard::from_json(bytes);
    });
}

/// Calls `look` with up to 3000 damaged copies of `originals`, for at most 20 seconds. A panic or an abort fails the test.
fn for_damaged(originals: &[Vec<u8>], mut look: impl FnMut(&[u8])) {
    let begin = Instant::now();
    // SplitMix64: reproducible, and any difference will do.
    let mut state = 7u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize % bound
    };
    for _ in 0..3000 {
        if begin.elapsed() > Duration::from_secs(20) {
            break;
        }
        let mut bytes = originals[random(originals.len())].clone();
        for _ in 0..1 + random(8) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let end = bytes.len().min(at + random(16));
                    bytes.drain(at..end);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        look(&bytes);
    }
}
