//! `riposte data`: what datasets there are, and what is in them.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::args::{DataArgsCommand, DataCommand, DatasetName, SplitName};
use crate::dataset::{self, Split};
use crate::picture::{Picture, Planar};
use crate::{file, output};

/// # Errors
/// If files are missing, damaged, or cannot be downloaded or written.
pub fn run(args: DataArgsCommand) -> Result<()> {
    match args.command {
        DataCommand::List { data, json } => todo!(),
        DataCommand::Fetch { dataset, data } => todo!(),
        DataCommand::Verify { dataset, data } => todo!(),
        DataCommand::Preview { dataset, out, split, columns, data } => preview(dataset, &out, split, columns, data.as_deref()),
    }
}

/// Writes the first `columns` images of each class, a row for each class.
fn preview(name: DatasetName, out: &Path, split: SplitName, columns: usize, folder: Option<&Path>) -> Result<()> {
    /// Wider sheets than anyone looks at.
    const MOST: usize = 1000;
    ensure!(columns <= MOST, "at most {MOST} images of each class fit a sheet");
    let split = match split {
        SplitName::Train => Split::Train,
        SplitName::Test => Split::Test,
    };
    let dataset = dataset::load(name, split, folder)?;
    let images = dataset.images();
    let shape = [images.channels(), images.height(), images.width()];
    let black = Picture { width: shape[2], height: shape[1], rgb: vec![[0; 3]; shape[1] * shape[2]] };
    let mut pictures = Vec::new();
    for class in 0..dataset.classes() {
        let of_class = (0..dataset.len()).filter(|index| dataset.label(*index) == class).take(columns);
        let mut row: Vec<Picture> = of_class.map(|index| Planar { pixels: &images.to_f32([index]), shape }.picture()).collect();
        row.resize(columns, black.clone());
        pictures.extend(row);
    }
    let sheet = Picture::sheet(&pictures, columns, [128; 3])?;
    file::write_atomically(out, &sheet.enlarged(2).png()?)?;
    output::line(&format!("`{}`: {columns} images of each of {} classes of {name}", out.display(), dataset.classes()))
}
