//! The detector of feature squeezing (Xu et al. 2018): an image of which the model says something else once it is squeezed is taken for an
//! attacked one.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use riposte_spec::Choice;
use riposte_spec::transform::{Transform, TransformKind};

use super::Transformed;
use crate::classifier::read;
use crate::rng::Seed;
use crate::{Classifier, Error, Result};

/// A classifier with squeezers, whose answers are compared.
#[derive(Debug, Clone)]
pub struct Detector<'a, C> {
    /// It should rest (no autodiff).
    pub model: &'a C,
    /// What each image is compared with: at least one, each with one outcome for an image.
    pub squeezers: Vec<Transform>,
}

impl<C: Classifier> Detector<'_, C> {
    /// The squeezers of the paper for gray (MNIST) or colored (CIFAR-10) images: fewer bits a pixel, and a median. Its non-local means for colored
    /// images are not among them.
    pub fn standard(colored: bool) -> Vec<Transform> {
        [TransformKind::BitDepth, TransformKind::Median].map(|kind| Transform::standard(kind, colored)).to_vec()
    }

    /// Of each of `images` `[batch, channel, height, width]` in `[0, 1]` the largest L1 distance, 0 to 2, between what the model says of it and of
    /// one of its squeezed forms, in probabilities: `[batch]`.
    ///
    /// # Errors
    /// [`Error::Config`] without squeezers, with one that draws, or with settings out of range; [`Error::Device`] if the device fails.
    pub async fn scores(&self, images: Tensor<4>) -> Result<Vec<f32>> {
        let [_, _, height, width] = images.dims();
        let said = |images: Tensor<4>| softmax(self.model.forward(images), 1);
        let whole = said(images.clone());
        let mut largest: Option<Tensor<1>> = None;
        for transform in &self.squeezers {
            transform.check(height.min(width))?;
            if !transform.squeezes() {
                let squeezers = TransformKind::ALL.iter().filter(|kind| Transform::standard(**kind, false).squeezes());
                return Err(Error::Config(format!(
                    "`{}` does not squeeze an image: the detector compares one outcome; use {}",
                    transform.kind(),
                    squeezers.map(ToString::to_string).collect::<Vec<_>>().join(", ")
                )));
            }
            let squeezed =
                Transformed { model: self.model, transform: *transform }.seen(images.clone(), Seed(0).input(0)).await?;
            let distance = (said(squeezed) - whole.clone()).abs().sum_dim(1).flatten::<1>(0, 1);
            largest = Some(match largest {
                Some(largest) => largest.max_pair(distance),
                None => distance,
            });
        }
        read(largest.ok_or_else(|| Error::Config("a detector needs at least one squeezer".to_owned()))?).await
    }
}

/// The smallest of the `scores` of natural images above which at most this share of them is, from 0 to 1: the detector's threshold at so
/// many false positives. 2, above which no score is, without scores.
pub fn threshold(scores: &[f32], false_positives: f64) -> f32 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let above = (false_positives.clamp(0.0, 1.0) * sorted.len() as f64).floor() as usize;
    match sorted.len().checked_sub(above + 1) {
        Some(place) => sorted[place],
        None if sorted.is_empty() => 2.0,
        None => -1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Architecture, Model};
    use burn::tensor::{Device, TensorData};

    #[test]
    fn a_score_is_the_largest_change_of_what_the_model_says() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let values: Vec<f32> =
            (0..2 * 784).map(|at| if at < 784 { f32::from(at % 2 == 0) } else { (at % 7) as f32 / 7.0 }).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values, [2, 1, 28, 28]), &Device::flex());
        let scores = |squeezers: &[Transform]| {
            let detector = Detector { model: &model, squeezers: squeezers.to_vec() };
            pollster::block_on(detector.scores(images.clone())).unwrap()
        };
        let (bits, median) = (Transform::BitDepth { bits: 1 }, Transform::Median { side: 2 });
        let [of_bits, of_median, of_both] = [&[bits][..], &[median], &[bits, median]].map(scores);
        // Black and white pixels are what one bit has.
        assert_eq!(of_bits[0], 0.0);
        assert!(of_bits[1] > 0.0 && of_bits[1] <= 2.0);
        for (place, both) in of_both.iter().enumerate() {
            assert_eq!(*both, of_bits[place].max(of_median[place]));
        }
        for squeezers in
            [vec![], vec![Transform::standard(TransformKind::ResizePad, false)], vec![Transform::Median { side: 40 }]]
        {
            assert!(pollster::block_on(Detector { model: &model, squeezers }.scores(images.clone())).is_err());
        }
    }

    #[test]
    fn at_most_the_share_that_was_asked_for_is_above_the_threshold() {
        let scores: Vec<f32> = (0..100).rev().map(|score| score as f32 / 100.0).collect();
        for (share, expected) in [(0.05, 0.94), (0.0, 0.99), (0.999, 0.0)] {
            let threshold = threshold(&scores, share);
            assert_eq!(threshold, expected);
            assert!(scores.iter().filter(|score| **score > threshold).count() as f64 <= share * 100.0);
        }
        assert_eq!((threshold(&scores, 1.0), threshold(&[], 0.05)), (-1.0, 2.0));
    }
}
