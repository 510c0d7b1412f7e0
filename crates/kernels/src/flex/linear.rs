//! Linear layers: no operand is reordered.

use core::mem::MaybeUninit;

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::kernels::activation::before_activation;
use super::kernels::dot::Dots;
use super::kernels::packed::Packed;
use super::kernels::product::{Factor, Layout, Product};
use super::kernels::simd::Lanes;
use super::layer::{Pass, with_pass};
use super::memory::{contiguous, filled, is_f32, slice, tensor};
use super::threads::{map_parts, part_range, parts, split};
use crate::{Activation, LayerBackward, LayerGradients, LinearBackwardOps, LinearOps, Maybe, stock};

impl LinearOps for Flex {
    fn linear_act(x: FlexTensor, weight: FlexTensor, bias: Maybe<Self>, activation: Activation) -> FlexTensor {
        if !is_f32(&x) {
            return stock::linear_act::<Self>(x, weight, bias, activation);
        }
        let [batch, inputs] = x.shape().dims();
        let [outputs, _] = weight.shape().dims();
        let sizes = Sizes { batch, inputs, outputs };
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), contiguous(&bias.into_option()));
        let bias = bias.as_ref().map(slice);
        // SAFETY: `forward` writes every element.
        unsafe { filled([batch, outputs], |y| forward(sizes, slice(&x), slice(&weight), bias, activation, y)) }
    }
}

impl LinearBackwardOps for Flex {
    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        if !is_f32(&pass.gradient) {
            return stock::linear_act_backward(pass);
        }
        let [batch, outputs] = pass.gradient.shape().dims();
        let matrix = pass.x.as_ref().or(pass.weight.as_ref());
        let sizes = Sizes { batch, inputs: matrix.map_or(0, |matrix| matrix.shape()[1]), outputs };
        with_pass(&pass, |pass| backward(sizes, pass))
    }
}

/// Rows of the gathered operand from which on packing the other pays: each row reads all of it.
const ROWS_WORTH_PACKING: usize = 64;

/// Sizes of a linear layer.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn work(self) -> usize {
        self.batch * self.inputs * self.outputs
    }
}

/// `y = act(x weight^T + bias)`: writes every element of y.
fn forward(sizes: Sizes, x: &[f32], weight: &[f32], bias: Option<&[f32]>, activation: Activation, y: &mut [MaybeUninit<f32>]) {
    let threads = parts(sizes.work()).min(sizes.batch);
    let ranges = (0..threads).map(|part| part_range(sizes.batch, threads, part, 1));
    let outputs = split(y, ranges.clone().map(|range| range.len() * sizes.outputs));
    let packed =
        (sizes.batch >= ROWS_WORTH_PACKING).then(|| Packed::from_columns(weight, sizes.inputs, sizes.inputs, sizes.outputs));
    let steps: Vec<u32> = (0..sizes.inputs as u32).collect();
    map_parts(ranges.zip(outputs).collect(), |(samples, y)| {
        let x = &x[samples.start * sizes.inputs..samples.end * sizes.inputs];
        let sums = match &packed {
            Some(packed) => products(sizes, x, packed, &steps),
            None => dots(sizes, x, weight),
        };
        let stride = sums.len() / samples.len();
        for (sums, y) in sums.chunks_exact(stride).zip(y.chunks_exact_mut(sizes.outputs)) {
            for (out, (sum, y)) in sums.iter().zip(y).enumerate() {
                y.write(activated(sum + bias.map_or(0.0, |bias| bias[out]), activation));
            }
        }
    });
}

/// `x weight^T` with the weight packed; rows filled up to whole vectors.
fn products(sizes: Sizes, x: &[f32], packed: &Packed, steps: &[u32]) -> Vec<f32> {
    let rows: Vec<u32> = (0..x.len() as u32).step_by(sizes.inputs).collect();
    let mut out = vec![0.0; rows.len() * packed.padded_width()];
    let factor = Factor::Packed(packed);
    let layout = Layout::Rows(packed.padded_width());
    Product { source: x, rows: &rows, steps, factor, out: &mut out, layout, first: 0, accumulate: false }.run();
    out
}

/// `x weight^T` with both read as they lie.
fn dots(sizes: Sizes, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let count = x.len() / sizes.inputs;
    let mut out = vec![0.0; count * sizes.outputs];
    Dots {
        x,
        count,
        weight,
        weights: sizes.outputs,
        length: sizes.inputs,
        store: |row, column, sum| out[row * sizes.outputs + column] = sum,
    }
    .run();
    out
}

#[inline(always)]
fn activated(value: f32, activation: Activation) -> f32 {
    match activation {
        Activation::Relu if value <= 0.0 => 0.0,
        Activation::LeakyRelu(slope) if value <= 0.0 => value * slope,
        _ => value,
    }
}

/// The wanted gradients.
fn backward(sizes: Sizes, pass: &Pass) -> LayerGradients<Flex> {
    let mut masked = Vec::new();
    let gradient = match pass.output {
        Some(y) => {
            before_activation(pass.gradient, y, pass.activation, &mut masked);
            &masked
        }
        None => pass.gradient,
    };
    let Sizes { batch, inputs, outputs } = sizes;
    let by_sample: Vec<u32> = (0..batch).map(|sample| (sample * outputs) as u32).collect();
    let by_output: Vec<u32> = (0..outputs as u32).collect();
    LayerGradients {
        x: pass.weight.map(|weight| product([batch, inputs], gradient, &by_sample, &by_output, weight)),
        weight: pass.x.map(|x| product([outputs, inputs], gradient, &by_output, &by_sample, x)),
        bias: pass.bias.then(|| {
            let mut sums = vec![0.0f64; outputs];
            for gradient in gradient.chunks_exact(outputs) {
                let pairs = sums.iter_mut().zip(gradient);
                pairs.for_each(|(sum, gradient)| *sum += f64::from(*gradient));
            }
            tensor(sums.iter().map(|&sum| sum as f32).collect(), [outputs])
        }),
    }
}

/// `[rows, columns]`: the sum over steps of `source[rows[row] + steps[step]] * factor[step][column]`, with a factor of one
/// contiguous row per step. Each thread takes some of the rows.
fn product([count, columns]: [usize; 2], source: &[f32], rows: &[u32], steps: &[u32], factor: &[f32]) -> FlexTensor {
    let lanes = Lanes::detect();
    let packed = (columns % lanes.count != 0 || count >= ROWS_WORTH_PACKING)
        .then(|| Packed::from_rows(factor, columns, steps.len(), columns));
    let factor = match &packed {
        Some(packed) => Factor::Packed(packed),
        None => Factor::Strided { data: factor, stride: columns, depth: steps.len(), width: columns },
    };
    let out_stride = lanes.round_up(columns);
    let mut out = vec![0.0; count * out_stride];
    let threads = parts(count * columns * steps.len()).min(count);
    let ranges = (0..threads).map(|part| part_range(count, threads, part, 1));
    let outputs = split(&mut out, ranges.clone().map(|range| range.len() * out_stride));
    map_parts(ranges.zip(outputs).collect(), |(range, out)| {
        let layout = Layout::Rows(out_stride);
        Product { source, rows: &rows[range], steps, factor, out, layout, first: 0, accumulate: false }.run();
    });
    if out_stride == columns {
        return tensor(out, [count, columns]);
    }
    // SAFETY: every row is copied.
    unsafe {
        filled([count, columns], |to| {
            let rows = out.chunks_exact(out_stride);
            for (to, row) in to.chunks_exact_mut(columns).zip(rows) {
                to.write_copy_of_slice(&row[..columns]);
            }
        })
    }
}
