//! Tensors from a formula, bit for bit as in `tests/golden/formula.py`; the README there states it.

use std::collections::BTreeMap;

use riposte::weights::{Parameter, StateDict};

/// Element `index` of the splitmix64 stream whose state starts at the 64-bit FNV-1a hash of `name`.
fn output(name: &str, index: u64) -> u64 {
    let state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut z = state.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `count` values in `[0, 1)`.
pub fn unit(name: &str, count: usize) -> Vec<f32> {
    (0..count as u64).map(|index| (output(name, index) >> 40) as f32 / (1u32 << 24) as f32).collect()
}

/// `count` values in `[-scale, scale)`.
pub fn symmetric(name: &str, count: usize, scale: f32) -> Vec<f32> {
    unit(name, count).into_iter().map(|u| (2.0 * u - 1.0) * scale).collect()
}

/// The sampled positions of a parameter with `count` entries.
pub fn sample_indices(name: &str, count: usize) -> Vec<usize> {
    const SAMPLES: usize = 64;
    if count <= SAMPLES {
        return (0..count).collect();
    }
    (0..SAMPLES as u64).map(|index| (output(&format!("sample:{name}"), index) % count as u64) as usize).collect()
}

/// Parameters for the names and shapes of `like`, by the formula.
pub fn fill(like: &StateDict) -> StateDict {
    let norms: Vec<&str> = like.0.keys().filter_map(|key| key.strip_suffix(".running_mean")).collect();
    let filled = like.0.iter().map(|(key, parameter)| {
        let count = parameter.values.len();
        let (layer, kind) = key.rsplit_once('.').expect("a layer and a kind");
        let values = if norms.contains(&layer) {
            let shift = |offset: f32, scale: f32| unit(key, count).into_iter().map(|u| (u + offset) * scale).collect();
            match kind {
                "weight" | "running_var" => shift(0.5, 1.0),
                "bias" => shift(-0.5, 1.0),
                _ => shift(-0.5, 0.2),
            }
        } else {
            let fan_in: usize = like.0[&format!("{layer}.weight")].shape[1..].iter().product();
            symmetric(key, count, 1.0 / (fan_in as f32).sqrt())
        };
        (key.clone(), Parameter { shape: parameter.shape.clone(), values })
    });
    StateDict(filled.collect::<BTreeMap<_, _>>())
}
