//! Procedural handwritten digits in MNIST's format, made from nothing: no file, no network.
//!
//! Strokes of a pen, not a font: every image mixes specimens of one way of writing its digit, then varies slant, proportions, the
//! pen's width and the hand's steadiness, and is normalized as MNIST was (20x20 box, centered by mass). The bytes depend on seed,
//! split and index alone and are the same on every platform.

mod pen;
#[rustfmt::skip] // Tables: one specimen a line.
mod skeletons;

use std::ops::Range;

pub use riposte_spec::dataset::Split;

use crate::rng::{Purpose, Seed, Stream, below, unit};
use crate::{Dataset, Images};
use pen::{Elastic, Pen, Point, SIDE, curve, ink};
use skeletons::{STYLES, Style};

/// Number of classes.
pub const CLASSES: usize = 10;

/// The images with the indices `range`, 28x28 with one channel, ink 255 on 0. Any ten images that start at a multiple of ten
/// hold every digit once, in random order. Image i is the same in every range. The two splits are disjoint and endless; their first
/// 60,000 and 10,000 images match MNIST's sizes.
pub fn generate(seed: Seed, split: Split, range: Range<u32>) -> Dataset {
    let (mut pixels, mut labels) = (Vec::with_capacity(range.len() * SIDE * SIDE), Vec::with_capacity(range.len()));
    for index in range {
        let label = label(seed, split, index);
        pixels.extend(image(seed, split, index, label));
        labels.push(label);
    }
    let images = Images { pixels, channels: 1, height: SIDE, width: SIDE };
    Dataset { images, labels, classes: CLASSES }
}

fn image(seed: Seed, split: Split, index: u32, label: u8) -> [u8; SIDE * SIDE] {
    let mut stream = seed.stream(Purpose::Digits, lane(split, Draw::Image, index));
    let style = pick(STYLES[usize::from(label)], &mut stream);
    let hand = Hand::draw(&mut stream);
    let lines = hand.write(style, &mut stream);
    ink(&lines, &hand.pen)
}

/// Labels go through a fresh permutation of the ten digits in every block of ten.
fn label(seed: Seed, split: Split, index: u32) -> u8 {
    let mut stream = seed.stream(Purpose::Digits, lane(split, Draw::Label, index / 10));
    let mut order: [u8; CLASSES] = std::array::from_fn(|i| i as u8);
    for i in (1..CLASSES).rev() {
        order.swap(i, below(&mut stream, i + 1));
    }
    order[index as usize % CLASSES]
}

/// What a stream of this module draws.
enum Draw {
    Image,
    Label,
}

fn lane(split: Split, draw: Draw, index: u32) -> u64 {
    (split as u64) << 33 | (draw as u64) << 32 | u64::from(index)
}

/// Chooses a style by weight.
fn pick(styles: &'static [Style], stream: &mut Stream) -> &'static Style {
    let mut ticket = below(stream, styles.iter().map(|style| style.weight).sum());
    for style in styles {
        if ticket < style.weight {
            return style;
        }
        ticket -= style.weight;
    }
    unreachable!("the ticket is below the sum of the weights")
}

/// One writer at one moment.
struct Hand {
    /// Horizontal shift per height: positive leans to the right.
    slant: f32,
    /// Width over the skeleton's width.
    width: f32,
    /// Rotation, in radians.
    turn: f32,
    /// How far the middle sits too low, in digit heights: the loops of an 8 are seldom equal.
    balance: f32,
    /// Relative difference of width between bottom and top.
    taper: f32,
    /// Standard deviation of every control point, in digit heights.
    tremor: f32,
    elastic: Elastic,
    pen: Pen,
}

impl Hand {
    fn draw(stream: &mut Stream) -> Self {
        let thin = uniform(stream, 0.0, 1.0);
        Self {
            slant: 0.2 + 0.22 * normal(stream),
            width: (1.18 + 0.25 * normal(stream)).max(0.6),
            turn: 0.09 * normal(stream),
            balance: 0.06 * normal(stream),
            taper: 0.16 * normal(stream),
            tremor: uniform(stream, 0.012, 0.046),
            elastic: Elastic::draw(stream, 0.028),
            pen: Pen {
                radius: 0.9 + 1.15 * thin * (0.4 + 0.6 * thin),
                pressure: 0.12 * normal(stream),
                softness: uniform(stream, 0.9, 1.3),
            },
        }
    }

    fn write(&self, style: &Style, stream: &mut Stream) -> Vec<Vec<Point>> {
        let mix = mixture(style.specimens.len(), stream);
        let (sin, cos) = (libm::sinf(self.turn), libm::cosf(self.turn));
        (0..style.specimens[0].len())
            .map(|stroke| {
                let points = self.control_points(style, stroke, &mix, stream);
                let mut line = curve(&points);
                for p in &mut line {
                    let q = self.elastic.apply(*p);
                    let q = Point {
                        x: self.width * (1.0 + self.taper * (q.y - 0.5)) * (q.x - 0.25),
                        y: q.y + 4.0 * self.balance * q.y * (1.0 - q.y),
                    };
                    let q = Point { x: q.x - self.slant * q.y, y: q.y };
                    *p = Point { x: cos * q.x - sin * q.y, y: sin * q.x + cos * q.y };
                }
                line
            })
            .collect()
    }

    /// The mixed specimens' points in digit heights, moved by tremor, each stroke moved as a whole. Corners stay corners.
    fn control_points(&self, style: &Style, stroke: usize, mix: &[f32], stream: &mut Stream) -> Vec<Point> {
        let table = style.specimens[0][stroke];
        let mut draw = || Point { x: self.tremor * normal(stream), y: self.tremor * normal(stream) };
        let drift = draw();
        let noise: Vec<Point> = (0..table.len() + 2).map(|_| draw()).collect();
        let mut points: Vec<Point> = Vec::with_capacity(table.len());
        for i in 0..table.len() {
            if i > 0 && table[i] == table[i - 1] {
                points.push(points[i - 1]);
                continue;
            }
            // A hand errs smoothly: neighbors move together (0.41 keeps the variance). Ends wander more than the middle of a stroke.
            let loose = if i == 0 || i + 1 == table.len() { 1.6 * 0.41 } else { 0.41 };
            let smooth = |a: f32, b: f32, c: f32| loose * (a + 2.0 * b + c);
            let mut point = Point {
                x: drift.x + smooth(noise[i].x, noise[i + 1].x, noise[i + 2].x),
                y: drift.y + smooth(noise[i].y, noise[i + 1].y, noise[i + 2].y),
            };
            for (specimen, weight) in style.specimens.iter().zip(mix) {
                let (x, y) = specimen[stroke][i];
                point.x += 0.01 * weight * x as f32;
                point.y += 0.01 * weight * y as f32;
            }
            points.push(point);
        }
        points
    }
}

/// Weights of the specimens: they sum to one and may leave [0, 1] a little, so that samples also lie just beyond the specimens.
fn mixture(count: usize, stream: &mut Stream) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..count)
        .map(|_| {
            let u = uniform(stream, 0.0, 1.0);
            u * u
        })
        .collect();
    let sum: f32 = weights.iter().sum::<f32>().max(1e-3);
    let mean = 1.0 / count as f32;
    for w in &mut weights {
        *w = mean + 1.15 * (*w / sum - mean);
    }
    weights
}

/// Uniform in `[low, high)`.
fn uniform(stream: &mut Stream, low: f32, high: f32) -> f32 {
    low + (high - low) * unit(stream)
}

/// Nearly normal with mean 0 and variance 1 (a sum of four uniforms), but never beyond 3.5: no image is spoiled by an outlier.
fn normal(stream: &mut Stream) -> f32 {
    let sum = unit(stream) + unit(stream) + unit(stream) + unit(stream);
    (sum - 2.0) * 1.732_050_8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(range: Range<u32>) -> Dataset {
        generate(Seed(0), Split::Train, range)
    }

    /// FNV-1a.
    fn fingerprint(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    #[test]
    fn the_bytes_are_the_same_on_every_platform() {
        // The committed models were trained on these very images: if this fails, they and their cards are out of date.
        let digits = train(0..1000);
        assert_eq!(digits.labels()[..10], [2, 1, 0, 5, 3, 9, 6, 4, 8, 7]);
        assert_eq!(fingerprint(digits.images().pixels()), 10_196_390_282_344_277_837);
    }

    #[test]
    fn an_image_does_not_depend_on_the_range() {
        let all = train(0..40);
        assert_eq!(train(17..29), all.range(17..29).unwrap());
        assert!(train(5..5).is_empty());
    }

    #[test]
    fn seeds_and_splits_give_other_images() {
        let first = train(0..20);
        assert_ne!(generate(Seed(1), Split::Train, 0..20).images(), first.images());
        assert_ne!(generate(Seed(0), Split::Test, 0..20).images(), first.images());
    }

    #[test]
    fn every_ten_images_hold_every_digit() {
        let digits = train(30..130);
        for block in digits.labels().chunks(10) {
            let mut block = block.to_vec();
            block.sort();
            assert_eq!(block, (0..10).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn the_ink_is_sized_and_centered_as_in_mnist() {
        let digits = train(0..500);
        for index in 0..digits.len() {
            let image = digits.images().image(index);
            let inked = |i: &usize| image[*i] > 0;
            let (left, right) = span((0..784).filter(inked).map(|i| i % 28));
            let (top, bottom) = span((0..784).filter(inked).map(|i| i / 28));
            // The box of 20, and one pixel of soft edge on each side.
            let size = (right - left + 1).max(bottom - top + 1);
            assert!((19..=22).contains(&size), "image {index} is {size} pixels");
            let mass: f32 = image.iter().map(|&v| f32::from(v)).sum();
            let center = |place: fn(usize) -> usize| {
                image.iter().enumerate().map(|(i, &v)| f32::from(v) * (place(i) as f32 + 0.5)).sum::<f32>() / mass
            };
            // Whole pixels: at most half of one away from 14, unless the move was limited to keep all ink.
            let away = (center(|i| i % 28) - 14.0).abs().max((center(|i| i / 28) - 14.0).abs());
            assert!(away <= 0.51 || left == 0 || top == 0 || right == 27 || bottom == 27, "image {index} is {away} off");
        }
    }

    #[test]
    fn the_amount_of_ink_is_like_that_of_mnist() {
        let digits = train(0..5000);
        let values = digits.images().to_f32(0..5000);
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / count).sqrt();
        // MNIST's are 0.1307 and 0.3081.
        assert!((0.12..0.155).contains(&mean) && (0.29..0.34).contains(&deviation), "{mean} {deviation}");
    }

    fn span(values: impl Iterator<Item = usize>) -> (usize, usize) {
        values.fold((usize::MAX, 0), |(low, high), v| (low.min(v), high.max(v)))
    }
}
