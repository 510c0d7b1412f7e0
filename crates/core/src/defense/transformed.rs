//! Defenses that change an input before the model sees it, for comparison with the riposte.

use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor, TensorData};
use riposte_kernels::{SignedStep, cross_entropy};
use riposte_spec::transform::Transform;

use super::{Answer, Defense, Gradients};
use crate::attack::{Ascent, Slope, Subject, Value};
#[cfg(feature = "jpeg")]
use crate::classifier::read;
use crate::post_train::Progress;
use crate::rng::{self, Draws, Purpose, Stream};
use crate::{Classifier, Error, Result};

/// A classifier behind a transformation of its inputs.
#[derive(Debug, Clone, Copy)]
pub struct Transformed<'a, C> {
    /// It should rest (no autodiff).
    pub model: &'a C,
    /// What is done to an input.
    pub transform: Transform,
}

impl<C: Classifier> Transformed<'_, C> {
    /// What the model sees of an `image` `[1, channel, height, width]` in `[0, 1]`: a row for each pass, `[pass, channel, height, width]`. What
    /// [`squeezes`](Transform::squeezes) takes a batch of images, too, and gives a row for each.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails, whose image a JPEG file needs.
    pub async fn seen(&self, image: Tensor<4>, draws: Draws) -> Result<Tensor<4>> {
        Ok(match self.transform {
            Transform::Jpeg { quality } => through_jpeg(image, quality).await?,
            Transform::BitDepth { bits } => {
                let levels = 2f32.powi(bits as i32) - 1.0;
                (image * levels).round() / levels
            }
            Transform::Median { side } => median(image, side),
            Transform::ResizePad { passes, most } => in_passes(image, passes, most, draws),
            Transform::AntiAdversary { steps, step_size } => {
                let said = self.model.forward(image.clone()).argmax(1);
                let classes = self.model.classes();
                let numbers = Tensor::<1, Int>::arange(0..classes as i64, &image.device()).reshape([1, classes]);
                let said = numbers.equal(said).float();
                let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
                let down = SignedStep { step_size: -step_size, epsilon: f32::INFINITY, range: unbounded };
                Ascent::new(image.clone(), image, down).climb(self.model, steps, |logits| cross_entropy(logits, said.clone()))
            }
        })
    }
}

impl<C: Classifier> Defense for Transformed<'_, C> {
    type Model = C;
    /// The input, `[1, channel, height, width]`.
    type Prepared = Tensor<4>;

    fn gradients(&self) -> Gradients {
        match self.transform {
            Transform::ResizePad { .. } => Gradients::Exact,
            _ => Gradients::Identity,
        }
    }

    fn is_random(&self) -> bool {
        self.transform.is_random()
    }

    /// The gradient at what the model sees, as if what was done had been the addition of a constant (Athalye et al. 2018, BPDA). Shrinking is
    /// differentiable: through it the gradient goes back to the pixels that were taken, of the mean over the passes (EOT).
    async fn slope(&self, image: Tensor<4>, draws: Draws, value: Value<'_>) -> Result<Option<Slope>> {
        let Transform::ResizePad { passes, most } = self.transform else {
            return Ok(Some(self.model.slope(self.seen(image, draws).await?, value)));
        };
        let point = image.autodiff().require_grad();
        let logits = self.model.forward(in_passes(point.clone(), passes, most, draws)).mean_dim(0);
        let value = value(logits.clone());
        let gradients = value.backward();
        let gradient = point.grad(&gradients).expect("the logits depend on the image");
        Ok(Some(Slope { logits: logits.inner(), value: value.inner(), gradient }))
    }

    async fn prepare(&self, images: Tensor<4>, _: &[Draws]) -> Result<Vec<Tensor<4>>> {
        let [batch, _, height, width] = images.dims();
        self.transform.check(height.min(width))?;
        Ok(images.chunk(batch, 0))
    }

    async fn respond(
        &self,
        image: Tensor<4>,
        draws: Draws,
        _: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Answer<C>> {
        let logits = self.model.forward(self.seen(image, draws).await?).mean_dim(0);
        Ok(Answer { logits, adapted: None, neighbors: None })
    }
}

/// Images `[batch, channel, height, width]` in `[0, 1]` after each was written as a JPEG file of 8 bits a sample, and read back.
#[cfg(feature = "jpeg")]
async fn through_jpeg(images: Tensor<4>, quality: u8) -> Result<Tensor<4>> {
    use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
    use image::{DynamicImage, ExtendedColorType};

    let [batch, channels, height, width] = images.dims();
    let device = images.device();
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let failed = |error: image::ImageError| Error::Config(format!("an image of {channels} channels was no JPEG file: {error}"));
    // A JPEG file has the channels of a pixel side by side.
    let values = read(images.permute([0, 2, 3, 1])).await?;
    let pixels: Vec<u8> = values.into_iter().map(|value| (value * 255.0).round() as u8).collect();
    let mut back: Vec<f32> = Vec::with_capacity(pixels.len());
    for pixels in pixels.chunks_exact(channels * height * width) {
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, quality).encode(pixels, width as u32, height as u32, color).map_err(failed)?;
        let decoder = JpegDecoder::new(std::io::Cursor::new(file)).map_err(failed)?;
        let pixels = match DynamicImage::from_decoder(decoder).map_err(failed)? {
            DynamicImage::ImageLuma8(gray) => gray.into_raw(),
            other => other.into_rgb8().into_raw(),
        };
        back.extend(pixels.into_iter().map(|value| f32::from(value) / 255.0));
    }
    let shape = [batch, height, width, channels];
    Ok(Tensor::<4>::from_data(TensorData::new(back, shape), &device).permute([0, 3, 1, 2]))
}

#[cfg(not(feature = "jpeg"))]
async fn through_jpeg(_: Tensor<4>, _: u8) -> Result<Tensor<4>> {
    Err(Error::Config("this program was built without the feature `jpeg` of the package riposte".to_owned()))
}

/// The passes of an image `[1, channel, height, width]`, each shrunk by up to `most` pixels: `[pass, channel, height, width]`.
fn in_passes(image: Tensor<4>, passes: usize, most: usize, draws: Draws) -> Tensor<4> {
    let mut stream = draws.stream(Purpose::Pick);
    Tensor::cat((0..passes).map(|_| shrunk(image.clone(), most, &mut stream)).collect(), 0)
}

/// The medians of squares of `side` pixels of images `[batch, channel, height, width]`, mirrored at their borders without the border pixel twice.
fn median(images: Tensor<4>, side: usize) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let before = side / 2;
    let moved = |images: Tensor<4>, axis: usize, by: usize| {
        let length = images.dims()[axis];
        let last = (length - 1) as i64;
        let from = |at: usize| {
            let place = (at + by) as i64 - before as i64;
            if place < 0 {
                -place
            } else if place > last {
                2 * last - place
            } else {
                place
            }
        };
        let places =
            Tensor::<1, Int>::from_data(TensorData::new((0..length).map(from).collect::<Vec<i64>>(), [length]), &images.device());
        images.select(axis, places)
    };
    let squares: Vec<Tensor<5>> = (0..side * side)
        .map(|at| moved(moved(images.clone(), 2, at / side), 3, at % side).reshape([batch, channels, height, width, 1]))
        .collect();
    let sorted = Tensor::cat(squares, 4).sort(4);
    sorted.narrow(4, (side * side - 1) / 2, 1).reshape([batch, channels, height, width])
}

/// Images `[batch, channel, height, width]` shrunk to a random size by their nearest pixels, at a random place on black: of the same shape.
fn shrunk(images: Tensor<4>, most: usize, stream: &mut Stream) -> Tensor<4> {
    let [.., height, width] = images.dims();
    let by = 1 + rng::below(stream, most);
    let mut images = images;
    for (axis, length) in [(2, height), (3, width)] {
        let small = length - by;
        let offset = rng::below(stream, by + 1);
        let places: Vec<i64> = (0..small).map(|at| (at * length / small) as i64).collect();
        let device = images.device();
        let taken = images.select(axis, Tensor::<1, Int>::from_data(TensorData::new(places, [small]), &device));
        let black = |length: usize| {
            let mut shape = taken.dims();
            shape[axis] = length;
            Tensor::<4>::zeros(shape, &device)
        };
        let parts = [(offset > 0).then(|| black(offset)), Some(taken.clone()), (by > offset).then(|| black(by - offset))];
        images = Tensor::cat(parts.into_iter().flatten().collect(), axis);
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToTensor;
    use crate::data::digits::{self, Split};
    use crate::models::{Architecture, Model};
    use crate::rng::Seed;
    use burn::tensor::Device;
    use riposte_spec::Choice;
    use riposte_spec::class::softmax;
    use riposte_spec::transform::TransformKind;

    fn model() -> Model {
        Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex())
    }

    fn digit() -> Tensor<4> {
        digits::generate(Seed(0), Split::Test, 0..1).images().to_tensor(0..1, &Device::flex())
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn seen(transform: Transform, image: Tensor<4>, seed: u64) -> Vec<f32> {
        floats(pollster::block_on(Transformed { model: &model(), transform }.seen(image, Seed(seed).input(0))).unwrap())
    }

    fn gray(values: [[f32; 3]; 3]) -> Tensor<4> {
        Tensor::<2>::from_floats(values, &Device::flex()).reshape([1, 1, 3, 3])
    }

    #[test]
    fn pixels_are_rounded_to_the_levels_of_a_bit_depth() {
        let image = gray([[0.0, 0.1, 0.4], [0.6, 0.9, 1.0], [0.2, 0.3, 0.7]]);
        assert_eq!(seen(Transform::BitDepth { bits: 1 }, image.clone(), 0), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        for value in seen(Transform::BitDepth { bits: 2 }, image, 0) {
            assert!((3.0 * value).fract() == 0.0, "{value} is none of four levels");
        }
    }

    #[test]
    fn a_median_is_that_of_the_mirrored_square() {
        let image = gray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
        // Around the corner 1 the mirrored square is 5 4 5, 2 1 2, 5 4 5.
        let found = seen(Transform::Median { side: 3 }, image.clone(), 0);
        assert_eq!((found[0], found[4], found[8]), (4.0, 5.0, 6.0));
        // Squares of four, to the left of and above each pixel: of 5 4, 2 1 the lower of the middle two is 2; of 1 2, 4 5 too.
        let found = seen(Transform::Median { side: 2 }, image.clone(), 0);
        assert_eq!((found[0], found[4], found[8]), (2.0, 2.0, 6.0));
        assert_eq!(seen(Transform::Median { side: 1 }, image.clone(), 0), floats(image));
    }

    #[test]
    fn a_shrunk_image_has_pixels_of_the_image_and_is_elsewhere_in_each_pass() {
        let transform = Transform::ResizePad { passes: 8, most: 4 };
        let image = digit();
        let (passes, pixels) = (seen(transform, image.clone(), 0), floats(image.clone()));
        assert_eq!(passes.len(), 8 * pixels.len());
        assert!(passes.iter().all(|value| *value == 0.0 || pixels.contains(value)));
        assert!(passes.chunks(pixels.len()).skip(1).any(|pass| pass != &passes[..pixels.len()]));
        assert_eq!(seen(transform, image.clone(), 0), passes);
        assert_ne!(seen(transform, image, 1), passes);
    }

    #[test]
    fn a_jpeg_file_changes_little_at_a_high_quality_and_much_at_a_low_one() {
        let image = digit();
        let change = |quality: u8| {
            let back = seen(Transform::Jpeg { quality }, image.clone(), 0);
            assert!(back.iter().all(|value| (0.0..=1.0).contains(value)));
            back.iter().zip(floats(image.clone())).map(|(a, b)| (a - b).abs()).sum::<f32>() / 784.0
        };
        // A level of 255 is 0.004: at the best quality coefficients are rounded to whole numbers.
        assert!(change(100) < 0.005, "{}", change(100));
        assert!(change(10) > 0.01 && change(10) > 2.0 * change(75), "{} {}", change(10), change(75));
        // Gray stays gray: all three channels are as good as alike.
        let gray = Tensor::<4>::full([1, 3, 32, 32], 0.5, &Device::flex());
        let back = seen(Transform::Jpeg { quality: 75 }, gray, 0);
        assert!(back.iter().all(|value| (value - 0.5).abs() < 0.01));
    }

    #[test]
    fn the_anti_adversary_layer_makes_the_model_surer_of_what_it_says() {
        let (model, image) = (model(), digit());
        let transform = Transform::standard(TransformKind::AntiAdversary, false);
        let moved = pollster::block_on(Transformed { model: &model, transform }.seen(image.clone(), Seed(0).input(0))).unwrap();
        let (before, after) = (softmax(&floats(model.forward(image.clone()))), softmax(&floats(model.forward(moved.clone()))));
        let class = riposte_spec::class::argmax(&before);
        assert!(after[class] > before[class], "{before:?} {after:?}");
        let change = floats((moved - image).abs());
        assert!(change.iter().all(|change| *change <= 0.3 + 1e-6), "two steps of 0.15");
    }

    #[test]
    fn gradients_pass_what_is_added_as_the_identity_and_random_shrinking_as_it_computes() {
        let (model, image) = (model(), digit());
        // A linear value, so that the differences below have the network's kinks alone.
        let value = |logits: Tensor<2>| logits.clone().narrow(1, 3, 1).flatten(0, 1) - logits.narrow(1, 5, 1).flatten(0, 1);
        for kind in TransformKind::ALL.iter().filter(|kind| **kind != TransformKind::ResizePad) {
            let defense = Transformed { model: &model, transform: Transform::standard(*kind, false) };
            let draws = Seed(0).input(0);
            let there = model.slope(pollster::block_on(defense.seen(image.clone(), draws)).unwrap(), &value);
            let slope = pollster::block_on(defense.slope(image.clone(), draws, &value)).unwrap().unwrap();
            assert_eq!((floats(slope.gradient), floats(slope.logits)), (floats(there.gradient), floats(there.logits)), "{kind}");
        }
        let transform = Transform::ResizePad { passes: 6, most: 4 };
        let (defense, draws) = (Transformed { model: &model, transform }, Seed(0).input(0));
        let at = |image: Tensor<4>| {
            let logits = model.forward(pollster::block_on(defense.seen(image, draws)).unwrap()).mean_dim(0);
            f64::from(floats(value(logits))[0])
        };
        let slope = pollster::block_on(defense.slope(image.clone(), draws, &value)).unwrap().unwrap();
        let ascent = slope.gradient.clone().sign();
        let predicted: f32 = floats(slope.gradient.clone() * ascent.clone()).iter().sum();
        let step = 1e-3;
        let found = (at(image.clone() + ascent.clone() * step) - at(image.clone() - ascent * step)) / (2.0 * step);
        // The network is linear but for its kinks, of which a step of 0.001 passes few.
        assert!((found - f64::from(predicted)).abs() < 0.02 * found.abs(), "{found} {predicted}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for transform in [
            Transform::BitDepth { bits: 0 },
            Transform::Jpeg { quality: 101 },
            Transform::Median { side: 29 },
            Transform::ResizePad { passes: 0, most: 4 },
            Transform::ResizePad { passes: 4, most: 28 },
            Transform::AntiAdversary { steps: 1, step_size: 0.0 },
        ] {
            assert!(transform.check(28).is_err(), "{transform:?}");
        }
        for kind in TransformKind::ALL {
            assert_eq!(Transform::standard(*kind, false).kind(), *kind);
            assert!(Transform::standard(*kind, true).check(32).is_ok());
        }
    }
}
