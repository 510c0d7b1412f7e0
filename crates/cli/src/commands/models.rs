//! `riposte models`: the models that come with the program.

use anyhow::Result;
use riposte::models::{Accuracy, ModelCard};
use riposte::zoo;
use serde::Serialize;

use crate::args::ModelsArgs;
use crate::output::{self, percent};

/// A model in the listing.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    card: ModelCard,
    /// Of the weights.
    bytes: usize,
}

/// # Errors
/// If standard output cannot be written.
pub fn run(args: ModelsArgs) -> Result<()> {
    let cards = zoo::cards().into_iter().filter(|card| args.dataset.is_none_or(|dataset| card.dataset == dataset));
    let entries: Vec<Entry> = cards.map(|card| Ok(Entry { bytes: zoo::size(&card.id)?, card })).collect::<Result<_>>()?;
    if args.json {
        return output::json(&entries);
    }
    let mut rows = vec![
        ["model", "dataset", "architecture", "recipe", "natural", "robust", "under", "size", "opens with"].map(str::to_owned),
    ];
    rows.extend(entries.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        output::line(cells.join("  ").trim_end())?;
    }
    output::line(
        "\n`riposte eval --model NAME` takes one; --json has the commands that trained and measured them. Figures are of all test images.",
    )
}

fn row(Entry { card, bytes }: &Entry) -> [String; 9] {
    let share = |accuracy: Option<&Accuracy>| accuracy.map_or_else(String::new, |accuracy| percent(accuracy.share()));
    let opening = card.opening.as_ref();
    [
        card.id.clone(),
        card.dataset.to_string(),
        card.architecture.to_string(),
        card.recipe().to_owned(),
        share(card.natural()),
        share(card.robust()),
        card.robust().map_or_else(String::new, |accuracy| accuracy.attack.clone()),
        format!("{:.1} MB", *bytes as f64 / 1e6),
        opening.map_or_else(String::new, |opening| format!("image {} in {}", opening.image, opening.preset)),
    ]
}
