//! The backward pass of activations.

use super::elementwise::map2;
use crate::Activation;

/// The gradient before the activation: the gradient, scaled down where the output was not positive.
pub fn before_activation(gradient: &[f32], output: &[f32], activation: Activation, to: &mut Vec<f32>) {
    assert!(gradient.len() == output.len());
    to.clear();
    to.reserve(gradient.len());
    let spare = &mut to.spare_capacity_mut()[..gradient.len()];
    match activation {
        Activation::None => {
            spare.write_copy_of_slice(gradient);
        }
        // Not a product with 0, which would keep an infinite or undefined gradient.
        Activation::Relu => map2(gradient, output, spare, move |g, y| if y <= 0.0 { 0.0 } else { g }),
        Activation::LeakyRelu(slope) => map2(gradient, output, spare, move |g, y| if y <= 0.0 { g * slope } else { g }),
    }
    // SAFETY: every element was written above.
    unsafe { to.set_len(gradient.len()) };
}
