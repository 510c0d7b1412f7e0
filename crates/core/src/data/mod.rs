//! Images and labels: parsers for the official files, class pools to draw from, procedural digits. All from bytes, never from files.

pub mod digits;
pub mod pool;

use burn::tensor::{Device, Tensor, TensorData};

use crate::{Error, Result};

/// Images of one size as bytes, planar: image, then channel, then row, then column. 0 is black, 255 is full intensity.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        if size == 0 {
            return Err(problem("images", format!("{channels} x {height} x {width} is not a size of images")));
        }
        if pixels.len() % size != 0 {
            let length = pixels.len();
            return Err(problem(
                "images",
                format!("{length} bytes are not a whole number of {channels} x {height} x {width} images"),
            ));
        }
        Ok(Self { pixels, channels, height, width })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image_len()
    }

    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    pub fn height(&self) -> usize {
        self.height
    }

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
    /// When there is no such image.
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
    /// When an index has no image.
    pub fn to_f32(&self, indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let mut values = Vec::new();
        for index in indices {
            values.extend(self.image(index).iter().map(|&byte| byte as f32 / 255.0));
        }
        values
    }

    /// The chosen images on a device, [image, channel, height, width] in [0, 1].
    ///
    /// # Panics
    /// When an index has no image.
    pub fn to_tensor(&self, indices: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<4> {
        let values = self.to_f32(indices);
        let count = values.len() / self.image_len();
        Tensor::from_data(TensorData::new(values, [count, self.channels, self.height, self.width]), device)
    }
}

/// Images with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    images: Images,
    labels: Vec<u8>,
    classes: usize,
}

impl Dataset {
    pub fn new(images: Images, labels: Vec<u8>, classes: usize) -> Result<Self> {
        Ok(Self { images, labels, classes })
    }
    pub fn images(&self) -> &Images {
        &self.images
    }
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
    /// The label of image `index`.
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }
    pub fn classes(&self) -> usize {
        self.classes
    }
    pub fn len(&self) -> usize {
        self.labels.len()
    }
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

fn problem(what: &'static str, problem: String) -> Error {
    Error::Data { what, problem }
}
