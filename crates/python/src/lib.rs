//! `riposte._riposte`, the library behind the Python module `riposte`: the core by way of the command line's library.
//!
//! Arrays pass as bytes, in `[image, channel, height, width]`: the package beside this crate makes them of whatever a caller has, and says
//! in its types and docstrings what everything is. Here the interpreter's lock is released while something computes ([`wait`]), and
//! errors become exceptions ([`errors`]).

mod bytes;
mod defense;
mod errors;
mod loading;
mod model;
mod program;
mod setup;
mod wait;

use pyo3::prelude::*;
use riposte_cli::memory::LineAligned;

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

#[pymodule]
mod _riposte {
    #[pymodule_export]
    use crate::defense::{Answered, Defense};
    #[pymodule_export]
    use crate::loading::{load, unpickle};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::program::{dataset, devices, duel, evaluate, main, models, presets, settings, version};
    #[pymodule_export]
    use crate::setup::Setup;
}
