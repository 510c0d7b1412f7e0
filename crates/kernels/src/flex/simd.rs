//! The processor's vectors: which there are, and the two register tiles everything else is built from.

use core::array;

use pulp::{Arch, Simd, WithSimd};

/// Runs an operation compiled for the widest vectors this processor has.
#[inline]
pub(super) fn run<Op: WithSimd>(operation: Op) -> Op::Output {
    let arch = Arch::new();
    // `Arch` knows AVX2 only with a feature of pulp that Burn's dependencies leave off.
    #[cfg(target_arch = "x86_64")]
    if matches!(arch, Arch::Scalar)
        && let Some(simd) = pulp::x86::V3::try_new()
    {
        return Simd::vectorize(simd, operation);
    }
    arch.dispatch(operation)
}

/// Vector registers of one kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    /// Floats in one vector.
    pub(super) count: usize,
}

impl Lanes {
    /// Those that [`run`] uses.
    pub(super) fn detect() -> Self {
        struct Detect;
        impl WithSimd for Detect {
            type Output = Lanes;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Lanes {
                Lanes::of::<S>()
            }
        }
        run(Detect)
    }

    #[inline(always)]
    pub(super) fn of<S: Simd>() -> Self {
        Self {
            count: S::F32_LANES,
        }
    }

    /// Columns that a tile covers: two vectors.
    #[inline(always)]
    pub(super) fn panel(self) -> usize {
        2 * self.count
    }

    /// The next multiple of the vector length.
    #[inline(always)]
    pub(super) fn round_up(self, width: usize) -> usize {
        width.next_multiple_of(self.count)
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// What one call of [`outer_tile`] reads and writes; all counts in floats.
#[derive(Clone, Copy)]
pub(super) struct OuterTile<'a> {
    /// For each step, an offset that is added to every row's.
    pub(super) steps: &'a [u32],
    /// The shared matrix: per step, one row of `V` vectors, `stride` apart.
    pub(super) factor: *const f32,
    pub(super) stride: usize,
    /// The gathered matrix: element (row, step) is `source[rows[row] + steps[step]]`.
    pub(super) source: *const f32,
    pub(super) rows: *const u32,
    /// Results: `R` rows of `V` vectors, `out_stride` apart.
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    /// Add to what `out` holds instead of replacing it.
    pub(super) accumulate: bool,
}

/// `out[r][v] (+)= sum over steps of source[rows[r] + step] * factor[step][v]`: `R` rows by `V` vectors in registers.
///
/// # Safety
/// Every pointer must be valid for what [`OuterTile`] says is read or written through it.
#[inline(always)]
pub(super) unsafe fn outer_tile<S: Simd, const V: usize, const R: usize>(simd: S, tile: OuterTile) {
    let lanes = S::F32_LANES;
    unsafe {
        let rows: [*const f32; R] = array::from_fn(|r| tile.source.add(*tile.rows.add(r) as usize));
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let mut factor = tile.factor;
        for &step in tile.steps {
            let shared: [S::f32s; V] = array::from_fn(|v| load::<S>(factor.add(v * lanes)));
            for r in 0..R {
                let gathered = simd.splat_f32s(*rows[r].add(step as usize));
                for v in 0..V {
                    sums[r][v] = simd.mul_add_f32s(shared[v], gathered, sums[r][v]);
                }
            }
            factor = factor.wrapping_add(tile.stride);
        }
        for r in 0..R {
            for v in 0..V {
                let to = tile.out.add(r * tile.out_stride + v * lanes);
                let sum = match tile.accumulate {
                    true => simd.add_f32s(load::<S>(to), sums[r][v]),
                    false => sums[r][v],
                };
                store::<S>(to, sum);
            }
        }
    }
}

/// `R` by `Q` dot products of rows of floats, `length` long each.
///
/// # Safety
/// Every pointer must be valid for reading `length` floats.
#[inline(always)]
pub(super) unsafe fn dot_tile<S: Simd, const R: usize, const Q: usize>(
    simd: S,
    length: usize,
    left: [*const f32; R],
    right: [*const f32; Q],
) -> [[f32; Q]; R] {
    let lanes = S::F32_LANES;
    let whole = length / lanes * lanes;
    let mut sums = [[simd.splat_f32s(0.0); Q]; R];
    unsafe {
        let mut at = 0;
        while at < whole {
            let shared: [S::f32s; Q] = array::from_fn(|q| load::<S>(right[q].add(at)));
            for r in 0..R {
                let row = load::<S>(left[r].add(at));
                for q in 0..Q {
                    sums[r][q] = simd.mul_add_f32s(row, shared[q], sums[r][q]);
                }
            }
            at += lanes;
        }
        let rest = |row: *const f32| {
            simd.partial_load_f32s(core::slice::from_raw_parts(row.add(whole), length - whole))
        };
        if whole < length {
            let shared: [S::f32s; Q] = array::from_fn(|q| rest(right[q]));
            for r in 0..R {
                let row = rest(left[r]);
                for q in 0..Q {
                    sums[r][q] = simd.mul_add_f32s(row, shared[q], sums[r][q]);
                }
            }
        }
    }
    array::from_fn(|r| array::from_fn(|q| simd.reduce_sum_f32s(sums[r][q])))
}

/// `to[column][row] = from[row][column]` for `rows` by `columns` floats; strides in floats.
///
/// # Safety
/// `from` must be valid for reading `rows` rows of `columns` floats, `to` for writing `columns` rows of `rows` floats.
#[inline(always)]
pub(super) unsafe fn transpose(
    from: *const f32,
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    const BLOCK: usize = 16;
    let (whole_rows, whole_columns) = (rows / BLOCK * BLOCK, columns / BLOCK * BLOCK);
    unsafe {
        for r in (0..whole_rows).step_by(BLOCK) {
            for c in (0..whole_columns).step_by(BLOCK) {
                let from = from.add(r * from_stride + c);
                let to = to.add(c * to_stride + r);
                let block: [[f32; BLOCK]; BLOCK] =
                    array::from_fn(|r| from.add(r * from_stride).cast::<[f32; BLOCK]>().read_unaligned());
                for c in 0..BLOCK {
                    let column: [f32; BLOCK] = array::from_fn(|r| block[r][c]);
                    to.add(c * to_stride).cast::<[f32; BLOCK]>().write_unaligned(column);
                }
            }
        }
        for c in 0..columns {
            let first = if c < whole_columns { whole_rows } else { 0 };
            for r in first..rows {
                *to.add(c * to_stride + r) = *from.add(r * from_stride + c);
            }
        }
    }
}
