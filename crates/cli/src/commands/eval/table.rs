//! The figures of an evaluation for people.

use std::fmt::Write;

use riposte::evaluate::Gain;
use riposte::post_train::Exit;
use riposte::spec::Choice;
use riposte::spec::counter::{CounterKind, Row};

use super::Report;
use crate::models::Source;
use crate::output::{percent, points};
use riposte::spec::dataset::DatasetId;

/// All figures, in lines of at most 100 characters.
pub(super) fn of(report: &Report, dataset: DatasetId, source: &Source) -> String {
    let summary = &report.summary;
    let images = summary.images;
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes it");
    let what = format!("{} ({}), {images} test images of {dataset}", source.name, source.architecture);
    if report.images_computed == images {
        line(format!("{what}, {}", report.device));
    } else {
        line(what);
        for part in &report.parts {
            line(format!("Inputs {} to {}: {}", part.first, part.end() - 1, part.how()));
        }
    }
    line(String::new());
    line(format!("{:<28}{:>7}  {:>9}  95 % interval", "", "right", "accuracy"));
    let transform = report.settings.defense;
    let defense = transform.map_or("riposte", |transform| transform.kind().name());
    let (defended, defended_attacked) = (format!("{defense}, natural"), format!("{defense}, attacked"));
    let is_riposte = transform.is_none();
    let rows = [
        ("base, natural", Some(summary.natural_correct), Some(report.intervals.natural)),
        ("base, attacked", summary.robust_correct, report.intervals.robust),
        (&defended, summary.riposte_natural_correct, report.intervals.riposte_natural),
        (&defended_attacked, summary.riposte_robust_correct, report.intervals.riposte_robust),
        ("label is y' or y''", summary.neighbor_correct.filter(|_| is_riposte), report.intervals.neighbor),
    ];
    for (name, count, interval) in rows {
        if let (Some(count), Some([low, high])) = (count, interval) {
            let share = percent(count as f64 / images as f64);
            line(format!("{name:<28}{count:>7}  {share:>9}  {} to {}", percent(low), percent(high)));
        }
    }
    for (name, gain, published) in [
        ("gain, attacked", report.gain.robust, report.paper.map(|paper| paper.gains()[0])),
        ("gain, natural", report.gain.natural, report.paper.map(|paper| paper.gains()[1])),
    ] {
        if let Some(gain) = gain {
            line(gain_line(name, gain));
            if let (Some(published), Some(paper)) = (published, report.paper) {
                line(format!(
                    "{:<28}{:>18}  (the paper's figure: {}, {} + {})",
                    "",
                    points(published),
                    paper.table,
                    paper.preset,
                    paper.riposte
                ));
            }
        }
    }
    if let (Some(samples), Some(_)) = (report.settings.post_samples, report.paper) {
        line(format!("The paper's riposte draws from all training samples, and this one from the first {samples}."));
    }
    line(String::new());
    if let Some(riposted) = summary.riposted.filter(|_| is_riposte) {
        line(format!("A neighbor was found for {riposted} of {images} images; the others were answered by the base model."));
        if let Some(ahead) = summary.ahead {
            line(format!(
                "Of the {riposted}, {ahead} were answered by it, too: its class was ahead of the neighbor by more than {} logit.",
                Exit::LEAD
            ));
        }
    }
    if let Some(perturbation) = summary.max_perturbation {
        line(format!("Largest change of a pixel by the attack: {perturbation:.4}"));
    }
    if let Some(distance) = summary.max_distance {
        line(format!("Largest Euclidean length of a change by the attack: {distance:.4}"));
    }
    if let (Some(target), Some(shown)) = (report.settings.target, report.of_target) {
        line(format!(
            "{shown} of the images show class {target}, to which the attack leads: they stay as they are and count as right."
        ));
    }
    if let Some(left) = &summary.counter {
        line(String::new());
        line(format!("Against an attacker who knows the defense ({} answers to each image that it never saw):", left.judges));
        line(format!("{:<22}{:>7}  {:>9}  {:<20}{:>6}  gain over it", "", "always", "expected", "95 % interval", "base"));
        for row in &left.rows {
            line(left_line(row));
        }
        if let Some(row) = left.rows.last().filter(|row| row.after != CounterKind::None) {
            let [gain, low, high] = row.worst_gain;
            line(format!(
                "At the worst point of each image, by the judges' own count: {}, gain {} ({} to {})",
                percent(row.worst),
                points(gain),
                points(low),
                points(high)
            ));
        }
    }
    for fooled in &summary.fooled {
        line(format!("Fooled by {}: {} of the images that were still right", fooled.attack, fooled.images));
    }
    for raised in &summary.doubts {
        line(format!("Doubt ({}), {} images: {}", raised.doubt, raised.images, raised.doubt.about()));
    }
    if summary.nan_count > 0 {
        line(format!("Images with logits that are not numbers: {}", summary.nan_count));
    }
    if report.images_computed > 0 {
        line(format!("{:.1} s for {} images", report.seconds, report.images_computed));
    }
    text.truncate(text.trim_end().len());
    text
}

/// What is left after an attack on the defense.
fn left_line(row: &Row) -> String {
    let name = match row.after {
        CounterKind::None => "natural images".to_owned(),
        CounterKind::All => "the attacker's choice".to_owned(),
        kind => format!("after {kind}"),
    };
    let ([low, high], [gain, least, most]) = (row.interval, row.gain);
    let interval = format!("{} to {}", percent(low), percent(high));
    let gain = format!("{} ({} to {})", points(gain), points(least), points(most));
    format!("{name:<22}{:>7}  {:>9}  {interval:<20}{:>6}  {gain}", row.always, percent(row.accuracy), row.base)
}

fn gain_line(name: &str, gain: Gain) -> String {
    let [low, high] = gain.interval;
    format!(
        "{name:<28}{:>18}  {} to {} points ({} won, {} lost)",
        points(gain.gain),
        points(low),
        points(high),
        gain.won,
        gain.lost
    )
}
