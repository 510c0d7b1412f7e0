//! Reading tensors back from the device.

use anyhow::Result;
use burn::tensor::Tensor;

/// The values of a tensor, row-major.
///
/// # Errors
/// [`riposte::Error::Device`] if the device fails.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |error: String| riposte::Error::Device(error);
    let data = tensor.try_into_data().map_err(|error| failed(error.to_string()))?;
    Ok(data.convert::<f32>().into_vec().map_err(|error| failed(format!("{error:?}")))?)
}
