//! The training set grouped by class: what post-training and base training draw from.

use crate::data::Dataset;
use crate::rng::{self, Stream};
use crate::{Error, Result};

/// Images and labels of a training set with an index by class.
#[derive(Debug, Clone)]
pub struct ClassPools {
    samples: Dataset,
    /// The numbers of the samples of each class.
    by_class: Vec<Vec<usize>>,
}

/// A random change of a sample that keeps its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augmentation {
    None,
    /// A random crop of the image's size out of the image with `padding` black pixels on each side, then a horizontal flip
    /// with probability 1/2.
    CropFlip {
        padding: usize,
    },
}

impl ClassPools {
    /// Groups a training set.
    pub fn new(samples: Dataset) -> Self {
        let mut by_class = vec![Vec::new(); samples.classes()];
        for (sample, label) in samples.labels().iter().enumerate() {
            by_class[usize::from(*label)].push(sample);
        }
        Self { samples, by_class }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.labels().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.by_class.len()
    }

    /// The class of a sample.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn label(&self, sample: usize) -> usize {
        usize::from(self.samples.labels()[sample])
    }

    /// The training set.
    pub fn samples(&self) -> &Dataset {
        &self.samples
    }

    /// `count` different samples of `class`, uniformly; independent of earlier draws.
    ///
    /// # Errors
    /// [`Error::Config`] if the class has too few samples.
    pub fn draw(&self, class: usize, count: usize, stream: &mut Stream) -> Result<Vec<usize>> {
        let Some(pool) = self.by_class.get(class).filter(|pool| pool.len() >= count) else {
            let found = self.by_class.get(class).map_or(0, Vec::len);
            return Err(Error::Config(format!(
                "class {class} has {found} training samples, {count} are needed: use a smaller batch or a larger training set"
            )));
        };
        Ok(distinct(pool.len(), count, stream).into_iter().map(|index| pool[index]).collect())
    }

    /// `count` different samples of the whole set, uniformly.
    ///
    /// # Errors
    /// [`Error::Config`] if the set has too few.
    pub fn draw_any(&self, count: usize, stream: &mut Stream) -> Result<Vec<usize>> {
        if self.len() < count {
            return Err(Error::Config(format!("the training set has {} samples, {count} are needed", self.len())));
        }
        Ok(distinct(self.len(), count, stream))
    }

    /// Pixels in `[0, 1]` of the samples, `[sample, channel, height, width]` row-major, augmented.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn gather(&self, samples: &[usize], augmentation: Augmentation, stream: &mut Stream) -> Vec<f32> {
        let images = self.samples.images();
        match augmentation {
            Augmentation::None => images.to_f32(samples.iter().copied()),
            Augmentation::CropFlip { padding } => {
                let mut pixels = Vec::with_capacity(samples.len() * images.image_len());
                let size = [images.channels(), images.height(), images.width()];
                for sample in samples {
                    let offset = [0; 2].map(|_: usize| rng::below(stream, 2 * padding + 1) as isize - padding as isize);
                    let flip = rng::below(stream, 2) == 1;
                    pixels.extend(cropped(images.image(*sample), size, offset, flip));
                }
                pixels
            }
        }
    }
}

/// `count` different numbers below `bound` in uniform random order (Floyd's sampling, then Fisher-Yates).
fn distinct(bound: usize, count: usize, stream: &mut Stream) -> Vec<usize> {
    let mut chosen = std::collections::HashSet::with_capacity(count);
    let mut order = Vec::with_capacity(count);
    for last in bound - count..bound {
        let draw = rng::below(stream, last + 1);
        let pick = if chosen.insert(draw) { draw } else { last };
        chosen.insert(pick);
        order.push(pick);
    }
    for last in (1..order.len()).rev() {
        order.swap(last, rng::below(stream, last + 1));
    }
    order
}

/// The image seen through a window of its size, moved by `offset` `[rows, columns]`; black outside.
fn cropped(image: &[u8], [channels, height, width]: [usize; 3], offset: [isize; 2], flip: bool) -> Vec<f32> {
    let mut pixels = vec![0.0; image.len()];
    for channel in 0..channels {
        for row in 0..height {
            let Some(from_row) = row.checked_add_signed(offset[0]).filter(|row| *row < height) else { continue };
            for column in 0..width {
                let Some(from_column) = column.checked_add_signed(offset[1]).filter(|column| *column < width) else { continue };
                let to = if flip { width - 1 - column } else { column };
                let from = (channel * height + from_row) * width + from_column;
                pixels[(channel * height + row) * width + to] = f32::from(image[from]) / 255.0;
            }
        }
    }
    pixels
}
