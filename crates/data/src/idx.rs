//! The idx format of MNIST (and of its likes: Fashion-MNIST, EMNIST), plain or gzipped.
//!
//! A header of big-endian numbers promises a size; nothing is allocated on a promise alone, and the body must keep it exactly.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::{Images, Result, instead, problem};

/// Largest body that is read, in bytes: over twenty times MNIST's training images.
const MAX_BODY: u64 = 1 << 30;
/// Largest edge of an image, in pixels.
const MAX_EDGE: u32 = 4096;
/// Deflate cannot make a byte into more than this many.
const MAX_INFLATION: usize = 1032;
/// How many times a file may be gzipped: some browsers and scripts pack what is packed.
const MOST_PACKED: usize = 3;

/// Images of one channel from an idx file with three dimensions (`train-images-idx3-ubyte`, gzipped or not).
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when it is another format, is cut off, holds too much or is damaged.
pub fn parse_images(bytes: &[u8]) -> Result<Images> {
    let ([_, height, width], pixels) = parse::<3>(bytes, "MNIST images")?;
    Images::new(pixels, 1, height as usize, width as usize)
}

/// Labels from an idx file with one dimension (`train-labels-idx1-ubyte`, gzipped or not).
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when it is another format, is cut off, holds too much or is damaged.
pub fn parse_labels(bytes: &[u8]) -> Result<Vec<u8>> {
    let ([_], labels) = parse::<1>(bytes, "MNIST labels")?;
    Ok(labels)
}

fn parse<const D: usize>(bytes: &[u8], what: &'static str) -> Result<([u32; D], Vec<u8>)> {
    if let Some(other) = instead(bytes) {
        return Err(problem(what, format!("this is {other}")));
    }
    match bytes {
        [0x1f, 0x8b, ..] => read(Box::new(MultiGzDecoder::new(bytes)), bytes.len().saturating_mul(MAX_INFLATION), what, 1),
        _ => read(Box::new(bytes), bytes.len(), what, 0),
    }
}

/// `available` bounds how many bytes `input` can give, which was packed `packed` times.
fn read<const D: usize>(
    mut input: Box<dyn Read + '_>,
    available: usize,
    what: &'static str,
    packed: usize,
) -> Result<([u32; D], Vec<u8>)> {
    let header = 4 + 4 * D;
    let mut start = Vec::with_capacity(header);
    let damaged = |error: std::io::Error| problem(what, format!("damaged gzip data ({error}); get the file again"));
    input.by_ref().take(header as u64).read_to_end(&mut start).map_err(damaged)?;
    if start.starts_with(&[0x1f, 0x8b]) && packed < MOST_PACKED {
        let whole = MultiGzDecoder::new(std::io::Cursor::new(start).chain(input));
        return read(Box::new(whole), available.saturating_mul(MAX_INFLATION), what, packed + 1);
    }
    if start.len() < header {
        return Err(problem(what, format!("cut off: {} of the {header} bytes of an idx header", start.len())));
    }
    let number = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    check_magic(number(0), D, what)?;
    let sizes: [u32; D] = std::array::from_fn(|i| number(4 + 4 * i));
    let length = body_length(&sizes, what)?;

    let mut body = Vec::with_capacity(available.min(length as usize).min(if packed > 1 { 1 << 24 } else { usize::MAX }));
    input.take(length + 1).read_to_end(&mut body).map_err(damaged)?;
    match body.len() as u64 {
        n if n < length => {
            let text = format!("cut off: its header promises {sizes:?} = {length} bytes, it holds {n}; get the file again");
            Err(problem(what, text))
        }
        n if n > length => {
            Err(problem(what, format!("more bytes follow than the {length} that its header promises ({sizes:?})")))
        }
        _ => Ok((sizes, body)),
    }
}

/// The magic number is 0, 0, type (8 is unsigned byte), number of dimensions.
fn check_magic(magic: u32, dimensions: usize, what: &'static str) -> Result<()> {
    if magic == 0x0800 | dimensions as u32 {
        return Ok(());
    }
    Err(problem(
        what,
        match magic {
            0x0801 => "this is a file of labels (idx with 1 dimension)".into(),
            0x0803 => "this is a file of images (idx with 3 dimensions)".into(),
            _ => format!("not an idx file of bytes with {dimensions} dimensions: it starts with {magic:#010x}"),
        },
    ))
}

fn body_length(sizes: &[u32], what: &'static str) -> Result<u64> {
    if sizes.contains(&0) {
        return Err(problem(what, format!("its header promises nothing: {sizes:?}")));
    }
    let length = sizes.iter().try_fold(1u64, |product, &n| product.checked_mul(n.into())).filter(|&n| n <= MAX_BODY);
    match length {
        Some(length) if sizes[1..].iter().all(|&edge| edge <= MAX_EDGE) => Ok(length),
        _ => Err(problem(what, format!("its header promises an absurd size: {sizes:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn idx(magic: u32, sizes: &[u32], body: usize) -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        sizes.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes.extend((0..body).map(|i| i as u8));
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzipped_files_read_the_same() {
        let file = idx(0x803, &[3, 4, 5], 60);
        let images = parse_images(&file).unwrap();
        assert_eq!((images.len(), images.channels(), images.height(), images.width()), (3, 1, 4, 5));
        assert_eq!(images.image(1), (20..40).collect::<Vec<u8>>());
        assert_eq!(parse_images(&gz(&file)).unwrap(), images);
        assert_eq!(parse_labels(&gz(&idx(0x801, &[7], 7))).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_cut_is_noticed() {
        let file = idx(0x803, &[2, 3, 3], 18);
        let packed = gz(&file);
        for n in 0..file.len() {
            assert!(parse_images(&file[..n]).is_err(), "cut at {n}");
        }
        for n in 0..packed.len() {
            assert!(parse_images(&packed[..n]).is_err(), "gzip cut at {n}");
        }
        assert!(refusal(parse_images(&file[..30])).contains("promises [2, 3, 3] = 18 bytes, it holds 14"));
    }

    #[test]
    fn bytes_after_the_end_are_noticed() {
        let mut file = idx(0x801, &[5], 6);
        assert!(refusal(parse_labels(&file)).contains("more bytes follow"));
        file.pop();
        let mut packed = gz(&file);
        packed.push(7);
        assert!(parse_labels(&packed).is_err());
    }

    #[test]
    fn a_flipped_bit_in_gzip_data_is_noticed() {
        let packed = gz(&idx(0x801, &[200], 200));
        for at in 10..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 4;
            assert!(parse_labels(&damaged).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn labels_and_images_are_not_confused() {
        assert!(refusal(parse_images(&idx(0x801, &[12], 12))).contains("file of labels"));
        assert!(refusal(parse_labels(&idx(0x803, &[1, 2, 2], 4))).contains("file of images"));
        assert!(refusal(parse_labels(b"<!DOCTYPE html>")).contains("web page"));
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        for sizes in [[u32::MAX; 3], [1, 1, 5000], [60_000, 4096, 4096], [0, 28, 28]] {
            assert!(refusal(parse_images(&idx(0x803, &sizes, 0))).contains("its header promises"), "{sizes:?}");
        }
        assert!(refusal(parse_labels(&idx(0x801, &[u32::MAX], 10))).contains("absurd"));
        // Within the limits, but a promise only: the room taken follows what the file can hold.
        assert!(refusal(parse_labels(&idx(0x801, &[1 << 30], 10))).contains("it holds 10"));
    }
}
