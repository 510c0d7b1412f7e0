//! Attacks: perturbations inside an L-infinity ball that make a classifier err.

mod ascent;
mod goal;
mod pgd;

pub(crate) use ascent::Ascent;
pub use ascent::{project_linf, signed_step};
pub use goal::Goal;
pub(crate) use goal::one_hot;
pub(crate) use pgd::start;
pub use pgd::{Attack, Attacked, Attacks, Step, input_gradient};
pub use riposte_spec::attack::{Loss, Pgd, Start, Stop};
