//! The standard ensemble (AutoAttack: Croce & Hein 2020).

use serde::{Deserialize, Serialize};

use super::{Apgd, Attack, Fab, Square, check_radius};
use crate::Result;

/// The standard ensemble: APGD with the cross-entropy, APGD with the targeted DLR loss, FAB-T, Square. Each attacks only what the
/// ones before it have left right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auto {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Steps of a run of the attacks with gradients.
    pub steps: usize,
    /// Targets of the targeted attacks.
    pub targets: usize,
    /// Queries of the attack without gradients.
    pub queries: usize,
}

impl Auto {
    /// AutoAttack's standard version, at MNIST's usual radius.
    pub const STANDARD: Self = Self { epsilon: 0.3, steps: 100, targets: 9, queries: 5000 };

    /// The attacks, in order.
    pub fn parts(self) -> [Attack; 4] {
        let Self { epsilon, steps, targets, queries } = self;
        [
            Attack::Apgd(Apgd { epsilon, steps, ..Apgd::STANDARD }),
            Attack::Apgd(Apgd { epsilon, steps, targets, ..Apgd::STANDARD_TARGETED }),
            Attack::Fab(Fab { epsilon, steps, targets }),
            Attack::Square(Square { epsilon, queries, ..Square::STANDARD }),
        ]
    }

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        check_radius(self.epsilon)?;
        self.parts().iter().try_for_each(Attack::check)
    }
}
