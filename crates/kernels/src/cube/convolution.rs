//! Convolutions: launches of their kernels.

use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;

use super::kernels::activation::ActivationKind;
use super::kernels::data_gradient::data_gradient;
use super::kernels::forward::forward;
use super::kernels::geometry::{Window, extents};
use super::kernels::weight_gradient::weight_gradient;
use super::launch::{Finish, Parts, Signal, buffer, element, finish, optional, slope, width};
use super::plan::{Plan, Problem};
use super::{contiguous, direct, fit, pass_fits};
use crate::{
    Activation, ConvOptions, ConvShape, ConvolutionBackwardOps, ConvolutionOps, LayerBackward, LayerGradients, Maybe, stock,
};

impl ConvolutionOps for CubeBackend {
    fn conv2d_act(
        x: CubeTensor,
        weight: CubeTensor,
        bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> CubeTensor {
        let bias = bias.into_option();
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        match ConvPlans::new(&shape, &x.client) {
            Some(plans) if fit([Some(&x)], [Some(&weight), bias.as_ref()]) => {
                let [x, weight] = [x, weight].map(into_contiguous);
                outputs(x, weight, bias.map(into_contiguous), &shape, activation, &plans.forward)
            }
            _ => stock::conv2d_act::<Self>(x, weight, bias.into(), options, activation),
        }
    }
}

impl ConvolutionBackwardOps for CubeBackend {
    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        match ConvPlans::new(&shape, &pass.gradient.client) {
            Some(plans) if pass_fits(&pass) => gradients(contiguous(pass), &shape, &plans),
            _ => stock::conv2d_act_backward(pass, shape),
        }
    }
}

/// The plans of a convolution's three products on a device.
struct ConvPlans {
    forward: Plan,
    data: Plan,
    weight: Plan,
}

impl ConvPlans {
    /// `None` where one exceeds the device's limits.
    fn new(shape: &ConvShape, client: &Client) -> Option<Self> {
        let hardware = &client.properties().hardware;
        let window = Window::new(shape);
        let [batch, channels, height, width] = shape.x.map(|extent| extent as u32);
        let [_, filters, out_height, out_width] = shape.output().map(|extent| extent as u32);
        let positions = batch * out_height * out_width;
        let forward =
            Problem { rows: filters, columns: positions, terms: channels * window.taps(), run: window.kernel_w, copies: 1 };
        let data = Problem {
            rows: channels,
            columns: batch * height.div_ceil(window.stride_h) * width.div_ceil(window.stride_w),
            terms: filters * window.kernel_h.div_ceil(window.stride_h) * window.kernel_w.div_ceil(window.stride_w),
            run: window.row_taps(),
            copies: window.phases(),
        };
        let weight = Problem { rows: filters, columns: channels * window.taps(), terms: positions, run: 1, copies: 1 };
        Some(Self { forward: forward.plan(hardware)?, data: data.plan(hardware)?, weight: weight.plan(hardware)? })
    }

    /// How often the data gradient reads an element of the output's gradient.
    fn data_reads(&self, shape: &ConvShape) -> usize {
        let [_, _, kernel_h, kernel_w] = shape.weight;
        let [stride_h, stride_w] = shape.options.stride;
        let taps = kernel_h.div_ceil(stride_h) * kernel_w.div_ceil(stride_w);
        shape.output().iter().product::<usize>() * taps * self.data.grid[1] as usize
    }

    /// How often the weight gradient reads an element of the output's gradient.
    fn weight_reads(&self, shape: &ConvShape) -> usize {
        shape.output().iter().product::<usize>() * self.weight.grid[0] as usize
    }
}

/// Tensors contiguous, x f32 or f16, weight and bias f32.
fn outputs(
    x: CubeTensor,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
    shape: &ConvShape,
    activation: Activation,
    plan: &Plan,
) -> CubeTensor {
    if direct::suits(shape, x.dtype) {
        return direct::forward(&x, &weight, bias.as_ref(), shape, activation);
    }
    let [_, _, out_height, out_width] = shape.output();
    let [_, channels, kernel_h, kernel_w] = shape.weight;
    let weight_vectors = if plan.tile.k.is_multiple_of(4) { width(channels * kernel_h * kernel_w) } else { 1 };
    let plane = out_height * out_width;
    let window = Window::new(shape);
    let aligned = out_width.is_multiple_of(4) && window.runs_overlap();
    let sums = plan.output(x.dtype, &x, shape.output());
    let whole = plan.splits == 1;
    let applied = if whole { activation } else { Activation::None };
    unsafe {
        forward::launch_unchecked(
            &x.client,
            plan.count(),
            plan.units(),
            if aligned && window.stride_w == 1 { width(shape.x[3]) } else { 1 },
            weight_vectors,
            width(plane),
            buffer(&x),
            buffer(&weight),
            optional(bias.as_ref().filter(|_| whole)),
            buffer(&sums),
            extents(shape, plan.chunk),
            slope(applied),
            plan.tile,
            window,
            aligned,
            ActivationKind::from(applied),
            [element(&x), element(&sums)],
        );
    }
    let rest = Finish { dtype: x.dtype, bias: bias.as_ref(), inner: plane, activation };
    finish(Parts { sums, row_sums: None }, plan.splits, shape.output(), rest).0
}

/// Tensors contiguous, the weight f32, the others all f32 or all f16.
fn gradients(pass: LayerBackward<CubeBackend>, shape: &ConvShape, plans: &ConvPlans) -> LayerGradients<CubeBackend> {
    let reads = pass.weight.iter().map(|_| plans.data_reads(shape)).sum::<usize>()
        + pass.x.iter().map(|_| plans.weight_reads(shape)).sum::<usize>();
    let signal = Signal::new(pass.gradient, pass.output, pass.activation, reads);
    let x = pass.weight.map(|weight| data(&signal, &weight, shape, &plans.data));
    let (weight, bias) = match pass.x {
        Some(x) => {
            let (weight, bias) = weights(&signal, &x, pass.bias, shape, &plans.weight);
            (Some(weight), bias)
        }
        None => (None, pass.bias.then(|| signal.sums(&[0, 2, 3]))),
    };
    LayerGradients { x, weight, bias }
}

fn data(signal: &Signal, weight: &CubeTensor, shape: &ConvShape, plan: &Plan) -> CubeTensor {
    if direct::suits_data(shape, signal.gradient.dtype) {
        return direct::data(signal, weight, shape);
    }
    let window = Window::new(shape);
    let aligned = shape.x[3].div_ceil(shape.options.stride[1]).is_multiple_of(4);
    let [_, _, _, out_width] = shape.output();
    let dtype = signal.gradient.dtype;
    let out = plan.output(dtype, weight, shape.x);
    let plane = shape.x[2] * shape.x[3];
    unsafe {
        data_gradient::launch_unchecked(
            &out.client,
            plan.count(),
            plan.units(),
            if aligned && window.stride_w == 1 { width(out_width) } else { 1 },
            if window.phases() == 1 { width(plane) } else { 1 },
            buffer(&signal.gradient),
            signal.output.as_ref().map(buffer).into(),
            buffer(weight),
            buffer(&out),
            extents(shape, plan.chunk),
            slope(signal.activation),
            plan.tile,
            window,
            aligned,
            ActivationKind::from(signal.activation),
            [element(&signal.gradient), element(&out)],
        );
    }
    let parts = Parts { sums: out, row_sums: None };
    finish(parts, plan.splits, shape.x, Finish::stored(dtype)).0
}

fn weights(signal: &Signal, x: &CubeTensor, bias: bool, shape: &ConvShape, plan: &Plan) -> (CubeTensor, Option<CubeTensor>) {
    let [filters, channels, kernel_h, kernel_w] = shape.weight;
    let [_, _, out_height, out_width] = shape.output();
    let plane = out_height * out_width;
    let sums = plan.output(DType::F32, x, shape.weight);
    let row_sums = bias.then(|| plan.output(DType::F32, x, [filters]));
    unsafe {
        weight_gradient::launch_unchecked(
            &sums.client,
            plan.count(),
            plan.units(),
            width(plane),
            width(channels * kernel_h * kernel_w),
            buffer(&signal.gradient),
            signal.output.as_ref().map(buffer).into(),
            buffer(x),
            buffer(&sums),
            row_sums.as_ref().map(buffer).into(),
            extents(shape, plan.chunk),
            slope(signal.activation),
            plan.tile,
            Window::new(shape),
            ActivationKind::from(signal.activation),
            element(x),
        );
    }
    finish(Parts { sums, row_sums }, plan.splits, shape.weight, Finish::stored(DType::F32))
}
