//! ZOO (Chen et al. 2017): it asks for logits alone, and estimates the gradient pixel by pixel.

use burn::tensor::{Tensor, TensorData};
use riposte_spec::queries::Zoo;

use super::asked::{Asked, Asking, Place, log_probabilities};
use crate::Result;
use crate::rng::{self, Stream};

/// Attacks `image` `[1, channel, height, width]` in `[0, 1]` away from `label`. `ask` gives the logits of each image of a batch.
///
/// # Errors
/// Those of `ask`; [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn attack(
    settings: Zoo,
    image: Tensor<4>,
    label: usize,
    stream: &mut Stream,
    ask: impl AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>,
) -> Result<Asked> {
    let place = Place::of(image).await?;
    let mut asking = Asking::new(&place, label, settings.queries, ask);
    let [mut low, mut high] = [0.0, f32::INFINITY];
    let mut constant = settings.constant;
    let each = settings.queries / settings.rounds.max(1);
    for _ in 0..settings.rounds {
        let (before, end) = (asking.successes, asking.queries + each);
        let mut descent = Descent::new(&place, settings);
        while asking.queries + 2 * settings.coordinates < end {
            descent.step(&mut asking, constant, stream).await?;
        }
        if asking.successes > before {
            high = constant
        } else {
            low = constant
        }
        constant = if high.is_finite() { 0.5 * (low + high) } else { constant * 10.0 };
    }
    Ok(asking.end())
}

/// The difference of the losses of two answers, at `pixel` of an image: positive where more of the pixel makes the label less likely.
///
/// `ask` gives the logits of one image, and is called for the larger pixel first.
///
/// # Errors
/// As [`attack`].
pub async fn difference(
    image: Tensor<4>,
    label: usize,
    pixel: usize,
    half: f32,
    mut ask: impl AsyncFnMut(Tensor<4>) -> Result<Vec<f32>>,
) -> Result<f64> {
    let place = Place::of(image).await?;
    let mut losses = [0.0; 2];
    for (loss, change) in losses.iter_mut().zip([half, -half]) {
        let mut moved = place.pixels.clone();
        moved[pixel] += change;
        let logits = ask(place.tensor(moved)).await?;
        *loss = -log_probabilities(&logits)[label];
    }
    Ok((losses[0] - losses[1]) / f64::from(2.0 * half))
}

/// A round: coordinates in the space in which every point is in the pixel range, each with its own Adam.
struct Descent<'a> {
    place: &'a Place,
    settings: Zoo,
    /// `pixel = (tanh w + 1) / 2`
    w: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    times: Vec<i32>,
}

impl<'a> Descent<'a> {
    fn new(place: &'a Place, settings: Zoo) -> Self {
        // Just inside, or the inverse would be infinite.
        let inverse = |pixel: &f32| libm::atanhf((2.0 * pixel - 1.0) * 0.999_999);
        let w: Vec<f32> = place.pixels.iter().map(inverse).collect();
        let zeros = vec![0.0; w.len()];
        Self { place, settings, first: zeros.clone(), second: zeros, times: vec![0; w.len()], w }
    }

    async fn step<F: AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>>(
        &mut self,
        asking: &mut Asking<'_, F>,
        constant: f32,
        stream: &mut Stream,
    ) -> Result<()> {
        let coordinates: Vec<usize> = (0..self.settings.coordinates).map(|_| rng::below(stream, self.w.len())).collect();
        let mut points = vec![self.pixels(&self.w)];
        for coordinate in &coordinates {
            for change in [self.settings.difference, -self.settings.difference] {
                let mut w = self.w.clone();
                w[*coordinate] += change;
                points.push(self.pixels(&w));
            }
        }
        let values: Vec<f64> = asking.ask(&points).await?.into_iter().map(|seen| seen.value(constant)).collect();
        for (coordinate, pair) in coordinates.into_iter().zip(values[1..].chunks_exact(2)) {
            let gradient = ((pair[0] - pair[1]) / f64::from(2.0 * self.settings.difference)) as f32;
            self.adam(coordinate, gradient);
        }
        Ok(())
    }

    fn adam(&mut self, at: usize, gradient: f32) {
        let (beta, gamma) = (0.9f32, 0.999f32);
        self.times[at] += 1;
        self.first[at] = beta * self.first[at] + (1.0 - beta) * gradient;
        self.second[at] = gamma * self.second[at] + (1.0 - gamma) * gradient * gradient;
        let corrected = |moment: f32, decay: f32| moment / (1.0 - decay.powi(self.times[at]));
        let step = corrected(self.first[at], beta) / (corrected(self.second[at], gamma).sqrt() + 1e-8);
        self.w[at] -= self.settings.learning_rate * step;
    }

    fn pixels(&self, w: &[f32]) -> Vec<f32> {
        debug_assert_eq!(w.len(), self.place.pixels.len());
        w.iter().map(|w| 0.5 * (libm::tanhf(*w) + 1.0)).collect()
    }
}

/// Images of a batch from their pixels, on the device of `place`.
pub(super) fn batch(place: &Place, points: &[Vec<f32>]) -> Tensor<4> {
    let [_, channels, height, width] = place.shape;
    Tensor::from_data(TensorData::new(points.concat(), [points.len(), channels, height, width]), &place.device)
}
