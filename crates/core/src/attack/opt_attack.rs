//! Opt-Attack (Cheng et al. 2019): it asks for classes alone, and looks for the direction in which the boundary is nearest.

use burn::tensor::Tensor;
use riposte_spec::queries::OptAttack;

use super::asked::{Asked, Asking, Place};
use crate::Result;
use crate::rng::{self, Stream};

/// Attacks `image` `[1, channel, height, width]` in `[0, 1]` away from `label`. `ask` gives the logits of each image of a batch, of which
/// the class alone is looked at.
///
/// # Errors
/// Those of `ask`; [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn attack(
    settings: OptAttack,
    image: Tensor<4>,
    label: usize,
    stream: &mut Stream,
    ask: impl AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>,
) -> Result<Asked> {
    let place = Place::of(image).await?;
    let mut search = Search { asking: Asking::new(&place, label, settings.queries, ask), place: &place, settings };
    if let Some(start) = search.start(stream).await? {
        search.descend(start, stream).await?;
    }
    Ok(search.asking.end())
}

/// A direction from an image, and a probe beside it: what a gradient estimate compares.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Of unit length, of the image's size.
    pub direction: Vec<f32>,
    /// Of unit length: added to the direction `smoothing` times.
    pub probe: Vec<f32>,
    /// Where the boundary is about, along the direction.
    pub distance: f32,
    /// β.
    pub smoothing: f32,
}

impl Probe {
    /// The nearest of `directions` random directions to the boundary of whoever answers, with a random probe; `None` if none meets it.
    ///
    /// # Errors
    /// As [`attack`].
    pub async fn draw(
        settings: OptAttack,
        image: Tensor<4>,
        label: usize,
        stream: &mut Stream,
        ask: impl AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>,
    ) -> Result<Option<Self>> {
        let place = Place::of(image).await?;
        let mut search = Search { asking: Asking::new(&place, label, settings.queries, ask), place: &place, settings };
        let start = search.start(stream).await?;
        Ok(start.map(|Ray { direction, distance }| Self {
            direction,
            probe: unit(stream, place.pixels.len()),
            distance,
            smoothing: settings.smoothing,
        }))
    }

    /// By how much the boundary is farther along the probed direction, over β: what the estimated gradient is the probe's multiple of.
    /// And how many answers it took. NaN where no boundary was met.
    ///
    /// # Errors
    /// As [`attack`].
    pub async fn difference(
        &self,
        image: Tensor<4>,
        label: usize,
        ask: impl AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>,
    ) -> Result<(f32, usize)> {
        let settings = OptAttack { smoothing: self.smoothing, queries: usize::MAX, ..OptAttack::STANDARD };
        let place = Place::of(image).await?;
        let mut search = Search { asking: Asking::new(&place, label, settings.queries, ask), place: &place, settings };
        let probed = normalized(&moved(&self.direction, self.smoothing, &self.probe));
        let beside = search.boundary(&probed, self.distance).await?;
        let here = search.boundary(&self.direction, self.distance).await?;
        let difference = match (beside, here) {
            (Some(beside), Some(here)) => (beside - here) / self.smoothing,
            _ => f32::NAN,
        };
        Ok((difference, search.asking.queries))
    }
}

struct Search<'a, F> {
    asking: Asking<'a, F>,
    place: &'a Place,
    settings: OptAttack,
}

/// A direction of unit length, and the distance of the boundary along it.
#[derive(Debug, Clone)]
struct Ray {
    direction: Vec<f32>,
    distance: f32,
}

/// Farther than this nothing is looked for: more than the diagonal of any image of up to 400 values.
const FARTHEST: f32 = 20.0;
/// Nearer than this it is no matter.
const NEAREST: f32 = 1e-6;
/// By this factor the distance grows or shrinks until the boundary is between two, at first; each time by its square. (The authors' code
/// keeps the factor, and asks hundreds of times where the boundary has moved far.)
const WIDENING: f32 = 1.01;
/// How often the step is doubled or quartered at most.
const TRIES: usize = 15;

impl<F: AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>> Search<'_, F> {
    /// The nearest of the random directions.
    async fn start(&mut self, stream: &mut Stream) -> Result<Option<Ray>> {
        let mut best: Option<Ray> = None;
        for _ in 0..self.settings.directions {
            let noise: Vec<f32> = (0..self.place.pixels.len()).map(|_| rng::normal(stream)).collect();
            let direction = normalized(&noise);
            // Only what is wrong at the best distance so far can be nearer.
            let far = best.as_ref().map_or(length(&noise), |best| best.distance);
            if self.wrong(&direction, far).await? != Some(true) {
                continue;
            }
            if let Some(distance) = self.bisect(&direction, 0.0, far, 1e-4).await? {
                best = Some(Ray { direction, distance });
            }
        }
        Ok(best)
    }

    async fn descend(&mut self, mut at: Ray, stream: &mut Stream) -> Result<()> {
        let (mut step, first) = (self.settings.step, self.settings);
        while self.asking.may_ask(1) && self.settings.smoothing > 1e-8 {
            let mut gradient = vec![0.0; at.direction.len()];
            let mut nearest: Option<Ray> = None;
            for _ in 0..first.probes {
                let probe = unit(stream, gradient.len());
                let direction = normalized(&moved(&at.direction, self.settings.smoothing, &probe));
                let Some(distance) = self.boundary(&direction, at.distance).await? else { continue };
                let slope = (distance - at.distance) / self.settings.smoothing / first.probes as f32;
                gradient.iter_mut().zip(&probe).for_each(|(gradient, probe)| *gradient += slope * probe);
                if nearest.as_ref().is_none_or(|nearest| distance < nearest.distance) {
                    nearest = Some(Ray { direction, distance });
                }
            }
            let (along, reached) = self.line(&at, &gradient, step).await?;
            let candidates = [along, nearest].into_iter().flatten();
            let best = candidates.min_by(|a, b| a.distance.total_cmp(&b.distance)).filter(|best| best.distance < at.distance);
            step = reached;
            if let Some(best) = best {
                at = best;
            }
            if step < 1e-4 {
                step = 1.0;
                self.settings.smoothing *= 0.1;
            }
        }
        Ok(())
    }

    /// The line search: the step doubles while the boundary comes nearer; else it is quartered until it does. What it found, and the step
    /// to go on with.
    async fn line(&mut self, from: &Ray, gradient: &[f32], mut step: f32) -> Result<(Option<Ray>, f32)> {
        let mut best: Option<Ray> = None;
        for growing in [true, false] {
            for _ in 0..TRIES {
                let direction = normalized(&moved(&from.direction, -step, gradient));
                let known = best.as_ref().map_or(from.distance, |best| best.distance);
                let distance = self.boundary_within(&direction, known).await?;
                if let Some(distance) = distance.filter(|distance| *distance < known) {
                    best = Some(Ray { direction, distance });
                    if !growing {
                        return Ok((best, step));
                    }
                    step *= 2.0;
                } else if growing {
                    break;
                }
                if !growing {
                    step *= 0.25;
                }
            }
            if best.is_some() {
                break;
            }
        }
        Ok((best, step))
    }

    /// The distance of the boundary along a direction if it is nearer than `known`.
    async fn boundary_within(&mut self, direction: &[f32], known: f32) -> Result<Option<f32>> {
        if self.wrong(direction, known).await? == Some(true) { self.boundary(direction, known).await } else { Ok(None) }
    }

    /// The distance of the boundary along a direction, near `about`; `None` where none is met or the answers are used up.
    async fn boundary(&mut self, direction: &[f32], about: f32) -> Result<Option<f32>> {
        let (mut near, mut far, mut factor) = (about, about, WIDENING);
        match self.wrong(direction, about).await? {
            None => return Ok(None),
            Some(true) => loop {
                near /= factor;
                factor *= factor;
                match self.wrong(direction, near).await? {
                    None => return Ok(None),
                    Some(true) if near > NEAREST => far = near,
                    _ => break,
                }
            },
            Some(false) => loop {
                far *= factor;
                factor *= factor;
                match self.wrong(direction, far).await? {
                    None => return Ok(None),
                    Some(false) if far < FARTHEST => near = far,
                    Some(false) => return Ok(None),
                    Some(true) => break,
                }
            },
        }
        self.bisect(direction, near, far, self.settings.smoothing / 500.0).await
    }

    async fn bisect(&mut self, direction: &[f32], mut near: f32, mut far: f32, tolerance: f32) -> Result<Option<f32>> {
        while far - near > tolerance {
            let middle = 0.5 * (near + far);
            // Two neighbors among the floats have none between them.
            if middle <= near || middle >= far {
                break;
            }
            match self.wrong(direction, middle).await? {
                None => return Ok(None),
                Some(true) => far = middle,
                Some(false) => near = middle,
            }
        }
        Ok(Some(far))
    }

    /// Whether the answer is wrong at a distance along a direction, clipped to the pixel range; `None` if the answers are used up.
    async fn wrong(&mut self, direction: &[f32], distance: f32) -> Result<Option<bool>> {
        if !self.asking.may_ask(1) {
            return Ok(None);
        }
        let point = moved(&self.place.pixels, distance, direction).into_iter().map(|pixel| pixel.clamp(0.0, 1.0)).collect();
        Ok(self.asking.ask(&[point]).await?.pop().map(|seen| seen.wrong))
    }
}

/// `from + by * direction`
fn moved(from: &[f32], by: f32, direction: &[f32]) -> Vec<f32> {
    from.iter().zip(direction).map(|(from, direction)| from + by * direction).collect()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt() as f32
}

fn normalized(vector: &[f32]) -> Vec<f32> {
    let length = length(vector).max(f32::MIN_POSITIVE);
    vector.iter().map(|value| value / length).collect()
}

/// A random direction of unit length.
fn unit(stream: &mut Stream, size: usize) -> Vec<f32> {
    normalized(&(0..size).map(|_| rng::normal(stream)).collect::<Vec<_>>())
}
