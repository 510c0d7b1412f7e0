//! RayS (Chen & Gu 2020, "RayS: a ray searching method for hard-label adversarial attack"): it asks for classes alone, and looks for
//! the corner direction in which the boundary is nearest.

use burn::tensor::{Tensor, TensorData};

use crate::Result;
use crate::classifier::read;

/// Where a search ends.
#[derive(Debug, Clone)]
pub struct Ray {
    /// The image moved along the direction found, by the distance of the boundary or by epsilon, whichever is less; clipped.
    pub image: Tensor<4>,
    /// How far the boundary is in that direction, as the largest change of a pixel before clipping; infinite if none was found.
    pub radius: f32,
    /// Points asked about.
    pub queries: usize,
}

/// How near to the boundary a bisection comes, as the Euclidean length of the change: the authors' value.
const TOLERANCE: f32 = 1e-3;

/// Looks for a change of `image` `[1, channel, height, width]` in `[0, 1]` by at most `epsilon` that fools whoever answers, with at most
/// `queries` questions. `fooled` says whether a point does; its answer to a point should always be the same.
///
/// The direction is a sign for each pixel. One block of signs after the other is flipped, in halves, quarters and so on of the image; a
/// flip stays if the boundary is nearer than before.
///
/// # Errors
/// Those of `fooled`; [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn search(
    image: Tensor<4>,
    epsilon: f32,
    queries: usize,
    fooled: impl AsyncFnMut(Tensor<4>) -> Result<bool>,
) -> Result<Ray> {
    let shape = image.dims();
    let device = image.device();
    let pixels = read(image).await?;
    let place = |signs: &[f32], radius: f32| {
        let moved: Vec<f32> = pixels.iter().zip(signs).map(|(pixel, sign)| (pixel + radius * sign).clamp(0.0, 1.0)).collect();
        Tensor::from_data(TensorData::new(moved, shape), &device)
    };
    let mut asking = Asking { fooled, left: queries };
    let (mut signs, mut radius) = (vec![1.0f32; pixels.len()], f32::INFINITY);
    // Radii here are those of single pixels: the length of a change by 1 of all is the square root of their number.
    let tolerance = TOLERANCE / (pixels.len() as f32).sqrt();
    let mut blocks = Blocks::of(pixels.len());
    while radius > epsilon {
        let block = blocks.next().expect("blocks never end");
        let mut flipped = signs.clone();
        flipped[block].iter_mut().for_each(|sign| *sign = -*sign);
        // No pixel moves by more than 1, whatever the radius.
        let farthest = radius.min(1.0);
        match asking.ask(place(&flipped, farthest)).await? {
            None => break,
            Some(false) => continue,
            Some(true) => {}
        }
        let (mut near, mut far) = (0.0, farthest);
        while far - near > tolerance {
            let middle = 0.5 * (near + far);
            match asking.ask(place(&flipped, middle)).await? {
                None => break,
                Some(true) => far = middle,
                Some(false) => near = middle,
            }
        }
        if far < radius {
            (radius, signs) = (far, flipped);
        }
    }
    Ok(Ray { image: place(&signs, radius.min(epsilon)), radius, queries: queries - asking.left })
}

/// Whoever answers, and how many questions are left.
struct Asking<F> {
    fooled: F,
    left: usize,
}

impl<F: AsyncFnMut(Tensor<4>) -> Result<bool>> Asking<F> {
    /// Whether the point fools; `None` if no question is left.
    async fn ask(&mut self, point: Tensor<4>) -> Result<Option<bool>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        (self.fooled)(point).await.map(Some)
    }
}

/// Ranges of a flattened image: all of it, its halves, its quarters and so on; after single pixels from the beginning.
#[derive(Debug)]
struct Blocks {
    pixels: usize,
    count: usize,
    index: usize,
}

impl Blocks {
    fn of(pixels: usize) -> Self {
        Self { pixels, count: 1, index: 0 }
    }
}

impl Iterator for Blocks {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.pixels.div_ceil(self.count);
        let begin = self.index * size;
        let end = self.pixels.min(begin + size);
        self.index += 1;
        if end == self.pixels {
            self.index = 0;
            self.count = if size == 1 { 1 } else { 2 * self.count };
        }
        Some(begin..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn blocks_are_halved_down_to_single_pixels() {
        let ranges: Vec<_> = Blocks::of(5).take(1 + 2 + 3 + 5 + 1).collect();
        let expected = [0..5, 0..3, 3..5, 0..2, 2..4, 4..5, 0..1, 1..2, 2..3, 3..4, 4..5, 0..5];
        assert_eq!(ranges, expected);
    }

    /// The class of a point is the sign of a sum of pixels with known signs: the nearest boundary is along exactly these.
    #[test]
    fn the_direction_found_is_the_gradient_s_where_the_boundary_is_flat() {
        let device = Device::flex();
        let image = Tensor::<4>::full([1, 1, 4, 4], 0.5, &device);
        let weights: Vec<f32> = (0..16).map(|pixel| if [2, 3, 7, 11].contains(&pixel) { -1.0 } else { 1.0 }).collect();
        let mut asked = 0;
        let end = pollster::block_on(search(image, 0.01, 500, async |point| {
            asked += 1;
            let values = read(point).await?;
            // The sum is 4 at the image, and a change of all pixels by 0.1 along the signs adds 1.6.
            Ok(values.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f32>() > 4.0 + 1.6)
        }))
        .unwrap();
        assert_eq!(end.queries, asked);
        // Within the bisection's tolerance of 1e-3 in the length of the change, 2.5e-4 a pixel.
        assert!((end.radius - 0.1).abs() < 3e-4, "{}", end.radius);
        let moved: Vec<f32> = end.image.into_data().try_into_vec().unwrap();
        assert!(moved.iter().zip(&weights).all(|(value, weight)| (value - 0.5 - 0.01 * weight).abs() < 1e-6), "{moved:?}");
    }

    #[test]
    fn it_stops_within_the_ball_or_when_the_questions_are_used_up() {
        let image = Tensor::<4>::full([1, 1, 2, 2], 0.5, &Device::flex());
        let always = pollster::block_on(search(image.clone(), 0.3, 100, async |_| Ok(true))).unwrap();
        assert!(always.radius <= 0.3 && always.queries < 100);
        let never = pollster::block_on(search(image, 0.3, 100, async |_| Ok(false))).unwrap();
        assert_eq!((never.queries, never.radius), (100, f32::INFINITY));
    }
}
