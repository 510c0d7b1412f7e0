//! Pictures in files, without a browser's canvas.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageError, ImageReader};

use super::{Photo, READ};

impl Photo {
    /// The picture in a file's bytes, upright, no larger than is worth reading; transparency becomes white, as on paper. PNG and JPEG, and
    /// what else `image` was built with.
    ///
    /// # Errors
    /// As `image` tells them: the bytes are no picture, or one of another kind.
    pub fn of_file(bytes: &[u8]) -> Result<Self, ImageError> {
        let image = decode(bytes)?;
        let most = READ as u32;
        let image = if image.width().max(image.height()) > most { image.thumbnail(most, most) } else { image };
        let image = image.to_rgba8();
        let on_white = |[red, green, blue, alpha]: [u8; 4]| {
            let share = f32::from(alpha) / 255.0;
            [red, green, blue].map(|value| f32::from(value) / 255.0 * share + 1.0 - share)
        };
        Ok(Self {
            width: image.width() as usize,
            height: image.height() as usize,
            colors: image.pixels().map(|pixel| on_white(pixel.0)).collect(),
        })
    }
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The bytes of a PNG. `colors` are red, green, blue and opacity of `width * height` pixels, row by row; each becomes a square of
/// `scale` pixels.
///
/// # Errors
/// If they are too many for a PNG.
///
/// # Panics
/// If there are not as many colors.
pub fn png(width: usize, height: usize, colors: &[u8], scale: usize) -> Result<Vec<u8>, ImageError> {
    assert_eq!(colors.len(), 4 * width * height, "{width} x {height} pixels need as many colors");
    let row = |row: &[u8]| row.chunks_exact(4).flat_map(|color| color.repeat(scale)).collect::<Vec<u8>>();
    let scaled: Vec<u8> = colors.chunks_exact(4 * width.max(1)).flat_map(|colors| row(colors).repeat(scale)).collect();
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&scaled, (width * scale) as u32, (height * scale) as u32, image::ExtendedColorType::Rgba8)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_picture_is_read_back_in_every_pixel_and_transparency_is_paper() {
        let colors = [[255, 0, 0, 255], [0, 51, 0, 255], [0, 0, 255, 0]].concat();
        let photo = Photo::of_file(&png(3, 1, &colors, 2).unwrap()).unwrap();
        assert_eq!((photo.width, photo.height), (6, 2));
        let row = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.2, 0.0], [1.0; 3], [1.0; 3]];
        assert_eq!(photo.colors, [row, row].concat());
    }

    #[test]
    fn bytes_that_are_no_picture_are_refused() {
        assert!(Photo::of_file(b"no picture").is_err());
    }
}
