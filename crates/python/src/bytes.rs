//! Numbers of arrays, row-major and in the machine's byte order.

use pyo3::prelude::*;
use pyo3::types::PyByteArray;

/// The floats of an array of `float32`.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_ne_bytes(*number)).collect()
}

/// Floats for an array that can be written to.
pub fn array<'py>(py: Python<'py>, values: &[f32]) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, size_of_val(values), |bytes| {
        for (place, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            *place = value.to_ne_bytes();
        }
        Ok(())
    })
}
