//! A visitor's own picture, made into one like the test images.
//!
//! A photograph has what a scan has not: shadows, paper of any color, a table's edge. The ground is estimated from place to place,
//! and ink is what differs from it.

mod file;
mod ink;

use riposte_spec::dataset::DatasetId;

pub use file::png;
pub use ink::Ink;

/// Longest edge of what is worth reading of a picture; larger ones may be shrunk to it first.
pub const READ: usize = 1024;
/// Longest edge of a picture in which ink is looked for: fine enough for a hairline.
const SEEN: usize = 256;

/// A color picture: `width * height` triples of red, green and blue in [0, 1], row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue.
    pub colors: Vec<[f32; 3]>,
}

impl Photo {
    /// From red, green, blue and opacity of `width * height` pixels, row by row. What is transparent becomes paper: white, or black where
    /// what is painted is nearly white itself.
    ///
    /// # Panics
    /// If there are not as many colors.
    pub fn of_rgba(width: usize, height: usize, colors: &[u8]) -> Self {
        assert_eq!(colors.len(), 4 * width * height, "{width} x {height} pixels need as many colors");
        let share = |value: u8| f32::from(value) / 255.0;
        let pixels = || {
            colors
                .as_chunks::<4>()
                .0
                .iter()
                .map(|[red, green, blue, opacity]| ([*red, *green, *blue].map(share), share(*opacity)))
        };
        let [painted, light] = pixels().fold([0.0, 0.0], |[painted, light], (color, opacity)| {
            [painted + f64::from(opacity), light + f64::from(opacity * luma(color))]
        });
        let has_holes = painted < 0.99 * (width * height) as f64;
        let paper = if has_holes && light > 0.75 * painted { 0.0 } else { 1.0 };
        let on_paper = |(color, opacity): ([f32; 3], f32)| color.map(|value| value * opacity + paper * (1.0 - opacity));
        Self { width, height, colors: pixels().map(on_paper).collect() }
    }

    /// The digit in it as the test images of `set` are, one value in [0, 1] for each pixel, with the ink that was found. A picture of
    /// their size, light on dark, is one already. `None` where there is no ink.
    pub fn digit(&self, light_ground: bool, set: DatasetId) -> Option<(Ink, Vec<f32>)> {
        let [_, height, width] = set.image_shape();
        if (self.width, self.height) == (width, height) && !light_ground {
            let strength: Vec<f32> = self.colors.iter().map(|color| luma(*color)).collect();
            let pixels = strength.iter().map(|value| in_eight_bits(*value)).collect();
            return Some((Ink { width, height, strength }, pixels));
        }
        let longest = self.width.max(self.height);
        let size = |length: usize| (length * SEEN.min(longest) / longest).max(1);
        let ink = self.shrunk(size(self.width), size(self.height)).ink(light_ground);
        let pixels = ink.centered(height)?;
        Some((ink, pixels))
    }

    /// The middle square of it as the test images of `set` are, values in [0, 1], channel by channel.
    pub fn scene(&self, set: DatasetId) -> Vec<f32> {
        let [channels, height, width] = set.image_shape();
        let small = self.middle_square().shrunk(width, height);
        (0..channels).flat_map(|channel| small.colors.iter().map(move |color| in_eight_bits(color[channel.min(2)]))).collect()
    }

    /// The middle of it, as wide as high.
    fn middle_square(&self) -> Self {
        let edge = self.width.min(self.height);
        let (left, top) = ((self.width - edge) / 2, (self.height - edge) / 2);
        let row = |row: usize| &self.colors[(top + row) * self.width + left..][..edge];
        Self { width: edge, height: edge, colors: (0..edge).flat_map(row).copied().collect() }
    }

    /// In another size, each pixel the mean of those it covers.
    pub fn shrunk(&self, width: usize, height: usize) -> Self {
        let span = |place: usize, of: usize, all: usize| place * all / of..((place + 1) * all).div_ceil(of);
        let color = |index: usize| {
            let (rows, columns) = (span(index / width, height, self.height), span(index % width, width, self.width));
            let count = (rows.len() * columns.len()) as f32;
            let covered = rows.flat_map(|row| &self.colors[row * self.width..][columns.clone()]);
            let sum = covered.fold([0.0; 3], |sum, color| std::array::from_fn(|channel| sum[channel] + color[channel]));
            sum.map(|value| value / count)
        };
        Self { width, height, colors: (0..width * height).map(color).collect() }
    }

    /// Whether the ground is lighter than what is on it. Most of the picture is ground, so its median is: what lies far from that, on one
    /// side more than on the other, is ink, or a shadow on paper.
    pub fn is_on_light_ground(&self) -> bool {
        let mut levels: Vec<f32> = self.colors.iter().map(|color| luma(*color)).collect();
        levels.sort_by(f32::total_cmp);
        let median = levels[levels.len() / 2];
        levels.iter().map(|level| (level - median).powi(3)).sum::<f32>() < 0.0
    }

    /// The ink on a light or a dark ground.
    pub fn ink(&self, light_ground: bool) -> Ink {
        let ground = Ground::estimate(self, light_ground);
        let mut strength: Vec<f32> = (0..self.width * self.height)
            .map(|index| {
                let (color, under) = (self.colors[index], ground.at(self, index % self.width, index / self.width));
                let differs = |channel: usize| {
                    let (value, under) = (color[channel], under[channel]);
                    if light_ground { (under - value) / under.max(0.1) } else { (value - under) / (1.0 - under).max(0.1) }
                };
                // Blue ink takes red away, yellow takes blue.
                (0..3).map(differs).fold(0.0, f32::max)
            })
            .collect();
        // What is half as strong as the strongest ink is ink: noise, and the edge of a shadow, are weaker.
        let mut sorted = strength.clone();
        sorted.sort_by(f32::total_cmp);
        let peak = sorted[(sorted.len() - 1) * 995 / 1000].max(0.05);
        strength.iter_mut().for_each(|value| *value = ((*value / peak - 0.4) / 0.3).clamp(0.0, 1.0));
        Ink { width: self.width, height: self.height, strength }.without_specks()
    }
}

/// The ground's color, known at the middles of `across * down` cells.
struct Ground {
    across: usize,
    down: usize,
    cells: Vec<[f32; 3]>,
}

/// Cells along an edge, at most.
const CELLS: usize = 24;
/// Cells around one that say what its ground is: far enough to see past a thick stroke, near enough to follow a shadow.
const AROUND: usize = 4;

impl Ground {
    fn estimate(photo: &Photo, light: bool) -> Self {
        let (across, down) = (photo.width.min(CELLS), photo.height.min(CELLS));
        let means = photo.shrunk(across, down).colors;
        let near = |place: usize, count: usize| place.saturating_sub(AROUND)..(place + AROUND + 1).min(count);
        let cells = (0..across * down)
            .map(|cell| {
                let mut around: Vec<[f32; 3]> = near(cell / across, down)
                    .flat_map(|row| near(cell % across, across).map(move |column| row * across + column))
                    .map(|cell| means[cell])
                    .collect();
                around.sort_by(|one, other| luma(*one).total_cmp(&luma(*other)));
                // The lightest or darkest cells may be a reflection; beside the digit there are many others.
                around[(around.len() - 1) * if light { 4 } else { 1 } / 5]
            })
            .collect();
        Self { across, down, cells }
    }

    /// Between the middles of cells.
    fn at(&self, photo: &Photo, column: usize, row: usize) -> [f32; 3] {
        // The cell before a place, the one after it, and how far it is from the first.
        let place = |at: usize, of: usize, count: usize| {
            let exact = ((at as f32 + 0.5) * count as f32 / of as f32 - 0.5).clamp(0.0, (count - 1) as f32);
            (exact as usize, (exact as usize + 1).min(count - 1), exact.fract())
        };
        let (left, right, share) = place(column, photo.width, self.across);
        let (top, bottom, depth) = place(row, photo.height, self.down);
        std::array::from_fn(|channel| {
            let cell = |row: usize, column: usize| self.cells[row * self.across + column][channel];
            let upper = cell(top, left) * (1.0 - share) + cell(top, right) * share;
            let lower = cell(bottom, left) * (1.0 - share) + cell(bottom, right) * share;
            upper * (1.0 - depth) + lower * depth
        })
    }
}

/// The nearest value that a test image can have: an 8-bit file and a link hold the picture as it is attacked.
fn in_eight_bits(value: f32) -> f32 {
    (value * 255.0).round() / 255.0
}

/// How light a color is to the eye.
pub fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dark disk on a light ground that darkens to the right.
    fn disk(edge: usize) -> Photo {
        let color = |index: usize| {
            let (row, column) = (index / edge, index % edge);
            let away = (row as f32 - 0.4 * edge as f32).hypot(column as f32 - 0.6 * edge as f32);
            let ground = 0.9 - 0.4 * column as f32 / edge as f32;
            [if away < 0.15 * edge as f32 { 0.1 } else { ground }; 3]
        };
        Photo { width: edge, height: edge, colors: (0..edge * edge).map(color).collect() }
    }

    #[test]
    fn ink_on_shaded_paper_becomes_a_digit_in_the_middle() {
        for edge in [60, 300] {
            let photo = disk(edge);
            assert!(photo.is_on_light_ground());
            let (_, pixels) = photo.digit(true, DatasetId::Mnist).unwrap();
            let inked: Vec<usize> = (0..784).filter(|index| pixels[*index] > 0.5).collect();
            let (rows, columns) = (inked.iter().map(|index| index / 28), inked.iter().map(|index| index % 28));
            // The box of 20 pixels, in the middle of 28.
            assert_eq!(
                (rows.clone().min(), rows.max(), columns.clone().min(), columns.max()),
                (Some(4), Some(23), Some(4), Some(23))
            );
            assert_eq!(pixels[0], 0.0);
        }
    }

    #[test]
    fn a_picture_of_the_test_images_size_is_taken_as_it_is() {
        let colors: Vec<[f32; 3]> = (0..784).map(|index| [if index == 300 { 1.0 } else { 0.2 }; 3]).collect();
        let photo = Photo { width: 28, height: 28, colors };
        assert!(!photo.is_on_light_ground());
        let (_, pixels) = photo.digit(false, DatasetId::Mnist).unwrap();
        assert_eq!((pixels[300], pixels[0]), (1.0, 51.0 / 255.0));
        let scene = Photo { width: 32, height: 32, colors: vec![[0.101, 0.2, 0.299]; 1024] }.scene(DatasetId::Cifar10);
        let eight_bits = [26.0, 51.0, 76.0].map(|level: f32| level / 255.0);
        assert_eq!((scene.len(), [scene[0], scene[1024], scene[2048]]), (3072, eight_bits));
    }

    #[test]
    fn what_is_transparent_is_paper_on_which_the_ink_is_seen() {
        for (ink, light_ground) in [(0, true), (255, false)] {
            // A stroke from top to bottom.
            let colors: Vec<u8> =
                (0..40 * 40).flat_map(|index| [ink, ink, ink, if (18..22).contains(&(index % 40)) { 255 } else { 0 }]).collect();
            let photo = Photo::of_rgba(40, 40, &colors);
            assert_eq!(photo.is_on_light_ground(), light_ground);
            let (_, digit) = photo.digit(light_ground, DatasetId::Mnist).unwrap();
            assert!(digit.iter().filter(|value| **value > 0.5).count() > 20);
        }
        let half = Photo::of_rgba(1, 1, &[0, 0, 255, 128]);
        assert!((half.colors[0][0] - (1.0 - 128.0 / 255.0)).abs() < 1e-6 && (half.colors[0][2] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_picture_of_one_color_has_no_digit() {
        assert_eq!(Photo { width: 50, height: 40, colors: vec![[0.5; 3]; 2000] }.digit(true, DatasetId::Mnist), None);
    }
}
