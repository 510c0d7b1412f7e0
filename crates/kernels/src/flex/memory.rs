//! Tensors as slices, results without zeroing them first, and work split over the current thread pool.

use core::mem::MaybeUninit;
use core::ops::Range;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Bytes, DType, Shape};
#[cfg(not(target_family = "wasm"))]
use rayon::prelude::*;

/// Multiplications below which another thread costs more than it saves: some 20 microseconds of them.
const WORK_PER_PART: usize = 2_000_000;

/// What one element of a pass over memory is worth in multiplications: some 16 go by while one is read and written.
const WORK_PER_ELEMENT: usize = 16;

/// Whether a tensor holds what the kernels compute with.
pub(super) fn is_f32(tensor: &FlexTensor) -> bool {
    tensor.dtype() == DType::F32
}

/// The tensor's elements in order; `tensor` is to be contiguous: see [`FlexTensor::to_contiguous`].
pub(super) fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// A new tensor; `fill` must write every element.
///
/// # Safety
/// Every element must have been written when `fill` returns.
pub(super) unsafe fn filled<const D: usize>(shape: [usize; D], fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    let length = shape.iter().product();
    let mut data = Vec::<f32>::with_capacity(length);
    fill(&mut data.spare_capacity_mut()[..length]);
    // SAFETY: the caller vouches for it.
    unsafe { data.set_len(length) };
    tensor(data, shape)
}

/// A new tensor of these elements.
pub(super) fn tensor<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::new(shape));
    FlexTensor::new(Bytes::from_elems(data), layout, DType::F32)
}

/// How many threads of the current pool this many multiplications deserve; at least 1.
pub(super) fn parts(work: usize) -> usize {
    match work / WORK_PER_PART {
        0 | 1 => 1,
        worth => worth.min(threads()),
    }
}

#[cfg(not(target_family = "wasm"))]
fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(target_family = "wasm")]
fn threads() -> usize {
    1
}

/// How many threads a pass over this many elements deserves; at least 1.
pub(super) fn parts_of_pass(elements: usize) -> usize {
    parts(elements * WORK_PER_ELEMENT)
}

/// The `part`-th of `parts` nearly equal ranges of `0..total`, in multiples of `unit` but for the end.
pub(super) fn part_range(total: usize, parts: usize, part: usize, unit: usize) -> Range<usize> {
    let units = total.div_ceil(unit);
    let bound = |part: usize| (units * part / parts * unit).min(total);
    bound(part)..bound(part + 1)
}

/// Splits a slice into the given lengths.
pub(super) fn split<T>(mut slice: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    lengths.map(|length| slice.split_off_mut(..length).expect("lengths add up")).collect()
}

/// Maps each item on a thread of the current pool; a single item on this one.
pub(super) fn map_parts<I: Send, R: Send>(items: Vec<I>, map: impl Fn(I) -> R + Send + Sync) -> Vec<R> {
    #[cfg(not(target_family = "wasm"))]
    if items.len() > 1 {
        return items.into_par_iter().with_max_len(1).map(map).collect();
    }
    items.into_iter().map(map).collect()
}

/// Calls `body` with the index, the range of elements and the output of each plane, planes split over the threads.
pub(super) fn each_plane(
    length: usize,
    plane: usize,
    to: &mut [MaybeUninit<f32>],
    body: impl Fn(usize, Range<usize>, &mut [MaybeUninit<f32>]) + Send + Sync,
) {
    let planes = length / plane.max(1);
    let threads = parts_of_pass(length).min(planes.max(1));
    let ranges = (0..threads).map(|part| part_range(planes, threads, part, 1));
    let outputs = split(to, ranges.clone().map(|range| range.len() * plane));
    map_parts(ranges.zip(outputs).collect(), |(planes, to)| {
        for (index, to) in planes.zip(to.chunks_exact_mut(plane)) {
            body(index, index * plane..(index + 1) * plane, to);
        }
    });
}
