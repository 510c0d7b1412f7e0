//! The course of an attack on a defense over one image: its rounds, and how it ended.

use serde::{Deserialize, Serialize};

use super::{Counter, CounterKind, Judged};
use crate::choice::choices;

/// What an attacker has seen of the defense at a point that it chose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Which attack.
    pub kind: CounterKind,
    /// Which round of it, from 0; of an attack without rounds, which of the points that were looked at closely.
    pub index: usize,
    /// How many models the attacker climbed against: the base model and the copies that it had seen.
    pub copies: usize,
    /// y' and y'' in the first answer; equal where there is no neighbor.
    pub pair: [usize; 2],
    /// The class that the defense answers first.
    pub answer: usize,
    /// The label's probability, the mean over the answers.
    pub truth: f32,
    /// How many answers were wrong, and how many there were.
    pub fooled: [usize; 2],
}

impl Round {
    /// `Round 3`, or `Point 3` of an attack without rounds.
    pub fn title(&self) -> String {
        format!("{} {}", if self.kind.goes_in_rounds() { "Round" } else { "Point" }, self.index + 1)
    }

    /// By what the attacker climbed to its point.
    pub fn against(&self) -> String {
        match self.kind {
            CounterKind::Square | CounterKind::RayS => "by its answers alone".to_owned(),
            CounterKind::Bank => "against copies that it knew before".to_owned(),
            // After the first round the base model is one of its models only where nothing adapted.
            CounterKind::FixedPoint | CounterKind::Trajectory if self.index > 0 => "against what answered last".to_owned(),
            _ => match self.copies {
                1 => "against the classifier".to_owned(),
                2 => "against it and a copy".to_owned(),
                models => format!("against it and {} copies", models - 1),
            },
        }
    }

    /// Whether the attacker saw wrong answers alone.
    pub fn has_fallen(&self) -> bool {
        self.fooled[0] == self.fooled[1]
    }
}

/// A point under judgment, by answers whose draws the attacker never saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgment {
    /// Who chose the point; none: the natural image, a control.
    pub kind: Option<CounterKind>,
    /// The [`index`](Round::index) of the round that it is of; 0 for the natural image.
    pub round: usize,
    /// How often the defense is right there.
    pub judged: Judged,
    /// The class that it answers first.
    pub answer: usize,
    /// The label's probability, the mean over the answers.
    pub truth: f32,
}

/// An attack on the defense over one image from its first round to its judgment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// What the attacker did.
    pub settings: Counter,
    /// In the order in which they were fought.
    pub rounds: Vec<Round>,
    /// The natural image first, then each point that the attacker chose: the last one stands.
    pub judgments: Vec<Judgment>,
}

choices! {
    /// How an attack on the defense ended.
    pub enum Ending: "ending" {
        /// The defense errs on the natural image already
        Unneeded = "unneeded",
        /// The attacker's best point is answered rightly by most fresh draws
        Held = "held",
        /// No neighbor is left within the search's reach, and the base model, which is wrong, answers
        NoNeighbor = "no-neighbor",
        /// The copies train on two classes that are both not the label
        WrongPair = "wrong-pair",
        /// The label is one of the two classes, and the copies are wrong all the same
        CopiesAgree = "copies-agree",
    }
}

impl Ending {
    /// Whether the defense gave way to the attacker.
    pub fn is_a_fall(self) -> bool {
        match self {
            Self::Unneeded | Self::Held => false,
            Self::NoNeighbor | Self::WrongPair | Self::CopiesAgree => true,
        }
    }
}

impl Course {
    /// The point that stands; `None` if the attacker found nothing to take hold of.
    pub fn verdict(&self) -> Option<&Judgment> {
        self.judgments.iter().rfind(|judgment| judgment.kind.is_some())
    }

    /// The place of its round.
    pub fn standing(&self) -> Option<usize> {
        let verdict = self.verdict()?;
        self.rounds.iter().position(|round| Some(round.kind) == verdict.kind && round.index == verdict.round)
    }

    /// How it ended for an image with this label.
    pub fn ending(&self, label: usize) -> Ending {
        if self.judgments.first().is_some_and(|natural| !natural.judged.is_mostly_right()) {
            return Ending::Unneeded;
        }
        match self.verdict().map(|verdict| verdict.judged).filter(|judged| !judged.is_mostly_right()) {
            None => Ending::Held,
            Some(Judged { original, neighbor, .. }) if original == neighbor => Ending::NoNeighbor,
            Some(Judged { original, neighbor, .. }) if original != label && neighbor != label => Ending::WrongPair,
            Some(_) => Ending::CopiesAgree,
        }
    }

    /// How it ended and why, in a sentence or two. `name` is a class as the reader knows it.
    pub fn sentence(&self, label: usize, name: impl Fn(usize) -> String) -> String {
        let Some(Judgment { judged, answer, round, .. }) = self.verdict() else {
            return match self.ending(label) {
                Ending::Unneeded => unneeded(),
                _ => "The defense holds: the attacker found nothing to take hold of.".to_owned(),
            };
        };
        let says = name(*answer);
        let [original, neighbor] = [judged.original, judged.neighbor].map(&name);
        let why = match self.ending(label) {
            Ending::Unneeded => return unneeded(),
            Ending::Held => {
                let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
                let tries = if self.settings.kind.goes_in_rounds() {
                    count(self.rounds.len(), "round")
                } else {
                    count(self.rounds.len(), "picture")
                };
                return format!(
                    "The defense holds against {tries}: asked {} anew about the attacker's best picture, it is right {}.",
                    times(judged.of),
                    share(judged.right, judged.of)
                );
            }
            // The draws decide, and the first of them was for the label.
            _ if *answer == label => {
                "its answers change with the samples that it draws, and no more than half of them are right".to_owned()
            }
            Ending::NoNeighbor => {
                format!(
                    "no other class is left within the search's reach, so no copy is trained, and the model as it was says {says}"
                )
            }
            Ending::WrongPair => {
                format!("the two classes that the copy trains on, {original} and {neighbor}, are both wrong, and it says {says}")
            }
            Ending::CopiesAgree => {
                format!(
                    "the right class is one of the two that the copies train on, {original} and {neighbor}, and they say {says} all the same"
                )
            }
        };
        let where_ = match self.settings.kind.goes_in_rounds() {
            true => format!("the picture of round {}", round + 1),
            false => "the attacker's picture".to_owned(),
        };
        let wrong = share(judged.of - judged.right, judged.of);
        format!("The defense falls to {where_}: {why}. Asked {} anew, it is wrong {wrong}.", times(judged.of))
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// How many of so many times.
fn share(count: usize, of: usize) -> String {
    match count {
        0 => "never".to_owned(),
        count if count == of && of > 1 => "every time".to_owned(),
        count => times(count),
    }
}

fn unneeded() -> String {
    "No attacker is needed: the defense errs on the natural image already.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgment(kind: Option<CounterKind>, pair: [usize; 2], right: usize) -> Judgment {
        let judged = Judged { original: pair[0], neighbor: pair[1], right, of: 4 };
        Judgment { kind, round: 1, judged, answer: pair[0], truth: right as f32 / 4.0 }
    }

    #[test]
    fn a_fall_does_not_call_a_right_answer_wrong() {
        let fallen = course(&[1, 1], 4, Some(([3, 5], 2)));
        assert_eq!(fallen.ending(3), Ending::CopiesAgree);
        let sentence = fallen.sentence(3, |class| class.to_string());
        assert!(sentence.contains("its answers change") && sentence.contains("it is wrong 2 times"), "{sentence}");
    }

    #[test]
    fn what_an_attacker_goes_by_is_told_by_its_kind() {
        let of = |kind: CounterKind, index: usize| {
            let [first, second] = [0, 1].map(|index| Round { kind, index, copies: index + 1, ..course(&[0], 4, None).rounds[0] });
            [first, second][index].against()
        };
        assert_eq!(of(CounterKind::GmsaAverage, 0), "against the classifier");
        assert_eq!(of(CounterKind::GmsaAverage, 1), "against it and a copy");
        assert_eq!(of(CounterKind::FixedPoint, 0), "against the classifier");
        assert_eq!(of(CounterKind::FixedPoint, 1), "against what answered last");
        assert_eq!(of(CounterKind::RayS, 0), "by its answers alone");
    }

    fn course(fooled: &[usize], natural: usize, verdict: Option<([usize; 2], usize)>) -> Course {
        let kind = CounterKind::GmsaMinimum;
        let round = |(index, fooled): (usize, &usize)| Round {
            kind,
            index,
            copies: index + 1,
            pair: [5, 6],
            answer: 5,
            truth: 0.1,
            fooled: [*fooled, 2],
        };
        let judgments = [judgment(None, [3, 3], natural)].into_iter();
        Course {
            settings: Counter { kind, ..Counter::DUEL },
            rounds: fooled.iter().enumerate().map(round).collect(),
            judgments: judgments.chain(verdict.map(|(pair, right)| judgment(Some(kind), pair, right))).collect(),
        }
    }

    #[test]
    fn an_ending_and_its_sentence_follow_from_the_judged_point() {
        let cases = [
            (
                course(&[0, 0, 1], 4, Some(([3, 5], 3))),
                Ending::Held,
                "holds against 3 rounds: asked 4 times anew about the attacker's best picture, it is right 3 times.",
            ),
            (
                course(&[0, 2, 2], 4, Some(([5, 5], 0))),
                Ending::NoNeighbor,
                "falls to the picture of round 2: no other class is left",
            ),
            (
                course(&[2, 2], 4, Some(([5, 6], 1))),
                Ending::WrongPair,
                "falls to the picture of round 2: the two classes that the copy trains on, five and six",
            ),
            (
                course(&[1, 1], 4, Some(([5, 3], 2))),
                Ending::CopiesAgree,
                "they say five all the same. Asked 4 times anew, it is wrong 2 times.",
            ),
            (course(&[2], 2, Some(([5, 5], 0))), Ending::Unneeded, "errs on the natural image already"),
            (course(&[], 4, None), Ending::Held, "found nothing to take hold of"),
        ];
        let names = ["zero", "one", "two", "three", "four", "five", "six"];
        for (course, ending, words) in cases {
            assert_eq!(course.ending(3), ending);
            let sentence = course.sentence(3, |class| names[class].to_owned());
            assert!(sentence.contains(words), "{sentence}");
            assert_eq!(sentence.contains("falls"), ending.is_a_fall());
        }
    }
}
