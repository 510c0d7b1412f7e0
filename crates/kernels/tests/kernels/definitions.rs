//! What is around convolutions and linear layers, by its definition, in double precision on the host: every device and the
//! browser are compared with it.

use riposte_kernels::{Activation, SgdStep, SignedStep};

use crate::random::Random;

pub fn activate(value: f64, activation: Activation) -> f64 {
    match activation.negative_slope() {
        Some(slope) if value < 0.0 => value * f64::from(slope),
        _ => value,
    }
}

/// The gradient before an activation, from the one after it and the activation's output.
pub fn before_activation(gradient: &[f32], output: &[f32], activation: Activation) -> Vec<f64> {
    let slope = activation.negative_slope().map_or(1.0, f64::from);
    let pairs = gradient.iter().zip(output);
    pairs.map(|(g, y)| f64::from(*g) * if *y > 0.0 { 1.0 } else { slope }).collect()
}

/// Random numbers for batch normalization.
pub struct BatchNorm {
    pub shape: [usize; 4],
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub epsilon: f64,
    pub activation: Activation,
    /// The loss's gradient with respect to y.
    pub upstream: Vec<f32>,
}

impl BatchNorm {
    /// With x around `center`.
    pub fn new(shape: [usize; 4], center: f32, epsilon: f64, activation: Activation) -> Self {
        let mut random = Random::new(shape.iter().product::<usize>() as u64);
        let (count, channels) = (shape.iter().product(), shape[1]);
        let x = random.numbers(count).iter().map(|v| v + center).collect();
        let [gamma, beta] = [(); 2].map(|()| random.numbers(channels));
        Self { shape, x, gamma, beta, epsilon, activation, upstream: random.numbers(count) }
    }

    /// A mean and a variance for each channel.
    pub fn statistics(&self) -> [Vec<f32>; 2] {
        let mut random = Random::new(17);
        let channels = self.shape[1];
        [random.numbers(channels), random.numbers(channels).iter().map(|v| v.abs() + 0.1).collect()]
    }

    /// By the given statistics: y and the gradients of x, gamma and beta. The signs of the activation are those of the computed
    /// output.
    pub fn frozen(&self, [mean, var]: &[Vec<f32>; 2], computed: &[f32]) -> [Vec<f64>; 4] {
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (mean, var) = (wide(mean), wide(var));
        let signal = before_activation(&self.upstream, computed, self.activation);
        let scale = |c: usize| f64::from(self.gamma[c]) / (var[c] + self.epsilon).sqrt();
        let of_x = signal.iter().enumerate().map(|(i, signal)| signal * scale(self.channel(i))).collect();
        let [of_gamma, of_beta] = self.of_parameters(&mean, &var, &signal);
        [self.output(&mean, &var), of_x, of_gamma, of_beta]
    }

    /// By the statistics of the batch: the same, and mean and variance.
    pub fn of_batch(&self, computed: &[f32]) -> [Vec<f64>; 6] {
        let channels = self.shape[1];
        let count = (self.x.len() / channels) as f64;
        let [mut mean, mut var] = [vec![0.0; channels], vec![0.0; channels]];
        self.x.iter().enumerate().for_each(|(i, &v)| mean[self.channel(i)] += f64::from(v) / count);
        self.x
            .iter()
            .enumerate()
            .for_each(|(i, &v)| var[self.channel(i)] += (f64::from(v) - mean[self.channel(i)]).powi(2) / count);
        let signal = before_activation(&self.upstream, computed, self.activation);
        let [of_gamma, of_beta] = self.of_parameters(&mean, &var, &signal);
        let of_x = signal.iter().enumerate().map(|(i, signal)| {
            let c = self.channel(i);
            let scale = f64::from(self.gamma[c]) / (var[c] + self.epsilon).sqrt();
            scale * (signal - of_beta[c] / count - self.normal(i, &mean, &var) * of_gamma[c] / count)
        });
        [self.output(&mean, &var), of_x.collect(), of_gamma, of_beta, mean, var]
    }

    fn channel(&self, i: usize) -> usize {
        let [_, channels, height, width] = self.shape;
        i / (height * width) % channels
    }

    fn normal(&self, i: usize, mean: &[f64], var: &[f64]) -> f64 {
        let c = self.channel(i);
        (f64::from(self.x[i]) - mean[c]) / (var[c] + self.epsilon).sqrt()
    }

    fn output(&self, mean: &[f64], var: &[f64]) -> Vec<f64> {
        let of = |i| {
            let c = self.channel(i);
            activate(self.normal(i, mean, var) * f64::from(self.gamma[c]) + f64::from(self.beta[c]), self.activation)
        };
        (0..self.x.len()).map(of).collect()
    }

    fn of_parameters(&self, mean: &[f64], var: &[f64], signal: &[f64]) -> [Vec<f64>; 2] {
        let [mut of_gamma, mut of_beta] = [(); 2].map(|()| vec![0.0; self.shape[1]]);
        for (i, signal) in signal.iter().enumerate() {
            of_gamma[self.channel(i)] += signal * self.normal(i, mean, var);
            of_beta[self.channel(i)] += signal;
        }
        [of_gamma, of_beta]
    }
}

/// Maxima of windows of `size` by `size`, and the gradient of x: the first maximum of each window gets what comes from above.
pub fn max_pool([_, _, height, width]: [usize; 4], size: usize, x: &[f32], upstream: &[f32]) -> [Vec<f32>; 2] {
    let (rows, columns) = (height / size, width / size);
    let mut of_x = vec![0.0; x.len()];
    let pooled = upstream.iter().enumerate().map(|(i, upstream)| {
        let start = (i / columns / rows * height + i / columns % rows * size) * width + i % columns * size;
        let window = (0..size * size).map(|tap| start + tap / size * width + tap % size);
        let best = window.reduce(|best, at| if x[at] > x[best] { at } else { best }).expect("a window");
        of_x[best] += upstream;
        x[best]
    });
    [pooled.collect(), of_x]
}

/// The loss of each sample, and the gradient of the logits; the targets need not be one-hot.
pub fn cross_entropy(classes: usize, logits: &[f32], targets: &[f32], upstream: &[f32]) -> [Vec<f64>; 2] {
    let [mut losses, mut of_logits] = [vec![0.0; upstream.len()], vec![0.0; logits.len()]];
    for (sample, upstream) in upstream.iter().enumerate() {
        let row = sample * classes..(sample + 1) * classes;
        let highest = logits[row.clone()].iter().fold(f64::MIN, |m, v| m.max(f64::from(*v)));
        let partition: f64 = logits[row.clone()].iter().map(|v| (f64::from(*v) - highest).exp()).sum();
        let total: f64 = targets[row.clone()].iter().map(|v| f64::from(*v)).sum();
        for i in row {
            let log_probability = f64::from(logits[i]) - highest - partition.ln();
            losses[sample] -= f64::from(targets[i]) * log_probability;
            of_logits[i] = (log_probability.exp() * total - f64::from(targets[i])) * f64::from(*upstream);
        }
    }
    [losses, of_logits]
}

/// Where a step along the gradient's sign leads. In single precision: the steps are compared to within a rounding.
pub fn signed_step(x: &[f32], gradient: &[f32], origin: &[f32], active: &[f32], step: SignedStep) -> Vec<f64> {
    let image = x.len() / active.len();
    let [low, high] = step.range;
    let moved = (0..x.len()).map(|i| {
        let sign = f32::from(gradient[i] > 0.0) - f32::from(gradient[i] < 0.0);
        let moved = x[i] + step.step_size * sign;
        let moved = moved.clamp(origin[i] - step.epsilon, origin[i] + step.epsilon).clamp(low, high);
        f64::from(if active[i / image] == 0.0 { x[i] } else { moved })
    });
    moved.collect()
}

/// Steps of gradient descent, one for each of the gradients, as [`SgdStep`] describes them.
pub fn descent(parameters: &[f32], gradients: &[Vec<f32>], step: SgdStep) -> Vec<f64> {
    let [rate, momentum, decay] = [step.learning_rate, step.momentum, step.weight_decay].map(f64::from);
    let mut parameters: Vec<f64> = parameters.iter().map(|&v| v.into()).collect();
    let mut velocities = vec![0.0; parameters.len()];
    for gradients in gradients {
        for ((value, velocity), gradient) in parameters.iter_mut().zip(&mut velocities).zip(gradients) {
            let gradient = f64::from(step.gradient_scale) * f64::from(*gradient) + decay * *value;
            *velocity = momentum * *velocity + gradient;
            *value -= rate * if step.nesterov { gradient + momentum * *velocity } else { *velocity };
        }
    }
    parameters
}
