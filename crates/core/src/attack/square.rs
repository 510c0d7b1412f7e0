//! The Square attack in the L-infinity ball (Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial
//! attack via random search", Algorithms 1 and 2): it asks for logits alone, so that no gradient can mislead it.

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::attack::{Colors, Loss, Schedule, Square};

use super::ascent::project_linf;
use super::goal::{Goal, Objective, check_draws};
use super::pgd::{Attacked, Attacks, Step};
use super::rows::{choose, highest, pick};
use super::subject::Subject;
use crate::Result;
use crate::rng::{self, Draws, Purpose, Stream};

impl Attacks for Square {
    type Run<'a, S: Subject + 'a> = SquareRun<'a, S>;

    /// The first run.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, draws: &[Draws]) -> Result<SquareRun<'a, S>> {
        run(self, subject, images, goal, draws, 0)
    }
}

/// [`Attacks::attack`], the run of number `number`.
pub(super) fn run<'a, S: Subject>(
    settings: Square,
    subject: &'a S,
    images: Tensor<4>,
    goal: &Goal,
    draws: &[Draws],
    number: u16,
) -> Result<SquareRun<'a, S>> {
    settings.check()?;
    let [batch, ..] = images.dims();
    goal.check(batch, subject.class_count(), Loss::Margin)?;
    check_draws(draws, batch)?;
    let objective = Objective::new(goal, Loss::Margin, subject.class_count(), &images.device());
    Ok(SquareRun { subject, objective, search: SquareSearch::new(settings, images, draws, number) })
}

/// Side of the window number `index` (from 0) in an image of `height` x `width` pixels.
pub fn side(settings: &Square, index: usize, height: usize, width: usize) -> usize {
    let at = match settings.schedule {
        Schedule::Absolute => index,
        Schedule::Relative => index * 10_000 / settings.queries,
    };
    let halvings = HALVINGS.iter().filter(|last| at > **last).count();
    let share = f64::from(settings.share) / f64::from(1 << halvings);
    let side = (share * (height * width) as f64).sqrt().round_ties_even() as usize;
    side.clamp(1, height.min(width))
}

/// The last windows, of 10,000, before the share is halved.
const HALVINGS: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/// A run under way. It yields `queries + 1` items: the best point so far after each query.
#[derive(Debug)]
pub struct SquareRun<'a, S> {
    subject: &'a S,
    objective: Objective,
    search: SquareSearch,
}

impl<S: Subject> SquareRun<'_, S> {
    /// The best points so far: those that fooled the subject, and of the other images those of the largest margin.
    ///
    /// # Panics
    /// If nothing has been asked.
    pub fn end(self) -> Attacked {
        self.search.best.expect("the start has been asked").end
    }

    /// The best points so far, and which images are fooled, `[batch]`; `None` before the first query.
    pub fn best(&self) -> Option<(Attacked, Tensor<1, Bool>)> {
        self.search.best.as_ref().map(|best| (best.end.clone(), best.fooled.clone()))
    }

    /// Goes on with some rows of the batch alone: their points stay what they would have been.
    pub fn retain(&mut self, rows: &[usize]) {
        self.objective = self.objective.pick(rows);
        self.search.retain(rows);
    }
}

impl<S: Subject> Iterator for SquareRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let step = self.search.asked;
        let candidate = self.search.candidate()?;
        let logits = self.subject.answer(candidate.clone());
        let value = self.objective.value(logits.clone());
        let fooled = self.objective.succeeded(logits.clone()).greater_elem(0.5);
        self.search.told(Attacked { images: candidate, logits }, value, fooled);
        let (best, _) = self.best()?;
        Some(Step { restart: 0, step, images: best.images, logits: best.logits })
    }
}

/// The search itself: it proposes points and is told what they are worth. Whoever drives it decides who answers: a model, or a
/// defense that has to be waited for.
#[derive(Debug)]
pub struct SquareSearch {
    settings: Square,
    images: Tensor<4>,
    streams: Vec<Stream>,
    /// Queries so far.
    asked: usize,
    best: Option<Best>,
}

#[derive(Debug)]
struct Best {
    end: Attacked,
    /// `[batch]`
    value: Tensor<1>,
    /// `[batch]`
    fooled: Tensor<1, Bool>,
}

impl SquareSearch {
    /// The run of number `number` on `images` `[batch, channel, height, width]` in `[0, 1]`, with the draws of each.
    pub fn new(settings: Square, images: Tensor<4>, draws: &[Draws], number: u16) -> Self {
        let streams = draws.iter().map(|draws| draws.run(Purpose::Square, number)).collect();
        Self { settings, images, streams, asked: 0, best: None }
    }

    /// The next points to ask about, `[batch, channel, height, width]`; `None` when all queries are used.
    pub fn candidate(&mut self) -> Option<Tensor<4>> {
        if self.asked > self.settings.queries {
            return None;
        }
        let Some(best) = &self.best else {
            let stripes = self.draw(stripes);
            return Some((self.images.clone() + stripes * self.settings.epsilon).clamp(0.0, 1.0));
        };
        let best = best.end.images.clone();
        let [_, _, height, width] = self.images.dims();
        let side = side(&self.settings, self.asked - 1, height, width);
        // Twice epsilon from any point leads to the face of the box, or beyond it.
        let window = self.draw(|stream, dims| window(stream, dims, side)) * (2.0 * self.settings.epsilon);
        let candidate = self.project(best.clone() + window.clone());
        if self.settings.colors == Colors::Random {
            return Some(candidate);
        }
        let changes = highest((candidate.clone() - best.clone()).abs()).greater_elem(0.0);
        Some(choose(&changes, candidate, self.project(best - window)))
    }

    /// Takes in the logits at the candidate, what the attack ascends there, and which images are fooled, both `[batch]`.
    pub fn told(&mut self, candidate: Attacked, value: Tensor<1>, fooled: Tensor<1, Bool>) {
        self.asked += 1;
        let Some(best) = self.best.take() else {
            self.best = Some(Best { end: candidate, value, fooled });
            return;
        };
        let better = value.clone().greater(best.value.clone()).bool_or(fooled.clone());
        // An image that is fooled rests.
        let accept = better.bool_and(best.fooled.clone().bool_not());
        self.best = Some(Best {
            end: Attacked {
                images: choose(&accept, candidate.images, best.end.images),
                logits: choose(&accept, candidate.logits, best.end.logits),
            },
            value: choose(&accept, value, best.value),
            fooled: best.fooled.bool_or(fooled),
        });
    }

    fn retain(&mut self, rows: &[usize]) {
        self.images = pick(self.images.clone(), rows);
        self.streams = rows.iter().map(|row| self.streams[*row].clone()).collect();
        self.best = self.best.take().map(|best| Best {
            end: Attacked { images: pick(best.end.images, rows), logits: pick(best.end.logits, rows) },
            value: pick(best.value, rows),
            fooled: pick(best.fooled.float(), rows).greater_elem(0.5),
        });
    }

    /// A pattern for each image from its stream, of the images' shape.
    fn draw(&mut self, pattern: impl Fn(&mut Stream, [usize; 3]) -> Vec<f32>) -> Tensor<4> {
        let [batch, channels, height, width] = self.images.dims();
        let mut values = Vec::with_capacity(batch * channels * height * width);
        for stream in &mut self.streams {
            values.extend(pattern(stream, [channels, height, width]));
        }
        Tensor::from_data(TensorData::new(values, self.images.dims()), &self.images.device())
    }

    fn project(&self, points: Tensor<4>) -> Tensor<4> {
        project_linf(points, self.images.clone(), self.settings.epsilon, [0.0, 1.0])
    }
}

fn sign(stream: &mut Stream) -> f32 {
    if rng::unit(stream) < 0.5 { -1.0 } else { 1.0 }
}

/// A random sign for each channel and column, the same in all rows: convolutions answer stripes most.
fn stripes(stream: &mut Stream, [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let mut values = Vec::with_capacity(channels * height * width);
    for _ in 0..channels {
        let row: Vec<f32> = (0..width).map(|_| sign(stream)).collect();
        values.extend((0..height).flat_map(|_| row.iter().copied()));
    }
    values
}

/// A square of the given side at a random place with a random sign for each channel; 0 outside of it.
fn window(stream: &mut Stream, [channels, height, width]: [usize; 3], side: usize) -> Vec<f32> {
    // As in the authors' code the last position is never drawn.
    let mut corner = |room: usize| (rng::unit(stream) * room as f32) as usize;
    let (top, left) = (corner(height - side), corner(width - side));
    let mut values = vec![0.0; channels * height * width];
    for channel in values.chunks_exact_mut(height * width) {
        let value = sign(stream);
        for row in channel.chunks_exact_mut(width).skip(top).take(side) {
            row[left..left + side].fill(value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    #[test]
    fn the_start_is_striped_from_top_to_bottom() {
        let stripes = stripes(&mut Seed(1).stream(Purpose::Square, 0), [2, 5, 7]);
        assert!(stripes.iter().all(|value| value.abs() == 1.0));
        for channel in stripes.chunks_exact(5 * 7) {
            assert!(channel.chunks_exact(7).all(|row| row == &channel[..7]));
        }
        assert!(stripes.contains(&1.0) && stripes.contains(&-1.0));
        assert_ne!(stripes[..35], stripes[35..], "the channels differ");
    }

    #[test]
    fn a_window_is_a_square_of_one_color_a_channel_and_never_at_the_last_place() {
        let mut stream = Seed(1).stream(Purpose::Square, 0);
        let mut tops = [0; 6];
        for _ in 0..2000 {
            let window = window(&mut stream, [2, 8, 9], 3);
            for channel in window.chunks_exact(72) {
                let inside: Vec<usize> = (0..72).filter(|at| channel[*at] != 0.0).collect();
                let (top, left) = (inside[0] / 9, inside[0] % 9);
                let expected: Vec<usize> = (0..9).map(|at| (top + at / 3) * 9 + left + at % 3).collect();
                assert_eq!(inside, expected);
                assert!(inside.iter().all(|at| channel[*at] == channel[inside[0]]));
                tops[top] += 1;
            }
        }
        // 4,000 draws over five places: 800 each, standard deviation 25 (36 for two channels that share it).
        assert!(tops[..5].iter().all(|count| (600..1000).contains(count)) && tops[5] == 0, "{tops:?}");
    }

    #[test]
    fn windows_shrink_as_in_autoattack() {
        let square = Square::STANDARD;
        let sides = [0, 10, 11, 50, 51, 200, 201, 501, 1001, 2001, 4001, 4999].map(|index| side(&square, index, 28, 28));
        // The square root of 0.8 * 784 / 2^k, rounded.
        assert_eq!(sides, [25, 25, 18, 18, 13, 13, 9, 6, 4, 3, 2, 2]);
        let relative = Square { schedule: Schedule::Relative, queries: 1000, ..square };
        assert_eq!([0, 1, 2, 999].map(|index| side(&relative, index, 28, 28)), [25, 25, 18, 1]);
        assert_eq!(side(&Square { share: 1.0, ..square }, 0, 28, 20), 20, "not above the shorter side");
    }
}
