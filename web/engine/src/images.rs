//! The images of a dataset: packed ones from the site, procedural digits made here.

use riposte::data::digits::{self, Split};
use riposte::data::pack::Pack;
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::rng::Seed;
use riposte::spec::dataset::DatasetId;
use riposte_protocol::{DatasetEntry, Picture, Sample};

use crate::store;
use crate::trouble::Trouble;
use crate::worker::give_way;

/// Procedural test digits at hand: as many as the pack of MNIST holds.
const DRAWN_TEST: u32 = 800;
/// The seed of the procedural set: one for all visitors, as natively.
const DRAWN_SEED: Seed = Seed(0);

/// Images with their numbers in the official set.
pub struct Numbered(Pack);

impl Numbered {
    /// The test images of a dataset.
    pub async fn test(base: &str, entry: &DatasetEntry, fresh: bool) -> Result<Self, Trouble> {
        let what = format!("the test images of {}", entry.id.title());
        match &entry.test {
            Some(asset) => Self::unpack(&store::load(base, asset, &what, fresh).await?, entry.id),
            None => Self::draw(entry.id, Split::Test, DRAWN_TEST).await,
        }
    }

    /// Those that the defense trains on.
    pub async fn train(base: &str, entry: &DatasetEntry) -> Result<ClassPools, Trouble> {
        let what = format!("the training images of {}", entry.id.title());
        let numbered = match &entry.train {
            Some(asset) => Self::unpack(&store::load(base, asset, &what, false).await?, entry.id)?,
            None => Self::draw(entry.id, Split::Train, entry.training_images as u32).await?,
        };
        Ok(ClassPools::new(numbered.0.into_samples()))
    }

    /// `count` images of each class, from the `skip`-th on; from the start again where there are no more.
    pub fn sheet(&self, skip: usize, count: usize) -> Vec<Sample> {
        let samples = self.0.samples();
        let mut sheet = Vec::new();
        for class in 0..samples.classes() {
            let members = (0..samples.len()).filter(|&index| samples.label(index) == class);
            sheet.extend(members.skip(skip).take(count).map(|index| self.sample(index)));
        }
        sheet
    }

    /// The image with a number; the first one where none is named.
    pub fn numbered(&self, number: Option<u32>) -> Option<Sample> {
        let index = number.map_or(Some(0), |number| self.0.numbers().iter().position(|known| *known == number))?;
        Some(self.sample(index))
    }

    /// The `count` images that follow a number in the order of the set; from the start again where there are no more.
    pub fn following(&self, after: Option<u32>, count: usize) -> Vec<Sample> {
        let mut order: Vec<usize> = (0..self.0.numbers().len()).collect();
        order.sort_by_key(|index| self.0.numbers()[*index]);
        let start = after.map_or(0, |after| order.partition_point(|index| self.0.numbers()[*index] <= after));
        order.rotate_left(start);
        order.into_iter().take(count).map(|index| self.sample(index)).collect()
    }

    /// Images of the smallest class.
    pub fn per_class(&self) -> usize {
        let samples = self.0.samples();
        let members = |class: usize| samples.labels().iter().filter(|label| usize::from(**label) == class).count();
        (0..samples.classes()).map(members).min().unwrap_or(0)
    }

    fn sample(&self, index: usize) -> Sample {
        let samples = self.0.samples();
        Sample { number: self.0.numbers()[index], label: samples.label(index), image: picture(samples.images(), index) }
    }

    /// Draws in portions: the page stays responsive, a run can be stopped.
    async fn draw(dataset: DatasetId, split: Split, count: u32) -> Result<Self, Trouble> {
        if dataset != DatasetId::Digits {
            return Err(Trouble::last(format!("The site has no images of {}.", dataset.title())));
        }
        const PORTION: u32 = 100;
        let mut portions = Vec::new();
        for start in (0..count).step_by(PORTION as usize) {
            portions.push(digits::generate(DRAWN_SEED, split, start..(start + PORTION).min(count)));
            give_way().await;
        }
        let drawn = Dataset::concat(portions).map_err(riposte::Error::from)?;
        Ok(Self(Pack::all(drawn)))
    }

    fn unpack(packed: &[u8], dataset: DatasetId) -> Result<Self, Trouble> {
        Ok(Self(Pack::from_bytes(packed, dataset.classes().len()).map_err(riposte::Error::from)?))
    }
}

/// An image in [0, 1].
pub fn picture(images: &Images, index: usize) -> Picture {
    Picture { channels: images.channels(), height: images.height(), width: images.width(), pixels: images.to_f32([index]) }
}
