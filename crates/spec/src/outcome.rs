//! How a duel ended.

use crate::choice::choices;

choices! {
    /// How a duel ended.
    pub enum Outcome: "outcome" {
        /// The base model was fooled and the riposte is right
        Answered = "answered",
        /// The base model was fooled, it adapted, and is still wrong
        Failed = "failed",
        /// The base model was fooled and the search found no neighbor class
        NoNeighbor = "no-neighbor" | "no-neighbour",
        /// The attack did not fool the base model and the riposte is right, too
        NotFooled = "not-fooled",
        /// The attack did not fool the base model and the riposte is wrong
        Spoiled = "spoiled",
    }
}

impl Outcome {
    /// Of an image with this label: the base model's class of the attacked image (y'), the neighbor class (y'', equal to y' where
    /// there is none), and the riposte's answer.
    pub fn of(label: usize, original: usize, neighbor: usize, answer: usize) -> Self {
        match (original != label, answer == label) {
            (true, true) => Self::Answered,
            (true, false) if original == neighbor => Self::NoNeighbor,
            (true, false) => Self::Failed,
            (false, true) => Self::NotFooled,
            (false, false) => Self::Spoiled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_follows_from_the_label_and_three_answers() {
        let cases = [
            ([3, 5, 3, 3], Outcome::Answered),
            ([3, 5, 3, 5], Outcome::Failed),
            ([3, 5, 5, 5], Outcome::NoNeighbor),
            ([3, 3, 5, 3], Outcome::NotFooled),
            ([3, 3, 3, 3], Outcome::NotFooled),
            ([3, 3, 5, 5], Outcome::Spoiled),
        ];
        for ([label, original, neighbor, answer], outcome) in cases {
            assert_eq!(Outcome::of(label, original, neighbor, answer), outcome);
        }
    }
}
