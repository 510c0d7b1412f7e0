//! Training samples by class, to draw from.

pub use riposte_spec::post_train::Augmentation;

use crate::rng::{Stream, below};
use crate::{Dataset, Error, Images, Result, intensity};

/// A dataset with its samples grouped by class.
#[derive(Debug, Clone)]
pub struct ClassPools {
    samples: Dataset,
    /// For each class the indices of its samples, ascending.
    members: Vec<Vec<usize>>,
}

impl ClassPools {
    pub fn new(samples: Dataset) -> Self {
        let mut members = vec![Vec::new(); samples.classes()];
        for (index, &label) in samples.labels().iter().enumerate() {
            members[label as usize].push(index);
        }
        Self { samples, members }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.members.len()
    }

    /// The indices of a class's samples, ascending.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn members(&self, class: usize) -> &[usize] {
        &self.members[class]
    }

    /// The label of sample `index`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn label(&self, index: usize) -> usize {
        self.samples.label(index)
    }

    /// The dataset, in its own order.
    pub fn samples(&self) -> &Dataset {
        &self.samples
    }

    /// Indices of `count` different samples of `class`, uniformly, in random order. Calls are independent of each other.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such class or it has fewer than `count` samples.
    pub fn draw(&self, class: usize, count: usize, stream: &mut Stream) -> Result<Vec<usize>> {
        let members = self.members.get(class).ok_or_else(|| Error::Config(format!("there is no class {class}")))?;
        if count > members.len() {
            let text = format!(
                "{count} samples of class {class} are asked for, but it has {}: take smaller batches or more data",
                members.len()
            );
            return Err(Error::Config(text));
        }
        Ok(distinct(members.clone(), count, stream))
    }

    /// Indices of `count` different samples of the whole set, uniformly, in random order.
    ///
    /// # Errors
    /// [`Error::Config`] when the set has fewer than `count` samples.
    pub fn draw_any(&self, count: usize, stream: &mut Stream) -> Result<Vec<usize>> {
        if count > self.len() {
            return Err(Error::Config(format!("{count} samples are asked for, but the set has {}", self.len())));
        }
        Ok(distinct((0..self.len()).collect(), count, stream))
    }

    /// The samples as intensities in [0, 1], [sample, channel, height, width], each augmented on its own.
    ///
    /// # Panics
    /// If an index has no sample.
    pub fn gather(&self, indices: &[usize], augmentation: Augmentation, stream: &mut Stream) -> Vec<f32> {
        match augmentation {
            Augmentation::None => self.samples.images().to_f32(indices.iter().copied()),
            Augmentation::CropFlip { padding } => {
                let mut batch = vec![0.0; indices.len() * self.samples.images().image_len()];
                for (&index, out) in indices.iter().zip(batch.chunks_exact_mut(self.samples.images().image_len())) {
                    let view = View::draw(padding, stream);
                    view.copy(self.samples.images(), index, out);
                }
                batch
            }
        }
    }
}

/// The first `count` of a Fisher-Yates shuffle.
fn distinct(mut pool: Vec<usize>, count: usize, stream: &mut Stream) -> Vec<usize> {
    for i in 0..count {
        let j = i + below(stream, pool.len() - i);
        pool.swap(i, j);
    }
    pool.truncate(count);
    pool
}

/// Which part of the padded image is seen.
struct View {
    padding: usize,
    /// Place of the cut in the padded image, 0 to twice the padding.
    top: usize,
    left: usize,
    mirrored: bool,
}

impl View {
    fn draw(padding: usize, stream: &mut Stream) -> Self {
        let places = 2 * padding + 1;
        Self { padding, top: below(stream, places), left: below(stream, places), mirrored: below(stream, 2) == 1 }
    }

    /// Writes image `index` as seen, [channel, height, width] in [0, 1], over zeros.
    fn copy(&self, images: &Images, index: usize, out: &mut [f32]) {
        let (height, width) = (images.height(), images.width());
        let (source, target) = (images.image(index).chunks_exact(height * width), out.chunks_exact_mut(height * width));
        for (plane, out) in source.zip(target) {
            for y in 0..height {
                let Some(row) = (y + self.top).checked_sub(self.padding).filter(|&row| row < height) else { continue };
                for x in 0..width {
                    let Some(column) = (x + self.left).checked_sub(self.padding).filter(|&column| column < width) else {
                        continue;
                    };
                    let place = if self.mirrored { width - 1 - x } else { x };
                    out[y * width + place] = intensity(plane[row * width + column]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed};

    fn stream(index: u64) -> Stream {
        Seed(1).stream(Purpose::PostTrain, index)
    }

    /// Thirty 3x4 images, class = index modulo 3, pixels all different and not black.
    fn pools() -> ClassPools {
        let pixels = (0..30).flat_map(|image| (0..12).map(move |pixel| (1 + (image * 7 + pixel * 20) % 255) as u8)).collect();
        let images = Images::new(pixels, 1, 3, 4).unwrap();
        ClassPools::new(Dataset::new(images, (0..30).map(|i| i % 3).collect(), 3).unwrap())
    }

    #[test]
    fn a_draw_holds_different_samples_of_its_class() {
        let drawn = pools().draw(1, 10, &mut stream(0)).unwrap();
        assert!(drawn.iter().all(|&index| pools().label(index) == 1));
        let mut sorted = drawn.clone();
        sorted.sort();
        assert_eq!(sorted, pools().members(1), "all ten are drawn, each once");
        assert_ne!(drawn, sorted, "in random order");
    }

    #[test]
    fn draws_are_seeded_and_go_on() {
        let pools = pools();
        let mut first = stream(0);
        let a = pools.draw(0, 5, &mut first).unwrap();
        assert_eq!(a, pools.draw(0, 5, &mut stream(0)).unwrap());
        assert_ne!(a, pools.draw(0, 5, &mut first).unwrap());
        assert_ne!(a, pools.draw(0, 5, &mut stream(1)).unwrap());
    }

    #[test]
    fn every_sample_is_drawn_equally_often() {
        let (pools, mut stream, mut counts) = (pools(), stream(2), [0; 30]);
        for _ in 0..3000 {
            pools.draw_any(10, &mut stream).unwrap().iter().for_each(|&index| counts[index] += 1);
        }
        // Expected 1000 each, standard deviation sqrt(3000 / 3 * 2 / 3) = 26: five of them.
        assert!(counts.iter().all(|n: &i32| (n - 1000).abs() < 130), "{counts:?}");
    }

    #[test]
    fn a_class_that_is_too_small_is_an_error() {
        let pools = pools();
        assert!(pools.draw(2, 11, &mut stream(0)).unwrap_err().to_string().contains("but it has 10"));
        assert!(pools.draw(3, 1, &mut stream(0)).is_err());
        assert!(pools.draw_any(31, &mut stream(0)).is_err());
    }

    #[test]
    fn samples_without_augmentation_are_the_images() {
        let pools = pools();
        assert_eq!(pools.gather(&[4, 9], Augmentation::None, &mut stream(0)), pools.samples().images().to_f32([4, 9]));
    }

    #[test]
    fn a_crop_shows_the_image_moved_and_perhaps_mirrored_over_black() {
        let images = Images::new((1..=6).collect(), 1, 2, 3).unwrap();
        let see = |top, left, mirrored| {
            let mut out = vec![0.0; 6];
            View { padding: 1, top, left, mirrored }.copy(&images, 0, &mut out);
            out.iter().map(|v| (v * 255.0_f32).round() as u8).collect::<Vec<_>>()
        };
        assert_eq!(see(1, 1, false), [1, 2, 3, 4, 5, 6]);
        assert_eq!(see(1, 1, true), [3, 2, 1, 6, 5, 4]);
        assert_eq!(see(0, 0, false), [0, 0, 0, 0, 1, 2]);
        assert_eq!(see(2, 2, false), [5, 6, 0, 0, 0, 0]);
        assert_eq!(see(0, 0, true), [0, 0, 0, 2, 1, 0]);
    }

    #[test]
    fn all_places_of_the_crop_occur_equally_often() {
        let (mut stream, mut counts) = (stream(3), [0; 50]);
        for _ in 0..50_000 {
            let view = View::draw(2, &mut stream);
            counts[view.top * 10 + view.left * 2 + view.mirrored as usize] += 1;
        }
        // Expected 1000 each, standard deviation 31.3: five of them.
        assert!(counts.iter().all(|n: &i32| (n - 1000).abs() < 157), "{counts:?}");
    }
}
