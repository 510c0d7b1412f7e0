//! Optimizers over all parameters of a module: PyTorch's SGD and Adam, step for step.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use riposte_kernels::{SgdStep, sgd_step};
pub use riposte_spec::train::Rule;

/// A rule with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    rule: Rule,
    steps: u32,
    /// Of each parameter in the order of a module visitor, what the rule carries from step to step.
    slots: Vec<Slot>,
}

/// Flattened moments of one parameter; none before its first step, nor for buffers.
type Slot = Vec<Tensor<1>>;

impl Optimizer {
    pub fn new(rule: Rule) -> Self {
        Self { rule, steps: 0, slots: Vec::new() }
    }

    /// `module` after one step along `gradients`, which are its own.
    pub fn step<M: Module>(&mut self, module: M, gradients: ParameterGradients, learning_rate: f32) -> M {
        self.steps += 1;
        let ParameterGradients { gradients, scale } = gradients;
        self.slots.resize_with(gradients.len(), Slot::new);
        let mut values = Values { gradients: gradients.iter(), found: Vec::new() };
        module.visit(&mut values);
        let values = values.found;
        let trained: Vec<usize> = (0..gradients.len()).filter(|index| gradients[*index].is_some()).collect();
        let gradients = gradients.into_iter().flatten().collect();
        let slots = trained.iter().map(|index| std::mem::take(&mut self.slots[*index])).collect();
        let size = Size { steps: self.steps, learning_rate, gradient_scale: 1.0 / scale };
        let (values, slots) = update(self.rule, size, values, gradients, slots);
        let mut next = vec![None; self.slots.len()];
        for ((index, value), slot) in trained.into_iter().zip(values).zip(slots) {
            next[index] = Some(value);
            self.slots[index] = slot;
        }
        module.map(&mut Replace { next: next.into_iter() })
    }

    /// Number of steps made and, for each parameter, its moments: what a checkpoint needs.
    pub fn state(&self) -> (u32, &[Vec<Tensor<1>>]) {
        (self.steps, &self.slots)
    }

    /// An optimizer that goes on from a [`state`](Self::state).
    pub fn resume(rule: Rule, steps: u32, slots: Vec<Vec<Tensor<1>>>) -> Self {
        Self { rule, steps, slots }
    }
}

/// Gradients of a module's parameters in the order of a module visitor, flattened; none for buffers.
#[derive(Debug, Clone)]
pub struct ParameterGradients {
    gradients: Vec<Option<Tensor<1>>>,
    /// What they are multiplied by; an optimizer's step divides by it.
    scale: f32,
}

impl ParameterGradients {
    /// Those of the parameters of `module` among `gradients`.
    pub fn of<M: Module>(module: &M, gradients: Gradients) -> Self {
        let mut collect = Collect { gradients, found: Vec::new() };
        module.visit(&mut collect);
        Self { gradients: collect.found, scale: 1.0 }
    }

    /// The same gradients, if these are `scale` times as large.
    #[must_use]
    pub fn times(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// The sum with `other` gradients of the same module and scale.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |pair| match pair {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self { gradients: self.gradients.into_iter().zip(other.gradients).map(sum).collect(), scale: self.scale }
    }
}

struct Collect {
    gradients: Gradients,
    found: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(param.val().grad_remove(&mut self.gradients).map(|gradient| gradient.flatten(0, D - 1)));
    }
}

/// Values of the parameters that have gradients, in the order of a module visitor, flattened and without autodiff.
struct Values<'a> {
    gradients: std::slice::Iter<'a, Option<Tensor<1>>>,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.gradients.next().is_some_and(Option::is_some) {
            self.found.push(param.val().inner().flatten(0, D - 1));
        }
    }
}

/// Puts new values, where there are any, in the place of parameters.
struct Replace {
    next: std::vec::IntoIter<Option<Tensor<1>>>,
}

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let next = match self.next.next().flatten() {
            Some(next) => next.reshape(tensor.dims()).autodiff().require_grad(),
            None => tensor,
        };
        Param::from_mapped_value(id, next, mapper)
    }
}

/// Of a step.
#[derive(Clone, Copy)]
struct Size {
    /// Steps made, with this one.
    steps: u32,
    learning_rate: f32,
    /// Multiplies the gradients.
    gradient_scale: f32,
}

fn update(
    rule: Rule,
    Size { steps, learning_rate, gradient_scale }: Size,
    values: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    slots: Vec<Slot>,
) -> (Vec<Tensor<1>>, Vec<Slot>) {
    match rule {
        Rule::Sgd { momentum, nesterov, weight_decay } => {
            let step = SgdStep { learning_rate, momentum, nesterov, weight_decay, gradient_scale };
            // Empty before the first step.
            let velocities = slots.into_iter().flatten().collect();
            let (values, velocities) = sgd_step(values, gradients, velocities, step);
            (values, velocities.into_iter().map(|velocity| vec![velocity]).collect())
        }
        Rule::Adam => {
            let parameters = values.into_iter().zip(gradients).zip(slots);
            let scaled = |gradient: Tensor<1>| if gradient_scale == 1.0 { gradient } else { gradient * gradient_scale };
            parameters.map(|((value, gradient), slot)| adam(steps, learning_rate, value, scaled(gradient), slot)).unzip()
        }
    }
}

fn adam(steps: u32, learning_rate: f32, value: Tensor<1>, gradient: Tensor<1>, slot: Slot) -> (Tensor<1>, Slot) {
    const BETA1: f32 = 0.9;
    const BETA2: f32 = 0.999;
    let (first, second) = match <[Tensor<1>; 2]>::try_from(slot) {
        Ok([first, second]) => (first, second),
        Err(_) => (gradient.zeros_like(), gradient.zeros_like()),
    };
    let first = first * BETA1 + gradient.clone() * (1.0 - BETA1);
    let second = second * BETA2 + gradient.clone() * gradient * (1.0 - BETA2);
    let correction1 = 1.0 - f64::from(BETA1).powi(steps as i32);
    let correction2 = 1.0 - f64::from(BETA2).powi(steps as i32);
    let denominator = second.clone().sqrt() / correction2.sqrt() + 1e-8;
    let value = value - first.clone() / denominator * (f64::from(learning_rate) / correction1);
    (value, vec![first, second])
}
