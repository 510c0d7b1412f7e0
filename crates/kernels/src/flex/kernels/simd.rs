//! The processor's vectors: which there are, and the two register tiles everything else is built from.

use pulp::{Arch, Simd, WithSimd};

/// Runs an operation compiled for the widest vectors this processor has.
#[inline]
pub fn run<Op: WithSimd>(operation: Op) -> Op::Output {
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
pub struct Lanes {
    /// Floats in one vector.
    pub count: usize,
    /// Vectors side by side in the widest tile.
    vectors: usize,
}

impl Lanes {
    /// Those that [`run`] uses.
    pub fn detect() -> Self {
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
    pub fn of<S: Simd>() -> Self {
        Self { count: S::F32_LANES, vectors: if Self::many::<S>() { 4 } else { 2 } }
    }

    /// Columns that the widest tile covers.
    #[inline(always)]
    pub fn panel(self) -> usize {
        self.vectors * self.count
    }

    /// Whether there are 32 vector registers rather than 16. WebAssembly promises any number; what runs it often has 16.
    #[inline(always)]
    pub const fn many<S: Simd>() -> bool {
        S::REGISTER_COUNT >= 32 && !cfg!(target_family = "wasm")
    }

    /// The next multiple of the vector length.
    #[inline(always)]
    pub fn round_up(self, width: usize) -> usize {
        width.next_multiple_of(self.count)
    }
}

#[inline(always)]
pub unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

#[inline(always)]
pub unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// What one call of [`outer_tile`] reads and writes; all counts in floats.
#[derive(Clone, Copy)]
pub struct OuterTile<'a> {
    /// For each step, an offset that is added to every row's.
    pub steps: &'a [u32],
    /// The shared matrix: per step, one row of `V` vectors, `stride` apart.
    pub factor: *const f32,
    pub stride: usize,
    /// The gathered matrix: element (row, step) is `source[rows[row] + steps[step]]`.
    pub source: *const f32,
    pub rows: *const u32,
    /// Results: `R` rows of `V` vectors, `out_stride` apart.
    pub out: *mut f32,
    pub out_stride: usize,
    /// Add to what `out` holds instead of replacing it.
    pub accumulate: bool,
}

/// `out[r][v] (+)= sum over steps of source[rows[r] + step] * factor[step][v]`: `R` rows by `V` vectors in registers.
///
/// # Safety
/// Every pointer must be valid for what [`OuterTile`] says is read or written through it.
#[inline(always)]
pub unsafe fn outer_tile<S: Simd, const V: usize, const R: usize>(simd: S, tile: OuterTile) {
    let lanes = S::F32_LANES;
    unsafe {
        let mut rows = [tile.source; R];
        for r in 0..R {
            rows[r] = tile.source.add(*tile.rows.add(r) as usize);
        }
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let mut factor = tile.factor;
        for &step in tile.steps {
            let mut shared = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                shared[v] = load::<S>(factor.add(v * lanes));
            }
            for r in 0..R {
                let gathered = simd.splat_f32s(*rows[r].add(step as usize));
                for v in 0..V {
                    // Not `mul_add_f32s`, which fuses even where only software can: in WebAssembly, for one.
                    sums[r][v] = simd.mul_add_e_f32s(shared[v], gathered, sums[r][v]);
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
pub unsafe fn dot_tile<S: Simd, const R: usize, const Q: usize>(
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
            let mut shared = [simd.splat_f32s(0.0); Q];
            for q in 0..Q {
                shared[q] = load::<S>(right[q].add(at));
            }
            for r in 0..R {
                let row = load::<S>(left[r].add(at));
                for q in 0..Q {
                    sums[r][q] = simd.mul_add_e_f32s(row, shared[q], sums[r][q]);
                }
            }
            at += lanes;
        }
        if whole < length {
            let mut shared = [simd.splat_f32s(0.0); Q];
            for q in 0..Q {
                shared[q] = load_rest(simd, right[q].add(whole), length - whole);
            }
            for r in 0..R {
                let row = load_rest(simd, left[r].add(whole), length - whole);
                for q in 0..Q {
                    sums[r][q] = simd.mul_add_e_f32s(row, shared[q], sums[r][q]);
                }
            }
        }
    }
    let mut products = [[0.0; Q]; R];
    for r in 0..R {
        for q in 0..Q {
            products[r][q] = simd.reduce_sum_f32s(sums[r][q]);
        }
    }
    products
}

/// Fewer floats than a vector holds, the rest zeros.
#[inline(always)]
unsafe fn load_rest<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
    unsafe { simd.partial_load_f32s(core::slice::from_raw_parts(from, count)) }
}

/// Copies `count` floats, at least N, in blocks of N, of which the last may overlap the one before: a call of `memcpy` takes
/// longer than an image's row does.
///
/// # Safety
/// `from` must be valid for reading and `to` for writing `count` floats; they must not overlap.
#[inline(always)]
pub unsafe fn copy_row<const N: usize>(from: *const f32, to: *mut f32, count: usize) {
    let mut at = 0;
    while at < count {
        let start = at.min(count - N);
        unsafe {
            let block = from.add(start).cast::<[f32; N]>().read_unaligned();
            to.add(start).cast::<[f32; N]>().write_unaligned(block);
        }
        at += N;
    }
}
