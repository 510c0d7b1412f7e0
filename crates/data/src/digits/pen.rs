//! From control points to an image: curves, deformation, size normalization, ink.

use super::{Stream, normal, uniform};

/// Edge of the square image, in pixels.
pub(super) const SIDE: usize = 28;
/// Edge of the box that the ink fits into before it is centered, in pixels (MNIST's).
const BOX: f32 = 20.0;
/// Straight segments per span between two control points.
const SEGMENTS: usize = 8;

/// A point or a vector in the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f32,
    pub y: f32,
}

/// The smooth curve through `points`, as a polyline. Two equal points in a row are a corner.
pub(super) fn curve(points: &[Point]) -> Vec<Point> {
    let mut line = Vec::with_capacity(points.len() * SEGMENTS + 1);
    let mut start = 0;
    for end in 1..=points.len() {
        if end == points.len() || points[end] == points[end - 1] {
            catmull_rom(&points[start..end], &mut line);
            start = end;
        }
    }
    line
}

/// Appends the Catmull-Rom spline through `points`, with mirrored points beyond the ends.
fn catmull_rom(points: &[Point], line: &mut Vec<Point>) {
    let last = points.len() - 1;
    let mirrored = |center: Point, p: Point| Point { x: 2.0 * center.x - p.x, y: 2.0 * center.y - p.y };
    for i in 0..last {
        let (b, c) = (points[i], points[i + 1]);
        let a = if i == 0 { mirrored(b, c) } else { points[i - 1] };
        let d = if i + 1 == last { mirrored(c, b) } else { points[i + 2] };
        for k in 0..SEGMENTS {
            let t = k as f32 / SEGMENTS as f32;
            let axis = |a: f32, b: f32, c: f32, d: f32| {
                b + 0.5 * t * ((c - a) + t * ((2.0 * a - 5.0 * b + 4.0 * c - d) + t * (3.0 * (b - c) + d - a)))
            };
            line.push(Point { x: axis(a.x, b.x, c.x, d.x), y: axis(a.y, b.y, c.y, d.y) });
        }
    }
    line.push(points[last]);
}

/// A smooth random displacement of the plane: a few plane waves. Most waves are longer than the digit's height (1.0).
pub(super) struct Elastic {
    waves: [Wave; 4],
}

struct Wave {
    frequency: Point,
    phase: f32,
    amplitude: Point,
}

impl Elastic {
    /// Draws a displacement of typical size `strength`, in digit heights.
    pub(super) fn draw(stream: &mut Stream, strength: f32) -> Self {
        let mut wave = |frequency: f32, amplitude: f32| Wave {
            frequency: Point { x: frequency * normal(stream), y: frequency * normal(stream) },
            phase: uniform(stream, 0.0, std::f32::consts::TAU),
            amplitude: Point { x: amplitude * normal(stream), y: amplitude * normal(stream) },
        };
        Self { waves: [wave(3.0, strength), wave(3.0, strength), wave(4.5, strength), wave(6.0, 0.4 * strength)] }
    }

    /// Where `p` goes.
    pub(super) fn apply(&self, p: Point) -> Point {
        self.waves.iter().fold(p, |q, wave| {
            let height = libm::sinf(wave.frequency.x * p.x + wave.frequency.y * p.y + wave.phase);
            Point { x: q.x + wave.amplitude.x * height, y: q.y + wave.amplitude.y * height }
        })
    }
}

/// How the pen meets the paper.
pub(super) struct Pen {
    /// Half the stroke's width, in pixels of the final image.
    pub radius: f32,
    /// Relative change of the radius along a stroke, from -1 to 1: `radius * (1 + pressure * s)` with `s` from -1 to 1 along it.
    pub pressure: f32,
    /// Width of the soft edge, in pixels.
    pub softness: f32,
}

/// Draws polylines of any size and place as MNIST does: scaled (aspect kept) into a 20x20 box, ink included, then moved by
/// whole pixels so that the ink's center of mass is the image's center.
pub(super) fn ink(lines: &[Vec<Point>], pen: &Pen) -> [u8; SIDE * SIDE] {
    let points = || lines.iter().flatten();
    let (left, right) = extent(points().map(|p| p.x));
    let (top, bottom) = extent(points().map(|p| p.y));
    let scale = (BOX - 2.0 * pen.radius) / (right - left).max(bottom - top).max(1e-3);
    let place = |p: &Point| Point {
        x: (p.x - 0.5 * (left + right)) * scale + 0.5 * SIDE as f32,
        y: (p.y - 0.5 * (top + bottom)) * scale + 0.5 * SIDE as f32,
    };
    let mut canvas = Canvas::new();
    for line in lines {
        let placed: Vec<Point> = line.iter().map(place).collect();
        canvas.stroke(&placed, pen);
    }
    canvas.centered(pen.softness)
}

fn extent(values: impl Iterator<Item = f32>) -> (f32, f32) {
    values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// For each pixel the signed distance of its center to the edge of the ink, in pixels; negative inside.
struct Canvas {
    distance: [f32; SIDE * SIDE],
}

impl Canvas {
    fn new() -> Self {
        Self { distance: [f32::INFINITY; SIDE * SIDE] }
    }

    fn stroke(&mut self, line: &[Point], pen: &Pen) {
        let count = (line.len() - 1).max(1) as f32;
        for (i, pair) in line.windows(2).enumerate() {
            let along = 2.0 * (i as f32 + 0.5) / count - 1.0;
            self.segment(pair[0], pair[1], pen.radius * (1.0 + pen.pressure * along));
        }
    }

    fn segment(&mut self, a: Point, b: Point, radius: f32) {
        let reach = radius + 1.5;
        let clamp = |v: f32| v.clamp(0.0, SIDE as f32) as usize;
        let (x0, x1) = (clamp(a.x.min(b.x) - reach), clamp(a.x.max(b.x) + reach + 1.0));
        let (y0, y1) = (clamp(a.y.min(b.y) - reach), clamp(a.y.max(b.y) + reach + 1.0));
        let (dx, dy) = (b.x - a.x, b.y - a.y);
        let inverse = 1.0 / (dx * dx + dy * dy).max(1e-12);
        for y in y0..y1 {
            for x in x0..x1 {
                let (px, py) = (x as f32 + 0.5 - a.x, y as f32 + 0.5 - a.y);
                let t = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
                let (ex, ey) = (px - t * dx, py - t * dy);
                let here = &mut self.distance[y * SIDE + x];
                *here = here.min((ex * ex + ey * ey).sqrt() - radius);
            }
        }
    }

    fn centered(&self, softness: f32) -> [u8; SIDE * SIDE] {
        let mut ink = [0u8; SIDE * SIDE];
        let (mut mass, mut mass_x, mut mass_y) = (0u32, 0u32, 0u32);
        for (i, (value, &distance)) in ink.iter_mut().zip(&self.distance).enumerate() {
            *value = (255.0 * (0.5 - distance / softness).clamp(0.0, 1.0) + 0.5) as u8;
            mass += *value as u32;
            mass_x += *value as u32 * (i % SIDE) as u32;
            mass_y += *value as u32 * (i / SIDE) as u32;
        }
        // The box leaves 4 pixels on each side: a larger move would cut ink off.
        let shift = |moment: u32| (SIDE as i32 / 2 - (moment as f32 / mass.max(1) as f32 + 1.0) as i32).clamp(-4, 4);
        let (shift_x, shift_y) = (shift(mass_x), shift(mass_y));
        let source = |v: usize, by: i32| usize::try_from(v as i32 - by).ok().filter(|&v| v < SIDE);
        std::array::from_fn(|i| match (source(i % SIDE, shift_x), source(i / SIDE, shift_y)) {
            (Some(x), Some(y)) => ink[y * SIDE + x],
            _ => 0,
        })
    }
}
