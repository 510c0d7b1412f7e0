//! Milliseconds of training and attack steps, stock Burn beside the kernels: warmed up, and at the first call.
//!
//! `kernel_speed [DEVICE] [THREADS] [SECONDS] [NAME]` (defaults: cpu, 2 threads, 1 second per case, every case whose name
//! contains NAME). DEVICE is `cpu` or, with the feature `wgpu`, `wgpu`: the default adapter; with `burn/autotune`, too, stock
//! Burn tunes itself there. Each line gives the fastest and the median run, and the first one after "from cold";
//! `tests/bench/pytorch_kernels.py` measures the same cases in PyTorch on the CPU.

use std::time::{Duration, Instant};

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Distribution, Tensor};
use riposte_kernels::Activation::{None as Linear, Relu};
use riposte_kernels::{ConvOptions, Path, SgdStep, SignedStep, cross_entropy, sgd_step, signed_step};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let device = match arguments.next().as_deref() {
        None | Some("cpu") => Device::flex(),
        #[cfg(feature = "wgpu")]
        Some("wgpu") => Device::wgpu_options().init().expect("an adapter"),
        Some(other) => panic!("DEVICE: cpu, or wgpu with the feature of this name, not {other}"),
    };
    let threads = arguments.next().map_or(2, |threads| threads.parse().expect("THREADS: a number"));
    let seconds = arguments.next().map_or(1.0, |seconds| seconds.parse().expect("SECONDS: a number"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let limit = Duration::from_secs_f64(seconds);
    let clock = Clock { limit, only: arguments.next().unwrap_or_default(), device };
    println!("{threads} threads; milliseconds, fastest (median; from cold)");
    pool.install(|| run(&clock));
}

fn run(clock: &Clock) {
    let device = &clock.device;
    for batch in [1, 32, 200, 256] {
        clock.compare(&format!("mnist cnn, training step, batch {batch}"), |path| {
            let mut training = Training::new(batch, path, device);
            move || training.step()
        });
    }
    for batch in [1, 500] {
        clock.compare(&format!("mnist cnn, attack step, batch {batch}"), |path| {
            let mut attack = Attack::new(batch, path, device);
            move || attack.step()
        });
    }
    for (channels, size, out, kernel, stride) in [
        (3, 32, 16, 3, 1),
        (16, 32, 16, 3, 1),
        (32, 16, 32, 3, 1),
        (64, 8, 64, 3, 1),
        (128, 4, 128, 3, 1),
        (3, 32, 64, 3, 1),
        (64, 32, 64, 3, 1),
        (64, 32, 128, 3, 2),
        (64, 32, 128, 1, 2),
        (128, 16, 128, 3, 1),
        (256, 8, 256, 3, 1),
        (512, 4, 512, 3, 1),
    ] {
        for batch in [1, 32] {
            let layer = Layer { shape: [batch, channels, size, out, kernel], stride };
            let name = format!("conv {channels}->{out} {kernel}x{kernel} s{stride} {size}x{size}, batch {batch}");
            clock.compare(&format!("{name}, forward"), |path| {
                let layer = layer.drawn(device);
                move || layer.forward(path)
            });
            for (gradients, of_x, of_weight) in [("input gradient", true, false), ("both gradients", true, true)] {
                clock.compare(&format!("{name}, forward and {gradients}"), |path| {
                    let layer = layer.drawn(device);
                    move || layer.backward(path, of_x, of_weight)
                });
            }
        }
    }
    for (channels, size) in [(16, 32), (64, 32), (128, 4)] {
        clock.compare(&format!("batch normalization of {channels}x{size}x{size}, batch 256, forward and gradients"), |path| {
            let norm = Norm::new([256, channels, size, size], device);
            move || norm.step(path)
        });
    }
}

struct Clock {
    limit: Duration,
    only: String,
    device: Device,
}

impl Clock {
    /// Runs a case on both paths, in turns so that a busy machine slows both.
    fn compare<F: FnMut()>(&self, name: &str, case: impl Fn(Path) -> F) {
        if !name.contains(&self.only) {
            return;
        }
        let once = |case: &mut F| {
            let start = Instant::now();
            case();
            self.device.sync().expect("the device works");
            start.elapsed().as_secs_f64() * 1e3
        };
        let mut cases = [case(Path::Kernels), case(Path::Stock)];
        let cold = cases.each_mut().map(once);
        let mut times = [Vec::new(), Vec::new()];
        let start = Instant::now();
        while start.elapsed() < self.limit || times[0].len() < 3 {
            for (case, times) in cases.iter_mut().zip(&mut times) {
                times.push(once(case));
            }
        }
        let [kernels, stock] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            (times[0], times[times.len() / 2])
        });
        println!(
            "{name:72} kernels {:9.3} ({:9.3}; {:9.1})  stock {:9.3} ({:9.3}; {:9.1})  {:6.2}x; {:6.2}x",
            kernels.0,
            kernels.1,
            cold[0],
            stock.0,
            stock.1,
            cold[1],
            stock.1 / kernels.1,
            cold[1] / cold[0],
        );
    }
}

/// The MNIST network's parameters: weights and biases in turn.
struct Network {
    convolutions: [Tensor<4>; 2],
    matrices: [Tensor<2>; 2],
    biases: [Tensor<1>; 4],
}

impl Network {
    fn new(device: &Device) -> Self {
        let small = Distribution::Uniform(-0.1, 0.1);
        Self {
            convolutions: [[16, 1, 4, 4], [32, 16, 4, 4]].map(|shape| Tensor::random(shape, small, device)),
            matrices: [[100, 1568], [10, 100]].map(|shape| Tensor::random(shape, small, device)),
            biases: [16, 32, 100, 10].map(|out| Tensor::random([out], small, device)),
        }
    }

    fn logits(&self, x: Tensor<4>, path: Path) -> Tensor<2> {
        let options = ConvOptions::square(2, 1);
        let [first, second] = self.convolutions.clone();
        let [hidden, last] = self.matrices.clone();
        let [b0, b1, b2, b3] = self.biases.clone().map(Some);
        let x = path.conv2d(x, first, b0, options, Relu);
        let x = path.conv2d(x, second, b1, options, Relu);
        let x = path.linear(x.flatten(1, 3), hidden, b2, Relu);
        path.linear(x, last, b3, Linear)
    }
}

fn images(batch: usize, device: &Device) -> (Tensor<4>, Tensor<2>) {
    let x = Tensor::random([batch, 1, 28, 28], Distribution::Uniform(0.0, 1.0), device);
    let labels = Tensor::<1, burn::tensor::Int>::zeros([batch], device);
    (x, labels.one_hot(10).float())
}

struct Training {
    network: Network,
    velocities: Vec<Tensor<1>>,
    x: Tensor<4>,
    targets: Tensor<2>,
    path: Path,
}

const SGD: SgdStep = SgdStep { learning_rate: 1e-3, momentum: 0.9, nesterov: true, weight_decay: 0.0, gradient_scale: 1.0 };

impl Training {
    fn new(batch: usize, path: Path, device: &Device) -> Self {
        let (x, targets) = images(batch, &device.clone().autodiff());
        Self { network: Network::new(device), velocities: Vec::new(), x, targets, path }
    }

    fn step(&mut self) {
        let network = Network {
            convolutions: self.network.convolutions.clone().map(|t| t.autodiff().require_grad()),
            matrices: self.network.matrices.clone().map(|t| t.autodiff().require_grad()),
            biases: self.network.biases.clone().map(|t| t.autodiff().require_grad()),
        };
        let logits = network.logits(self.x.clone(), self.path);
        let gradients = loss(self.path, logits, self.targets.clone()).backward();
        let missing = "every parameter is tracked";
        let [c0, c1] = network.convolutions.map(|t| (t.grad(&gradients).expect(missing).flatten(0, 3), t.inner().flatten(0, 3)));
        let [m0, m1] = network.matrices.map(|t| (t.grad(&gradients).expect(missing).flatten(0, 1), t.inner().flatten(0, 1)));
        let [b0, b1, b2, b3] = network.biases.map(|t| (t.grad(&gradients).expect(missing), t.inner()));
        let (gradients, parameters) = [c0, b0, c1, b1, m0, b2, m1, b3].into_iter().unzip();
        let velocities = std::mem::take(&mut self.velocities);
        let (parameters, velocities) = descend(self.path, parameters, gradients, velocities);
        self.velocities = velocities;
        let [c0, b0, c1, b1, m0, b2, m1, b3]: [Tensor<1>; 8] = parameters.try_into().expect("eight of them");
        let shape = |old: &Tensor<4>| old.dims();
        let [first, second] = self.network.convolutions.each_ref().map(shape);
        let [hidden, last] = self.network.matrices.each_ref().map(|old| old.dims());
        self.network = Network {
            convolutions: [c0.reshape(first), c1.reshape(second)],
            matrices: [m0.reshape(hidden), m1.reshape(last)],
            biases: [b0, b1, b2, b3],
        };
    }
}

struct Attack {
    network: Network,
    origin: Tensor<4>,
    x: Tensor<4>,
    targets: Tensor<2>,
    path: Path,
}

impl Attack {
    fn new(batch: usize, path: Path, device: &Device) -> Self {
        let (x, targets) = images(batch, device);
        Self { network: Network::new(device), origin: x.clone(), x, targets, path }
    }

    fn step(&mut self) {
        let x = self.x.clone().autodiff().require_grad();
        let loss = loss(self.path, self.network.logits(x.clone(), self.path), self.targets.clone());
        let gradient = x.grad(&loss.backward()).expect("x is tracked");
        self.x = ascend(self.path, self.x.clone(), gradient, self.origin.clone());
    }
}

/// Cross-entropy, summed over the batch.
fn loss(path: Path, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    match path {
        Path::Kernels => cross_entropy(logits, targets).sum(),
        Path::Stock => (log_softmax(logits, 1) * targets).sum().neg(),
    }
}

/// New parameters and velocities.
fn descend(
    path: Path,
    parameters: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    velocities: Vec<Tensor<1>>,
) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
    if path == Path::Kernels {
        return sgd_step(parameters, gradients, velocities, SGD);
    }
    let velocities = match velocities.is_empty() {
        true => gradients.clone(),
        false => velocities.into_iter().zip(&gradients).map(|(v, g)| v * SGD.momentum + g.clone()).collect(),
    };
    let steps = gradients.into_iter().zip(&velocities).map(|(g, v)| (g + v.clone() * SGD.momentum) * SGD.learning_rate);
    let parameters = parameters.into_iter().zip(steps).map(|(parameter, step)| parameter - step).collect();
    (parameters, velocities)
}

/// The next image of an attack.
fn ascend(path: Path, x: Tensor<4>, gradient: Tensor<4>, origin: Tensor<4>) -> Tensor<4> {
    let step = SignedStep { step_size: 0.01, epsilon: 0.3, range: [0.0, 1.0] };
    match path {
        Path::Kernels => signed_step(x, gradient, origin, None, step),
        Path::Stock => {
            let moved = x + gradient.sign() * step.step_size;
            moved.max_pair(origin.clone() - step.epsilon).min_pair(origin + step.epsilon).clamp(0.0, 1.0)
        }
    }
}

struct Layer {
    /// Batch, input channels, height and width, output channels, kernel height and width.
    shape: [usize; 5],
    stride: usize,
}

impl Layer {
    fn drawn(&self, device: &Device) -> DrawnLayer {
        let [batch, channels, size, out, kernel] = self.shape;
        let noise = Distribution::Uniform(-1.0, 1.0);
        DrawnLayer {
            x: Tensor::random([batch, channels, size, size], noise, device),
            weight: Tensor::random([out, channels, kernel, kernel], noise, device),
            options: ConvOptions::square(self.stride, kernel / 2),
        }
    }
}

struct DrawnLayer {
    x: Tensor<4>,
    weight: Tensor<4>,
    options: ConvOptions,
}

impl DrawnLayer {
    fn forward(&self, path: Path) {
        path.conv2d(self.x.clone(), self.weight.clone(), None, self.options, Linear);
    }

    fn backward(&self, path: Path, of_x: bool, of_weight: bool) {
        let tracked = |tensor: Tensor<4>, wanted| if wanted { tensor.autodiff().require_grad() } else { tensor };
        let (x, weight) = (tracked(self.x.clone(), of_x), tracked(self.weight.clone(), of_weight));
        path.conv2d(x, weight, None, self.options, Linear).sum().backward();
    }
}

struct Norm {
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
}

impl Norm {
    fn new(shape: [usize; 4], device: &Device) -> Self {
        let noise = Distribution::Uniform(-1.0, 1.0);
        let [gamma, beta] = [0, 1].map(|_| Tensor::random([shape[1]], noise, device));
        Self { x: Tensor::random(shape, noise, device), gamma, beta }
    }

    fn step(&self, path: Path) {
        let x = self.x.clone().autodiff().require_grad();
        let [gamma, beta] = [&self.gamma, &self.beta].map(|tensor| tensor.clone().autodiff().require_grad());
        let (y, _, _) = path.batch_norm_train_act(x, gamma, beta, 1e-5, Relu);
        y.sum().backward();
    }
}
