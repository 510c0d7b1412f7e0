//! Own pictures of any size, ground and content: the first bytes say how large they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riposte_data::photo::Photo;
use riposte_spec::dataset::DatasetId;

fuzz_target!(|bytes: &[u8]| {
    let [width, height, rest @ ..] = bytes else { return };
    let (width, height) = (1 + usize::from(*width) % 48, 1 + usize::from(*height) % 48);
    // What is missing repeats.
    let level = |at: usize| f32::from(rest.get(at % rest.len().max(1)).copied().unwrap_or(0)) / 255.0;
    let colors = (0..width * height).map(|at| [0, 1, 2].map(|channel| level(3 * at + channel))).collect();
    let photo = Photo { width, height, colors };
    for light in [photo.is_on_light_ground(), true, false] {
        if let Some((_, pixels)) = photo.digit(light, DatasetId::Mnist) {
            check(&pixels, 28 * 28);
        }
    }
    check(&photo.scene(DatasetId::Cifar10), 3 * 32 * 32);
});

/// An image of 8 bits.
fn check(pixels: &[f32], count: usize) {
    assert_eq!(pixels.len(), count);
    for pixel in pixels {
        assert!((0.0..=1.0).contains(pixel) && (pixel * 255.0).round() / 255.0 == *pixel, "{pixel}");
    }
}
