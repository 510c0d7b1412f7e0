//! The tile that one workgroup computes, and the register-blocked product at the heart of every kernel.

use cubecl::prelude::*;

/// Four consecutive elements: what shared memory holds and registers accumulate.
pub type V4 = Vector<f32, Const<4>>;

/// One element, where a kernel takes vectors.
pub type V1 = Vector<f32, Const<1>>;

/// Extents of a tile: a workgroup computes `m x n` outputs, `k` terms of the reduction at a time; each of its units
/// computes `unit_m x unit_n` of them in registers.
///
/// `unit_m` and `unit_n` are multiples of 4 and divide `m` and `n`; there are 16 units or a larger power of two, and at least
/// `n / 4` of them.
#[derive_cube_comptime]
pub struct Tile {
    /// Rows per workgroup.
    pub m: u32,
    /// Columns per workgroup.
    pub n: u32,
    /// Terms of the reduction held in shared memory at once.
    pub k: u32,
    /// Rows per unit.
    pub unit_m: u32,
    /// Columns per unit.
    pub unit_n: u32,
}

impl Tile {
    /// Extents in this order: m, n, k, rows per unit, columns per unit.
    pub const fn new(m: u32, n: u32, k: u32, unit_m: u32, unit_n: u32) -> Self {
        Self { m, n, k, unit_m, unit_n }
    }

    /// Units along the columns.
    pub const fn units_n(self) -> u32 {
        self.n / self.unit_n
    }

    /// Units along the rows.
    pub const fn units_m(self) -> u32 {
        self.m / self.unit_m
    }

    /// Units per workgroup.
    pub const fn units(self) -> u32 {
        self.units_m() * self.units_n()
    }

    /// Vectors from one step of the reduction to the next in the shared tile of `extent x k` elements. One more than are
    /// used, so that units that write consecutive steps of one group hit different banks.
    pub const fn pitch(self, extent: u32) -> u32 {
        extent / 4 + 1
    }

    /// Vectors in the shared tile of `extent x k` elements.
    pub const fn shared(self, extent: u32) -> usize {
        (self.pitch(extent) * self.k) as usize
    }

    /// Whether a unit computes all rows of its columns, which are four. Then it gathers them itself, straight to registers.
    pub const fn whole_columns(self) -> bool {
        self.unit_m == self.m
    }

    /// Units that gather all columns of a step, four each.
    pub const fn gathering_units(self) -> u32 {
        self.n / 4
    }

    /// Vectors in shared memory for the columns.
    pub const fn shared_columns(self) -> usize {
        if self.whole_columns() { 1 } else { self.shared(self.n) }
    }

    /// Bytes of workgroup memory.
    pub const fn shared_bytes(self) -> usize {
        (self.shared(self.m) + self.shared_columns()) * 16
    }

    /// Blocks of `steps` steps of four elements, of which `extent` are held, that each unit copies; the last may be idle.
    pub const fn loads(self, extent: u32, steps: u32) -> u32 {
        self.blocks(extent, steps).div_ceil(self.units())
    }

    /// Whether the units divide those blocks evenly.
    pub const fn even(self, extent: u32, steps: u32) -> bool {
        self.blocks(extent, steps).is_multiple_of(self.units())
    }

    const fn blocks(self, extent: u32, steps: u32) -> u32 {
        extent / 4 * (self.k / steps)
    }
}

/// Accumulators of one unit, all zero: `unit_m` rows of `unit_n / 4` vectors.
#[cube]
pub fn accumulators(#[comptime] tile: Tile) -> Array<V4> {
    let size = comptime!((tile.unit_m * tile.unit_n / 4) as usize);
    let mut sums = Array::<V4>::new(size);
    #[unroll]
    for i in 0..size {
        sums[i] = V4::new(0.0);
    }
    sums
}

/// Adds the product of the tiles in shared memory to this unit's accumulators.
///
/// `a` is `[k, m / 4]`, `b` is `[k, n / 4]`, in steps of [`Tile::pitch`]. A unit's rows and columns are groups of 4, `units_m` and `units_n` groups
/// apart, so that neighboring units read neighboring vectors.
#[cube]
pub fn multiply(a: &[V4], b: &[V4], sums: &mut Array<V4>, #[comptime] tile: Tile) {
    let units_n = comptime!(tile.units_n());
    let units_m = comptime!(tile.units_m());
    let row = UNIT_POS / units_n;
    let column = UNIT_POS % units_n;
    let groups_n = comptime!(tile.unit_n / 4);
    let pitch_m = comptime!(tile.pitch(tile.m));
    let pitch_n = comptime!(tile.pitch(tile.n));

    for k in 0..tile.k {
        let mut columns = Array::<V4>::new(comptime!(groups_n as usize));
        #[unroll]
        for j in 0..groups_n {
            columns[j as usize] = b[(k * pitch_n + column + j * units_n) as usize];
        }
        #[unroll]
        for i in 0..comptime!(tile.unit_m / 4) {
            let rows = a[(k * pitch_m + row + i * units_m) as usize];
            add_rows(rows, &columns, 0u32, sums, i, tile);
        }
    }
}

/// Adds the product of step `k` of `a` in shared memory with this unit's four columns, `columns[first]`, to its accumulators, where
/// a unit computes [whole columns](Tile::whole_columns).
#[cube]
pub fn multiply_columns(
    a: &[V4],
    columns: &Array<V4>,
    sums: &mut Array<V4>,
    k: u32,
    #[comptime] first: u32,
    #[comptime] tile: Tile,
) {
    #[unroll]
    for i in 0..comptime!(tile.unit_m / 4) {
        let rows = a[(k * comptime!(tile.pitch(tile.m)) + i) as usize];
        add_rows(rows, columns, first, sums, i, tile);
    }
}

/// Adds the products of four rows, the `group`th of the unit, with its columns from `columns[first]`.
#[cube]
fn add_rows(
    rows: V4,
    columns: &Array<V4>,
    #[comptime] first: u32,
    sums: &mut Array<V4>,
    #[comptime] group: u32,
    #[comptime] tile: Tile,
) {
    let groups_n = comptime!(tile.unit_n / 4);
    #[unroll]
    for l in 0..4u32 {
        let factor = V4::new(rows.extract(comptime!(l as usize)));
        #[unroll]
        for j in 0..groups_n {
            let index = comptime!(((group * 4 + l) * groups_n + j) as usize);
            sums[index] = fma(factor, columns[comptime!((first + j) as usize)], sums[index]);
        }
    }
}
