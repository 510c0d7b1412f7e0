//! Attacks: perturbations inside an L-infinity ball that make a classifier err.

mod goal;
mod pgd;

pub use goal::{Goal, Loss};
pub use pgd::{Attack, Attacked, Pgd, Start, Step, Stop, input_gradient};
pub(crate) use goal::one_hot;
