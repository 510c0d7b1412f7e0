//! Layers in float64 on the host, by their definitions.

use riposte_kernels::{Activation, ConvShape};

use crate::definitions::activate;

pub struct Conv {
    pub shape: ConvShape,
}

impl Conv {
    /// Calls `visit(image, filter, channel, tap, inputs, outputs)` for every row of output positions that a tap of the kernel meets:
    /// the index of the first of them in output and input, and their number. Inputs are `stride` apart.
    fn rows(&self, mut visit: impl FnMut(usize, usize, usize, usize, usize)) {
        let [batch, channels, height, width] = self.shape.x;
        let [filters, _, kernel_h, kernel_w] = self.shape.weight;
        let [_, _, out_h, out_w] = self.shape.output();
        let [stride_h, stride_w] = self.shape.options.stride;
        let [padding_h, padding_w] = self.shape.options.padding;
        for image in 0..batch {
            for filter in 0..filters {
                for channel in 0..channels {
                    for ky in 0..kernel_h {
                        for kx in 0..kernel_w {
                            let weight = ((filter * channels + channel) * kernel_h + ky) * kernel_w + kx;
                            // Output columns whose input column lies inside.
                            let first = padding_w.saturating_sub(kx).div_ceil(stride_w);
                            let Some(reach) = (width + padding_w).checked_sub(kx + 1) else { continue };
                            let count = (reach / stride_w + 1).min(out_w).saturating_sub(first);
                            for y in 0..out_h {
                                let row = y * stride_h + ky;
                                if row < padding_h || row >= height + padding_h || count == 0 {
                                    continue;
                                }
                                let input =
                                    ((image * channels + channel) * height + row - padding_h) * width + first * stride_w + kx
                                        - padding_w;
                                let output = ((image * filters + filter) * out_h + y) * out_w + first;
                                visit(weight, input, output, count, stride_w);
                            }
                        }
                    }
                }
            }
        }
    }

    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, activation: Activation) -> Vec<f64> {
        let [_, filters, out_h, out_w] = self.shape.output();
        let mut out = vec![0.0; self.shape.output().iter().product()];
        self.rows(|w, input, output, count, stride| {
            for i in 0..count {
                out[output + i] += f64::from(weight[w]) * f64::from(x[input + i * stride]);
            }
        });
        for (i, value) in out.iter_mut().enumerate() {
            let shift = bias.map_or(0.0, |bias| f64::from(bias[i / (out_h * out_w) % filters]));
            *value = activate(*value + shift, activation);
        }
        out
    }

    pub fn data_gradient(&self, gradient: &[f64], weight: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; self.shape.x.iter().product()];
        self.rows(|w, input, output, count, stride| {
            for i in 0..count {
                out[input + i * stride] += f64::from(weight[w]) * gradient[output + i];
            }
        });
        out
    }

    pub fn weight_gradient(&self, gradient: &[f64], x: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; self.shape.weight.iter().product()];
        self.rows(|w, input, output, count, stride| {
            let products = (0..count).map(|i| gradient[output + i] * f64::from(x[input + i * stride]));
            out[w] += products.sum::<f64>();
        });
        out
    }

    pub fn bias_gradient(&self, gradient: &[f64]) -> Vec<f64> {
        let [_, filters, out_h, out_w] = self.shape.output();
        let mut out = vec![0.0; filters];
        for (i, value) in gradient.iter().enumerate() {
            out[i / (out_h * out_w) % filters] += value;
        }
        out
    }
}
