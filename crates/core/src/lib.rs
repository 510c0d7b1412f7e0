//! Adaptive modeling against adversarial attacks.

pub mod error;

pub use error::{Error, Result};
