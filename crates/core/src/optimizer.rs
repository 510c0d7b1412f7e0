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
    /// An optimizer before its first step.
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

/// Adversarial weight perturbation (Wu et al. 2020).
impl ParameterGradients {
    /// `module` with each of its tensors of weights, what has more than one dimension, moved up the loss: along its gradient, by `share` of
    /// its own length.
    pub fn climbed<M: Module>(&self, module: M, share: f32) -> M {
        module.map(&mut Climb { gradients: self.gradients.iter(), share })
    }
}

struct Climb<'a> {
    gradients: std::slice::Iter<'a, Option<Tensor<1>>>,
    share: f32,
}

impl ModuleMapper for Climb<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let next = match self.gradients.next() {
            Some(Some(gradient)) if D > 1 => {
                let shape = tensor.dims();
                let value = tensor.inner().flatten::<1>(0, D - 1);
                let length = |tensor: Tensor<1>| tensor.square().sum().sqrt();
                // A tensor without a gradient stays where it is.
                let factor = length(value.clone()) / (length(gradient.clone()) + 1e-12) * self.share;
                (value + gradient.clone() * factor).reshape(shape).autodiff().require_grad()
            }
            _ => tensor,
        };
        Param::from_mapped_value(id, next, mapper)
    }
}

/// The exponential moving average of a module's parameters and running statistics.
#[derive(Debug, Clone)]
pub struct Average {
    /// What is kept of the average in a step.
    share: f32,
    /// In the order of a module visitor, flattened, without autodiff.
    values: Vec<Tensor<1>>,
}

impl Average {
    /// One that begins at `module`.
    pub fn new<M: Module>(share: f32, module: &M) -> Self {
        Self { share, values: all_of(module) }
    }

    /// One that goes on from its [`values`](Self::values).
    pub fn resume(share: f32, values: Vec<Tensor<1>>) -> Self {
        Self { share, values }
    }

    /// After a step of `module`.
    pub fn take_in<M: Module>(&mut self, module: &M) {
        for (average, value) in self.values.iter_mut().zip(all_of(module)) {
            *average = average.clone() * self.share + value * (1.0 - self.share);
        }
    }

    /// What a checkpoint needs.
    pub fn values(&self) -> &[Tensor<1>] {
        &self.values
    }

    /// A resting `module` with the average in the place of its own values.
    pub fn put_into<M: Module>(&self, module: M) -> M {
        module.map(&mut Put { next: self.values.iter() })
    }
}

fn all_of<M: Module>(module: &M) -> Vec<Tensor<1>> {
    let mut all = All(Vec::new());
    module.visit(&mut all);
    all.0
}

struct All(Vec<Tensor<1>>);

impl ModuleVisitor for All {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().inner().flatten(0, D - 1));
    }
}

struct Put<'a> {
    next: std::slice::Iter<'a, Tensor<1>>,
}

impl ModuleMapper for Put<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let next = self.next.next().expect("an average of the same module").clone().reshape(tensor.dims());
        Param::from_mapped_value(id, next, mapper)
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
