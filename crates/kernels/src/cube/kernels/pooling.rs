//! Maximum of windows.

use cubecl::prelude::*;

/// Extents of a pooling: x `[planes, height, width]`, windows `size` wide that do not overlap.
#[derive(CubeLaunch, CubeType, Clone)]
pub struct Pooling {
    pub planes: u32,
    pub height: u32,
    pub width: u32,
}

/// See [`PoolingOps::max_pool`](crate::PoolingOps::max_pool). One unit per window.
#[cube(launch_unchecked)]
pub fn max_pool<E: Float>(x: &[E], out: &mut [E], pooling: Pooling, #[comptime] size: u32, #[define(E)] _element: ElemType) {
    let out_height = pooling.height / size;
    let out_width = pooling.width / size;
    let i = ABSOLUTE_POS as u32;
    if i < pooling.planes * out_height * out_width {
        let row = i / out_width / out_height * pooling.height + i / out_width % out_height * size;
        let start = row * pooling.width + i % out_width * size;
        let mut highest = f32::cast_from(x[start as usize]);
        for tap in 1..comptime!(size * size) {
            let value = f32::cast_from(x[(start + tap / size * pooling.width + tap % size) as usize]);
            highest = select(exceeds(value, highest), value, highest);
        }
        out[i as usize] = E::cast_from(highest);
    }
}

/// See [`PoolingBackwardOps::max_pool_backward`](crate::PoolingBackwardOps::max_pool_backward). One unit per element of x.
#[cube(launch_unchecked)]
pub fn max_pool_gradient<E: Float>(
    gradient: &[E],
    x: &[E],
    out: &mut [E],
    pooling: Pooling,
    #[comptime] size: u32,
    #[define(E)] _element: ElemType,
) {
    let out_height = pooling.height / size;
    let out_width = pooling.width / size;
    let i = ABSOLUTE_POS as u32;
    if i < pooling.planes * pooling.height * pooling.width {
        let column = i % pooling.width;
        let row = i / pooling.width % pooling.height;
        let plane = i / pooling.width / pooling.height;
        let mut passed = E::new(0.0);
        if row < out_height * size && column < out_width * size {
            let start = (plane * pooling.height + row / size * size) * pooling.width + column / size * size;
            let own = row % size * size + column % size;
            let mut highest = f32::cast_from(x[start as usize]);
            let mut first = 0u32;
            for tap in 1..comptime!(size * size) {
                let value = f32::cast_from(x[(start + tap / size * pooling.width + tap % size) as usize]);
                let higher = exceeds(value, highest);
                first = select(higher, tap, first);
                highest = select(higher, value, highest);
            }
            if first == own {
                passed = gradient[((plane * out_height + row / size) * out_width + column / size) as usize];
            }
        }
        out[i as usize] = passed;
    }
}

/// Whether `value` takes the maximum over; NaN does, and keeps it.
#[cube]
fn exceeds(value: f32, highest: f32) -> bool {
    // Not `x != x`: a shader compiler may take that for false.
    let held = highest.is_nan();
    let nan = value.is_nan();
    let greater = value > highest;
    (greater || nan) && !held
}
