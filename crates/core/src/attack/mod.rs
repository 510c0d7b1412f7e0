//! Attacks: perturbations inside an L-infinity ball that make a classifier err.

mod goal;
mod pgd;

pub use goal::Goal;
pub(crate) use goal::one_hot;
pub(crate) use pgd::start;
pub use pgd::{Attack, Attacked, Attacks, Step, input_gradient};
pub use riposte_spec::attack::{Loss, Pgd, Start, Stop};
