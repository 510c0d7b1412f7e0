//! Work split over the threads of the *current* rayon pool, in as many parts as it has threads, so that a result depends on that number
//! and on nothing else. With one thread, or too little work, nothing is spawned.

use core::mem::MaybeUninit;
use core::ops::Range;

#[cfg(not(target_family = "wasm"))]
use rayon::prelude::*;

/// Multiplications below which another thread costs more than it saves: some 20 microseconds of them.
const WORK_PER_PART: usize = 2_000_000;

/// What one element of a pass over memory is worth in multiplications: some 16 go by while one is read and written.
const WORK_PER_ELEMENT: usize = 16;

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
