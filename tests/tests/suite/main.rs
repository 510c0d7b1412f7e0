//! Tests of the whole product, in one binary.

mod devices;
mod formula;
mod golden;
mod official;
mod properties;
