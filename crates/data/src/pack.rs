//! Packs: some images of a dataset in a small file, for the page.
//!
//! The official training sets are 47 and 154 MB of pixels; a visitor needs some thousands, and a gallery. A pack is a safetensors
//! file (`images` u8 `[n, channel, height, width]`, `labels` u8 `[n]`, `numbers` u32 `[n]`), gzipped, with the images in the set's own
//! order.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::{Dataset, Images, Result, problem};

const WHAT: &str = "packed images";
/// Largest unpacked file that is read, in bytes: all of CIFAR-10 has 184 MB.
const MAX_BYTES: u64 = 1 << 28;

/// Images with their numbers in the dataset that they are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    samples: Dataset,
    numbers: Vec<u32>,
}

impl Pack {
    /// Of `samples`, whose first one has the number 0, the first `per_class` of each class.
    pub fn of(samples: &Dataset, per_class: usize) -> Self {
        let mut taken = vec![0; samples.classes()];
        let kept = (0..samples.len()).filter(|index| {
            let count = &mut taken[samples.label(*index)];
            *count += 1;
            *count <= per_class
        });
        let numbers: Vec<u32> = kept.map(|index| index as u32).collect();
        let images = samples.images();
        let pixels = numbers.iter().flat_map(|number| images.image(*number as usize)).copied().collect();
        let images = Images { pixels, ..*images };
        let labels = numbers.iter().map(|number| samples.labels()[*number as usize]).collect();
        Self { samples: Dataset { images, labels, classes: samples.classes() }, numbers }
    }

    /// All of `samples`, whose first one has the number 0.
    pub fn all(samples: Dataset) -> Self {
        Self { numbers: (0..samples.len() as u32).collect(), samples }
    }

    /// The images and labels.
    pub fn samples(&self) -> &Dataset {
        &self.samples
    }

    /// The images and labels, without their numbers.
    pub fn into_samples(self) -> Dataset {
        self.samples
    }

    /// The numbers of the images, ascending.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The file.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (images, count) = (self.samples.images(), self.numbers.len());
        let numbers: Vec<u8> = self.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).map_err(broken);
        let views = [
            ("images", view(Dtype::U8, vec![count, images.channels(), images.height(), images.width()], images.pixels())?),
            ("labels", view(Dtype::U8, vec![count], self.samples.labels())?),
            ("numbers", view(Dtype::U32, vec![count], &numbers)?),
        ];
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&safetensors::serialize(views, None).map_err(broken)?).map_err(broken)?;
        packed.finish().map_err(broken)
    }

    /// Reads a file with labels below `classes`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if it is no pack, is damaged, or its parts do not fit each other.
    pub fn from_bytes(packed: &[u8], classes: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let part = |name: &str, dtype: Dtype| {
            let tensor = file.tensor(name).map_err(broken)?;
            if tensor.dtype() == dtype { Ok(tensor) } else { Err(broken(format!("`{name}` is of {:?}", tensor.dtype()))) }
        };
        let images = part("images", Dtype::U8)?;
        let &[_, channels, height, width] = images.shape() else {
            return Err(broken(format!("`images` should have four dimensions, it has {:?}", images.shape())));
        };
        let images = Images::new(images.data().to_vec(), channels, height, width)?;
        let samples = Dataset::new(images, part("labels", Dtype::U8)?.data().to_vec(), classes)?;
        let numbers: Vec<u32> =
            part("numbers", Dtype::U32)?.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        if numbers.len() != samples.len() {
            return Err(broken(format!("{} numbers for {} images", numbers.len(), samples.len())));
        }
        Ok(Self { samples, numbers })
    }
}

fn broken(error: impl ToString) -> crate::Error {
    problem(WHAT, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits;
    use crate::rng::Seed;
    use riposte_spec::dataset::Split;

    #[test]
    fn a_pack_holds_the_first_images_of_each_class_under_their_numbers() {
        let samples = digits::generate(Seed(0), Split::Test, 0..40);
        let pack = Pack::of(&samples, 2);
        assert_eq!(pack.samples().len(), 20);
        for (place, number) in pack.numbers().iter().enumerate() {
            assert_eq!(pack.samples().images().image(place), samples.images().image(*number as usize));
            assert_eq!(pack.samples().label(place), samples.label(*number as usize));
        }
        assert!(pack.numbers().is_sorted());
        assert_eq!(Pack::of(&samples, usize::MAX), Pack::all(samples));
    }

    #[test]
    fn a_pack_is_read_as_it_was_written() {
        let pack = Pack::of(&digits::generate(Seed(0), Split::Test, 0..30), 1);
        let bytes = pack.to_bytes().unwrap();
        assert_eq!(Pack::from_bytes(&bytes, 10).unwrap(), pack);
        assert!(Pack::from_bytes(&bytes, 5).is_err());
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 9] {
            assert!(Pack::from_bytes(&bytes[..cut], 10).is_err(), "cut at {cut}");
        }
        assert!(Pack::from_bytes(b"no pack", 10).is_err());
    }
}
