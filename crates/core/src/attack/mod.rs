//! Attacks: perturbations that make a classifier err.
//!
//! Settings are [`riposte_spec::attack`]'s; an attack with settings is started by [`Attacks::attack`] and is an iterator over its
//! steps. [`campaign`] runs any attack, or the standard ensemble of four, to the end on what is still right; [`perturb`] is the whole of
//! what an evaluation does. All of them address a
//! [`Subject`], which every classifier is.

mod apgd;
mod ascent;
mod asked;
mod campaign;
mod checks;
pub mod counter;
mod cw;
mod deepfool;
mod fab;
mod goal;
pub mod opt_attack;
mod perturb;
mod pgd;
mod quantized;
pub mod rays;
mod rows;
pub mod signs;
mod square;
mod standing;
mod subject;
pub mod zoo;

pub use apgd::{ApgdRun, ApgdSearch, Ascended, checkpoints};
pub(crate) use ascent::Ascent;
pub use ascent::{normal_step, project_l2, project_linf, signed_step};
pub use asked::Asked;
pub use campaign::{Fate, Outcome, Progress, campaign};
pub use cw::CwRun;
pub use deepfool::DeepFoolRun;
pub use fab::{FabRun, projection::project};
pub use goal::Goal;
pub(crate) use goal::one_hot;
pub use perturb::{Attempt, Perturbed, perturb};
pub(crate) use pgd::start;
pub use pgd::{Attacked, Attacks, PgdRun, Step, input_gradient};
pub use quantized::{Quantized, check_levels, quantized};
pub use riposte_spec::attack::{Apgd, Attack, Auto, Colors, Cw, DeepFool, Fab, Loss, Norm, Pgd, Schedule, Square, Start, Stop};
pub use riposte_spec::quantize::Quantize;
pub(crate) use rows::choose;
pub use rows::distance;
pub use square::{SquareRun, SquareSearch, side};
pub use subject::{Slope, Subject, Value};
