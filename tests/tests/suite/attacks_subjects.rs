//! Small subjects whose answers are known, to attack.

use std::cell::Cell;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::{Slope, Subject, Value};
use riposte::classifier::read;

/// A subject of one formula, computed pixel by pixel and row by row: nothing in it depends on the batch.
#[derive(Debug)]
pub struct Formula {
    pub classes: usize,
    /// `[class, pixel]`
    pub weights: Tensor<2>,
    /// `[class]`
    pub biases: Tensor<1>,
    pub kind: Kind,
    /// Answers so far.
    pub answers: Cell<usize>,
}

/// How a formula goes on from the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `w x + b`
    Linear,
    /// `sin(3 w x + b)`, summed pixel by pixel: many hills.
    Waves,
    /// The softmax of the linear one.
    Probabilities,
    /// The linear one, with no gradient.
    Flat,
    /// The linear one and something that changes from answer to answer.
    Restless,
    /// The linear one, from a model that says it has adapted.
    Adapted,
}

impl Formula {
    /// With weights drawn from `name`, between -1 and 1.
    pub fn new(kind: Kind, name: &str, classes: usize, pixels: usize) -> Self {
        let device = Device::flex();
        let weights = crate::formula::symmetric(&format!("{name} weights"), classes * pixels, 1.0);
        let biases = crate::formula::symmetric(&format!("{name} biases"), classes, 0.5);
        Self {
            classes,
            weights: Tensor::from_data(TensorData::new(weights, [classes, pixels]), &device),
            biases: Tensor::from_data(TensorData::new(biases, [classes]), &device),
            kind,
            answers: Cell::new(0),
        }
    }

    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let [batch, ..] = images.dims();
        let [classes, pixels] = self.weights.dims();
        let x = images.reshape([batch, 1, pixels]);
        let w = self.weights.clone().reshape([1, classes, pixels]);
        let b = self.biases.clone().reshape([1, classes]);
        let sum = |terms: Tensor<3>| terms.sum_dim(2).reshape([batch, classes]);
        let linear = |x: Tensor<3>| sum(x * w.clone()) + b.clone();
        match self.kind {
            Kind::Waves => sum((x * w.clone() * 3.0 + self.biases.clone().reshape([1, classes, 1])).sin()),
            Kind::Probabilities => softmax(linear(x), 1),
            Kind::Flat => linear(x.detach()),
            Kind::Restless => linear(x) + self.answers.get() as f32 * 0.01,
            Kind::Linear | Kind::Adapted => linear(x),
        }
    }
}

impl Subject for Formula {
    fn class_count(&self) -> usize {
        self.classes
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.answers.set(self.answers.get() + 1);
        let scale = if self.kind == Kind::Restless { 1.0 + self.answers.get() as f32 * 0.1 } else { 1.0 };
        let logits = self.logits(images);
        if scale == 1.0 { logits } else { logits.clone() * scale - logits.slice([0..1, 0..1]) }
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let point = images.clone().autodiff().require_grad();
        // A term that does not change the answer, so that there is a gradient, if a zero one.
        let logits = self.logits(point.clone()) + point.clone().sum().reshape([1, 1]) * 0.0;
        let value = value(logits.clone());
        let gradient = point.grad(&value.backward()).expect("the answer depends on the image");
        Slope { logits: logits.inner(), value: value.inner(), gradient }
    }

    fn adapts(&self) -> bool {
        self.kind == Kind::Adapted
    }
}

/// Images of the given size from a name, `[batch, 1, height, width]` in `[0, 1)`.
pub fn images(name: &str, batch: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    let values = crate::formula::unit(name, batch * height * width);
    Tensor::from_data(TensorData::new(values, [batch, 1, height, width]), &Device::flex())
}

/// The classes that a subject gives images.
pub fn classes(subject: &impl Subject, images: Tensor<4>) -> Vec<usize> {
    pollster::block_on(riposte::classifier::predictions(subject.answer(images))).unwrap()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    pollster::block_on(read(tensor)).unwrap()
}
