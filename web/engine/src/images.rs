//! The images of a dataset: packed ones from the site, procedural digits made here.

use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::rng::Seed;
use riposte_protocol::{DatasetEntry, Picture, Sample};
use safetensors::SafeTensors;

use crate::store;
use crate::trouble::Trouble;
use crate::worker::give_way;

/// Procedural test digits at hand: as many as the pack of MNIST holds.
const DRAWN_TEST: u32 = 800;
/// The seed of the procedural set: one for all visitors, as natively.
const DRAWN_SEED: Seed = Seed(0);

/// Images with their numbers in the official set.
pub struct Numbered {
    pub samples: Dataset,
    numbers: Vec<u32>,
}

impl Numbered {
    /// The test images of a dataset.
    pub async fn test(base: &str, entry: &DatasetEntry, fresh: bool) -> Result<Self, Trouble> {
        match &entry.test {
            Some(asset) => {
                let packed = store::load(base, asset, &format!("the test images of {}", entry.name), fresh).await?;
                Self::unpack(&packed, entry)
            }
            None => Self::draw(entry, Split::Test, DRAWN_TEST).await,
        }
    }

    /// Those that the defense trains on.
    pub async fn train(base: &str, entry: &DatasetEntry) -> Result<ClassPools, Trouble> {
        let numbered = match &entry.train {
            Some(asset) => {
                let packed = store::load(base, asset, &format!("the training images of {}", entry.name), false).await?;
                Self::unpack(&packed, entry)?
            }
            None => Self::draw(entry, Split::Train, entry.training_images as u32).await?,
        };
        Ok(ClassPools::new(numbered.samples))
    }

    /// `count` images of each class, from the `skip`-th on; from the start again where there are no more.
    pub fn sheet(&self, skip: usize, count: usize) -> Vec<Sample> {
        let mut sheet = Vec::new();
        for class in 0..self.samples.classes() {
            let members = (0..self.samples.len()).filter(|&index| self.samples.label(index) == class);
            sheet.extend(members.skip(skip).take(count).map(|index| self.sample(index)));
        }
        sheet
    }

    /// The image with a number; the first one where none is named.
    pub fn numbered(&self, number: Option<u32>) -> Option<Sample> {
        let index = number.map_or(Some(0), |number| self.numbers.iter().position(|known| *known == number))?;
        Some(self.sample(index))
    }

    /// Images of the smallest class.
    pub fn per_class(&self) -> usize {
        (0..self.samples.classes())
            .map(|class| self.samples.labels().iter().filter(|label| usize::from(**label) == class).count())
            .min()
            .unwrap_or(0)
    }

    fn sample(&self, index: usize) -> Sample {
        Sample { number: self.numbers[index], label: self.samples.label(index), image: picture(self.samples.images(), index) }
    }

    /// Draws in portions: the page stays responsive, a run can be stopped.
    async fn draw(entry: &DatasetEntry, split: Split, count: u32) -> Result<Self, Trouble> {
        if entry.id != "digits" {
            return Err(Trouble::last(format!("The site has no images of {}.", entry.name)));
        }
        const PORTION: u32 = 100;
        let mut portions = Vec::new();
        for start in (0..count).step_by(PORTION as usize) {
            portions.push(digits::generate(DRAWN_SEED, split, start..(start + PORTION).min(count)));
            give_way().await;
        }
        Ok(Self { samples: Dataset::concat(portions)?, numbers: (0..count).collect() })
    }

    fn unpack(packed: &[u8], entry: &DatasetEntry) -> Result<Self, Trouble> {
        let bytes = store::unpack(packed, &format!("the images of {}", entry.name))?;
        let broken = |problem: String| Trouble::last(format!("The packed images of {} cannot be read: {problem}.", entry.name));
        let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
        let part = |name: &str| file.tensor(name).map_err(|error| broken(error.to_string()));
        let images = Images::new(part("images")?.data().to_vec(), entry.channels, entry.height, entry.width)?;
        let samples = Dataset::new(images, part("labels")?.data().to_vec(), entry.classes.len())?;
        let numbers: Vec<u32> =
            part("numbers")?.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        if numbers.len() != samples.len() {
            return Err(broken(format!("{} numbers for {} images", numbers.len(), samples.len())));
        }
        Ok(Self { samples, numbers })
    }
}

/// An image in [0, 1].
pub fn picture(images: &Images, index: usize) -> Picture {
    Picture { channels: images.channels(), height: images.height(), width: images.width(), pixels: images.to_f32([index]) }
}
