//! 3x3 convolutions of stride 1 with 36 multiplications for 16 outputs instead of 144: F(4x4, 3x3) of Lavin & Gray 2016.
//!
//! An output of 4x4 is the transform of a product, element by element, of the transforms of the 6x6 inputs that it sees and of
//! the 3x3 weights. Summed over channels the products are 36 matrix products, one for each element of the transforms. The
//! data gradient is such a convolution of the output's gradient; the weight gradient is the same identity transposed.
//!
//! The transforms evaluate polynomials at 0, ±3/4, ±3/2 and infinity. With the usual ±1 and ±2 the rounding errors are five
//! times those of the direct sums; with these points, whose powers stay near 1 (Barabasz et al. 2020 compare such choices), they
//! are about the same. An input that is not finite makes all outputs of the tiles that read it undefined, not just those that
//! see it: up to two positions further.
//!
//! Inside, channels come last: every transform is an operation on vectors of channels.

mod convolution;
mod tiling;
mod transforms;
mod weight_gradient;

use super::geometry::Geometry;
use tiling::TILE;

pub use convolution::{Convolution, Scratch};
pub use weight_gradient::WeightGradient;

/// Channels on either side below which the transforms cost what they save.
const CHANNELS: usize = 16;

/// Weights of a kernel's tap beyond which the sums of the weight gradient, 36 for each, cost what they save.
const SUMS: usize = 1 << 16;

/// Tiles in all below which transforming the weight costs what it saves; where it does not fit the third-level cache, four times as
/// many.
const TILES: usize = 64;
const LARGE: usize = 1 << 17;

/// Whether this convolution and its data gradient are computed this way.
pub fn suits(geometry: &Geometry) -> bool {
    let tiles = geometry.batch * geometry.out_height.div_ceil(TILE) * geometry.out_width.div_ceil(TILE);
    geometry.kernel == [3, 3]
        && geometry.stride == [1, 1]
        // Equal patches of an even background have equal direct sums, of which max pooling takes the first; transforms round
        // them by their place in the tile. Convolutions before a max pooling are not told apart here, but those of the models
        // have no padding, and those of the residual networks have.
        && (1..=2).contains(&geometry.frame.top)
        && (1..=2).contains(&geometry.frame.left)
        && geometry.channels.min(geometry.out) >= CHANNELS
        // Of a smaller map a tile would compute more outputs that do not exist than it saves.
        && geometry.out_height.min(geometry.out_width) > TILE / 2
        && tiles >= if geometry.channels * geometry.out <= LARGE { TILES } else { 4 * TILES }
}

/// Whether its weight gradient is, too.
pub fn suits_weight_gradient(geometry: &Geometry) -> bool {
    suits(geometry) && geometry.channels * geometry.out <= SUMS
}
