//! Batch normalization: a scale and a shift per channel, from given statistics or from those of the batch.

use core::mem::MaybeUninit;

use super::elementwise::{map1, map2, map3, masked_sums, moments};
use crate::Activation;
use crate::flex::threads::{each_plane, map_parts, part_range, parts_of_pass, split};

/// `y = act(x * scale + shift)`, x `[batch, channel, ...]` with `plane` elements a channel.
pub fn affine(x: &[f32], plane: usize, scale: &[f32], shift: &[f32], activation: Activation, y: &mut [MaybeUninit<f32>]) {
    each_plane(x.len(), plane, y, |index, range, y| {
        let (scale, shift) = (scale[index % scale.len()], shift[index % shift.len()]);
        let x = &x[range];
        match activation {
            Activation::None => map1(x, y, move |x| x * scale + shift),
            Activation::Relu => map1(x, y, move |x| {
                let value = x * scale + shift;
                if value <= 0.0 { 0.0 } else { value }
            }),
            Activation::LeakyRelu(slope) => map1(x, y, move |x| {
                let value = x * scale + shift;
                if value <= 0.0 { value * slope } else { value }
            }),
        }
    });
}

/// Mean and biased variance of each channel over batch and plane.
pub fn statistics(x: &[f32], plane: usize, channels: usize) -> Vec<[f64; 2]> {
    let planes = x.len() / plane;
    let threads = parts_of_pass(x.len()).min(planes);
    let ranges = (0..threads).map(|part| part_range(planes, threads, part, 1)).collect();
    let parts = map_parts(ranges, |planes| {
        let mut moments_so_far = vec![Moments::default(); channels];
        for index in planes {
            let [mean, squares] = moments(&x[index * plane..(index + 1) * plane]).map(f64::from);
            moments_so_far[index % channels].join(Moments { count: plane as f64, mean, squares });
        }
        moments_so_far
    });
    let mut total = vec![Moments::default(); channels];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| total.join(part));
    }
    total.iter().map(|channel| [channel.mean, channel.squares / channel.count]).collect()
}

/// How many elements, their mean, and the sum of their squared distances from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds other elements (Chan, Golub & LeVeque 1979): no large numbers are subtracted from each other.
    fn join(&mut self, other: Self) {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = if count > 0.0 { other.count / count } else { 0.0 };
        self.mean += distance * share;
        self.squares += other.squares + distance * distance * self.count * share;
        self.count = count;
    }
}

/// The gradient with respect to x through statistics of the batch: `g * scale + (x - mean) * factor + offset` per channel, where
/// g is the gradient before the activation.
pub struct ThroughStatistics<'a> {
    pub gradient: &'a [f32],
    pub output: Option<&'a [f32]>,
    pub x: &'a [f32],
    pub plane: usize,
    pub activation: Activation,
    /// Of each channel: mean, scale, factor, offset.
    pub channels: &'a [[f32; 4]],
}

impl ThroughStatistics<'_> {
    /// Writes every element.
    pub fn run(&self, to: &mut [MaybeUninit<f32>]) {
        each_plane(self.gradient.len(), self.plane, to, |index, range, to| {
            let [mean, scale, factor, offset] = self.channels[index % self.channels.len()];
            let (g, x) = (&self.gradient[range.clone()], &self.x[range.clone()]);
            let through = move |x: f32| (x - mean) * factor + offset;
            match (self.activation, self.output.map(|y| &y[range])) {
                (Activation::None, _) | (_, None) => map2(g, x, to, move |g, x| g * scale + through(x)),
                // Not a product with 0, which would keep an infinite or undefined gradient.
                (Activation::Relu, Some(y)) => map3([g, x, y], to, move |g, x, y| {
                    let passed = if y <= 0.0 { 0.0 } else { g };
                    passed * scale + through(x)
                }),
                (Activation::LeakyRelu(slope), Some(y)) => map3([g, x, y], to, move |g, x, y| {
                    let passed = if y <= 0.0 { g * slope } else { g };
                    passed * scale + through(x)
                }),
            }
        });
    }
}

/// The backward pass of [`affine`].
pub struct Backward<'a> {
    pub gradient: &'a [f32],
    pub output: Option<&'a [f32]>,
    pub x: Option<&'a [f32]>,
    pub mean: &'a [f32],
    pub scale: &'a [f32],
    pub plane: usize,
    pub activation: Activation,
    /// Whether the sums are wanted.
    pub sums: bool,
}

impl Backward<'_> {
    /// Writes the gradient with respect to x, if there is somewhere to write it; returns for each channel the sums over
    /// batch and plane of the gradient before the activation, and of it times `x - mean` (0 without an x).
    pub fn run(&self, to: Option<&mut [MaybeUninit<f32>]>) -> Vec<[f64; 2]> {
        let planes = self.gradient.len() / self.plane;
        let threads = parts_of_pass(self.gradient.len()).min(planes);
        let ranges: Vec<_> = (0..threads).map(|part| part_range(planes, threads, part, 1)).collect();
        let outputs: Vec<Option<&mut [MaybeUninit<f32>]>> = match to {
            Some(to) => {
                let lengths = ranges.iter().map(|range| range.len() * self.plane);
                split(to, lengths).into_iter().map(Some).collect()
            }
            None => ranges.iter().map(|_| None).collect(),
        };
        let sums = map_parts(ranges.into_iter().zip(outputs).collect(), |(planes, mut to)| {
            let mut sums = vec![[0.0; 2]; self.scale.len()];
            for index in planes {
                let of_channel = self.plane(index, &mut to);
                let sums = &mut sums[index % self.scale.len()];
                *sums = [0, 1].map(|which| sums[which] + f64::from(of_channel[which]));
            }
            sums
        });
        let add = |mut total: Vec<[f64; 2]>, part: Vec<[f64; 2]>| {
            total.iter_mut().zip(part).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
            total
        };
        sums.into_iter().reduce(add).unwrap_or_else(|| vec![[0.0; 2]; self.scale.len()])
    }

    /// One channel of one sample, all of it while it is in the cache. Takes its output off the front of `to`.
    fn plane(&self, index: usize, to: &mut Option<&mut [MaybeUninit<f32>]>) -> [f32; 2] {
        let channel = index % self.scale.len();
        let range = index * self.plane..(index + 1) * self.plane;
        let gradient = &self.gradient[range.clone()];
        let output = self.output.map(|y| &y[range.clone()]);
        if let Some(to) = to {
            let to = to.split_off_mut(..self.plane).expect("a plane for each");
            let scale = self.scale[channel];
            match (self.activation, output) {
                (Activation::None, _) | (_, None) => map1(gradient, to, move |g| g * scale),
                // Not a product with 0, which would keep an infinite or undefined gradient.
                (Activation::Relu, Some(y)) => map2(gradient, y, to, move |g, y| if y <= 0.0 { 0.0 } else { g * scale }),
                (Activation::LeakyRelu(slope), Some(y)) => {
                    map2(gradient, y, to, move |g, y| if y <= 0.0 { g * slope * scale } else { g * scale });
                }
            }
        }
        if !self.sums {
            return [0.0; 2];
        }
        let slope = self.activation.negative_slope().unwrap_or(1.0);
        masked_sums(gradient, output, self.x.map(|x| &x[range]), self.mean[channel], slope)
    }
}
