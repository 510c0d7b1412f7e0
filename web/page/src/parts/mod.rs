//! The pieces the acts are made of.

mod bars;
mod canvas;
mod field;
mod plot;
mod scrubber;
mod status;
mod term;

pub use bars::Bars;
pub use canvas::{Figure, PictureCanvas, context, png_of};
pub use field::{Choice, Number, Slide};
pub use plot::{Plot, Series};
pub use riposte_protocol::Ink;
pub use scrubber::Scrubber;
pub use status::{DeviceLine, PhaseLine};
pub use term::Explained;
