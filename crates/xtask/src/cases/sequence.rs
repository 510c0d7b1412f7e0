//! The same image in the hands of three classifiers: undefended, hardened, answering back.

use anyhow::Result;
use riposte_protocol::{Case, Sequence, Step};
use riposte_spec::dataset::DatasetId;
use riposte_spec::outcome::Outcome;

use super::{Arena, Fought, Terms, Weighed};

/// Strengths from one that nobody sees on.
fn strengths(dataset: DatasetId) -> &'static [&'static str] {
    match dataset {
        DatasetId::Digits | DatasetId::Mnist => &["0.02", "0.04", "0.06", "0.08", "0.1", "0.12", "0.14", "0.16"],
        DatasetId::Cifar10 => &["1/255", "2/255", "3/255", "4/255"],
    }
}

impl Arena {
    /// The way from an undefended classifier by a hardened one to `last`, the case in which that answers back; none where nothing can
    /// be fought, or no change that hardly shows fools the one and not the other.
    pub fn sequence(
        &self,
        undefended: &Weighed,
        hardened: &Weighed,
        last: &Case,
        training_images: usize,
        write: impl Fn(&str, &[u8]) -> Result<String>,
    ) -> Result<Option<Sequence>> {
        let dataset = hardened.1.dataset;
        let terms = Terms { preset: last.preset, seed: last.seed.into(), image: last.image.into() };
        let pair = match self.kept(&file_of(dataset), &[&undefended.1, &hardened.1])? {
            Some(kept) => kept.try_into().ok(),
            None if self.program.is_some() => self.fight_sequence(undefended, hardened, terms, training_images)?,
            None => None,
        };
        let Some([weak, strong]) = pair else { return Ok(None) };
        let step = |(_, card): &Weighed, duel: &Fought| -> Result<Step> {
            Ok(Step { model: card.id.clone(), case: duel.case(&format!("{}-weakly", card.id), &write)? })
        };
        let third = Step { model: hardened.1.id.clone(), case: last.clone() };
        Ok(Some(Sequence { dataset, steps: [step(undefended, &weak)?, step(hardened, &strong)?, third] }))
    }

    /// The two duels at the smallest strength that fools the undefended classifier and not the hardened one.
    pub(super) fn fight_sequence(
        &self,
        undefended: &Weighed,
        hardened: &Weighed,
        terms: Terms,
        training_images: usize,
    ) -> Result<Option<[Fought; 2]>> {
        for strength in strengths(hardened.1.dataset) {
            let settings = [("epsilon".to_owned(), (*strength).to_owned())];
            let fight = |(weights, card): &Weighed| self.fight(card, weights, training_images, terms, &settings);
            let weak = fight(undefended)?;
            if !matches!(weak.outcome, Outcome::Answered | Outcome::Failed | Outcome::NoNeighbor) {
                continue;
            }
            let strong = fight(hardened)?;
            return Ok((strong.outcome == Outcome::NotFooled).then_some([weak, strong]));
        }
        Ok(None)
    }
}

/// The name of the file of a dataset's sequence.
pub(super) fn file_of(dataset: DatasetId) -> String {
    format!("{dataset}-sequence")
}
