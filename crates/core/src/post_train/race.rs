//! The race of y' against y'' on the input while a copy adapts, and when it is settled.

/// Iterations before which no race is settled: SGD's momentum is still gathering speed.
const START: usize = 10;

/// Iterations whose moves count for the pace.
const LATEST: usize = 5;

/// By how many logits y' leads y'' after each iteration.
#[derive(Debug)]
pub(super) struct Race {
    classes: [usize; 2],
    iterations: usize,
    leads: Vec<f32>,
}

impl Race {
    /// Of `classes`, in at most `iterations`.
    pub(super) fn new(classes: [usize; 2], iterations: usize) -> Self {
        Self { classes, iterations, leads: Vec::with_capacity(iterations) }
    }

    /// Whether the race is settled, after an iteration that has left the input with `logits`: the iterations left, each as fast as the
    /// fastest of the latest, would not turn the lead around.
    pub(super) fn is_settled(&mut self, logits: &[f32]) -> bool {
        let [original, neighbor] = self.classes;
        self.leads.push(logits[original] - logits[neighbor]);
        let left = self.iterations - self.leads.len();
        let latest = &self.leads[self.leads.len().saturating_sub(LATEST + 1)..];
        let pace = latest.array_windows().map(|[before, after]| (after - before).abs()).fold(0.0, f32::max);
        let lead = latest[latest.len() - 1].abs();
        self.leads.len() >= START && lead > pace * left as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The iteration, from 1, after which a race with these leads is settled.
    fn settled(leads: impl Iterator<Item = f32>) -> Option<usize> {
        let mut race = Race::new([3, 8], 50);
        let after = |lead: f32| (0..10).map(|class| if class == 3 { lead } else { 0.0 }).collect::<Vec<f32>>();
        leads.take(50).position(|lead| race.is_settled(&after(lead))).map(|index| index + 1)
    }

    #[test]
    fn a_race_is_settled_when_the_iterations_left_cannot_turn_it_around() {
        assert_eq!(settled((1..).map(|step| 10.0 - 0.125 * step as f32)), Some(10), "nine logits and a pace of an eighth");
        // A lead of (30 - i) / 8 turns at 30, and the other sign leads by more than (50 - i) / 8 after 40.
        assert_eq!(settled((1..).map(|step| 3.75 - 0.125 * step as f32)), Some(41));
        assert_eq!(settled((1..).map(|step| if step % 2 == 0 { 1.0 } else { -1.0 })), Some(50), "a race that never calms down");
    }
}
