//! Procedural handwritten digits in MNIST's format, made from nothing: no file, no network.
//!
//! Strokes of a pen, not a font: every image mixes specimens of one way of writing its digit, then varies slant, proportions, the
//! pen's width and the hand's steadiness, and is normalized as MNIST was (20x20 box, centered by mass). The bytes depend on seed,
//! split and index alone and are the same on every platform.

mod pen;
mod skeletons;
mod stream;

use core::ops::Range;

use super::{Dataset, Images};
use crate::Result;
use pen::{Elastic, Pen, Point, SIDE, curve, ink};
use skeletons::{STYLES, Style};
use stream::Stream;

/// Which of the two disjoint sets of images. Both are endless; 60,000 and 10,000 match MNIST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Train,
    Test,
}

/// The images with the indices `range`, 28x28 with one channel, ink 255 on 0. Any ten images that start at a multiple of ten hold every digit
/// once, in random order.
pub fn generate(seed: u64, split: Split, range: Range<u32>) -> Result<Dataset> {
    let count = range.len();
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE);
    let mut labels = Vec::with_capacity(count);
    for index in range {
        let (image, label) = digit(seed, split, index);
        pixels.extend_from_slice(&image);
        labels.push(label);
    }
    Dataset::new(Images::new(pixels, 1, SIDE, SIDE)?, labels, 10)
}

/// One image and its label.
fn digit(seed: u64, split: Split, index: u32) -> ([u8; SIDE * SIDE], u8) {
    let label = label(seed, split, index);
    let mut stream = Stream::new(seed, lane(split, Purpose::Image, index));
    let style = pick(STYLES[label as usize], &mut stream);
    let hand = Hand::draw(&mut stream);
    let lines = hand.write(style, &mut stream);
    (ink(&lines, &hand.pen), label)
}

/// Labels go through a fresh permutation of the ten digits in every block of ten.
fn label(seed: u64, split: Split, index: u32) -> u8 {
    let mut stream = Stream::new(seed, lane(split, Purpose::Label, index / 10));
    let mut order: [u8; 10] = core::array::from_fn(|i| i as u8);
    for i in (1..10).rev() {
        order.swap(i, stream.below(i as u32 + 1) as usize);
    }
    order[(index % 10) as usize]
}

enum Purpose {
    Image,
    Label,
}

fn lane(split: Split, purpose: Purpose, index: u32) -> u64 {
    (split as u64) << 33 | (purpose as u64) << 32 | index as u64
}

fn pick(styles: &'static [Style], stream: &mut Stream) -> &'static Style {
    let mut ticket = stream.below(styles.iter().map(|s| s.weight).sum());
    styles
        .iter()
        .find(|style| {
            let found = ticket < style.weight;
            ticket = ticket.saturating_sub(style.weight);
            found
        })
        .expect("the ticket is below the sum of the weights")
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
        let thin = stream.uniform(0.0, 1.0);
        Self {
            slant: 0.2 + 0.22 * stream.normal(),
            width: (1.18 + 0.25 * stream.normal()).max(0.6),
            turn: 0.09 * stream.normal(),
            balance: 0.06 * stream.normal(),
            taper: 0.16 * stream.normal(),
            tremor: stream.uniform(0.012, 0.046),
            elastic: Elastic::draw(stream, 0.028),
            pen: Pen {
                radius: 0.9 + 1.15 * thin * (0.4 + 0.6 * thin),
                pressure: 0.12 * stream.normal(),
                softness: stream.uniform(0.9, 1.3),
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
        let mut draw = || Point { x: self.tremor * stream.normal(), y: self.tremor * stream.normal() };
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
            let u = stream.uniform(0.0, 1.0);
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
