//! What makes an accuracy under strong attacks doubtful: the checks of AutoAttack on its subject, and foolbox's on an attack's claims.

use serde::{Deserialize, Serialize};

use crate::Choice;
use crate::choice::choices;
use crate::record::Record;

choices! {
    /// A reason to doubt.
    pub enum Doubt: "doubt" {
        /// Answers to the same image differ from pass to pass: a single one tells little, and gradients have to be averaged
        Random = "random",
        /// The answers are probabilities, not logits: losses on them have vanishing gradients
        Probabilities = "probabilities",
        /// A gradient was exactly zero at the start of a run: the attack had no way to go
        ZeroGradients = "zero-gradients",
        /// The attack without gradients fooled what all attacks with gradients had left right: more than 0.2 % of a run's images
        /// are suspicious
        SquareWins = "square-wins",
        /// The answer comes from a model that has adapted to the image: attacks on a model as it is find too little
        Adapts = "adapts",
        /// There are too few classes for the attacks asked for: the margin took the place of a loss, or there were fewer targets
        FewClasses = "few-classes",
        /// An attack claimed a point that the model, asked again, did not confirm
        Unconfirmed = "unconfirmed",
    }
}

/// A doubt about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    /// Which one.
    pub doubt: Doubt,
    /// On how many images.
    pub images: usize,
}

/// Square may fool one image of so many after the others.
const SQUARE_SHARE: usize = 500;

impl Raised {
    /// The doubts about a run, from its records.
    pub fn of(records: &[Record]) -> Vec<Self> {
        let images = |doubt: &Doubt| records.iter().filter(|record| record.doubts.contains(doubt)).count();
        let all = Doubt::ALL.iter().map(|doubt| Self { doubt: *doubt, images: images(doubt) });
        let least = |doubt: Doubt| if doubt == Doubt::SquareWins { records.len() / SQUARE_SHARE } else { 0 };
        all.filter(|raised| raised.images > least(raised.doubt)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(doubts: &[Doubt]) -> Record {
        Record { attacked: Some(1), doubts: doubts.to_vec(), ..Record::of_input(0, 1, 1) }
    }

    #[test]
    fn square_is_suspicious_where_it_fools_more_than_one_image_of_five_hundred_after_the_others() {
        let run = |by_square: usize| {
            let mut records = vec![record(&[Doubt::SquareWins]); by_square];
            records.resize(1000, record(&[]));
            Raised::of(&records)
        };
        assert_eq!(run(2), []);
        assert_eq!(run(3), [Raised { doubt: Doubt::SquareWins, images: 3 }]);
    }

    #[test]
    fn doubts_of_single_images_are_counted() {
        let records = [record(&[Doubt::ZeroGradients, Doubt::Random]), record(&[Doubt::ZeroGradients]), record(&[])];
        let expected = [(Doubt::Random, 1), (Doubt::ZeroGradients, 2)].map(|(doubt, images)| Raised { doubt, images });
        assert_eq!(Raised::of(&records), expected);
    }
}
