//! Rows turned to columns.

use core::mem::transmute_copy;

use pulp::Simd;

use super::simd::{load, store};

/// Rows and columns swapped, in registers.
#[inline(always)]
pub fn turned<S: Simd, const LANES: usize>(block: [S::f32s; LANES]) -> [S::f32s; LANES] {
    assert!(LANES == S::F32_LANES);
    // SAFETY: vectors of floats are arrays of as many floats, and on x86-64 [`run`] has vectors of 8 only where there is AVX, of
    // 16 only where there is AVX-512.
    unsafe {
        match LANES {
            #[cfg(target_arch = "x86_64")]
            8 => transmute_copy(&x86::turned_8(transmute_copy(&block))),
            #[cfg(target_arch = "x86_64")]
            16 => transmute_copy(&x86::turned_16(transmute_copy(&block))),
            #[cfg(target_family = "wasm")]
            4 => transmute_copy(&wasm::turned_4(transmute_copy(&block))),
            _ => {
                let rows: [[f32; LANES]; LANES] = transmute_copy(&block);
                let mut columns = rows;
                for r in 0..LANES {
                    for c in 0..LANES {
                        columns[c][r] = rows[r][c];
                    }
                }
                transmute_copy(&columns)
            }
        }
    }
}

/// What the compiler would make of the loops is one move for each float.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m256, __m512, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_shuffle_f32x4,
        _mm512_shuffle_ps, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
    };

    #[inline]
    #[target_feature(enable = "avx")]
    pub fn turned_8(rows: [__m256; 8]) -> [__m256; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let [ab0, ab2] = [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)];
        let [cd0, cd2] = [_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)];
        let [ef0, ef2] = [_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f)];
        let [gh0, gh2] = [_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h)];
        // Columns of the first four rows, two in each: the one of its name and the one four further.
        let upper = [
            _mm256_shuffle_ps::<0x44>(ab0, cd0),
            _mm256_shuffle_ps::<0xee>(ab0, cd0),
            _mm256_shuffle_ps::<0x44>(ab2, cd2),
            _mm256_shuffle_ps::<0xee>(ab2, cd2),
        ];
        let lower = [
            _mm256_shuffle_ps::<0x44>(ef0, gh0),
            _mm256_shuffle_ps::<0xee>(ef0, gh0),
            _mm256_shuffle_ps::<0x44>(ef2, gh2),
            _mm256_shuffle_ps::<0xee>(ef2, gh2),
        ];
        [
            _mm256_permute2f128_ps::<0x20>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x20>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x20>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x20>(upper[3], lower[3]),
            _mm256_permute2f128_ps::<0x31>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x31>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x31>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x31>(upper[3], lower[3]),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn turned_16(rows: [__m512; 16]) -> [__m512; 16] {
        // Of each four rows the columns in quarters: quarter q of the i-th vector is column 4 q + i.
        let mut fours = [[rows[0]; 4]; 4];
        for four in 0..4 {
            let [a, b, c, d] = [rows[4 * four], rows[4 * four + 1], rows[4 * four + 2], rows[4 * four + 3]];
            let [ab0, ab2] = [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)];
            let [cd0, cd2] = [_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)];
            fours[four] = [
                _mm512_shuffle_ps::<0x44>(ab0, cd0),
                _mm512_shuffle_ps::<0xee>(ab0, cd0),
                _mm512_shuffle_ps::<0x44>(ab2, cd2),
                _mm512_shuffle_ps::<0xee>(ab2, cd2),
            ];
        }
        let mut columns = rows;
        for i in 0..4 {
            let [a, b, c, d] = [fours[0][i], fours[1][i], fours[2][i], fours[3][i]];
            let [ab0, ab2] = [_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)];
            let [cd0, cd2] = [_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d)];
            columns[i] = _mm512_shuffle_f32x4::<0x88>(ab0, cd0);
            columns[4 + i] = _mm512_shuffle_f32x4::<0xdd>(ab0, cd0);
            columns[8 + i] = _mm512_shuffle_f32x4::<0x88>(ab2, cd2);
            columns[12 + i] = _mm512_shuffle_f32x4::<0xdd>(ab2, cd2);
        }
        columns
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use core::arch::wasm32::{i32x4_shuffle as shuffle, v128};

    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn turned_4([a, b, c, d]: [v128; 4]) -> [v128; 4] {
        let [ab0, ab2] = [shuffle::<0, 4, 1, 5>(a, b), shuffle::<2, 6, 3, 7>(a, b)];
        let [cd0, cd2] = [shuffle::<0, 4, 1, 5>(c, d), shuffle::<2, 6, 3, 7>(c, d)];
        [
            shuffle::<0, 1, 4, 5>(ab0, cd0),
            shuffle::<2, 3, 6, 7>(ab0, cd0),
            shuffle::<0, 1, 4, 5>(ab2, cd2),
            shuffle::<2, 3, 6, 7>(ab2, cd2),
        ]
    }
}

/// `to[column][row] = from[row][column]` for `rows` by `columns` floats; strides in floats.
///
/// # Safety
/// `to` must be valid for writing `columns` rows of `rows` floats.
#[inline(always)]
pub unsafe fn transpose<S: Simd>(
    simd: S,
    from: &[f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match S::F32_LANES {
            16 => transpose_blocks::<S, 16>(simd, from, from_stride, rows, columns, to, to_stride),
            8 => transpose_blocks::<S, 8>(simd, from, from_stride, rows, columns, to, to_stride),
            4 => transpose_blocks::<S, 4>(simd, from, from_stride, rows, columns, to, to_stride),
            _ => transpose_blocks::<S, 1>(simd, from, from_stride, rows, columns, to, to_stride),
        }
    }
}

#[inline(always)]
unsafe fn transpose_blocks<S: Simd, const LANES: usize>(
    simd: S,
    from: &[f32],
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    assert!(rows == 0 || (rows - 1) * from_stride + columns <= from.len());
    for r in (0..rows).step_by(LANES) {
        for c in (0..columns).step_by(LANES) {
            // Whole blocks are read even where fewer columns are left, as long as there is something to read.
            let readable = (r + LANES - 1) * from_stride + c + LANES <= from.len();
            unsafe {
                let from = from.as_ptr().add(r * from_stride + c);
                let to = to.add(c * to_stride + r);
                if r + LANES <= rows && readable {
                    let mut block = [simd.splat_f32s(0.0); LANES];
                    for r in 0..LANES {
                        block[r] = load::<S>(from.add(r * from_stride));
                    }
                    let block = turned::<S, LANES>(block);
                    // Unrolled: an index that is not known would send the block through memory.
                    for column in 0..LANES {
                        if c + column < columns {
                            store::<S>(to.add(column * to_stride), block[column]);
                        }
                    }
                } else {
                    for c in 0..LANES.min(columns - c) {
                        for r in 0..LANES.min(rows - r) {
                            *to.add(c * to_stride + r) = *from.add(r * from_stride + c);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use core::arch::x86_64::{__m256, __m512};
    use core::mem::transmute;

    use super::x86::{turned_8, turned_16};

    #[test]
    fn blocks_are_turned_in_registers() {
        if is_x86_feature_detected!("avx512f") {
            let rows: [[f32; 16]; 16] = core::array::from_fn(|r| core::array::from_fn(|c| (16 * r + c) as f32));
            // SAFETY: the processor has AVX-512, and vectors are arrays.
            let columns: [[f32; 16]; 16] = unsafe { transmute(turned_16(transmute::<[[f32; 16]; 16], [__m512; 16]>(rows))) };
            assert!((0..256).all(|i| columns[i / 16][i % 16] == rows[i % 16][i / 16]));
        }
        if is_x86_feature_detected!("avx") {
            let rows: [[f32; 8]; 8] = core::array::from_fn(|r| core::array::from_fn(|c| (8 * r + c) as f32));
            // SAFETY: the processor has AVX, and vectors are arrays.
            let columns: [[f32; 8]; 8] = unsafe { transmute(turned_8(transmute::<[[f32; 8]; 8], [__m256; 8]>(rows))) };
            assert!((0..64).all(|i| columns[i / 8][i % 8] == rows[i % 8][i / 8]));
        }
    }
}
