//! The controls of the settings: from the table of settings, one for each.

mod amount;
mod controls;

pub use amount::{AmountControl, light};
pub use controls::{AttackControls, MoreAttackControls, RiposteControls};
