//! The tables about attackers who know the defense, or who can only ask it.

use riposte::evaluate::{Gain, Summary};
use riposte::spec::Choice;
use riposte::spec::bench::Table;
use riposte::spec::counter::{CounterKind, share};
use riposte::spec::preset::PresetName;
use riposte::spec::queries::{Attacked, Drawn, Estimate, Line as Asking, Signs};
use riposte::spec::verdict::Difference;

use super::gather::{Asked, Measured};
use super::sheets::{Line, Share, Sheet, verdict};
use crate::output::points;

/// What is left of the defense after each attack on it and those before.
pub(super) fn counters(runs: &[Measured]) -> Sheet {
    let mut rows = Vec::new();
    for run in runs {
        let Some(left) = Summary::of(&run.records).counter else { continue };
        for row in &left.rows {
            rows.push(Line {
                model: run.model.clone(),
                what: match row.after {
                    CounterKind::None => format!("{}, natural images", run.form()),
                    CounterKind::All => format!("{}, the attacker's choice", run.form()),
                    kind => format!("{}, after {kind}", run.form()),
                },
                images: Some(left.images),
                before: Some(Share::of(row.base, left.images)),
                expected: Some([row.accuracy, row.interval[0], row.interval[1]]),
                always: Some(row.always),
                expected_gain: Some(row.gain),
                worst: Some(row.worst),
                worst_gain: Some(row.worst_gain),
                ..Line::default()
            });
        }
    }
    let mut sentence = "An attacker who can do all that the defense does chose a point for each image by what the defense answers there; \
                        other answers, with draws that the attacker never saw, judge it. A row counts the worst point so far, by the \
                        attacker's own count; the base model counts as right where it is at all of them. The attacker's choice: at the \
                        end it asked once more about the best points of all attacks, twice as often, and chose by those answers alone. \
                        Always: every answer was right. At the worst point: the one of each image, of those so far, at which the judges \
                        found fewest right answers, which is a little too low, as a minimum of several counts is."
        .to_owned();
    for run in runs {
        if let Some(sentence_of_run) = left_of_the_gain(run) {
            sentence += " ";
            sentence += &sentence_of_run;
        }
    }
    Sheet { title: "What an attacker leaves who knows the defense".to_owned(), verdict: None, sentence, rows }
}

/// In words: the gain under the attack on the base model, and what is left of it at the points that stand at the end.
fn left_of_the_gain(run: &Measured) -> Option<String> {
    let left = Summary::of(&run.records).counter?;
    let last = left.rows.last().filter(|row| row.after != CounterKind::None)?;
    // Without a choice among finalists the attacker's own count is too lucky to stand for it.
    let ([gain, low, high], place) = match last.after {
        CounterKind::All => (last.gain, "at the points that the attacker chose"),
        _ => (last.worst_gain, "at the worst points"),
    };
    let before = Gain::robust(&run.records).map(|before| points(before.gain));
    let what = match (low > 0.0, high < 0.0) {
        (true, _) => "a gain is left",
        (_, true) => "less is left than the base model alone has",
        _ => "no gain is left that could be told from none",
    };
    Some(format!(
        "{}, {}: {} points before, {} ({} to {}) {place}: {what}.",
        run.model,
        run.form(),
        before.unwrap_or_else(|| "no attack".to_owned()),
        points(gain),
        points(low),
        points(high)
    ))
}

/// The paper's figure for an estimate, as it is defined there.
fn published(estimate: Estimate, drawn: Drawn) -> Option<f64> {
    match (estimate, drawn) {
        (Estimate::Gradient, Drawn::Fresh) => Some(0.0873),
        (Estimate::Zoo, Drawn::Fresh) => Some(0.46),
        (Estimate::OptAttack, Drawn::Fresh) => Some(0.58),
        (_, Drawn::Common | Drawn::Same) => None,
    }
}

/// Table 6.
pub(super) fn signs(asked: &[Asked]) -> Sheet {
    let mut rows = Vec::new();
    for Asked { model, head, lines } in asked {
        for estimate in Estimate::ALL {
            for drawn in Drawn::ALL {
                let of = |line: &Asking| match line {
                    Asking::Signs(signs) if (signs.estimate, signs.draws) == (*estimate, *drawn) => Some(signs.clone()),
                    _ => None,
                };
                let found: Vec<Signs> = lines.iter().filter_map(of).filter(|signs| signs.pixels > 0).collect();
                if found.is_empty() {
                    continue;
                }
                // All signs of an Opt-Attack estimate differ or none: its unit is the image, as ZOO's one pixel is.
                let whole = *estimate != Estimate::Gradient;
                let [differing, compared] = found.iter().fold([0, 0], |[differing, compared], signs| match whole {
                    true => [differing + usize::from(signs.differing > 0), compared + 1],
                    false => [differing + signs.differing, compared + signs.pixels],
                });
                let mut share = Share::of(differing, compared);
                if !whole {
                    share.interval = over_images(&found);
                }
                let paper = published(*estimate, *drawn);
                rows.push(Line {
                    model: model.clone(),
                    what: format!("{}, {estimate}, {drawn} draws", head.preset),
                    images: Some(found.len()),
                    differing: Some(share),
                    answers: Some(found.iter().map(|signs| signs.answers as f64).sum::<f64>() / found.len() as f64),
                    paper: paper.into_iter().collect(),
                    // Pixels of an image do not count one by one.
                    difference: paper.filter(|_| whole).map(|paper| Difference::of_share(differing, compared, paper)),
                    ..Line::default()
                });
            }
        }
    }
    let (verdict, mut sentence) = verdict(&rows);
    sentence += " Natural images to which the defense adapts; two estimates of each. With `fresh` draws every answer has draws of its own, as in \
                 the paper; with `common` draws the two answers of a difference have the same and the two estimates have not; with the `same` \
                 draws for all, a control, nothing may differ.";
    Sheet { title: Table::Gradients.title().to_owned(), verdict, sentence, rows }
}

/// Of the mean share of an image.
fn over_images(found: &[Signs]) -> [f64; 2] {
    let shares: Vec<f64> = found.iter().map(|signs| signs.differing as f64 / signs.pixels as f64).collect();
    let [_, low, high] = share(&shares);
    [low, high]
}

/// What ZOO and Opt-Attack achieve.
pub(super) fn attacks(asked: &[Asked]) -> Sheet {
    let mut rows = Vec::new();
    for Asked { model, head, lines } in asked {
        for estimate in [Estimate::Zoo, Estimate::OptAttack] {
            for defended in [false, true] {
                let of = |line: &Asking| match line {
                    Asking::Attacked(attacked) if (attacked.attack, attacked.defended) == (estimate, defended) => {
                        Some(attacked.clone())
                    }
                    _ => None,
                };
                let found: Vec<Attacked> = lines.iter().filter_map(of).collect();
                if found.is_empty() {
                    continue;
                }
                let holds = |attacked: &&Attacked| attacked.wrong.is_some_and(|[wrong, of]| 2 * wrong > of);
                rows.push(Line {
                    model: model.clone(),
                    what: match defended {
                        true => format!("{estimate} on {}", head.preset),
                        false => format!("{estimate} on the base model"),
                    },
                    images: Some(found.len()),
                    fooled: Some(Share::of(found.iter().filter(holds).count(), found.len())),
                    answers: median(found.iter().filter_map(|attacked| attacked.first_success.map(|count| count as f64))),
                    distance: median(found.iter().filter_map(|attacked| attacked.distance)),
                    ..Line::default()
                });
            }
        }
    }
    let sentence = "Each attack asks until its answers are used up, and looks for the smallest change, however large. Fooled: most of 16 other \
                    answers are wrong at the point that it ends with; of the base model's the one. Answers: median until the first wrong \
                    one. Distance: median of the Euclidean length of the smallest change with a wrong answer."
        .to_owned();
    Sheet { title: "ZOO and Opt-Attack, run to their ends".to_owned(), verdict: None, sentence, rows }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Measured {
    /// What answers, in short.
    fn form(&self) -> String {
        let own = self.settings.bank.as_ref().map_or(String::new(), |bank| format!(", a bank of {} ({})", bank.draws, bank.pick));
        let known = self.settings.counter_bank.as_ref().map_or("", |_| ", the attacker's bank is another one");
        format!("{}{own}{known}", self.preset_of_riposte())
    }

    /// The preset whose riposte answers, whatever the attack; else the file's name.
    fn preset_of_riposte(&self) -> String {
        let same = |preset: &&PresetName| {
            let setup = preset.preset().setup();
            self.settings.bank.is_none() && setup.riposte == self.settings.riposte
        };
        let presets = self.settings.dataset.presets();
        presets.iter().find(same).map_or_else(
            || self.files[0].file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            |preset| preset.to_string(),
        )
    }
}
