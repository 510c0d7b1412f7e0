//! Pictures of tensors: PNGs for files and reports, half blocks for terminals.

use anyhow::{Result, ensure};

/// Pixels of one image, planar `[channel, height, width]`, 1 or 3 channels, values in `[0, 1]` unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Planar<'a> {
    pub pixels: &'a [f32],
    /// Channels, height, width.
    pub shape: [usize; 3],
}

/// An 8-bit color picture, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<[u8; 3]>,
}

impl Planar<'_> {
    /// The image as it looks; values outside `[0, 1]` are clipped.
    pub fn picture(self) -> Picture {
        self.map(|values| values.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8))
    }

    /// A signed perturbation in `[-bound, bound]`: red where it adds, blue where it takes away, gray where nothing changes. Color
    /// images show the mean over the channels.
    pub fn signed_picture(self, bound: f32) -> Picture {
        self.map(|values| {
            let mean = values.iter().sum::<f32>() / 3.0;
            let share = if bound > 0.0 { (mean / bound).clamp(-1.0, 1.0) } else { 0.0 };
            let toward = |middle: f32, end: f32| (middle + (end - middle) * share.abs()).round() as u8;
            let end = if share >= 0.0 { [214.0, 40.0, 40.0] } else { [36.0, 90.0, 220.0] };
            end.map(|end| toward(128.0, end))
        })
    }

    fn map(self, color: impl Fn([f32; 3]) -> [u8; 3]) -> Picture {
        let [channels, height, width] = self.shape;
        let plane = height * width;
        let rgb = (0..plane).map(|at| color([0, 1, 2].map(|channel| self.pixels[(channel % channels) * plane + at]))).collect();
        Picture { width, height, rgb }
    }
}

impl Picture {
    /// Puts pictures of one size side by side, `columns` to a row, with a gap of one pixel in `background`.
    ///
    /// # Errors
    /// If there is no picture, or one has another size.
    pub fn sheet(pictures: &[Self], columns: usize, background: [u8; 3]) -> Result<Self> {
        ensure!(!pictures.is_empty() && columns > 0, "there is no picture to show");
        let (width, height) = (pictures[0].width, pictures[0].height);
        ensure!(pictures.iter().all(|picture| (picture.width, picture.height) == (width, height)), "the pictures differ in size");
        let columns = columns.min(pictures.len());
        let rows = pictures.len().div_ceil(columns);
        let (sheet_width, sheet_height) = (columns * (width + 1) + 1, rows * (height + 1) + 1);
        let mut rgb = vec![background; sheet_width * sheet_height];
        for (index, picture) in pictures.iter().enumerate() {
            let (left, top) = (1 + index % columns * (width + 1), 1 + index / columns * (height + 1));
            for (y, row) in picture.rgb.chunks_exact(width).enumerate() {
                rgb[(top + y) * sheet_width + left..][..width].copy_from_slice(row);
            }
        }
        Ok(Self { width: sheet_width, height: sheet_height, rgb })
    }

    /// The same picture with each pixel as a square of `factor` pixels.
    pub fn enlarged(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let rgb = (0..width * height).map(|at| self.rgb[at / width / factor * self.width + at % width / factor]).collect();
        Self { width, height, rgb }
    }

    /// A PNG file.
    ///
    /// # Errors
    /// If the picture is too large for the format.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.rgb.as_flattened())?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Lines for a terminal with 256 colors: each character shows two pixels, one above the other.
    pub fn half_blocks(&self) -> Vec<String> {
        let rows: Vec<&[[u8; 3]]> = self.rgb.chunks_exact(self.width).collect();
        rows.chunks(2)
            .map(|pair| {
                let mut line = String::new();
                for (x, upper) in pair[0].iter().enumerate() {
                    let lower = pair.get(1).map_or([0; 3], |row| row[x]);
                    line += &format!("\x1b[38;5;{};48;5;{}m\u{2580}", terminal_color(*upper), terminal_color(lower));
                }
                line + "\x1b[0m"
            })
            .collect()
    }
}

/// The nearest of the 24 grays or of the 6x6x6 cube of xterm's palette.
fn terminal_color([red, green, blue]: [u8; 3]) -> u8 {
    if red == green && green == blue {
        return match red {
            0..=3 => 16,
            253..=255 => 231,
            _ => 232 + ((u16::from(red).saturating_sub(8) + 5) / 10).min(23) as u8,
        };
    }
    let level = |value: u8| (u16::from(value) * 5 + 127) / 255;
    (16 + 36 * level(red) + 6 * level(green) + level(blue)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gray_image_is_gray_and_clipped() {
        let picture = Planar { pixels: &[0.0, 1.0, 0.5, 7.0], shape: [1, 2, 2] }.picture();
        assert_eq!(picture.rgb, [[0; 3], [255; 3], [128; 3], [255; 3]]);
    }

    #[test]
    fn color_planes_become_color_pixels() {
        let picture = Planar { pixels: &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], shape: [3, 1, 2] }.picture();
        assert_eq!(picture.rgb, [[255, 0, 0], [0, 255, 0]]);
    }

    #[test]
    fn signs_of_a_perturbation_are_told_apart() {
        let picture = Planar { pixels: &[0.3, -0.3, 0.0], shape: [1, 1, 3] }.signed_picture(0.3);
        assert_eq!(picture.rgb, [[214, 40, 40], [36, 90, 220], [128; 3]]);
    }

    #[test]
    fn a_png_decodes_to_the_same_pixels() {
        let picture = Picture { width: 2, height: 1, rgb: vec![[1, 2, 3], [4, 5, 6]] }.enlarged(2);
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture.png().unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!(bytes, [[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]].repeat(2).as_flattened());
    }

    #[test]
    fn a_sheet_has_a_gap_around_each_picture() {
        let dot = Picture { width: 1, height: 1, rgb: vec![[9; 3]] };
        let sheet = Picture::sheet(&[dot.clone(), dot.clone(), dot], 2, [0; 3]).unwrap();
        assert_eq!((sheet.width, sheet.height), (5, 5));
        assert_eq!(sheet.rgb.iter().filter(|pixel| **pixel == [9; 3]).count(), 3);
    }
}
