//! CIFAR-10's batches (Krizhevsky 2009) in both official forms, binary and Python.

use std::borrow::Cow;

use crate::pickle::Pickle;
use crate::{Dataset, Images, Result, instead, problem};

/// Number of classes.
pub const CLASSES: usize = 10;
/// Edge of the square images, in pixels.
pub const SIDE: usize = 32;
/// Bytes of one image: red plane, green plane, blue plane, each row by row.
const IMAGE: usize = 3 * SIDE * SIDE;
const WHAT: &str = "CIFAR-10 batch";

/// A batch of the binary version (`data_batch_1.bin`): records of one label byte and 3,072 image bytes. Any number of records.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when the length is no whole number of records or a label is not below 10.
pub fn parse_binary(bytes: &[u8]) -> Result<Dataset> {
    if let Some(what) = instead(bytes) {
        return Err(problem(WHAT, format!("this is {what}")));
    }
    if !bytes.len().is_multiple_of(1 + IMAGE) && bytes.len().is_multiple_of(2 + IMAGE) {
        let text = "its length is that of records with two labels each: this is CIFAR-100, or another set, and not CIFAR-10";
        return Err(problem(WHAT, text.into()));
    }
    if !bytes.len().is_multiple_of(1 + IMAGE) {
        let text = format!("{} bytes are not a whole number of {}-byte records; get the file again", bytes.len(), 1 + IMAGE);
        return Err(problem(WHAT, text));
    }
    let records = || bytes.chunks_exact(1 + IMAGE);
    let labels = records().map(|record| record[0]).collect();
    let mut pixels = Vec::with_capacity(bytes.len());
    records().for_each(|record| pixels.extend_from_slice(&record[1..]));
    dataset(pixels, labels)
}

/// A batch of the Python version (`data_batch_1`): a pickled dictionary with the array `data` and the list `labels`.
///
/// The pickle is read, not run: nothing in it can call anything, and what it would call beyond NumPy's arrays is an error.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when it is not such a pickle, is cut off, or a label is not below 10.
pub fn parse_pickle(bytes: &[u8]) -> Result<Dataset> {
    if let Some(what) = instead(bytes) {
        return Err(problem(WHAT, format!("this is {what}")));
    }
    let pickle = Pickle::load(bytes).map_err(|text| problem(WHAT, text))?;
    let missing = |key: &str| problem(WHAT, format!("the pickle holds no `{key}` of the expected kind"));
    let data = pickle.array("data").filter(|array| array.item.size == 1).ok_or_else(|| missing("data"))?;
    let rows = match data.column_major {
        true => Cow::Owned(row_major(&data.shape, &data.data)),
        false => Cow::Borrowed(&*data.data),
    };
    let pixels = planar(&data.shape, &rows)?;
    let labels = pickle.integers("labels").ok_or_else(|| missing("labels"))?;
    let byte = |&label: &i64| u8::try_from(label).map_err(|_| problem(WHAT, format!("{label} is not a label")));
    dataset(pixels, labels.iter().map(byte).collect::<Result<_>>()?)
}

/// The pixels of an array of images with channel after channel; `shape` is that of the array: flat, channels first or channels last.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) for another shape.
pub fn planar(shape: &[usize], pixels: &[u8]) -> Result<Vec<u8>> {
    match shape {
        [_, IMAGE] | [_, 3, SIDE, SIDE] => Ok(pixels.to_vec()),
        [_, SIDE, SIDE, 3] => Ok(pixels
            .chunks_exact(IMAGE)
            .flat_map(|image| (0..3).flat_map(move |channel| image.iter().skip(channel).step_by(3).copied()))
            .collect()),
        _ => Err(problem(
            WHAT,
            format!("images should have shape [images, {IMAGE}] or [images, 3, {SIDE}, {SIDE}], they have {shape:?}"),
        )),
    }
}

/// Bytes with the last index running fastest, from such with the first.
fn row_major(shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let (mut rows, mut index) = (Vec::with_capacity(bytes.len()), vec![0; shape.len()]);
    for _ in 0..bytes.len() {
        let (at, _) = index.iter().zip(shape).fold((0, 1), |(at, stride), (index, size)| (at + index * stride, stride * size));
        rows.push(bytes[at]);
        for (index, size) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < *size {
                break;
            }
            *index = 0;
        }
    }
    rows
}

fn dataset(pixels: Vec<u8>, labels: Vec<u8>) -> Result<Dataset> {
    Dataset::new(Images::new(pixels, 3, SIDE, SIDE)?, labels, CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` records with labels 0, 1, 2, ... and pixels that tell where they belong.
    fn binary(count: usize) -> Vec<u8> {
        (0..count).flat_map(|i| std::iter::once(i as u8).chain((0..IMAGE).map(move |pixel| (i * 31 + pixel) as u8))).collect()
    }

    /// The same records as Python 2 with NumPy pickles them for the official Python version.
    fn pickled(records: &[u8], data_type: &[u8], extra: &[u8]) -> Vec<u8> {
        let records: Vec<&[u8]> = records.chunks_exact(1 + IMAGE).collect();
        let count = (records.len() as u16).to_le_bytes();
        let mut p = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(".to_vec();
        records.iter().for_each(|record| p.extend([b'K', record[0]]));
        p.extend(
            b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01M",
        );
        p.extend(count);
        p.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x0aU");
        p.push(data_type.len() as u8);
        p.extend(data_type);
        p.extend(b"K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        p.extend((records.len() as u32 * IMAGE as u32).to_le_bytes());
        records.iter().for_each(|record| p.extend(&record[1..]));
        p.extend(b"tbU\x09filenamesq\x0c]q\x0d(");
        records.iter().for_each(|_| p.extend(b"U\x05a.png"));
        p.push(b'e');
        p.extend(extra);
        p.extend(b"u.");
        p
    }

    fn refusal(result: Result<Dataset>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn binary_records_become_planar_images() {
        let batch = parse_binary(&binary(3)).unwrap();
        assert_eq!((batch.len(), batch.classes(), batch.labels()), (3, 10, &[0, 1, 2][..]));
        assert_eq!((batch.images().channels(), batch.images().height(), batch.images().width()), (3, 32, 32));
        assert_eq!(batch.images().image(2)[..3], [62, 63, 64]);
    }

    #[test]
    fn both_versions_read_the_same() {
        assert_eq!(parse_pickle(&pickled(&binary(5), b"u1", b"")).unwrap(), parse_binary(&binary(5)).unwrap());
    }

    #[test]
    fn partial_records_and_wrong_labels_are_refused() {
        assert!(refusal(parse_binary(&binary(2)[..5000])).contains("whole number of 3073-byte records"));
        assert!(parse_binary(&[]).is_err());
        assert!(refusal(parse_binary(&binary(11))).contains("image 10 has label 10"));
        assert!(refusal(parse_pickle(&pickled(&binary(11), b"u1", b""))).contains("image 10 has label 10"));
    }

    #[test]
    fn every_cut_of_a_pickle_is_noticed() {
        let whole = pickled(&binary(2), b"u1", b"");
        assert!((0..whole.len()).all(|n| parse_pickle(&whole[..n]).is_err()));
    }

    #[test]
    fn arrays_of_other_types_are_refused() {
        assert!(refusal(parse_pickle(&pickled(&binary(2), b"f4", b""))).contains("numbers of the kind `f4`"));
    }

    #[test]
    fn a_pickle_cannot_call_anything_else() {
        let attack = pickled(&binary(2), b"u1", b"U\x01xcos\nsystem\nU\x02ls\x85R");
        assert!(refusal(parse_pickle(&attack)).contains("wants to call \"os.system\""));
    }

    #[test]
    fn a_pickle_without_images_or_labels_is_refused() {
        assert!(refusal(parse_pickle(b"\x80\x02}.")).contains("no `data`"));
        assert!(refusal(parse_pickle(b"\x80\x02].")).contains("not a dictionary"));
        assert!(refusal(parse_pickle(b"PK\x03\x04")).contains("not a pickle"));
    }
}
