//! What an attack addresses.

use burn::tensor::Tensor;

use crate::Classifier;

/// A value of each image of a batch, `[batch]`, from the logits `[batch, class]`.
pub type Value<'a> = &'a dyn Fn(Tensor<2>) -> Tensor<1>;

/// Something that answers images with logits and says how its answers change with them: a classifier, or what a defense lets
/// an attacker differentiate of it.
///
/// Each image of a batch is answered on its own: attacks on many images at once equal attacks one by one.
pub trait Subject {
    /// Number of classes.
    fn class_count(&self) -> usize;

    /// Logits `[batch, class]` of images `[batch, channel, height, width]` in `[0, 1]`.
    fn answer(&self, images: Tensor<4>) -> Tensor<2>;

    /// The logits of images, a value of them, and its gradient with respect to the images.
    ///
    /// A subject that draws averages values and gradients over its draws, so that both tell of the same expectation.
    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope;

    /// Whether the answer to an image comes from a model that has adapted to it. Attacks on a model as it is find too little then:
    /// gradients pass such a subject as it says, not as it computes.
    fn adapts(&self) -> bool {
        false
    }
}

/// What a subject says of a batch.
#[derive(Debug, Clone)]
pub struct Slope {
    /// `[batch, class]`
    pub logits: Tensor<2>,
    /// `[batch]`
    pub value: Tensor<1>,
    /// Of the value, `[batch, channel, height, width]`.
    pub gradient: Tensor<4>,
}

impl<C: Classifier> Subject for C {
    fn class_count(&self) -> usize {
        self.classes()
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let point = images.autodiff().require_grad();
        let logits = self.forward(point.clone());
        let value = value(logits.clone());
        // Without a sum: it starts from a one for each image, which is the gradient of their sum.
        let gradients = value.backward();
        let gradient = point.grad(&gradients).expect("the logits depend on the image");
        Slope { logits: logits.inner(), value: value.inner(), gradient }
    }
}
