//! Attacks that ask the defense and see nothing of it: an answer is one adaptation.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use riposte_spec::attack::{Schedule, Square};
use riposte_spec::counter::CounterKind;

use super::score::{Found, Scored};
use super::{Attacker, Event, STARTS_QUERIES};
use crate::Result;
use crate::attack::pgd::Attacked;
use crate::attack::rays;
use crate::attack::square::SquareSearch;
use crate::defense::Defense;
use crate::rng::Purpose;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The Square attack on the margin of the answers, each with other draws. A point that fools one answer is asked about again
    /// until the attacker has as many answers as it wants: one may be luck.
    pub(super) async fn square(&mut self, kind: CounterKind) -> Result<Option<Found>> {
        let Some(queries) = self.queries_after_the_start() else { return Ok(None) };
        let (image, adaptations) = (self.subjected.image.clone(), self.attack.settings.adaptations);
        let settings = Square { epsilon: self.attack.epsilon, queries, schedule: Schedule::Relative, ..Square::STANDARD };
        let mut search = SquareSearch::new(settings, image, &[self.subjected.draws], STARTS_QUERIES);
        let (mut best, mut asked) = (None::<Found>, 0);
        while let Some(candidate) = search.candidate().filter(|_| asked <= queries) {
            let mut scored = self.score(candidate.clone(), 1).await?;
            asked += 1;
            if scored.score.has_fallen() && adaptations > 1 {
                scored = self.score(candidate.clone(), adaptations).await?;
                asked += adaptations;
            }
            self.tell_of_steps(asked.min(queries), queries).await?;
            let Scored { score, logits, .. } = scored;
            let device = candidate.device();
            let fallen = Tensor::from_data(TensorData::new(vec![score.has_fallen()], [1]), &device);
            search.told(Attacked { images: candidate.clone(), logits }, Tensor::from_floats([score.margin], &device), fallen);
            if best.as_ref().is_none_or(|best| score.is_worse_than(&best.score)) {
                best = Some(Found { kind, image: candidate, score, round: 0 });
            }
            if score.has_fallen() {
                break;
            }
        }
        let best = best.expect("the start has been asked about");
        self.best_of(kind, vec![best.image], 1).await.map(Some)
    }

    /// RayS against one set of draws, so that the answer to a point is always the same; its end is then looked at by others.
    pub(super) async fn rays(&mut self, kind: CounterKind) -> Result<Option<Found>> {
        let Some(queries) = self.queries_after_the_start() else { return Ok(None) };
        let (image, epsilon) = (self.subjected.image.clone(), self.attack.epsilon);
        let draws = [self.next_draws(Purpose::Selection)];
        let mut asked = 0;
        let end = rays::search(image, epsilon, queries, async |point| {
            let fooled = self.answers(point, &draws).await?.score.has_fallen();
            asked += 1;
            self.cost.answers += 1;
            self.tell_of_steps(asked, queries).await?;
            Ok(fooled)
        });
        let end = end.await?;
        self.best_of(kind, vec![end.image], 1).await.map(Some)
    }

    fn queries_after_the_start(&self) -> Option<usize> {
        self.attack.settings.queries.checked_sub(1)
    }
}
