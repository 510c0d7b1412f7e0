//! Times single kernels: `cargo test --release -p riposte-kernels --features wgpu -- --ignored timing --nocapture`.

use std::time::Instant;

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use burn::backend::{Backend, TensorMetadata};

use super::*;
use crate::{KernelBackend, LayerBackward, stock};

type B = CubeBackend;

fn cube(values: &[f32], shape: Vec<usize>, device: &burn_cubecl::CubeDevice) -> CubeTensor {
    burn_cubecl::ops::from_data(burn::tensor::TensorData::new(values.to_vec(), shape), device)
}

fn median(mut run: impl FnMut(), device: &burn_cubecl::CubeDevice) -> f64 {
    let budget = Instant::now();
    run();
    B::sync(device).unwrap();
    let first = budget.elapsed().as_secs_f64();
    let mut times = vec![];
    while times.len() < 3 || (times.len() < 15 && budget.elapsed().as_secs_f64() < first + 1.0) {
        let start = Instant::now();
        run();
        B::sync(device).unwrap();
        times.push(start.elapsed().as_secs_f64());
        if budget.elapsed().as_secs_f64() > 20.0 { break }
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn timing() {
    gpu().unwrap();
    let device = burn_cubecl::CubeDevice::default();
    let stock_too = std::env::var_os("STOCK").is_some();
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, shape) in [
        ("m1", square(256, 1, 28, 16, 4, 2, 1)),
        ("m2", square(256, 16, 14, 32, 4, 2, 1)),
        ("madry2", square(8, 32, 14, 64, 5, 1, 2)),
        ("r64", square(4, 64, 32, 64, 3, 1, 1)),
        ("r128", square(4, 128, 16, 128, 3, 1, 1)),
        ("r128s2", square(4, 64, 32, 128, 3, 2, 1)),
        ("r512", square(4, 512, 4, 512, 3, 1, 1)),
        ("r64b1", square(1, 64, 32, 64, 3, 1, 1)),
        ("r512b1", square(1, 512, 4, 512, 3, 1, 1)),
        ("m1b1", square(1, 1, 28, 16, 4, 2, 1)),
        ("m2b1", square(1, 16, 14, 32, 4, 2, 1)),
    ] {
        if !only.is_empty() && !only.split(',').any(|o| o == name) { continue }
        let x = cube(&noise(1, shape.x.iter().product()), shape.x.to_vec(), &device);
        let w = cube(&noise(2, shape.weight.iter().product()), shape.weight.to_vec(), &device);
        let g = cube(&noise(3, shape.output().iter().product()), shape.output().to_vec(), &device);
        let flops = 2.0 * (shape.output().iter().product::<usize>() * shape.weight[1..].iter().product::<usize>()) as f64;
        let pass = |x: Option<&CubeTensor>, w: Option<&CubeTensor>| LayerBackward::<B> {
            gradient: g.clone(), output: None, x: x.cloned(), weight: w.cloned(), bias: false, activation: Activation::None,
        };
        let ours = [
            median(|| { B::conv2d_act(x.clone(), w.clone(), None, shape.options, Activation::None); }, &device),
            median(|| { B::conv2d_act_backward(pass(None, Some(&w)), shape); }, &device),
            median(|| { B::conv2d_act_backward(pass(Some(&x), None), shape); }, &device),
        ];
        print!("{name:8}");
        for t in ours { print!("  {:9.3} ms {:6.2} GF/s", t * 1e3, flops / t / 1e9); }
        if stock_too {
            let theirs = [
                median(|| { stock::conv2d_act::<B>(x.clone(), w.clone(), None, shape.options, Activation::None); }, &device),
                median(|| { stock::conv2d_act_backward(pass(None, Some(&w)), shape); }, &device),
                median(|| { stock::conv2d_act_backward(pass(Some(&x), None), shape); }, &device),
            ];
            print!("  stock");
            for (t, o) in theirs.iter().zip(ours) { print!("  {:9.3} ms x{:.1}", t * 1e3, t / o); }
        }
        println!();
    }
}
