use burn::tensor::Device;

use super::*;
use crate::rng::Seed;
use crate::weights::Parameter;

const CNN: Architecture = Architecture::FastMnistCnn;

fn weights(architecture: Architecture, seed: u64) -> StateDict {
    pollster::block_on(Model::random(architecture, Seed(seed), &Device::flex()).weights()).unwrap()
}

fn under(prefix: &str, dict: &StateDict) -> StateDict {
    StateDict(dict.0.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())).collect())
}

fn joined(parts: impl IntoIterator<Item = StateDict>) -> StateDict {
    StateDict(parts.into_iter().flat_map(|part| part.0).collect())
}

fn of(entries: &[(&str, &[f32])]) -> StateDict {
    let parameter = |values: &[f32]| Parameter { shape: vec![values.len(), 1, 1], values: values.to_vec() };
    StateDict(entries.iter().map(|(key, values)| ((*key).to_owned(), parameter(values))).collect())
}

fn taken(dict: StateDict) -> Result<Imported> {
    import(dict, &Wanted::default())
}

#[test]
fn weights_are_found_under_any_names_around_them() {
    let plain = weights(CNN, 0);
    for prefix in ["", "_orig_mod.", "module.", "model.", "module._orig_mod.", "state_dict.model._orig_mod.module.", "any.thing."]
    {
        let found = taken(under(prefix, &plain)).unwrap();
        assert_eq!((found.architecture, found.weights), (CNN, plain.clone()), "{prefix}");
    }
    let optimizer = of(&[("optimizer.state.0.momentum_buffer", &[1.0]), ("loss_fn.weight", &[1.0])]);
    let found = taken(joined([under("net.", &plain), optimizer])).unwrap();
    assert_eq!(found.weights, plain);
    assert!(found.notes.iter().any(|note| note.contains("left out") && note.contains("loss_fn.weight")), "{:?}", found.notes);
}

#[test]
fn of_several_state_dicts_the_plain_one_is_taken_unless_another_is_named() {
    let (plain, average) = (weights(CNN, 0), weights(CNN, 1));
    let both = joined([under("net.", &plain), under("ema.", &average)]);
    let found = taken(both.clone()).unwrap();
    assert_eq!(found.weights, plain);
    assert!(found.notes.iter().any(|note| note.contains("`ema`")), "{:?}", found.notes);
    for (state, expected) in [("ema", &average), ("net", &plain)] {
        let wanted = Wanted { state: Some(state.to_owned()), ..Wanted::default() };
        assert_eq!(&import(both.clone(), &wanted).unwrap().weights, expected);
    }
    let wanted = Wanted { state: Some("other".to_owned()), ..Wanted::default() };
    assert!(import(both, &wanted).unwrap_err().to_string().contains("`ema`, `net`"));
    let error = taken(joined([under("student.", &plain), under("teacher.", &average)])).unwrap_err().to_string();
    assert!(error.contains("--state") && error.contains("`teacher`"), "{error}");
    // An attacker that holds the model: the same weights twice.
    assert_eq!(taken(joined([under("model.", &plain), under("attacker.model.", &plain)])).unwrap().weights, plain);
}

#[test]
fn a_normalization_in_the_file_is_applied_wherever_it_is() {
    let plain = weights(CNN, 0);
    let cases = [
        ("", "mu", "sigma"),
        ("1.", "0.mean", "0.std"),
        ("model.", "normalizer.new_mean", "normalizer.new_std"),
        ("model.", "normalize._mean", "normalize._std"),
        ("net.model.", "net.norm.mean", "net.norm.std"),
        ("state_dict.", "mean", "std"),
        ("state_dict.", "args.mean", "args.std"),
    ];
    for (prefix, mean, std) in cases {
        let found = taken(joined([under(prefix, &plain), of(&[(mean, &[0.1307]), (std, &[0.3081])])])).unwrap();
        let expected = Normalization::new(&[0.1307], &[0.3081], 1).unwrap();
        assert_eq!(found.weights.normalization(CNN).unwrap(), Some(expected), "{prefix} {mean}");
        assert!(found.notes.iter().any(|note| note.contains("0.1307")), "{:?}", found.notes);
        let model = Model::from_weights(CNN, &found.weights, &Device::flex()).unwrap();
        assert_eq!(pollster::block_on(model.weights()).unwrap(), found.weights);
    }
}

#[test]
fn a_normalization_that_is_not_understood_is_refused_unless_another_one_is_asked_for() {
    let plain = weights(CNN, 0);
    let cases = [
        of(&[("mean", &[0.1307])]),
        of(&[("std", &[0.3081])]),
        of(&[("mean", &[33.3]), ("std", &[78.6])]),
        of(&[("mean", &[0.5, 0.5, 0.5]), ("std", &[0.5, 0.5, 0.5])]),
        of(&[("normalizer.scale", &[2.0])]),
        of(&[("mean", &[0.1307]), ("std", &[0.3081]), ("model.mu", &[0.2]), ("model.sigma", &[0.3])]),
    ];
    for extra in cases {
        let keys: Vec<String> = extra.0.keys().cloned().collect();
        let dict = joined([under("model.", &plain), extra]);
        let error = taken(dict.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}`", keys[0])) && error.contains("--mean"), "{error}");
        let normalization = Normalization::new(&[0.0], &[1.0], 1).unwrap();
        let wanted = Wanted { normalization: Some(normalization.clone()), ..Wanted::default() };
        assert_eq!(import(dict, &wanted).unwrap().weights.normalization(CNN).unwrap(), Some(normalization));
    }
}

#[test]
fn architectures_are_named_by_their_weights_and_asked_for_where_these_fit_several() {
    for name in ["fast-mnist-cnn", "madry-mnist-cnn", "trades-mnist-cnn", "resnet4b", "cnn-a", "resnet18-w2", "resnet50-w1"] {
        let architecture: Architecture = name.parse().unwrap();
        assert_eq!(taken(under("net.", &weights(architecture, 0))).unwrap().architecture, architecture);
    }
    for name in ["wrn-10-2", "wrn-16-1-conv-relu", "dm-wrn-10-1-silu", "preact-resnet-w2-b1", "preact-resnet-w2-b2-bare"] {
        let architecture: Architecture = name.parse().unwrap();
        let error = taken(weights(architecture, 0)).unwrap_err().to_string();
        for alike in architecture.lookalikes() {
            assert!(error.contains(&alike.to_string()), "{error}");
            let wanted = Wanted { architecture: Some(alike), ..Wanted::default() };
            let found = import(weights(architecture, 0), &wanted).unwrap();
            assert!(found.notes.last().unwrap().contains(alike.beyond_weights().unwrap()), "{:?}", found.notes);
        }
    }
}

#[test]
fn what_does_not_fit_is_named_with_the_first_key_that_does_not() {
    let mut cut = weights("resnet18-w2".parse().unwrap(), 0);
    cut.0.remove("layer3.1.bn2.weight");
    let error = taken(under("model.", &cut)).unwrap_err().to_string();
    assert!(error.contains("resnet18-w2") && error.contains("layer3.1.bn2.weight"), "{error}");
    let error = taken(of(&[("encoder.weight", &[0.0])])).unwrap_err().to_string();
    assert!(error.contains("encoder.weight") && error.contains("fast-mnist-cnn"), "{error}");
    let mut pruned = weights(CNN, 0);
    let weight = pruned.0.remove("5.weight").unwrap();
    pruned.0.extend([("5.weight_orig".to_owned(), weight.clone()), ("5.weight_mask".to_owned(), weight)]);
    let error = taken(pruned).unwrap_err().to_string();
    assert!(error.contains("5.weight_orig") && error.contains("prune.remove"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut dict = weights(CNN, 0);
        dict.0.get_mut("7.bias").unwrap().values[3] = bad;
        assert!(taken(dict).unwrap_err().to_string().contains("`7.bias`"));
    }
}

#[test]
fn blocks_that_nothing_computes_with_are_left_out_and_said() {
    let architecture: Architecture = "wrn-10-1-conv-relu".parse().unwrap();
    let plain = weights(architecture, 0);
    let copies = plain.0.iter().filter_map(|(key, value)| {
        Some((format!("sub_{}", key.strip_prefix("").filter(|key| key.starts_with("block1"))?), value.clone()))
    });
    let dict = joined([plain.clone(), StateDict(copies.collect())]);
    let wanted = Wanted { architecture: Some(architecture), ..Wanted::default() };
    let found = import(dict, &wanted).unwrap();
    assert!(found.notes.iter().any(|note| note.contains("sub_block1")), "{:?}", found.notes);
    let model = Model::from_weights(architecture, &found.weights, &Device::flex()).unwrap();
    assert_eq!(pollster::block_on(model.weights()).unwrap(), plain);
}

#[test]
fn another_epsilon_of_batch_normalization_changes_the_answer_and_stays() {
    let architecture: Architecture = "resnet18-w1".parse().unwrap();
    let plain = weights(architecture, 0);
    let wanted = Wanted { batch_norm_epsilon: Some(0.1), ..Wanted::default() };
    let found = import(plain.clone(), &wanted).unwrap().weights;
    assert_eq!(import(found.clone(), &Wanted::default()).unwrap().weights, found);
    let logits = |weights: &StateDict| {
        let model = Model::from_weights(architecture, weights, &Device::flex()).unwrap();
        let images = burn::tensor::Tensor::<4>::full([1, 3, 32, 32], 0.5, &Device::flex());
        crate::Classifier::forward(&model, images).into_data().try_into_vec::<f32>().unwrap()
    };
    assert_ne!(logits(&plain), logits(&found));
}
