//! Tests of the whole product; see `main.rs`.
