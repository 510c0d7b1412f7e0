//! Which tile computes a product, and into how many parts its reduction is split.

use cubecl::ir::HardwareProperties;

use super::tile::Tile;

/// Shortest reduction worth a split of its own.
const SHORTEST: u32 = 256;

/// Most splits: one unit adds up the parts of an output, one after the other.
const MOST: u32 = 256;

/// Fewest multiply-adds for a tall tile: more than a small network has for one image, less than for a batch.
const TALL: f64 = 16e6;

/// How a product of `rows x columns` outputs and `terms` terms each is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub tile: Tile,
    /// Parts of the reduction, each computed by its own workgroups.
    pub splits: u32,
    /// Terms of each part but the last, a multiple of the tile's.
    pub chunk: u32,
    /// Tiles: columns, rows, splits times `copies`.
    pub grid: [u32; 3],
    /// Workgroups that share them, or `None` where each tile has one. A browser sets workgroup memory to zero before a workgroup
    /// begins, which on a software adapter takes as long as a short reduction.
    pub shared: Option<u32>,
}

/// Extents of a product.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    pub rows: u32,
    pub columns: u32,
    pub terms: u32,
    /// The terms come in runs of this length, which a tile must not cut.
    pub run: u32,
    /// Products of this shape computed in one launch.
    pub copies: u32,
    /// Most columns that a unit may gather by itself, a multiple of 4; 0 where the tile may have any extents and units gather together.
    pub gathered: u32,
}

impl Problem {
    /// The plan on a device, or `None` if the problem exceeds its limits.
    pub fn plan(self, hardware: &HardwareProperties) -> Option<Plan> {
        let adapter = Adapter::of(hardware);
        let tile = self.tile(adapter);
        let workgroups = self.workgroups(tile);
        // Half busy is good enough to save the second pass.
        let wanted = match workgroups < adapter.busy() / 2 {
            true => adapter.busy().div_ceil(workgroups).min(self.terms / SHORTEST).clamp(1, MOST),
            false => 1,
        };
        let chunk = self.terms.div_ceil(wanted).next_multiple_of(tile.k);
        let splits = self.terms.div_ceil(chunk).max(1);
        let grid = [self.columns.div_ceil(tile.n), self.rows.div_ceil(tile.m), splits * self.copies];
        let (x, y, z) = hardware.max_cube_count;
        let fits = grid[0] <= x
            && grid[1] <= y
            && grid[2] <= z
            && tile.units() <= hardware.max_units_per_cube
            && tile.shared_bytes() <= hardware.max_shared_memory_size;
        let shared = match adapter {
            // The browser's.
            Adapter::Software { lanes: ..=4 } => Some(adapter.busy()),
            _ => None,
        };
        fits.then_some(Plan { tile, splits, chunk, grid, shared })
    }

    fn workgroups(self, tile: Tile) -> u32 {
        self.columns.div_ceil(tile.n) * self.rows.div_ceil(tile.m) * self.copies
    }

    /// The table. Large tiles do more arithmetic per access, small ones spread a small problem over the device.
    fn tile(self, adapter: Adapter) -> Tile {
        let k = self.step();
        // Rows and columns of a unit, where one side of the tile is short and where none is. Fewer units wait less for each
        // other where a barrier is a walk through all of them.
        let (side, square) = match adapter {
            Adapter::Gpu => (4, 8),
            Adapter::Software { lanes: ..=4 } => (8, 8),
            Adapter::Software { .. } => (8, 16),
        };
        // Equal tiles have the fewest idle units.
        let even = |extent: u32| match adapter {
            Adapter::Software { lanes: ..=4 } if self.gathered == 0 => {
                extent.div_ceil(extent.div_ceil(64)).next_multiple_of(square)
            }
            _ => 64,
        };
        let large = Tile::new(even(self.rows), even(self.columns), k, square, square);
        match (self.rows, self.columns) {
            (..=4, _) => Tile::new(4, 256, k, 4, 4),
            (..=16, ..=16) => Tile::new(16, 16, k, 4, 4),
            (..=32, 17..) if self.suits_tall(adapter) => self.tall(k),
            (..=16, _) => Tile::new(16, 64, k, side, side),
            (_, ..=16) => Tile::new(64, 16, k, 4, 4),
            (..=32, _) => Tile::new(32, 64, k, side, side),
            (_, ..=32) => Tile::new(64, 32, k, side, side),
            _ if self.workgroups(large) * 4 < adapter.busy() => Tile::new(32, 32, k, 4, 4),
            _ => large,
        }
    }

    /// Whether the large shader of a [`tall`](Self::tall) tile is worth the time to compile it.
    fn suits_tall(self, adapter: Adapter) -> bool {
        let work = [self.rows, self.columns, self.terms, self.copies].map(f64::from).iter().product::<f64>();
        self.gathered > 0 && matches!(adapter, Adapter::Software { lanes: 5.. }) && work >= TALL
    }

    /// A tile of 16 units with all rows, which gather their columns themselves. It holds no more than 256 outputs a unit, which is as
    /// much as the large tile's.
    fn tall(self, k: u32) -> Tile {
        let m = if self.rows <= 16 { 16 } else { 32 };
        // Where memory is read unit by unit, a number of either factor takes as long as some ten multiply-adds.
        let cost = |unit_n: u32| self.columns.div_ceil(16 * unit_n) * (10 * (m + unit_n) + m * unit_n);
        let unit_n = (4..=self.gathered.min(256 / m)).step_by(4).min_by_key(|&unit_n| cost(unit_n)).unwrap_or(4);
        Tile::new(m, 16 * unit_n, k, m, unit_n)
    }

    /// Terms per step of a tile: about 16, in whole runs.
    fn step(self) -> u32 {
        self.run
            * match self.run {
                1 => 16,
                2 => 8,
                3..=6 => 4,
                run => 24u32.div_ceil(run),
            }
    }
}

/// Channels on either side of a convolution from which on [transforms](super::winograd) save more than they cost; `None` on a GPU, where
/// that was not measured.
pub fn transformed_from(hardware: &HardwareProperties) -> Option<usize> {
    match Adapter::of(hardware) {
        Adapter::Gpu => None,
        // With 16, Mesa's adapter gains nothing: there the images' analysis takes as long as the arithmetic that it saves.
        Adapter::Software { lanes: ..=4 } => Some(16),
        Adapter::Software { .. } => Some(32),
    }
}

/// What kind of machine executes the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adapter {
    Gpu,
    /// A CPU in a GPU's clothes: memory accesses cost more beside arithmetic than on a GPU, and a few workgroups occupy it.
    /// Mesa's lavapipe computes 8 units at once and takes most of its time to bring each one's share of workgroup memory
    /// into place; SwiftShader computes 4, and more outputs than 8 x 8 only make its code longer.
    Software {
        lanes: u32,
    },
}

impl Adapter {
    /// GPUs have subgroups of 16 or more units, at least in one of their modes; a CPU's are as wide as its vectors.
    fn of(hardware: &HardwareProperties) -> Self {
        match hardware.plane_size_max {
            lanes @ ..=8 => Self::Software { lanes },
            _ => Self::Gpu,
        }
    }

    /// Workgroups that occupy the device. A GPU does not tell its size through WebGPU: several for each processor of a large one.
    fn busy(self) -> u32 {
        match self {
            Self::Gpu => 2048,
            Self::Software { .. } => 16,
        }
    }
}
