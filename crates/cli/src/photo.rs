//! A visitor's own picture from a file.

use std::path::Path;

use anyhow::{Context, Result};
use riposte_data::photo::Photo;

use crate::file;

/// The picture in a file, upright, no larger than is worth reading; transparency becomes white, as on paper.
///
/// # Errors
/// Naming the path, if it cannot be read or is no picture.
pub fn read(path: &Path) -> Result<Photo> {
    Photo::of_file(&file::read(path)?)
        .with_context(|| format!("`{}` is not a picture that can be read (PNG, JPEG, WebP, GIF, BMP)", path.display()))
}
