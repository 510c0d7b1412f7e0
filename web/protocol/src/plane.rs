use serde::{Deserialize, Serialize};

use crate::Picture;

/// The plane through three images: x, the attacked x' and its neighbor x''.
///
/// Its first axis leads from x to x', its second from that axis to x''. Both are orthogonal; a place is given in multiples of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plane {
    origin: Picture,
    axes: [Picture; 2],
}

/// How far a slice goes beyond the images, in multiples of the axes.
const MARGIN: f32 = 0.5;

impl Plane {
    /// The plane through three images of one shape; none where they lie on a line.
    pub fn through(image: &Picture, attacked: &Picture, neighbor: &Picture) -> Option<Self> {
        let first = attacked.minus(image);
        let towards = neighbor.minus(image);
        let length = dot(&first, &first);
        let along = dot(&towards, &first) / length;
        let pixels = towards.pixels.iter().zip(&first.pixels).map(|(towards, first)| towards - along * first).collect();
        let second = Picture { pixels, ..towards };
        // Less than a thousandth of the change is rounding.
        let flat = dot(&second, &second) < 1e-6 * length;
        (length > 0.0 && !flat).then(|| Self { origin: image.clone(), axes: [first, second] })
    }

    /// Where an image lies, or its shadow on the plane.
    pub fn place_of(&self, picture: &Picture) -> [f32; 2] {
        let from = picture.minus(&self.origin);
        self.axes.each_ref().map(|axis| dot(&from, axis) / dot(axis, axis))
    }

    /// The image at a place.
    pub fn point(&self, [along, across]: [f32; 2]) -> Picture {
        let [first, second] = &self.axes;
        let moved = self.origin.pixels.iter().zip(first.pixels.iter().zip(&second.pixels));
        let pixels = moved.map(|(origin, (first, second))| origin + along * first + across * second).collect();
        Picture { pixels, ..self.origin }
    }

    /// The place of a point of a slice of `size` by `size` points, counted from its lower left.
    pub fn place(&self, column: usize, row: usize, size: usize) -> [f32; 2] {
        [column, row].map(|index| -MARGIN + (index as f32 + 0.5) / size as f32 * (1.0 + 2.0 * MARGIN))
    }

    /// How far from the left and from the bottom of a slice a place is, as shares of its edge.
    pub fn share(place: [f32; 2]) -> [f32; 2] {
        place.map(|along| (along + MARGIN) / (1.0 + 2.0 * MARGIN))
    }
}

fn dot(a: &Picture, b: &Picture) -> f32 {
    a.pixels.iter().zip(&b.pixels).map(|(a, b)| a * b).sum()
}
