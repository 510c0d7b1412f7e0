//! What a report shows beside its tables.

use std::fmt::Write;

use anyhow::Result;
use riposte::evaluate::{Record, Summary, wilson_interval};
use riposte::spec::bench::Protocol;
use riposte::spec::outcome::Outcome;

use super::gather::Measured;
use crate::report::escaped;
use crate::report::plot::{self, Point};

/// Accuracy against the iterations of the post-training, of each model that was measured with more than one number of them.
///
/// # Errors
/// If it cannot be drawn.
pub(super) fn plots(runs: &[Measured]) -> Result<String> {
    let mut html = String::new();
    let mut models: Vec<&str> = runs.iter().map(|run| run.model.as_str()).collect();
    models.sort_unstable();
    models.dedup();
    for model in models {
        let series = [(Protocol::Paper, "y1"), (Protocol::Strict, "y2")]
            .map(|(protocol, color)| (color, over_iterations(runs, model, protocol)));
        if series.iter().all(|(_, points)| points.len() < 2) {
            continue;
        }
        let svg = plot::points(&series, "iterations of the post-training", "accuracy on attacked images, %")?;
        writeln!(
            html,
            "<h2>{}: accuracy against iterations</h2>\n<p class=\"legend\"><span class=\"y1\">paper's protocol</span> <span \
             class=\"y2\">strict protocol</span></p>\n{svg}",
            escaped(model)
        )?;
    }
    Ok(html)
}

fn over_iterations(runs: &[Measured], model: &str, protocol: Protocol) -> Vec<Point> {
    let is_fixed = |key: &str| key == "fixed" || key.starts_with("iterations-");
    let mut points: Vec<Point> = runs
        .iter()
        .filter(|run| run.model == model && run.settings.seed == 0)
        .filter(|run| run.cell.is_some_and(|(row, of)| is_fixed(row.key) && of == protocol))
        .filter_map(|run| {
            let summary = Summary::of(&run.records);
            let right = summary.riposte_robust_correct?;
            let interval = wilson_interval(right, summary.images).map(|share| 100.0 * share);
            let iterations = run.settings.riposte?.iterations;
            Some(Point { x: iterations as f64, y: 100.0 * right as f64 / summary.images as f64, interval })
        })
        .collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}

/// Of each model's headline run: how often y' had which neighbor.
pub(super) fn confusions(runs: &[Measured]) -> String {
    let mut html = String::new();
    for run in headlines(runs) {
        let classes = run.settings.dataset.classes();
        let answers: Vec<_> = run.records.iter().filter_map(|record| record.riposte_attacked).collect();
        let count = |original: usize, neighbor: usize| {
            answers.iter().filter(|answer| (answer.original, answer.neighbor) == (original, neighbor)).count()
        };
        let most = (0..classes.len()).flat_map(|a| (0..classes.len()).map(move |b| (a, b)));
        let most = most.filter(|(a, b)| a != b).map(|(a, b)| count(a, b)).max().unwrap_or(0).max(1);
        let head: String = classes.iter().map(|class| format!("<th scope=\"col\" class=\"class\">{class}</th>")).collect();
        let mut body = String::new();
        for (original, class) in classes.iter().enumerate() {
            body += &format!("<tr><th scope=\"row\">{class}</th>");
            for neighbor in 0..classes.len() {
                let found = count(original, neighbor);
                let share = if original == neighbor { 0 } else { 100 * found / most };
                body += &format!("<td class=\"shade\" style=\"--p:{share}%\">{found}</td>");
            }
            body += "</tr>\n";
        }
        let name = escaped(&run.name());
        html += &format!(
            "<h2>Neighbor classes: {name}</h2>\n<p>Rows are y', the base model's class of the attacked image; columns are y''. On the diagonal \
             no neighbor was found.</p>\n<div class=\"scroll\"><table><thead><tr><th></th>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n"
        );
    }
    html
}

/// Of each model's headline run: the first inputs that the riposte saved, lost and spoiled, and how to see one.
pub(super) fn gallery(runs: &[Measured]) -> String {
    const SHOWN: usize = 12;
    let mut html = String::new();
    for run in headlines(runs) {
        let of = |outcomes: &[Outcome]| {
            let is = |record: &&Record| record.outcome().is_some_and(|outcome| outcomes.contains(&outcome));
            let numbers: Vec<String> = run.records.iter().filter(is).map(|record| record.input.to_string()).collect();
            let more = if numbers.len() > SHOWN { format!(" and {} more", numbers.len() - SHOWN) } else { String::new() };
            if numbers.is_empty() { "none".to_owned() } else { numbers[..numbers.len().min(SHOWN)].join(", ") + &more }
        };
        let command = run.command().replacen("riposte eval", "riposte duel", 1).replace(" --natural off", "");
        let command = command.split(" --images ").next().unwrap_or_default();
        html += &format!(
            "<h2>Inputs: {}</h2>\n<table class=\"settings\"><tr><th scope=\"row\">Saved: the attack fools the base model, the riposte is \
             right</th><td>{}</td></tr><tr><th scope=\"row\">Lost: both are wrong</th><td>{}</td></tr><tr><th scope=\"row\">Spoiled: the \
             riposte alone is wrong</th><td>{}</td></tr></table>\n<p>To see one: <code>{} --index N</code></p>\n",
            escaped(&run.name()),
            of(&[Outcome::Answered]),
            of(&[Outcome::Failed, Outcome::NoNeighbor]),
            of(&[Outcome::Spoiled]),
            escaped(command)
        );
    }
    html
}

/// The run of each model that the paper's headline is about.
fn headlines(runs: &[Measured]) -> Vec<&Measured> {
    let is = |run: &&Measured| run.cell.is_some_and(|(row, protocol)| row.key == "fixed" && protocol == Protocol::Paper);
    let mut found: Vec<&Measured> = Vec::new();
    for run in runs.iter().filter(is) {
        if found.iter().all(|other| other.model != run.model) {
            found.push(run);
        }
    }
    found
}
