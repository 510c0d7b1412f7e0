//! Times single kernels: `cargo test --release -p riposte-kernels --features wgpu -- --ignored timing --nocapture`.

use burn::backend::Backend;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::{Activation, ConvOptions, ConvShape, KernelBackend, LayerBackward, stock};

type B = CubeBackend;

fn cube(values: &[f32], shape: Vec<usize>, device: &burn_cubecl::CubeDevice) -> CubeTensor {
    <B as burn::backend::ops::FloatTensorOps<B>>::float_from_data(burn::tensor::TensorData::new(values.to_vec(), shape), device)
}

/// CPU time of all threads of this process, in seconds: a software adapter's work, whatever else the machine does.
fn cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let times = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    times.map(|text| text.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9).sum()
}

fn once(run: &mut dyn FnMut(), device: &burn_cubecl::CubeDevice) -> f64 {
    let start = cpu();
    run();
    B::sync(device).unwrap();
    cpu() - start
}

fn noise(seed: u32, count: usize) -> Vec<f32> {
    (0..count as u32).map(|i| ((i.wrapping_add(seed).wrapping_mul(2654435761) >> 8) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn square(batch: usize, channels: usize, size: usize, filters: usize, kernel: usize, stride: usize, padding: usize) -> ConvShape {
    ConvShape {
        x: [batch, channels, size, size],
        weight: [filters, channels, kernel, kernel],
        options: ConvOptions::square(stride, padding),
    }
}

#[test]
#[ignore = "a measurement"]
fn timing() {
    burn::tensor::Device::wgpu_options().init().unwrap();
    let device = burn_cubecl::CubeDevice::default();
    println!("{:?}", device.client().properties().hardware);
    let stock_too = std::env::var_os("STOCK").is_some();
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, shape) in [
        ("m1", square(256, 1, 28, 16, 4, 2, 1)),
        ("m2", square(256, 16, 14, 32, 4, 2, 1)),
        ("madry2", square(8, 32, 14, 64, 5, 1, 2)),
        ("n16", square(32, 16, 32, 16, 3, 1, 1)),
        ("n32", square(32, 32, 16, 32, 3, 1, 1)),
        ("n64", square(32, 64, 8, 64, 3, 1, 1)),
        ("n128", square(32, 128, 4, 128, 3, 1, 1)),
        ("a2", square(256, 16, 16, 32, 4, 2, 1)),
        ("r64", square(4, 64, 32, 64, 3, 1, 1)),
        ("r128", square(4, 128, 16, 128, 3, 1, 1)),
        ("r128s2", square(4, 64, 32, 128, 3, 2, 1)),
        ("r512", square(4, 512, 4, 512, 3, 1, 1)),
        ("r64b1", square(1, 64, 32, 64, 3, 1, 1)),
        ("r512b1", square(1, 512, 4, 512, 3, 1, 1)),
        ("m1b1", square(1, 1, 28, 16, 4, 2, 1)),
        ("m2b1", square(1, 16, 14, 32, 4, 2, 1)),
    ] {
        if !only.is_empty() && !only.split(',').any(|o| o == name) {
            continue;
        }
        let x = cube(&noise(1, shape.x.iter().product()), shape.x.to_vec(), &device);
        let w = cube(&noise(2, shape.weight.iter().product()), shape.weight.to_vec(), &device);
        let g = cube(&noise(3, shape.output().iter().product()), shape.output().to_vec(), &device);
        let flops = 2.0 * (shape.output().iter().product::<usize>() * shape.weight[1..].iter().product::<usize>()) as f64;
        let pass = |x: Option<&CubeTensor>, w: Option<&CubeTensor>| LayerBackward::<B> {
            gradient: g.clone(),
            output: None,
            x: x.cloned(),
            weight: w.cloned(),
            bias: false,
            activation: Activation::None,
        };
        let mut runs: Vec<Box<dyn FnMut() + '_>> = vec![
            Box::new(|| {
                B::conv2d_act(x.clone(), w.clone(), None, shape.options, Activation::None);
            }),
            Box::new(|| {
                B::conv2d_act_backward(pass(None, Some(&w)), shape);
            }),
            Box::new(|| {
                B::conv2d_act_backward(pass(Some(&x), None), shape);
            }),
        ];
        if stock_too {
            runs.push(Box::new(|| {
                stock::conv2d_act::<B>(x.clone(), w.clone(), None, shape.options, Activation::None);
            }));
            runs.push(Box::new(|| {
                stock::conv2d_act_backward(pass(None, Some(&w)), shape);
            }));
            runs.push(Box::new(|| {
                stock::conv2d_act_backward(pass(Some(&x), None), shape);
            }));
        }
        let first: Vec<f64> = runs.iter_mut().map(|run| once(run, &device)).collect();
        let mut times = vec![vec![]; runs.len()];
        let rounds: usize = std::env::var("ROUNDS").map_or(7, |r| r.parse().unwrap());
        for _ in 0..rounds {
            for (times, run) in times.iter_mut().zip(&mut runs) {
                times.push(once(run, &device));
            }
        }
        for times in &mut times {
            times.sort_by(f64::total_cmp);
        }
        print!("{name:8}");
        for i in 0..3 {
            let t = times[i][rounds / 2];
            print!(
                "  {:8.2} (min {:8.2}) ms {:6.2} GF/s compile {:4.0}",
                t * 1e3,
                times[i][0] * 1e3,
                flops / t / 1e9,
                (first[i] - t) * 1e3
            );
            if stock_too {
                print!(" x{:.2}", times[i + 3][rounds / 2] / t);
            }
        }
        println!();
    }
}
