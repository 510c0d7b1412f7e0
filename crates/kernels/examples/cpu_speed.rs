//! Milliseconds of training and attack steps on the CPU, stock Burn beside the kernels.
//!
//! `cpu_speed [THREADS] [SECONDS] [NAME]` (defaults: 2 threads, 1 second per case, every case whose name contains NAME).
//! Each line gives the fastest and the median run; `tests/bench/pytorch_kernels.py` measures the same cases in PyTorch.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Tensor};
use riposte_kernels::Activation::{None as Linear, Relu};
use riposte_kernels::{ConvOptions, Path, SgdStep, SignedStep};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(2, |threads| threads.parse().expect("THREADS: a number"));
    let seconds = arguments.next().map_or(1.0, |seconds| seconds.parse().expect("SECONDS: a number"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let clock = Clock { limit: Duration::from_secs_f64(seconds), only: arguments.next().unwrap_or_default() };
    println!("{threads} threads; milliseconds, fastest (median)");
    pool.install(|| run(&clock));
}

fn run(clock: &Clock) {
    for batch in [1, 32, 200, 256] {
        clock.compare(&format!("mnist cnn, training step, batch {batch}"), |path| {
            let mut training = Training::new(batch, path);
            move || training.step()
        });
    }
    for batch in [1, 500] {
        clock.compare(&format!("mnist cnn, attack step, batch {batch}"), |path| {
            let mut attack = Attack::new(batch, path);
            move || attack.step()
        });
    }
    for (channels, size, out, kernel, stride) in [
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
                let layer = layer.drawn();
                move || layer.forward(path)
            });
            for (gradients, of_x, of_weight) in [("input gradient", true, false), ("both gradients", true, true)] {
                clock.compare(&format!("{name}, forward and {gradients}"), |path| {
                    let layer = layer.drawn();
                    move || layer.backward(path, of_x, of_weight)
                });
            }
        }
    }
}

struct Clock {
    limit: Duration,
    only: String,
}

impl Clock {
    /// Runs a case on both paths, in turns so that a busy machine slows both.
    fn compare<F: FnMut()>(&self, name: &str, case: impl Fn(Path) -> F) {
        if !name.contains(&self.only) {
            return;
        }
        let mut cases = [case(Path::Kernels), case(Path::Stock)];
        let mut times = [Vec::new(), Vec::new()];
        cases.iter_mut().for_each(|case| case());
        let start = Instant::now();
        while start.elapsed() < self.limit || times[0].len() < 3 {
            for (case, times) in cases.iter_mut().zip(&mut times) {
                let start = Instant::now();
                case();
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let [kernels, stock] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            (times[0], times[times.len() / 2])
        });
        println!(
            "{name:64} kernels {:9.3} ({:9.3})  stock {:9.3} ({:9.3})  {:6.2}x",
            kernels.0,
            kernels.1,
            stock.0,
            stock.1,
            stock.1 / kernels.1,
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
    velocities: [Option<Tensor<4>>; 2],
    matrix_velocities: [Option<Tensor<2>>; 2],
    bias_velocities: [Option<Tensor<1>>; 4],
    x: Tensor<4>,
    targets: Tensor<2>,
    path: Path,
}

const SGD: SgdStep = SgdStep { learning_rate: 1e-3, momentum: 0.9, nesterov: true, weight_decay: 0.0 };

impl Training {
    fn new(batch: usize, path: Path) -> Self {
        let device = Device::flex().autodiff();
        let (x, targets) = images(batch, &device);
        Self {
            network: Network::new(&device.clone().inner()),
            velocities: [None, None],
            matrix_velocities: [None, None],
            bias_velocities: [None, None, None, None],
            x,
            targets,
            path,
        }
    }

    fn step(&mut self) {
        let network = Network {
            convolutions: self.network.convolutions.clone().map(|t| t.autodiff().require_grad()),
            matrices: self.network.matrices.clone().map(|t| t.autodiff().require_grad()),
            biases: self.network.biases.clone().map(|t| t.autodiff().require_grad()),
        };
        let logits = network.logits(self.x.clone(), self.path);
        let gradients = self.path.cross_entropy(logits, self.targets.clone()).mean().backward();
        update(&mut self.network.convolutions, network.convolutions, &mut self.velocities, self.path, &gradients);
        update(&mut self.network.matrices, network.matrices, &mut self.matrix_velocities, self.path, &gradients);
        update(&mut self.network.biases, network.biases, &mut self.bias_velocities, self.path, &gradients);
    }
}

fn update<const D: usize, const N: usize>(
    parameters: &mut [Tensor<D>; N],
    tracked: [Tensor<D>; N],
    velocities: &mut [Option<Tensor<D>>; N],
    path: Path,
    gradients: &burn::tensor::Gradients,
) {
    for ((parameter, tracked), velocity) in parameters.iter_mut().zip(tracked).zip(velocities) {
        let gradient = tracked.grad(gradients).expect("every parameter is tracked");
        drop(tracked);
        let (new, kept) = path.sgd_step(parameter.clone(), gradient, velocity.take(), SGD);
        *parameter = new;
        *velocity = Some(kept);
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
    fn new(batch: usize, path: Path) -> Self {
        let device = Device::flex();
        let (x, targets) = images(batch, &device);
        Self { network: Network::new(&device), origin: x.clone(), x, targets, path }
    }

    fn step(&mut self) {
        let x = self.x.clone().autodiff().require_grad();
        let loss = self.path.cross_entropy(self.network.logits(x.clone(), self.path), self.targets.clone()).sum();
        let gradient = x.grad(&loss.backward()).expect("x is tracked");
        let step = SignedStep { step_size: 0.01, epsilon: 0.3, range: [0.0, 1.0] };
        self.x = self.path.signed_step(self.x.clone(), gradient, self.origin.clone(), None, step);
    }
}

struct Layer {
    /// Batch, input channels, height and width, output channels, kernel height and width.
    shape: [usize; 5],
    stride: usize,
}

impl Layer {
    fn drawn(&self) -> DrawnLayer {
        let [batch, channels, size, out, kernel] = self.shape;
        let noise = Distribution::Uniform(-1.0, 1.0);
        DrawnLayer {
            x: Tensor::random([batch, channels, size, size], noise, &Device::flex()),
            weight: Tensor::random([out, channels, kernel, kernel], noise, &Device::flex()),
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
