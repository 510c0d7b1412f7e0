//! Tests of the whole product, in one binary.
