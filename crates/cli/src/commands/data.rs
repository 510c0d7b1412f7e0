//! `riposte data`: what datasets there are, and what is in them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use riposte::data::fetch::{Library, Origin};
use riposte::spec::Choice;
use serde::Serialize;

use crate::args::{DataArgsCommand, DataCommand};
use crate::dataset::{self, DatasetId, Split};
use crate::interrupt::Interrupt;
use crate::picture::{Picture, Planar};
use crate::progress::download_bar;
use crate::{file, output};

/// # Errors
/// If files are missing, damaged, or cannot be downloaded or written.
pub fn run(args: DataArgsCommand) -> Result<()> {
    match args.command {
        DataCommand::List { data, json } => list(&dataset::library(data.as_deref())?, json),
        DataCommand::Fetch { dataset } => fetch(dataset),
        DataCommand::Verify { dataset, data } => verify(dataset, &dataset::library(data.as_deref())?),
        DataCommand::Preview { dataset, out, split, columns, data } => preview(dataset, &out, split, columns, data.as_deref()),
    }
}

/// A dataset and where its files are.
#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    train: usize,
    test: usize,
    /// A folder, an archive, or `generated`; `None` where files are missing.
    place: Option<String>,
}

fn list(library: &Library, json: bool) -> Result<()> {
    let entries: Vec<Entry> = DatasetId::ALL
        .iter()
        .map(|name| Entry {
            name: name.name(),
            train: name.size(Split::Train),
            test: name.size(Split::Test),
            place: place(library, *name),
        })
        .collect();
    if json {
        return output::json(&entries);
    }
    for Entry { name, train, test, place } in entries {
        let place = place.unwrap_or_else(|| format!("not here; `riposte data fetch {name}` downloads it"));
        output::line(&format!("{name:<8} {train} training and {test} test images; {place}"))?;
    }
    Ok(())
}

/// Where the files of both splits are.
fn place(library: &Library, name: DatasetId) -> Option<String> {
    let (train, test) = (library.locate(name, Split::Train)?, library.locate(name, Split::Test)?);
    Some(if train == test { train.to_string() } else { format!("{train} and {test}") })
}

fn fetch(name: DatasetId) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let origin = dataset::library(None)?.fetch(name, &mut download_bar(|| interrupt.pressed()))?;
    match origin {
        Origin::Generated => output::line("The digits are drawn by the program: there is nothing to download."),
        Origin::Files(_) => output::line(&format!("{name}: {origin}")),
    }
}

fn verify(name: Option<DatasetId>, library: &Library) -> Result<()> {
    let names = match &name {
        Some(name) => std::slice::from_ref(name),
        None => DatasetId::ALL,
    };
    for name in names.iter().filter(|name| **name != DatasetId::Digits) {
        let splits = [Split::Train, Split::Test].map(|split| (split, library.locate(*name, split)));
        for (split, origin) in splits {
            let split_name = if split == Split::Train { "training" } else { "test" };
            let Some(origin) = origin else {
                if names.len() == 1 {
                    bail!("there are no {split_name} images of {name}; `riposte data fetch {name}` downloads them");
                }
                output::line(&format!("{name}, {split_name} images: not here"))?;
                continue;
            };
            let loaded =
                library.load(*name, split, None, &mut download_bar(|| false)).with_context(|| format!("{name} in {origin}"))?;
            let count = loaded.dataset.len();
            ensure!(count == name.size(split), "{name} in {origin}: {count} {split_name} images, not {}", name.size(split));
            let notes = if loaded.notes.is_empty() { "as published".to_owned() } else { loaded.notes.join("; ") };
            output::line(&format!("{name}, {count} {split_name} images in {origin}: {notes}"))?;
        }
    }
    Ok(())
}

/// Writes the first `columns` images of each class, a row for each class.
fn preview(name: DatasetId, out: &Path, split: Split, columns: usize, folder: Option<&Path>) -> Result<()> {
    /// Wider sheets than anyone looks at.
    const MOST: usize = 1000;
    ensure!(columns <= MOST, "at most {MOST} images of each class fit a sheet");
    let dataset = dataset::load(name, split, None, folder)?;
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
