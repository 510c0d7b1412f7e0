//! Attacks: perturbations inside an L-infinity ball that make a classifier err.

mod goal;
mod pgd;

pub(crate) use goal::one_hot;
pub use goal::{Goal, Loss};
pub use pgd::{Attack, Attacked, Pgd, Start, Step, Stop, input_gradient};
