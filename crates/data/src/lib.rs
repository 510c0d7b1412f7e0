//! Images and labels without tensors: parsers for the official files, class pools to draw from, packs for the page, procedural digits,
//! seeded streams.
//!
//! All from bytes, never from files, but for the feature `fetch`: it finds the official files in a folder or in the cache, or downloads
//! them.

#![warn(missing_docs)]

pub mod cifar;
pub mod digits;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod idx;
mod instead;
#[cfg(feature = "fetch")]
pub mod npy;
pub mod pack;
pub mod photo;
mod pickle;
pub mod pool;
pub mod rng;

use std::ops::Range;

pub use instead::instead;

/// Why bytes are not the images that they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of images or labels is not what its format promises.
    #[error("{what}: {problem}")]
    Data {
        /// The file or its format.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// More is asked for than there is.
    #[error("{0}")]
    Config(String),
    /// The observer of a download asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Images of one size as bytes, planar: image, then channel, then row, then column. 0 is black, 255 is full intensity.
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Images {
    /// Takes `pixels` of shape [image, channel, height, width].
    ///
    /// # Errors
    /// [`Error::Data`] when an edge is zero or the bytes are not a whole number of images.
    pub fn new(pixels: Vec<u8>, channels: usize, height: usize, width: usize) -> Result<Self> {
        let size = channels.checked_mul(height).and_then(|n| n.checked_mul(width)).unwrap_or(0);
        let bytes = pixels.len();
        if size == 0 {
            return Err(problem("images", format!("{channels} x {height} x {width} is not a size of images")));
        }
        if !bytes.is_multiple_of(size) {
            let text = format!("{bytes} bytes are not a whole number of {channels} x {height} x {width} images");
            return Err(problem("images", text));
        }
        Ok(Self { pixels, channels, height, width })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image_len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Channels of an image: 1 is gray, 3 is red, green and blue.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of one image: channels x height x width.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The bytes of image `index`, [channel, height, width].
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.image_len();
        &self.pixels[index * size..][..size]
    }

    /// All bytes, [image, channel, height, width].
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The chosen images as intensities in [0, 1], [image, channel, height, width]: `byte / 255` in f32, as PyTorch's `ToTensor`.
    ///
    /// # Panics
    /// If an index has no image.
    pub fn to_f32(&self, indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let indices = indices.into_iter();
        let mut values = Vec::with_capacity(indices.size_hint().0 * self.image_len());
        indices.for_each(|index| values.extend(self.image(index).iter().map(|&byte| intensity(byte))));
        values
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Images[{}, {}, {}, {}]", self.len(), self.channels, self.height, self.width)
    }
}

/// Images with their labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dataset {
    images: Images,
    labels: Vec<u8>,
    classes: usize,
}

impl Dataset {
    /// Joins images and labels.
    ///
    /// # Errors
    /// [`Error::Data`] when their numbers differ or a label is not below `classes`.
    pub fn new(images: Images, labels: Vec<u8>, classes: usize) -> Result<Self> {
        if images.len() != labels.len() {
            return Err(problem("dataset", format!("{} images, but {} labels", images.len(), labels.len())));
        }
        if let Some(index) = labels.iter().position(|&label| label as usize >= classes) {
            let text = format!("image {index} has label {}, but there are {classes} classes", labels[index]);
            return Err(problem("dataset", text));
        }
        Ok(Self { images, labels, classes })
    }

    /// The samples before `index` and those from it on.
    ///
    /// # Panics
    /// If there are fewer samples.
    pub fn split_at(mut self, index: usize) -> (Self, Self) {
        let pixels = self.images.pixels.split_off(index * self.images.image_len());
        let labels = self.labels.split_off(index);
        let rest = Self { images: Images { pixels, ..self.images }, labels, classes: self.classes };
        (self, rest)
    }

    /// Puts datasets of the same kind one after the other.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, or they differ in image size or number of classes.
    pub fn concat(parts: impl IntoIterator<Item = Self>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let mut all = parts.next().ok_or_else(|| problem("dataset", "no parts to put together".into()))?;
        for part in parts {
            let kind = |d: &Self| (d.images.channels, d.images.height, d.images.width, d.classes);
            if kind(&part) != kind(&all) {
                let text =
                    format!("parts differ in kind (channels, height, width, classes): {:?} and {:?}", kind(&all), kind(&part));
                return Err(problem("dataset", text));
            }
            all.images.pixels.extend(part.images.pixels);
            all.labels.extend(part.labels);
        }
        Ok(all)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images, in the order of the labels.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// One label per image, below [`classes`](Self::classes).
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The label of image `index`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    /// The same images, those from number `first` on with other labels.
    ///
    /// # Errors
    /// [`Error::Data`] if there is not a label for each of them, or one that is no class.
    pub fn relabelled(mut self, first: usize, labels: &[u8]) -> Result<Self> {
        self.labels.truncate(first);
        self.labels.extend_from_slice(labels);
        Self::new(self.images, self.labels, self.classes)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The first `count` images, or all if there are fewer.
    pub fn take(mut self, count: usize) -> Self {
        let count = count.min(self.len());
        self.images.pixels.truncate(count * self.images.image_len());
        self.labels.truncate(count);
        self
    }

    /// A copy of the images with the indices `range`.
    ///
    /// # Errors
    /// [`Error::Config`] when the range is not within the dataset.
    pub fn range(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.len() {
            return Err(Error::Config(format!("images {range:?} are asked for, but there are {}", self.len())));
        }
        let size = self.images.image_len();
        let pixels = self.images.pixels[range.start * size..range.end * size].to_vec();
        Ok(Self { images: Images { pixels, ..self.images }, labels: self.labels[range].to_vec(), classes: self.classes })
    }
}

/// A byte as an intensity in [0, 1]. The quotient, not a product with 1/255: that differs from PyTorch in the last bit.
fn intensity(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

fn problem(what: &'static str, problem: String) -> Error {
    Error::Data { what, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Images {
        Images::new((0..count * 12).map(|i| i as u8).collect(), 3, 2, 2).unwrap()
    }

    #[test]
    fn bytes_that_are_no_whole_images_are_refused() {
        assert!(Images::new(vec![0; 13], 3, 2, 2).is_err());
        assert!(Images::new(vec![0; 12], 0, 2, 2).is_err());
        assert!(Images::new(vec![0; 12], usize::MAX, 2, 2).is_err());
    }

    #[test]
    fn labels_must_match_the_images_and_the_classes() {
        assert!(Dataset::new(images(2), vec![0], 10).unwrap_err().to_string().contains("2 images, but 1 labels"));
        assert!(Dataset::new(images(2), vec![0, 10], 10).unwrap_err().to_string().contains("image 1 has label 10"));
    }

    #[test]
    fn intensities_are_bytes_over_255() {
        let values = images(2).to_f32([1, 0]);
        assert_eq!(values.len(), 24);
        assert_eq!((values[0], values[12], values[23]), (12.0 / 255.0, 0.0, 11.0 / 255.0));
    }

    #[test]
    fn take_range_and_concat_agree() {
        let all = Dataset::new(images(5), vec![0, 1, 2, 3, 4], 10).unwrap();
        let (head, tail) = (all.clone().take(2), all.range(2..5).unwrap());
        assert_eq!(head.images().image(1), all.images().image(1));
        assert_eq!(Dataset::concat([head, tail]).unwrap(), all);
        assert_eq!(all.clone().take(99), all);
        assert!(all.range(4..6).is_err());
    }

    #[test]
    fn parts_of_different_kinds_are_not_put_together() {
        let color = Dataset::new(images(1), vec![0], 10).unwrap();
        let gray = Dataset::new(Images::new(vec![0; 4], 1, 2, 2).unwrap(), vec![0], 10).unwrap();
        assert!(Dataset::concat([color, gray]).is_err());
        assert!(Dataset::concat([]).is_err());
    }
}
