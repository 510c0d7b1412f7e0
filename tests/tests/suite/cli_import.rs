//! `riposte import`: what PyTorch wrote arrives; what is broken is refused, key and shapes named. Fixtures: `fixtures/pth`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use riposte::bank::{Bank, BankCard, Pair};
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::models::{Architecture, Model, ModelCard, PreActForm};
use riposte::post_train::{Perturbation, PostTrain, Progress};
use riposte::presets::Preset;
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
fn weights_that_cannot_be_used_are_refused_in_one_sentence() {
    let folder = tempdir().unwrap();
    let (path, out) = (folder.path().join("own.safetensors"), folder.path().join("out.safetensors"));
    let model = Model::random(Architecture::FastMnistCnn, Seed(1), &Device::flex());
    let mut dict = pollster::block_on(model.weights()).unwrap();
    std::fs::write(&path, dict.to_safetensors(Precision::F32)).unwrap();
    // Nothing is said of how they are computed before the normalization is seen to fit.
    for command in [&["import", text(&path), "-o", text(&out)][..], &["eval", "--images", "1", "--weights", text(&path)]] {
        let asked = ["--architecture", "fast-mnist-cnn", "--mean", "0.1307,0.2,0.3", "--std", "0.3,0.3,0.3"];
        let message = failure(1, &[command, &asked[..]].concat());
        assert!(message.contains("images of 1 channels") && !message.contains("as asked for"), "{message}");
    }
    dict.0.get_mut("0.weight").unwrap().values[0] = f32::INFINITY;
    std::fs::write(&path, dict.to_safetensors(Precision::F32)).unwrap();
    let message = failure(1, &["import", text(&path), "-o", text(&out)]);
    let sentence = "cannot take the weights of `";
    assert!(message.contains(sentence) && message.contains("`0.weight` holds values that are not finite"), "{message}");
    assert_eq!(message.matches("cannot").count(), 1, "{message}");
    assert!(!out.exists());
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
    let device = Device::flex();
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

#[test]
fn damaged_files_of_a_bank_give_an_error_or_copies_and_never_a_panic() {
    let model =
        Model::random(Architecture::PreActResNet { width: 1, blocks: 1, form: PreActForm::Fast }, Seed(1), &Device::flex());
    let settings = PostTrain { iterations: 1, batch_size: 2, ..Preset::F_CIFAR.post_train };
    let bank = Bank::new(model, PostTrain { perturbation: Perturbation::Normal, ..settings }).unwrap();
    let gray: Vec<u8> = (0..20 * 3072).map(|at| (at % 251) as u8).collect();
    let labels = (0..20).map(|at| at % 10).collect();
    let pools = ClassPools::new(Dataset::new(Images::new(gray, 3, 32, 32).unwrap(), labels, 10).unwrap());
    let observe = async |_: Progress<'_, Model>| ControlFlow::Continue(());
    let make = |draw| pollster::block_on(bank.make(&pools, Pair::of(3, 5).unwrap(), draw, Seed(0), observe)).unwrap();
    let copies = bank.to_safetensors(&[make(0), make(1)]);
    assert_eq!(bank.from_safetensors(&copies, 2).map(|copies| copies.len()).ok(), Some(2));
    for_damaged(&[copies], |bytes| {
        if let Ok(copies) = bank.from_safetensors(bytes, 2) {
            assert_eq!(copies.len(), 2);
        }
    });
    let card = br#"{"format":"riposte bank 1","version":"0.1.0","architecture":"fast-mnist-cnn","weights_sha256":"00","dataset":"digits",
        "post_samples":400,"pool_sha256":"11","seed":0,"draws":2,"riposte":null}"#;
    let riposte = serde_json::to_string(&settings).unwrap();
    let card = String::from_utf8_lossy(card).replace("null", &riposte);
    BankCard::from_json(card.as_bytes()).expect("the undamaged card is one");
    for_damaged(&[card.into_bytes()], |bytes| {
        let _ = BankCard::from_json(bytes);
    });
}

/// Memory that this process has had at most, in bytes; 0 where the system does not say.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).map_or(0, |kilobytes| kilobytes << 10)
}

/// Calls `look` with up to 4000 damaged copies of `originals`, for at most 20 seconds. A panic or an abort fails the test, as does memory
/// out of proportion: what a file claims is no reason to reserve it.
fn for_damaged(originals: &[Vec<u8>], mut look: impl FnMut(&[u8])) {
    let begin = Instant::now();
    originals.iter().for_each(|bytes| look(bytes));
    let before = peak();
    // SplitMix64: reproducible, and any difference will do.
    let mut state = 7u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize % bound
    };
    for _ in 0..4000 {
        if begin.elapsed() > Duration::from_secs(20) {
            break;
        }
        let mut bytes = originals[random(originals.len())].clone();
        for _ in 0..1 + random(8) {
            let at = random(bytes.len());
            match random(8) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, random(256) as u8),
                4 => {
                    let end = bytes.len().min(at + random(16));
                    bytes.drain(at..end);
                }
                // A piece of a file elsewhere in it, or in another one.
                5 => {
                    let other = &originals[random(originals.len())];
                    let from = random(other.len());
                    let piece = other[from..other.len().min(from + random(64))].to_vec();
                    bytes.splice(at..at, piece);
                }
                // What may be a length, near its largest and its smallest values: of 1, 2, 4 or 8 bytes, in text a few digits more.
                6 => {
                    let (width, value) = ([1, 2, 4, 8][random(4)], (1u64 << random(64)).wrapping_sub(random(2) as u64));
                    let end = bytes.len().min(at + width);
                    bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                }
                _ => {
                    if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                        bytes.splice(at + digit..at + digit, *b"99999999999");
                    }
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        look(&bytes);
    }
    let more = peak().saturating_sub(before) >> 20;
    // Files here have less than a megabyte. Other tests run in this process where nextest is missing.
    let alone = std::env::var_os("NEXTEST").is_some();
    assert!(more < if alone { 64 } else { 1024 }, "{more} MiB more");
}
