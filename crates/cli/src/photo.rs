//! A visitor's own picture from a file.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use image::{DynamicImage, ImageDecoder, ImageReader};
use riposte_data::photo::{Photo, READ};

use crate::file;

/// The picture in a file, upright, no larger than is worth reading; what is transparent becomes paper.
///
/// # Errors
/// Naming the path, if it cannot be read or is no picture.
pub fn read(path: &Path) -> Result<Photo> {
    let image = decode(&file::read(path)?)
        .with_context(|| format!("`{}` is not a picture that can be read (PNG, JPEG, WebP, GIF, BMP)", path.display()))?;
    let most = READ as u32;
    let image = if image.width().max(image.height()) > most { image.thumbnail(most, most) } else { image };
    let image = image.to_rgba8();
    Ok(Photo::of_rgba(image.width() as usize, image.height() as usize, image.as_raw()))
}

fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}
