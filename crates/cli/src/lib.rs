//! The command line: files, downloads, devices, progress bars, tables and reports around the core.

pub mod data;
