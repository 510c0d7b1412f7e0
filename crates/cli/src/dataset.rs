//! Datasets by name: from files, or procedural.
