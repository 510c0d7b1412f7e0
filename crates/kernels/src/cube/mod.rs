//! Kernels for GPU devices, written in CubeCL.
//!
//! Every layer is a tiled product of two matrices, one of them gathered on the fly ([`forward`], [`data_gradient`],
//! [`weight_gradient`]) or stored ([`product`]); the rest is elementwise ([`elementwise`], [`norm`]). The kernels ask of a
//! device no more than WebGPU's defaults: f32 and u32 (and f16 where tensors are), 16 KiB of workgroup memory, 256 units per
//! workgroup, eight buffers, no subgroups, no atomics. Nothing is tuned at run time: [`plan`] picks tiles from a problem's
//! extents.

mod block;
mod convolution;
mod data_gradient;
mod direct;
mod elementwise;
mod epilogue;
mod forward;
mod geometry;
mod launch;
mod linear;
mod norm;
mod plan;
mod product;
mod small;
mod thin;
mod tile;
mod weight_gradient;

use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::{
    Activation, BatchNormBackward, ConvOptions, ConvShape, KernelBackend, LayerBackward, LayerGradients, MovingAverage, SgdStep,
    SignedStep, stock,
};
use convolution::{ConvPlans, conv_backward, conv_forward};

impl KernelBackend for CubeBackend {
    fn conv2d_act(
        x: CubeTensor,
        weight: CubeTensor,
        bias: Option<CubeTensor>,
        options: ConvOptions,
        activation: Activation,
    ) -> CubeTensor {
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        match ConvPlans::new(&shape, &x.client) {
            Some(plans) if fit([Some(&x)], [Some(&weight), bias.as_ref()]) => conv_forward(
                into_contiguous(x),
                into_contiguous(weight),
                bias.map(into_contiguous),
                &shape,
                activation,
                &plans.forward,
            ),
            _ => stock::conv2d_act::<Self>(x, weight, bias, options, activation),
        }
    }

    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        match ConvPlans::new(&shape, &pass.gradient.client) {
            Some(plans) if fit(activations(&pass), [pass.weight.as_ref()]) => conv_backward(contiguous(pass), &shape, &plans),
            _ => stock::conv2d_act_backward(pass, shape),
        }
    }

    fn linear_act(x: CubeTensor, weight: CubeTensor, bias: Option<CubeTensor>, activation: Activation) -> CubeTensor {
        if !fit([Some(&x)], [Some(&weight), bias.as_ref()]) {
            return stock::linear_act::<Self>(x, weight, bias, activation);
        }
        let (x, weight) = (into_contiguous(x), into_contiguous(weight));
        let bias = bias.map(into_contiguous);
        linear::linear_forward(&x, &weight, bias.as_ref(), activation)
            .unwrap_or_else(|| stock::linear_act::<Self>(x, weight, bias, activation))
    }

    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        if !fit(activations(&pass), [pass.weight.as_ref()]) {
            return stock::linear_act_backward(pass);
        }
        let pass = contiguous(pass);
        linear::linear_backward(&pass).unwrap_or_else(|| stock::linear_act_backward(pass))
    }

    fn batch_norm_act(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        mean: CubeTensor,
        var: CubeTensor,
        epsilon: f64,
        activation: Activation,
    ) -> CubeTensor {
        if !fit([Some(&x)], [Some(&gamma), Some(&beta), Some(&mean), Some(&var)]) {
            return stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation);
        }
        let [x, gamma, beta, mean, var] = [x, gamma, beta, mean, var].map(into_contiguous);
        small::batch_norm(&x, [&gamma, &beta, &mean, &var], epsilon, activation)
    }

    fn batch_norm_train_act(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        epsilon: f64,
        activation: Activation,
    ) -> [CubeTensor; 3] {
        if !fit([Some(&x)], [Some(&gamma), Some(&beta)]) {
            return stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(into_contiguous);
        let [mean, var] = small::batch_statistics(&x);
        let y = small::batch_norm(&x, [&gamma, &beta, &mean, &var], epsilon, activation);
        [y, mean, var]
    }

    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<CubeTensor>; 3] {
        let activations = [Some(&pass.gradient), pass.x.as_ref(), pass.output.as_ref()];
        if !fit(activations, [Some(&pass.gamma), Some(&pass.mean), Some(&pass.var)]) {
            return stock::batch_norm_act_backward(pass);
        }
        small::batch_norm_backward(&BatchNormBackward {
            gradient: into_contiguous(pass.gradient),
            output: pass.output.map(into_contiguous),
            x: pass.x.map(into_contiguous),
            gamma: into_contiguous(pass.gamma),
            mean: into_contiguous(pass.mean),
            var: into_contiguous(pass.var),
            ..pass
        })
    }

    fn moving_statistics(running: [CubeTensor; 2], batch: [CubeTensor; 2], average: MovingAverage) -> [CubeTensor; 2] {
        if !single(running.each_ref().map(Some)) || !single(batch.each_ref().map(Some)) {
            return stock::moving_statistics::<Self>(running, batch, average);
        }
        let [running, batch] = [running, batch].map(|pair| pair.map(into_contiguous));
        small::moving_statistics(running.each_ref(), batch.each_ref(), average)
    }

    fn max_pool(x: CubeTensor, size: usize) -> CubeTensor {
        match fit([Some(&x)], []) {
            true => small::max_pool(&into_contiguous(x), size),
            false => stock::max_pool::<Self>(x, size),
        }
    }

    fn max_pool_backward(gradient: CubeTensor, x: CubeTensor, size: usize) -> CubeTensor {
        match fit([Some(&gradient), Some(&x)], []) {
            true => small::max_pool_backward(&into_contiguous(gradient), &into_contiguous(x), size),
            false => stock::max_pool_backward::<Self>(gradient, x, size),
        }
    }

    fn cross_entropy(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
        if !single([Some(&logits), Some(&targets)]) {
            return stock::cross_entropy::<Self>(logits, targets);
        }
        small::cross_entropy(&into_contiguous(logits), &into_contiguous(targets))
    }

    fn signed_step(
        x: CubeTensor,
        gradient: CubeTensor,
        origin: CubeTensor,
        active: Option<CubeTensor>,
        step: SignedStep,
    ) -> CubeTensor {
        if !single([Some(&x), Some(&gradient), Some(&origin), active.as_ref()]) {
            return stock::signed_step::<Self>(x, gradient, origin, active, step);
        }
        let [x, gradient, origin] = [x, gradient, origin].map(into_contiguous);
        let active = active.map(into_contiguous);
        small::signed_step(&x, &gradient, &origin, active.as_ref(), step)
    }

    fn sgd_step(
        parameters: Vec<CubeTensor>,
        gradients: Vec<CubeTensor>,
        velocities: Vec<CubeTensor>,
        step: SgdStep,
    ) -> [Vec<CubeTensor>; 2] {
        if !parameters.iter().chain(&gradients).chain(&velocities).all(|tensor| single([Some(tensor)])) {
            return stock::sgd_step::<Self>(parameters, gradients, velocities, step);
        }
        let [parameters, gradients, velocities] =
            [parameters, gradients, velocities].map(|tensors| tensors.into_iter().map(into_contiguous).collect::<Vec<_>>());
        small::sgd_step(&parameters, gradients, velocities, step)
    }
}

/// Whether a layer's kernels are written for these types: activations (x, the output, its gradient) all f32 or all f16,
/// parameters and statistics f32.
fn fit<const A: usize, const P: usize>(activations: [Option<&CubeTensor>; A], parameters: [Option<&CubeTensor>; P]) -> bool {
    let all = |dtype| activations.iter().flatten().all(|tensor| tensor.dtype == dtype);
    single(parameters) && (all(DType::F32) || all(DType::F16))
}

fn single<const N: usize>(tensors: [Option<&CubeTensor>; N]) -> bool {
    tensors.iter().flatten().all(|tensor| tensor.dtype == DType::F32)
}

fn activations(pass: &LayerBackward<CubeBackend>) -> [Option<&CubeTensor>; 3] {
    [Some(&pass.gradient), pass.output.as_ref(), pass.x.as_ref()]
}

fn contiguous(pass: LayerBackward<CubeBackend>) -> LayerBackward<CubeBackend> {
    LayerBackward {
        gradient: into_contiguous(pass.gradient),
        output: pass.output.map(into_contiguous),
        x: pass.x.map(into_contiguous),
        weight: pass.weight.map(into_contiguous),
        ..pass
    }
}
