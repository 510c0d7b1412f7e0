//! Attacks: perturbations that make a classifier err.

mod apgd;
mod checks;
mod cw;
mod deepfool;
mod ensemble;
mod fab;
mod goal;
mod norm;
mod pgd;
mod rows;
mod square;
mod standing;
mod subject;

pub use apgd::{Apgd, ApgdRun, Ascended, Ascent};
pub use checks::{Flag, look};
pub use cw::{Cw, CwRun};
pub use deepfool::{DeepFool, DeepFoolRun};
pub use ensemble::{Auto, Outcome, Progress, Single, campaign};
pub use fab::{Fab, FabRun, projection::project};
pub(crate) use goal::one_hot;
pub use goal::{Goal, Loss};
pub use norm::{Norm, distance};
pub use pgd::{Attack, Attacked, Pgd, Start, Step, Stop, input_gradient};
pub use square::{Colors, Schedule, Square, SquareRun, SquareSearch};
pub use subject::{Slope, Subject, Value};
