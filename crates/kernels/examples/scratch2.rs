use burn::backend::flex::{Flex, FlexTensor};
use burn::tensor::{Device, Distribution, Tensor};
use riposte_kernels::*;
#[repr(C)]
struct Ts { s: i64, n: i64 }
unsafe extern "C" { fn clock_gettime(id: i32, t: *mut Ts) -> i32; }
fn cpu_ms() -> f64 { let mut t = Ts { s: 0, n: 0 }; unsafe { clock_gettime(2, &mut t); } t.s as f64 * 1e3 + t.n as f64 / 1e6 }
fn p<const D: usize>(s: [usize; D]) -> FlexTensor { Tensor::<D>::random(s, Distribution::Uniform(-1., 1.), &Device::flex()).try_into_primitive::<Flex>().unwrap() }
fn time(name: &str, flops: f64, mut f: impl FnMut()) {
    let only = std::env::args().nth(1).unwrap_or_default();
    if !name.contains(&only) { return; }
    f();
    let mut v = vec![];
    let s = std::time::Instant::now();
    while s.elapsed().as_secs_f64() < 1.0 || v.len() < 5 { let t = cpu_ms(); f(); v.push(cpu_ms() - t); }
    v.sort_by(f64::total_cmp);
    println!("{name:50} min {:8.4} med {:8.4} ms  {:7.1} GFLOP/s", v[0], v[v.len() / 2], flops / v[0] / 1e6);
}
fn conv(n: usize, c: usize, h: usize, o: usize, k: usize, s: usize, pad: usize, act: Activation) {
    let opt = ConvOptions::square(s, pad);
    let shape = ConvShape { x: [n, c, h, h], weight: [o, c, k, k], options: opt };
    let (x, w, b, g) = (p(shape.x), p(shape.weight), p([o]), p(shape.output()));
    let y = Flex::conv2d_act(x.clone(), w.clone(), Some(b.clone()), opt, act);
    let fl = 2.0 * shape.output().iter().product::<usize>() as f64 * (c * k * k) as f64;
    let nm = format!("conv {c}->{o} k{k} s{s} h{h} n{n}");
    time(&format!("{nm} fwd"), fl, || { Flex::conv2d_act(x.clone(), w.clone(), Some(b.clone()), opt, act); });
    let pass = |fx: bool, fw: bool| LayerBackward { gradient: g.clone(), output: (act != Activation::None).then(|| y.clone()), x: fw.then(|| x.clone()), weight: fx.then(|| w.clone()), bias: fw, activation: act };
    time(&format!("{nm} dx"), fl, || { Flex::conv2d_act_backward(pass(true, false), shape); });
    time(&format!("{nm} dw"), fl, || { Flex::conv2d_act_backward(pass(false, true), shape); });
}
fn lin(n: usize, i: usize, o: usize) {
    let (x, w, b, g) = (p([n, i]), p([o, i]), p([o]), p([n, o]));
    let act = Activation::Relu;
    let y = Flex::linear_act(x.clone(), w.clone(), Some(b.clone()), act);
    let fl = 2.0 * (n * i * o) as f64;
    time(&format!("linear {i}->{o} n{n} fwd"), fl, || { Flex::linear_act(x.clone(), w.clone(), Some(b.clone()), act); });
    let pass = |fx: bool, fw: bool| LayerBackward { gradient: g.clone(), output: Some(y.clone()), x: fw.then(|| x.clone()), weight: fx.then(|| w.clone()), bias: fw, activation: act };
    time(&format!("linear {i}->{o} n{n} dx"), fl, || { Flex::linear_act_backward(pass(true, false)); });
    time(&format!("linear {i}->{o} n{n} dw"), fl, || { Flex::linear_act_backward(pass(false, true)); });
}
fn main() {
    let threads = std::env::args().nth(2).map_or(1, |v| v.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
    for n in [1, 256] {
        conv(n, 1, 28, 16, 4, 2, 1, Activation::Relu);
        conv(n, 16, 14, 32, 4, 2, 1, Activation::Relu);
        lin(n, 1568, 100);
        lin(n, 100, 10);
    }
    for n in [1, 32] {
        for (c, h, o, k, s) in [(3, 32, 64, 3, 1), (64, 32, 64, 3, 1), (64, 32, 128, 3, 2), (64, 32, 128, 1, 2), (128, 16, 128, 3, 1), (256, 8, 256, 3, 1), (512, 4, 512, 3, 1)] { conv(n, c, h, o, k, s, k / 2, Activation::None); }
    }
    });
}
