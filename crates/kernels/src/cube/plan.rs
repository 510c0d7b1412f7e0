//! Which tile computes a product, and into how many parts its reduction is split.

use cubecl::ir::HardwareProperties;

use super::kernels::tile::Tile;

/// Shortest reduction worth a split of its own.
const SHORTEST: u32 = 256;

/// Most splits: one unit adds up the parts of an output, one after the other.
const MOST: u32 = 256;

/// Workgroups that occupy a device. WebGPU does not tell its size: several for each processor of a large GPU.
const BUSY: u32 = 2048;

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
}

impl Problem {
    /// The plan on a device, or `None` if the problem exceeds its limits.
    pub fn plan(self, hardware: &HardwareProperties) -> Option<Plan> {
        let tile = self.tile();
        let workgroups = self.workgroups(tile);
        // Half busy is good enough to save the second pass.
        let wanted = match workgroups < BUSY / 2 {
            true => BUSY.div_ceil(workgroups).min(self.terms / SHORTEST).clamp(1, MOST),
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
        fits.then_some(Plan { tile, splits, chunk, grid })
    }

    fn workgroups(self, tile: Tile) -> u32 {
        self.columns.div_ceil(tile.n) * self.rows.div_ceil(tile.m) * self.copies
    }

    /// The table. Large tiles do more arithmetic per access, small ones spread a small problem over the device.
    fn tile(self) -> Tile {
        let k = self.step();
        let large = Tile::new(64, 64, k, 8, 8);
        match (self.rows, self.columns) {
            (..=4, _) => Tile::new(4, 256, k, 4, 4),
            (..=16, ..=16) => Tile::new(16, 16, k, 4, 4),
            (..=16, _) => Tile::new(16, 64, k, 4, 4),
            (_, ..=16) => Tile::new(64, 16, k, 4, 4),
            (..=32, _) => Tile::new(32, 64, k, 4, 4),
            (_, ..=32) => Tile::new(64, 32, k, 4, 4),
            _ if self.workgroups(large) * 4 < BUSY => Tile::new(32, 32, k, 4, 4),
            _ => large,
        }
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
