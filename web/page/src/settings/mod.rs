//! The controls of the settings: from the table of settings, one for each.

mod amount;
mod controls;

pub use amount::{AmountControl, light, of_amount};
pub use controls::{AttackControls, CounterControls, MoreAttackControls, RiposteControls};
