//! Padded convolutions with fewer multiplications: F(4x4, 3x3) of Lavin & Gray 2016, and F(4x4, 2x2) where a kernel twice as large
//! has a stride of 2.
//!
//! An output of 4x4 is the transform of a product, element by element, of the transforms of the inputs that it sees and of the
//! weights. Summed over channels the products are matrix products, one for each of the 36 or 25 elements. The data gradient is
//! such a convolution of the output's gradient; the weight gradient is the same identity transposed. A convolution with a stride
//! of 2 is the sum of four of stride 1: of the inputs at the even or odd rows and columns, its phases, with every other weight.
//!
//! Each pass is four launches: what analyzes the images, what analyzes the weights (or the output's gradient), the products, and what
//! synthesizes the result.

use burn::backend::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;

use super::epilogue::{ActivationKind, activate};
use super::launch::{buffer, elementwise, empty, optional, slope};
use super::linear::batched;
use super::plan::{Plan, Problem, transformed_from};
use super::product::Layouts;
use super::tile::V1;
use crate::Activation;
use crate::backend::ConvShape;

/// Outputs of a tile along either axis.
const TILE: u32 = 4;

/// Fewest multiply-adds that are worth the launches.
const FEWEST: usize = 1 << 24;

/// Most bytes of a transform: what WebGPU promises of a buffer.
const MOST: usize = 1 << 27;

/// The points of evaluation besides infinity. Their powers stay near 1, and with them the rounding errors near those of direct
/// sums: 1.2e-6 of the largest output against 0.8e-6 for three taps (64 channels, normal numbers), 0.8e-6 against 0.5e-6 for two.
/// At 0, ±1, ±2 and 0, ±1, 2 they are 3.5e-6 and 2.4e-6.
const THREE_TAPS: [f64; 5] = [0.0, 0.75, -0.75, 1.5, -1.5];
const TWO_TAPS: [f64; 4] = [0.5, -0.5, 1.25, -1.25];

/// What a square is multiplied by from both sides, for F(4, `taps`).
#[derive_cube_comptime]
pub struct Matrix {
    pub taps: u32,
    pub kind: Kind,
}

/// In the notation of Lavin & Gray an output is `A^T [(G g G^T) . (B^T d B)] A`.
#[derive_cube_comptime]
pub enum Kind {
    /// B^T: of the inputs of a tile.
    Inputs,
    /// G: of the weights.
    Weights,
    /// A: of the gradient of a tile's outputs.
    Gradient,
    /// A^T: to the outputs of a tile.
    Outputs,
    /// G^T: to the gradient of the weights.
    WeightGradient,
}

impl Matrix {
    /// Elements of a transform along either axis.
    const fn elements(taps: u32) -> u32 {
        TILE + taps - 1
    }

    /// Rows and columns.
    fn extents(self) -> (u32, u32) {
        let elements = Self::elements(self.taps);
        match self.kind {
            Kind::Inputs => (elements, elements),
            Kind::Weights => (elements, self.taps),
            Kind::Gradient => (elements, TILE),
            Kind::Outputs => (TILE, elements),
            Kind::WeightGradient => (self.taps, elements),
        }
    }

    fn rows(self) -> u32 {
        self.extents().0
    }

    fn columns(self) -> u32 {
        self.extents().1
    }

    /// By Toom and Cook: row i of A and G are the powers of point i, G's over the product of its distances to the others; row i of B^T is
    /// the polynomial that is 0 at the others. The last row is that of infinity.
    fn at(self, row: u32, column: u32) -> f32 {
        let points: &[f64] = if self.taps == 3 { &THREE_TAPS } else { &TWO_TAPS };
        let (point, power) = match self.kind {
            Kind::Outputs | Kind::WeightGradient => (column as usize, row),
            _ => (row as usize, column),
        };
        let others = || points.iter().enumerate().filter(|(i, _)| *i != point).map(|(_, other)| *other);
        let last = |extent: u32| f64::from(u8::from(power == extent - 1));
        let value = match (self.kind, points.get(point)) {
            (Kind::Inputs, _) => {
                let mut polynomial = vec![1.0];
                for root in others() {
                    polynomial.push(0.0);
                    for i in (0..polynomial.len()).rev() {
                        let below = if i > 0 { polynomial[i - 1] } else { 0.0 };
                        polynomial[i] = below - root * polynomial[i];
                    }
                }
                polynomial.get(power as usize).copied().unwrap_or(0.0)
            }
            (Kind::Gradient | Kind::Outputs, Some(at)) => at.powi(power as i32),
            (Kind::Gradient | Kind::Outputs, None) => last(TILE),
            (Kind::Weights | Kind::WeightGradient, Some(at)) => {
                at.powi(power as i32) / others().map(|other| at - other).product::<f64>()
            }
            (Kind::Weights | Kind::WeightGradient, None) => last(self.taps),
        };
        value as f32
    }
}

/// `matrix * square * matrix^T`, all by rows.
#[cube]
fn sandwich(square: &Array<f32>, #[comptime] matrix: Matrix) -> Array<f32> {
    let half = turned_product(square, matrix, comptime!(matrix.columns()));
    turned_product(&half, matrix, comptime!(matrix.rows()))
}

/// `(matrix * values)^T`, all by rows; `values` has `width` columns.
#[cube]
fn turned_product(values: &Array<f32>, #[comptime] matrix: Matrix, #[comptime] width: u32) -> Array<f32> {
    let (rows, columns) = comptime!(matrix.extents());
    let mut out = Array::<f32>::new(comptime!((width * rows) as usize));
    #[unroll]
    for i in 0..rows {
        #[unroll]
        for j in 0..width {
            let mut sum = 0.0f32;
            #[unroll]
            for k in 0..columns {
                let factor = comptime!(matrix.at(i, k));
                if comptime!(factor != 0.0) {
                    sum = fma(values[comptime!((k * width + j) as usize)], factor.runtime(), sum);
                }
            }
            out[comptime!((j * rows + i) as usize)] = sum;
        }
    }
    out
}

/// Images `[batch, channels, height, width]` in tiles: of each phase `tile_rows x tile_columns`, the first one `lead` before the image.
#[derive(CubeLaunch, CubeType, Clone)]
pub struct Tiling {
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub tile_rows: u32,
    pub tile_columns: u32,
    /// Tiles of a channel's phase, of all images.
    pub tiles: u32,
    pub lead: u32,
}

/// Where a tile lies.
#[derive(CubeType)]
struct Place {
    /// Row and column of its first element, beyond every image where that is before it.
    top: u32,
    left: u32,
    /// Element of the channel's plane in memory, the first one.
    plane: u32,
    channel: u32,
}

/// The place of tile `i` of `[channel, phase, image, row, column]`.
#[cube]
fn place(i: u32, tiling: &Tiling, #[comptime] stride: u32) -> Place {
    let tile = i % tiling.tiles;
    let row = i / tiling.tiles;
    let channel = row / comptime!(stride * stride);
    let image = tile / (tiling.tile_rows * tiling.tile_columns);
    let y = tile / tiling.tile_columns % tiling.tile_rows;
    let x = tile % tiling.tile_columns;
    Place {
        top: y * comptime!(stride * TILE) + row / stride % stride - tiling.lead,
        left: x * comptime!(stride * TILE) + row % stride - tiling.lead,
        plane: (image * tiling.channels + channel) * tiling.height * tiling.width,
        channel,
    }
}

/// Tiles of images, of elements `stride` apart and zero outside, transformed: `[element, tile]`, `size` tiles.
#[cube(launch_unchecked)]
fn analyze(images: &[f32], out: &mut [f32], tiling: Tiling, size: u32, #[comptime] matrix: Matrix, #[comptime] stride: u32) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let place = place(i, &tiling, stride);
        let side = comptime!(matrix.columns());
        let mut square = Array::<f32>::new(comptime!((side * side) as usize));
        #[unroll]
        for a in 0..side {
            let y = place.top + comptime!(a * stride);
            let start = place.plane + y * tiling.width;
            #[unroll]
            for b in 0..side {
                let x = place.left + comptime!(b * stride);
                let inside = y < tiling.height && x < tiling.width;
                let value = images[select(inside, start + x, 0) as usize];
                square[comptime!((a * side + b) as usize)] = select(inside, value, 0.0);
            }
        }
        let transformed = sandwich(&square, matrix);
        #[unroll]
        for e in 0..comptime!(matrix.rows() * matrix.rows()) {
            out[(e * size + i) as usize] = transformed[e as usize];
        }
    }
}

/// Images of tiles transformed back, `[element, tile]`, `size` tiles: `act(tile + bias)`, of elements `stride` apart.
#[cube(launch_unchecked)]
fn synthesize(
    transformed: &[f32],
    bias: ComptimeOption<&[f32]>,
    images: &mut [V1],
    tiling: Tiling,
    size: u32,
    slope: f32,
    #[comptime] matrix: Matrix,
    #[comptime] stride: u32,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let place = place(i, &tiling, stride);
        let elements = comptime!(matrix.columns() * matrix.columns());
        let mut square = Array::<f32>::new(comptime!(elements as usize));
        #[unroll]
        for e in 0..elements {
            square[e as usize] = transformed[(e * size + i) as usize];
        }
        let tile = sandwich(&square, matrix);
        #[comptime]
        let bias = match &bias {
            ComptimeOption::Some(bias) => bias[place.channel as usize],
            ComptimeOption::None => 0.0f32.runtime(),
        };
        #[unroll]
        for a in 0..TILE {
            let y = place.top + comptime!(a * stride);
            #[unroll]
            for b in 0..TILE {
                let x = place.left + comptime!(b * stride);
                if y < tiling.height && x < tiling.width {
                    let value = V1::new(tile[comptime!((a * TILE + b) as usize)] + bias);
                    images[(place.plane + y * tiling.width + x) as usize] = activate(value, slope, activation);
                }
            }
        }
    }
}

/// Element of the weight `[filter, channel, y, x]` at the first tap of a filter, channel and phase.
#[cube]
fn first_tap(filter: u32, channel_phase: u32, phases: u32, #[comptime] taps: u32, #[comptime] stride: u32) -> u32 {
    let side = comptime!(taps * stride);
    let plane = filter * (phases / comptime!(stride * stride)) + channel_phase / comptime!(stride * stride);
    (plane * side + channel_phase / stride % stride) * side + channel_phase % stride
}

/// Weights transformed: `[element, filter, phase]`, or `turned` by half a turn, `[element, phase, filter]`; `phases` are those of all channels.
#[cube(launch_unchecked)]
fn analyze_weight(
    weight: &[f32],
    out: &mut [f32],
    filters: u32,
    phases: u32,
    #[comptime] matrix: Matrix,
    #[comptime] stride: u32,
    #[comptime] turned: bool,
) {
    let i = ABSOLUTE_POS as u32;
    let size = filters * phases;
    if i < size {
        let taps = comptime!(matrix.taps);
        let filter = if comptime!(turned) { i % filters } else { i / phases };
        let phase = if comptime!(turned) { i / filters } else { i % phases };
        let start = first_tap(filter, phase, phases, taps, stride);
        let mut square = Array::<f32>::new(comptime!((taps * taps) as usize));
        #[unroll]
        for a in 0..comptime!(taps * taps) {
            let offset = comptime!((a / taps * taps * stride + a % taps) * stride);
            let place = comptime!((if turned { taps * taps - 1 - a } else { a }) as usize);
            square[place] = weight[(start + offset) as usize];
        }
        let transformed = sandwich(&square, matrix);
        #[unroll]
        for e in 0..comptime!(matrix.rows() * matrix.rows()) {
            out[(e * size + i) as usize] = transformed[e as usize];
        }
    }
}

/// The gradient of weights from its transform `[element, filter, phase]`.
#[cube(launch_unchecked)]
fn synthesize_weight(
    transformed: &[f32],
    weight: &mut [f32],
    filters: u32,
    phases: u32,
    #[comptime] matrix: Matrix,
    #[comptime] stride: u32,
) {
    let i = ABSOLUTE_POS as u32;
    let size = filters * phases;
    if i < size {
        let taps = comptime!(matrix.taps);
        let elements = comptime!(matrix.columns() * matrix.columns());
        let mut square = Array::<f32>::new(comptime!(elements as usize));
        #[unroll]
        for e in 0..elements {
            square[e as usize] = transformed[(e * size + i) as usize];
        }
        let tile = sandwich(&square, matrix);
        let start = first_tap(i / phases, i % phases, phases, taps, stride);
        #[unroll]
        for a in 0..comptime!(taps * taps) {
            let offset = comptime!((a / taps * taps * stride + a % taps) * stride);
            weight[(start + offset) as usize] = tile[a as usize];
        }
    }
}

/// Tiles of an image's phase.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    rows: usize,
    columns: usize,
    /// Of all images.
    count: usize,
}

/// The products of a pass, one for each element of the transforms.
#[derive(Clone, Copy, Debug)]
struct Pass {
    tiles: Tiles,
    problem: Problem,
    plan: Plan,
}

/// A convolution of which some passes are computed this way.
#[derive(Clone, Copy, Debug)]
pub struct Transformed {
    shape: ConvShape,
    taps: u32,
    stride: usize,
    forward: Option<Pass>,
    data: Option<Pass>,
    weight: Option<Pass>,
}

impl Transformed {
    /// `None` for other kernels and devices, and where transforms would cost what they save.
    pub fn new(shape: &ConvShape, dtype: DType, client: &Client) -> Option<Self> {
        let hardware = &client.properties().hardware;
        let [filters, channels, height, width] = shape.weight;
        let ([stride, stride_x], [padding, padding_x]) = (shape.options.stride, shape.options.padding);
        let phases = channels * stride * stride;
        // Equal patches of an even background have equal direct sums, of which max pooling takes the first; transforms round
        // them by their place in the tile. The models have no padding before a max pooling.
        let suits = (height, stride, padding) == (width, stride_x, padding_x)
            && matches!((height, stride), (3, 1) | (4, 2))
            && (1..height).contains(&padding)
            && transformed_from(hardware).is_some_and(|fewest| phases.min(filters) >= fewest)
            && dtype == DType::F32;
        let taps = (height / stride) as u32;
        let [batch, _, out_height, out_width] = shape.output();
        let direct = shape.output().iter().product::<usize>() * channels * height * width;
        if !suits || direct < FEWEST {
            return None;
        }
        let elements = Matrix::elements(taps).pow(2) as usize;
        let pass = |extents: [usize; 2], product: fn(usize, usize, usize) -> [usize; 3]| {
            let [rows, columns] = extents.map(|extent| extent.div_ceil(TILE as usize));
            let count = batch * rows * columns;
            let fits = elements * count * phases.max(filters) * size_of::<f32>() <= MOST;
            if !fits || 3 * elements * count * phases * filters > 2 * direct {
                return None;
            }
            let [rows_of_a, columns_of_b, terms] = product(filters, phases, count).map(|extent| extent as u32);
            let copies = elements as u32;
            let problem = Problem { rows: rows_of_a, columns: columns_of_b, terms, run: 1, copies, gathered: 16 };
            let plan = problem.plan(hardware)?;
            Some(Pass { tiles: Tiles { rows, columns, count }, problem, plan })
        };
        // Of a phase those positions that an output meets.
        let met = [shape.x[2], shape.x[3]].map(|extent| (extent - 1 + padding) / stride - padding / stride + 1);
        Some(Self {
            shape: *shape,
            taps,
            stride,
            forward: pass([out_height, out_width], |filters, phases, tiles| [filters, tiles, phases]),
            data: pass(met, |filters, phases, tiles| [phases, tiles, filters]),
            weight: pass([out_height, out_width], |filters, phases, tiles| [filters, phases, tiles]),
        })
    }

    pub const fn has_data(&self) -> bool {
        self.data.is_some()
    }

    pub const fn has_weight(&self) -> bool {
        self.weight.is_some()
    }

    /// `act(conv2d(x, weight) + bias)`, or `None` where this pass is computed otherwise. Tensors contiguous and f32.
    pub fn forward(
        &self,
        x: &CubeTensor,
        weight: &CubeTensor,
        bias: Option<&CubeTensor>,
        activation: Activation,
    ) -> Option<CubeTensor> {
        let pass = self.forward?;
        let inputs = self.analyze(x, Kind::Inputs, &pass, self.padding(), self.stride);
        let weight = self.analyze_weight(weight, false);
        let products = batched(&weight, &inputs, WEIGHT_AND_TILES, &pass.problem, &pass.plan);
        Some(self.synthesize(&products, bias, self.shape.output(), &pass, 0, 1, activation))
    }

    /// The gradient of the input from that of the output before its activation, or `None` where this pass is computed otherwise.
    /// Tensors contiguous and f32.
    pub fn data(&self, gradient: &CubeTensor, weight: &CubeTensor) -> Option<CubeTensor> {
        let pass = self.data?;
        // The first position of a phase that an output meets.
        let first = self.padding() / self.stride;
        let gradients = self.analyze(gradient, Kind::Inputs, &pass, self.taps as usize - 1 - first, 1);
        let weight = self.analyze_weight(weight, true);
        let products = batched(&weight, &gradients, WEIGHT_AND_TILES, &pass.problem, &pass.plan);
        let lead = self.padding() - first * self.stride;
        Some(self.synthesize(&products, None, self.shape.x, &pass, lead, self.stride, Activation::None))
    }

    /// The gradient of the weight from that of the output before its activation, or `None` where this pass is computed otherwise.
    /// Tensors contiguous and f32.
    pub fn weight(&self, gradient: &CubeTensor, x: &CubeTensor) -> Option<CubeTensor> {
        let pass = self.weight?;
        let gradients = self.analyze(gradient, Kind::Gradient, &pass, 0, 1);
        let inputs = self.analyze(x, Kind::Inputs, &pass, self.padding(), self.stride);
        let layouts = Layouts { a_steps_contiguous: true, b_steps_contiguous: true };
        let products = batched(&gradients, &inputs, layouts, &pass.problem, &pass.plan);
        let out = empty(x, self.shape.weight);
        let [filters, phases] = self.sides();
        let (count, dim) = elementwise(filters * phases);
        unsafe {
            synthesize_weight::launch_unchecked(
                &out.client,
                count,
                dim,
                buffer(&products),
                buffer(&out),
                filters as u32,
                phases as u32,
                self.matrix(Kind::WeightGradient),
                self.stride as u32,
            );
        }
        Some(out)
    }

    fn padding(&self) -> usize {
        self.shape.options.padding[0]
    }

    /// Filters, and phases of all channels.
    fn sides(&self) -> [usize; 2] {
        [self.shape.weight[0], self.shape.weight[1] * self.stride * self.stride]
    }

    fn matrix(&self, kind: Kind) -> Matrix {
        Matrix { taps: self.taps, kind }
    }

    fn elements(&self) -> usize {
        Matrix::elements(self.taps).pow(2) as usize
    }

    /// The transform `[element, channel and phase, tile]` of images whose first tile is `lead` before them.
    fn analyze(&self, images: &CubeTensor, kind: Kind, pass: &Pass, lead: usize, stride: usize) -> CubeTensor {
        let shape: [usize; 4] = images.meta.shape().dims();
        let size = shape[1] * stride * stride * pass.tiles.count;
        let out = empty(images, [self.elements() * size]);
        let (count, dim) = elementwise(size);
        unsafe {
            analyze::launch_unchecked(
                &out.client,
                count,
                dim,
                buffer(images),
                buffer(&out),
                pass.tiles.of(shape, lead),
                size as u32,
                self.matrix(kind),
                stride as u32,
            );
        }
        out
    }

    /// Images of `shape` from their transform.
    #[allow(clippy::too_many_arguments, reason = "it is what tells the two passes apart")]
    fn synthesize(
        &self,
        transformed: &CubeTensor,
        bias: Option<&CubeTensor>,
        shape: [usize; 4],
        pass: &Pass,
        lead: usize,
        stride: usize,
        activation: Activation,
    ) -> CubeTensor {
        let size = shape[1] * stride * stride * pass.tiles.count;
        let out = empty(transformed, shape);
        let (count, dim) = elementwise(size);
        unsafe {
            synthesize::launch_unchecked(
                &out.client,
                count,
                dim,
                buffer(transformed),
                optional(bias),
                buffer(&out),
                pass.tiles.of(shape, lead),
                size as u32,
                slope(activation),
                self.matrix(Kind::Outputs),
                stride as u32,
                ActivationKind::from(activation),
            );
        }
        out
    }

    fn analyze_weight(&self, weight: &CubeTensor, turned: bool) -> CubeTensor {
        let [filters, phases] = self.sides();
        let size = filters * phases;
        let out = empty(weight, [self.elements() * size]);
        let (count, dim) = elementwise(size);
        unsafe {
            analyze_weight::launch_unchecked(
                &out.client,
                count,
                dim,
                buffer(weight),
                buffer(&out),
                filters as u32,
                phases as u32,
                self.matrix(Kind::Weights),
                self.stride as u32,
                turned,
            );
        }
        out
    }
}

impl Tiles {
    fn of(self, shape: [usize; 4], lead: usize) -> TilingLaunch {
        let [_, channels, height, width] = shape.map(|extent| extent as u32);
        TilingLaunch::new(channels, height, width, self.rows as u32, self.columns as u32, self.count as u32, lead as u32)
    }
}

/// How the factors of a product with transformed images lie in memory.
const WEIGHT_AND_TILES: Layouts = Layouts { a_steps_contiguous: true, b_steps_contiguous: false };

#[cfg(test)]
mod tests {
    use super::*;

    /// `sum over k of kind[i, k] values[k]`
    fn times(taps: u32, kind: Kind, values: &[f64]) -> Vec<f64> {
        let matrix = Matrix { taps, kind };
        let row = |i| values.iter().zip(0..).map(|(value, k)| f64::from(matrix.at(i, k)) * value).sum();
        assert_eq!(matrix.columns() as usize, values.len());
        (0..matrix.rows()).map(row).collect()
    }

    fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a * b).collect()
    }

    #[test]
    fn transforms_multiply_like_sums_over_taps() {
        for taps in [2, 3] {
            let inputs: Vec<f64> = (0..Matrix::elements(taps)).map(|i| f64::from(i * i % 7) - 2.5).collect();
            let weights: Vec<f64> = (0..taps).map(|i| 1.5 - f64::from(i)).collect();
            let gradient: Vec<f64> = (0..TILE).map(|i| f64::from(i * 3 % 4) - 1.25).collect();
            let of_inputs = times(taps, Kind::Inputs, &inputs);

            let outputs = times(taps, Kind::Outputs, &products(&times(taps, Kind::Weights, &weights), &of_inputs));
            let of_weights = times(taps, Kind::WeightGradient, &products(&times(taps, Kind::Gradient, &gradient), &of_inputs));
            let at = |i: usize, values: &[f64]| products(&inputs[i..], values).into_iter().sum::<f64>();
            let direct = (0..TILE as usize).map(|i| at(i, &weights)).chain((0..taps as usize).map(|i| at(i, &gradient)));
            for (found, expected) in outputs.into_iter().chain(of_weights).zip(direct) {
                // The matrices hold f32.
                assert!((found - expected).abs() < 1e-5, "{taps} taps: {found} instead of {expected}");
            }
        }
    }
}
