//! Convolutions: tensors in and out, and the backward pass split over threads.

use core::mem::MaybeUninit;
use core::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::kernels::activation::before_activation;
use super::kernels::data_gradient::DataGradient;
use super::kernels::elementwise::sum;
use super::kernels::epilogue::{Positions, Rows, finish};
use super::kernels::forward::{forward, samples_per_block};
use super::kernels::geometry::Geometry;
use super::kernels::product::Layout;
use super::kernels::simd::Lanes;
use super::kernels::weight_gradient::WeightGradient;
use super::layer::{Pass, with_pass};
use super::memory::{contiguous, filled, is_f32, slice, tensor};
use super::threads::{map_parts, part_range, parts, split};
use crate::{
    Activation, ConvOptions, ConvShape, ConvolutionBackwardOps, ConvolutionOps, LayerBackward, LayerGradients, Maybe, stock,
};

impl ConvolutionOps for Flex {
    fn conv2d_act(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FlexTensor {
        if !is_f32(&x) {
            return stock::conv2d_act::<Self>(x, weight, bias, options, activation);
        }
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), contiguous(&bias.into_option()));
        let geometry = Geometry::new(shape);
        let bias = bias.as_ref().map(slice);
        // SAFETY: `forward` writes every element.
        unsafe { filled(shape.output(), |y| forward(&geometry, slice(&x), slice(&weight), bias, activation, y)) }
    }
}

impl ConvolutionBackwardOps for Flex {
    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        if !is_f32(&pass.gradient) {
            return stock::conv2d_act_backward(pass, shape);
        }
        with_pass(&pass, |pass| backward(&Geometry::new(shape), pass))
    }
}

/// The wanted gradients.
fn backward(geometry: &Geometry, pass: &Pass) -> LayerGradients<Flex> {
    let threads = parts(geometry.batch * geometry.work());
    let wants_parameters = pass.x.is_some() || pass.bias;
    if geometry.batch < threads
        && !wants_parameters
        && let Some(weight) = pass.weight
    {
        let x = unsafe {
            // SAFETY: `by_channels` writes every channel of every image.
            filled(input_shape(geometry), |to| by_channels(geometry, pass, weight, threads, to))
        };
        return LayerGradients { x: Some(x), weight: None, bias: None };
    }
    by_samples(geometry, pass, threads.min(geometry.batch))
}

fn input_shape(geometry: &Geometry) -> [usize; 4] {
    [geometry.batch, geometry.channels, geometry.height, geometry.width]
}

/// Each thread takes some of the images; what they sum up is added in the order of the images.
fn by_samples(geometry: &Geometry, pass: &Pass, threads: usize) -> LayerGradients<Flex> {
    let data = pass.weight.map(|weight| DataGradient::new(geometry, weight, 0..geometry.channels, geometry.batch));
    let ranges: Vec<_> = (0..threads).map(|part| part_range(geometry.batch, threads, part, 1)).collect();
    let mut sums = Vec::new();
    let mut run = |to: &mut [MaybeUninit<f32>]| {
        let lengths = ranges.iter().map(|range| range.len() * geometry.image());
        let outputs = match data {
            Some(_) => split(to, lengths).into_iter().map(Some).collect(),
            None => ranges.iter().map(|_| None).collect::<Vec<_>>(),
        };
        let items = ranges.iter().cloned().zip(outputs).collect();
        sums = map_parts(items, |(samples, to)| samples_backward(geometry, pass, data.as_ref(), samples, to));
    };
    let x = match data {
        // SAFETY: every thread writes the input gradient of each of its images.
        Some(_) => Some(unsafe { filled(input_shape(geometry), run) }),
        None => {
            run(&mut []);
            None
        }
    };
    let sums = sums.into_iter().reduce(Sums::add).expect("at least one part");
    LayerGradients {
        x,
        weight: pass.x.map(|_| sums.weight(geometry)),
        bias: pass.bias.then(|| {
            let bias = sums.bias.iter().map(|&sum| sum as f32).collect();
            tensor(bias, [geometry.out])
        }),
    }
}

/// One thread's sums over its images.
struct Sums {
    /// A row for each tap, a column for each output channel, in panels.
    weight: Vec<f32>,
    /// In double precision: a channel of a batch has up to a million addends.
    bias: Vec<f64>,
}

impl Sums {
    fn add(mut self, other: Self) -> Self {
        self.weight.iter_mut().zip(other.weight).for_each(|(a, b)| *a += b);
        self.bias.iter_mut().zip(other.bias).for_each(|(a, b)| *a += b);
        self
    }

    fn weight(&self, geometry: &Geometry) -> FlexTensor {
        let [height, width] = geometry.kernel;
        let rows = Rows {
            data: &self.weight,
            layout: Layout::Panels(geometry.taps()),
            channels: geometry.out,
            positions: Positions::InOrder(geometry.taps()),
        };
        let shape = [geometry.out, geometry.channels, height, width];
        // SAFETY: `finish` writes every element.
        unsafe { filled(shape, |to| finish(rows, None, Activation::None, to)) }
    }
}

fn samples_backward(
    geometry: &Geometry,
    pass: &Pass,
    data: Option<&DataGradient>,
    samples: Range<usize>,
    mut to: Option<&mut [MaybeUninit<f32>]>,
) -> Sums {
    let (image, output) = (geometry.image(), geometry.out * geometry.positions());
    let block = samples_per_block(geometry, Lanes::detect().round_up(geometry.out), samples.len());
    let mut weight = pass.x.map(|_| WeightGradient::new(geometry, block));
    let mut data = data.map(|data| data.worker(block));
    let mut bias = vec![0.0; if pass.bias { geometry.out } else { 0 }];
    let mut masked = Vec::new();

    for start in samples.clone().step_by(block) {
        let end = samples.end.min(start + block);
        let gradient = &pass.gradient[start * output..end * output];
        let gradient = match pass.output {
            Some(y) => {
                let y = &y[start * output..end * output];
                before_activation(gradient, y, pass.activation, &mut masked);
                &masked
            }
            None => gradient,
        };
        let channels = gradient.chunks_exact(geometry.positions()).enumerate();
        if pass.bias {
            channels.for_each(|(index, plane)| {
                bias[index % geometry.out] += f64::from(sum(plane));
            });
        }
        if let (Some(weight), Some(x)) = (&mut weight, pass.x) {
            weight.add(geometry, &x[start * image..end * image], gradient);
        }
        if let (Some(data), Some(to)) = (&mut data, &mut to) {
            let range = (start - samples.start) * image..(end - samples.start) * image;
            data.run(gradient, &mut to[range]);
        }
    }
    Sums { weight: weight.map_or(Vec::new(), WeightGradient::sums), bias }
}

/// Fewer images than threads, and only the input's gradient wanted: each thread takes some of an image's channels.
fn by_channels(geometry: &Geometry, pass: &Pass, weight: &[f32], threads: usize, to: &mut [MaybeUninit<f32>]) {
    let output = geometry.out * geometry.positions();
    let plane = geometry.height * geometry.width;
    let ranges: Vec<_> = (0..threads)
        .map(|part| part_range(geometry.channels, threads, part, Lanes::detect().count))
        .filter(|range| !range.is_empty())
        .collect();
    let mut masked = Vec::new();
    for (sample, to) in to.chunks_exact_mut(geometry.image()).enumerate() {
        let range = sample * output..(sample + 1) * output;
        let gradient = &pass.gradient[range.clone()];
        let gradient = match pass.output {
            Some(y) => {
                before_activation(gradient, &y[range], pass.activation, &mut masked);
                &masked
            }
            None => gradient,
        };
        let outputs = split(to, ranges.iter().map(|range| range.len() * plane));
        let items = ranges.iter().cloned().zip(outputs).collect();
        map_parts(items, |(channels, to)| {
            let data = DataGradient::new(geometry, weight, channels, 1);
            data.worker(1).run(gradient, to);
        });
    }
}
