//! Reports: one HTML file with everything in it. Here that of a duel; that of a suite is `commands::report`.

pub mod plot;

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use riposte::attack::{Norm, Pgd, Quantize, Start, Stop};
use riposte::neighbor::SearchMethod;
use riposte::post_train::{BatchNormMode, Direction, Perturbation, PostTrain, TrainingData};
use riposte::spec::counter::Counter;
use riposte::spec::outcome::Outcome;
use riposte::spec::units::print_pixels;

use crate::output::percent;
use crate::picture::{Picture, Planar};
use crate::story::{Countering, Sample, Story};

const TEMPLATE: &str = include_str!("report/template.html");

/// What the report says of the run besides the story.
#[derive(Debug, Clone)]
pub struct Colophon {
    /// The command that repeats it.
    pub command: String,
    pub device: String,
    pub seed: u64,
}

/// The report as a self-contained HTML page.
///
/// # Errors
/// If a picture cannot be encoded.
pub fn html(story: &Story, colophon: &Colophon) -> Result<String> {
    let acts: String = story.acts().iter().map(|act| format!("<p>{}</p>\n", escaped(act))).collect();
    let parts = [
        ("{{title}}", format!("Riposte: {}", escaped(&story.image_name()))),
        ("{{verdict}}", escaped(&story.verdict())),
        (
            "{{outcome}}",
            if matches!(story.outcome(), Outcome::Answered | Outcome::NotFooled) { "right" } else { "wrong" }.to_owned(),
        ),
        ("{{acts}}", acts),
        ("{{pictures}}", pictures(story)?),
        ("{{probabilities}}", probabilities(story)),
        ("{{race}}", race(story)?),
        ("{{samples}}", samples(story)?),
        ("{{counter}}", counter(story)?),
        ("{{settings}}", settings(story, colophon)),
        ("{{command}}", escaped(&colophon.command)),
        ("{{version}}", format!("riposte {}, burn {}", env!("CARGO_PKG_VERSION"), env!("BURN_VERSION"))),
    ];
    Ok(filled(TEMPLATE, &parts))
}

/// The style sheet of every report.
pub const STYLE: &str = include_str!("report/style.css");

/// `template` with its markers filled: the style sheet, and `parts`.
pub fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let style = [("{{style}}", STYLE.to_owned())];
    let (mut page, mut rest) = (String::new(), template);
    // From left to right, so that a text which happens to hold a marker is not filled in turn.
    while let Some((at, (marker, text))) =
        parts.iter().chain(&style).filter_map(|part| Some((rest.find(part.0)?, part))).min_by_key(|(at, _)| *at)
    {
        page += &rest[..at];
        page += text;
        rest = &rest[at + marker.len()..];
    }
    page + rest
}

/// `text` as it stands in HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn pictures(story: &Story) -> Result<String> {
    let planar = |pixels| Planar { pixels, shape: story.shape };
    let difference = |to: &[f32], from: &[f32]| -> Vec<f32> { to.iter().zip(from).map(|(to, from)| to - from).collect() };
    let attack = difference(&story.attacked.pixels, &story.image.pixels);
    let search = difference(&story.neighbor.pixels, &story.attacked.pixels);
    let radius = story.riposte.search.attack.epsilon;
    let says = |class: usize| format!("the base model says {}", story.name(class));
    let mut html = String::new();
    for (picture, name, caption) in [
        (planar(&story.image.pixels).picture(), "Image", says(story.image.class())),
        (
            planar(&attack).signed_picture(story.attack.epsilon),
            "Attack",
            format!("red +{0}, blue -{0}", print_pixels(story.attack.epsilon)),
        ),
        (planar(&story.attacked.pixels).picture(), "Attacked image x'", says(story.original_class())),
        (planar(&search).signed_picture(radius), "Search x'' - x'", format!("red +{0}, blue -{0}", print_pixels(radius))),
        (planar(&story.neighbor.pixels).picture(), "Neighbor x''", says(story.neighbor_class())),
    ] {
        let (name, caption) = (escaped(name), escaped(&caption));
        let source = data_uri(&picture)?;
        writeln!(
            html,
            r#"<figure><img src="{source}" alt="{name}: {caption}"><figcaption><b>{name}</b><br>{caption}</figcaption></figure>"#
        )?;
    }
    Ok(html)
}

/// A row for each class, a column for each question.
fn probabilities(story: &Story) -> String {
    let columns = [&story.image.probabilities, &story.attacked.probabilities, &story.neighbor.probabilities, &story.answer];
    let mut html = String::new();
    for class in 0..story.answer.len() {
        let mut marks = Vec::new();
        for (mark, marked) in [("label", story.label), ("y'", story.original_class()), ("y''", story.neighbor_class())] {
            if class == marked {
                marks.push(mark);
            }
        }
        html +=
            &format!("<tr><th scope=\"row\">{} <small>{}</small></th>", escaped(&story.name(class)), escaped(&marks.join(", ")));
        for column in columns {
            let share = f64::from(column[class]);
            html += &format!("<td style=\"--p:{:.1}%\">{}</td>", 100.0 * share, percent(share));
        }
        html += "</tr>\n";
    }
    html
}

fn race(story: &Story) -> Result<String> {
    if !story.adapted {
        return Ok(match story.original_class() == story.neighbor_class() {
            true => "<p>There is no neighbor class, so nothing adapted.</p>",
            false => "<p>The class y' was ahead, so nothing adapted.</p>",
        }
        .to_owned());
    }
    let classes = [("y1", story.original_class(), "y'"), ("y2", story.neighbor_class(), "y''"), ("label", story.label, "label")];
    // The label has a line of its own only where it is neither y' nor y''.
    let shown = if story.label == classes[0].1 || story.label == classes[1].1 { 2 } else { 3 };
    let lines: Vec<(&str, Vec<f32>)> = classes[..shown]
        .iter()
        .map(|(color, class, _)| (*color, story.race.iter().map(|logits| logits[*class]).collect()))
        .collect();
    let legend: String = classes[..shown]
        .iter()
        .map(|(color, class, name)| {
            format!("<span class=\"{color}\">{} = {}</span> ", escaped(name), escaped(&story.name(*class)))
        })
        .collect();
    Ok(format!("<p class=\"legend\">{legend}</p>\n{}", plot::lines(&lines, "steps of the post-training", "logit")?))
}

fn samples(story: &Story) -> Result<String> {
    let mut html = String::new();
    for samples in
        [story.samples.get(..story.samples.len() / 2), story.samples.get(story.samples.len() / 2..)].into_iter().flatten()
    {
        if samples.is_empty() {
            continue;
        }
        let pictures: Vec<Picture> = samples.iter().map(|s| Planar { pixels: &s.pixels, shape: story.shape }.picture()).collect();
        let sheet = Picture::sheet(&pictures, pictures.len(), [128; 3])?;
        let name = escaped(&labels(story, samples));
        writeln!(
            html,
            r#"<figure class="wide"><img src="{}" alt="{name}"><figcaption>{name}</figcaption></figure>"#,
            data_uri(&sheet)?
        )?;
    }
    if html.is_empty() {
        return Ok("<p>None.</p>".to_owned());
    }
    Ok(html)
}

/// The points of the attack on the riposte; nothing where there was none.
fn counter(story: &Story) -> Result<String> {
    let Some(Countering { course, points }) = &story.counter else { return Ok(String::new()) };
    let mut html = "<h2>The counter-riposte</h2>\n<p>The points of an attacker who knows that the model adapts, and what the riposte says of each.</p>\n<div class=\"pictures\">\n".to_owned();
    for (round, pixels) in course.rounds.iter().zip(points) {
        let source = data_uri(&Planar { pixels, shape: story.shape }.picture())?;
        let (title, says) = (round.title(), escaped(&story.name(round.answer)));
        writeln!(
            html,
            r#"<figure><img src="{source}" alt="{title}: {says}"><figcaption><b>{title}</b><br>{says}</figcaption></figure>"#
        )?;
    }
    Ok(html + "</div>\n")
}

fn labels(story: &Story, samples: &[Sample]) -> String {
    let mut classes: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    classes.dedup();
    let names: Vec<String> = classes.iter().map(|class| story.name(*class)).collect();
    format!("Training samples of class {}", names.join(", "))
}

fn settings(story: &Story, colophon: &Colophon) -> String {
    let PostTrain {
        search,
        perturbation,
        data,
        iterations,
        batch_size,
        learning_rate,
        momentum,
        batch_norm,
        parameters,
        samples,
        ..
    } = story.riposte;
    let method = match search.method {
        SearchMethod::Untargeted => "untargeted",
        SearchMethod::Targeted => "targeted at each class",
    };
    let data = match data {
        TrainingData::OriginalAndNeighbor => "original and neighbor class",
        TrainingData::OriginalAndRandom => "original and random class",
        TrainingData::WholeSet => "whole training set",
    };
    let norm = match batch_norm {
        BatchNormMode::Frozen => "running statistics",
        BatchNormMode::BatchStatistics => "batch statistics",
    };
    let rows = [
        ("Model", story.model.clone()),
        (
            "Attack",
            attack_in_words(&story.attack)
                + &story.target.map_or_else(String::new, |class| format!(", towards {}", story.name(class)))
                + match story.quantize {
                    Quantize::None => "",
                    Quantize::Eight => ", rounded to what a file of 8 bits holds",
                },
        ),
        ("Neighbor search", format!("{method}, {}", attack_in_words(&search.attack))),
        (
            "Post-training",
            format!("{iterations} steps of {batch_size} samples ({data}), learning rate {learning_rate}, momentum {momentum}"),
        ),
        ("Parameters that adapt", parameters.to_string()),
        ("Samples", samples.to_string()),
        (
            "Copy",
            match story.banked {
                true => "made beforehand for the two classes",
                false => "made for this input",
            }
            .to_owned(),
        ),
        ("Perturbation of the samples", perturbation_in_words(&perturbation)),
        ("Batch normalization", norm.to_owned()),
        (
            "Attack on the riposte",
            story.counter.as_ref().map_or_else(|| "none".to_owned(), |counter| counter_in_words(&counter.course.settings)),
        ),
        ("Seed", colophon.seed.to_string()),
        ("Device", colophon.device.clone()),
    ];
    rows.iter().map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escaped(value))).collect()
}

fn attack_in_words(attack: &Pgd) -> String {
    let Pgd { norm, epsilon, step_size, steps, restarts, start, stop, loss } = *attack;
    let (epsilon, step_size) = (print_pixels(epsilon), print_pixels(step_size));
    let restarts = if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    let start = match start {
        Start::Zero => "from the image",
        Start::Uniform => "from a random point",
    };
    let stop = match stop {
        Stop::Never => "no early stop",
        Stop::AtSuccess => "stops at success",
    };
    let norm = match norm {
        Norm::LInfinity => "L-infinity",
        Norm::L2 => "L2",
    };
    format!("{norm} {epsilon}, {steps} steps of {step_size} {start}, {restarts}, {stop}, {loss}")
}

fn counter_in_words(counter: &Counter) -> String {
    let Counter { kind, steps, rounds, adaptations, queries, finalists, judges } = *counter;
    let finals = match finalists {
        1 => String::new(),
        more => format!(", {} more to the best {more}", counter.final_answers()),
    };
    format!(
        "{kind}, {steps} steps an ascent, {rounds} rounds, {adaptations} answers a point{finals}, {queries} queries, judged by {judges} \
         others"
    )
}

fn perturbation_in_words(perturbation: &Perturbation) -> String {
    match perturbation {
        Perturbation::Fixed(Direction::Positive) => "x'' - x' added to all".to_owned(),
        Perturbation::Fixed(Direction::Negative) => "x'' - x' taken from all".to_owned(),
        Perturbation::Fixed(Direction::Both) => "x'' - x' added to those of y', taken from those of y''".to_owned(),
        Perturbation::Fast { epsilon, step_size } => {
            format!("FGSM from a random start, epsilon {}, step {}", print_pixels(*epsilon), print_pixels(*step_size))
        }
        Perturbation::Pgd { epsilon, step_size, steps } => {
            format!("PGD, epsilon {}, {steps} steps of {}", print_pixels(*epsilon), print_pixels(*step_size))
        }
        Perturbation::Normal => "none".to_owned(),
    }
}

fn data_uri(picture: &Picture) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(picture.png()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::tests::story;

    fn page(classes: [usize; 4]) -> String {
        let colophon =
            Colophon { command: "riposte duel --index 4 --weights '<a&b>'".to_owned(), device: "CPU".to_owned(), seed: 0 };
        html(&story(3, classes), &colophon).unwrap()
    }

    #[test]
    fn a_report_holds_all_its_parts_and_needs_nothing_else() {
        let page = page([3, 5, 3, 3]);
        assert!(!page.contains("{{"), "a marker was not filled");
        assert!(page.contains("The riposte answers rightly: 3."));
        assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 7, "five pictures, two strips of samples");
        assert!(page.contains("<svg") && page.contains("polyline"));
        assert!(page.contains("--weights '&lt;a&amp;b&gt;'"), "the command is escaped");
        for outside in ["http://", "https://", "<script", "<link"] {
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn without_a_neighbor_the_report_says_so() {
        let page = page([3, 5, 5, 5]);
        assert!(page.contains("nothing adapted") && !page.contains("<svg"));
    }
}
