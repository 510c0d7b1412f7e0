//! NumPy's formats: `.npy`, versions 1 to 3, a header in the words of Python and then the numbers; and `.npz`, an archive of such.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

/// An array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its size in each dimension.
    pub shape: Vec<usize>,
    /// As many as the shape's product.
    pub values: Values,
}

/// What an array holds. Other floats are read as `F32`, other integers as `I64`.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floats.
    F32(Vec<f32>),
    /// Bytes.
    U8(Vec<u8>),
    /// Integers.
    I64(Vec<i64>),
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Bytes of the file.
pub fn encode(array: &Array) -> Vec<u8> {
    let kind = match array.values {
        Values::F32(_) => "<f4",
        Values::U8(_) => "|u1",
        Values::I64(_) => "<i8",
    };
    let shape: String = array.shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // The numbers begin at a multiple of 64 bytes.
    let before = MAGIC.len() + 4;
    while !(before + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [MAGIC, &[1, 0], &length, header.as_bytes(), &array.values.to_bytes()].concat()
}

/// The array of a file.
///
/// # Errors
/// If it is something else, cut off, column-major, or not of numbers.
pub fn decode(bytes: &[u8]) -> Result<Array> {
    let rest = bytes.strip_prefix(MAGIC).context("it is not a NumPy file")?;
    let cut_off = "the file is cut off";
    let after = |count: usize| rest.get(count..).context(cut_off);
    let (length, rest) = match rest.first().context(cut_off)? {
        1 => (usize::from(u16::from_le_bytes(*after(2)?.first_chunk().context(cut_off)?)), after(4)?),
        2 | 3 => (u32::from_le_bytes(*after(2)?.first_chunk().context(cut_off)?) as usize, after(6)?),
        version => bail!("version {version} of NumPy's format is not read here"),
    };
    let (header, data) = rest.split_at_checked(length).context(cut_off)?;
    let header = std::str::from_utf8(header).context("its header is not text")?;
    ensure!(value(header, "fortran_order")?.starts_with("False"), "it is column-major: save `numpy.ascontiguousarray` of it");
    let kind = value(header, "descr")?.trim_start_matches(['\'', '"']);
    let kind = kind.split(['\'', '"']).next().unwrap_or_default();
    let sizes = value(header, "shape")?.trim_start_matches('(');
    let sizes = sizes.split(')').next().unwrap_or_default().split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes.map(|size| size.parse().context("its shape is not one")).collect::<Result<_>>()?;
    let values = match kind {
        "<f4" => Values::F32(numbers(data, f32::from_le_bytes)),
        "<f8" => Values::F32(numbers(data, |bytes| f64::from_le_bytes(bytes) as f32)),
        "<f2" => Values::F32(numbers(data, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
        "|u1" => Values::U8(data.to_vec()),
        "<i8" => Values::I64(numbers(data, i64::from_le_bytes)),
        "<i4" => Values::I64(numbers(data, |bytes| i32::from_le_bytes(bytes).into())),
        other => bail!("numbers of the kind `{other}` are not read here: convert them to float32 or uint8"),
    };
    let found = match &values {
        Values::F32(values) => values.len(),
        Values::U8(values) => values.len(),
        Values::I64(values) => values.len(),
    };
    let claimed = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size)).context("its shape is not one")?;
    ensure!(found == claimed, "it holds {found} numbers, and its header says {claimed}");
    Ok(Array { shape, values })
}

impl Values {
    /// Little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::U8(values) => values.clone(),
            Self::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// As whole numbers; `None` for floats.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match self {
            Self::F32(_) => None,
            Self::U8(values) => Some(values.iter().map(|value| i64::from(*value)).collect()),
            Self::I64(values) => Some(values.clone()),
        }
    }

    /// As floats.
    pub fn floats(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::U8(values) => values.iter().map(|value| f32::from(*value)).collect(),
            Self::I64(values) => values.iter().map(|value| *value as f32).collect(),
        }
    }
}

/// The arrays of an `.npz` file, by their names.
///
/// # Errors
/// If it is no archive of `.npy` files, or one of them is larger than 4 GiB.
pub fn decode_archive(bytes: &[u8]) -> Result<BTreeMap<String, Array>> {
    const LARGEST: u64 = 4 << 30;
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.trim_end_matches(".npy").to_owned();
        let mut content = Vec::new();
        entry.take(LARGEST + 1).read_to_end(&mut content)?;
        ensure!(content.len() as u64 <= LARGEST, "`{name}` is larger than 4 GiB");
        arrays.insert(name.clone(), decode(&content).with_context(|| name)?);
    }
    Ok(arrays)
}

/// Little-endian numbers of `N` bytes.
fn numbers<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
}

/// What follows a key in the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let found = [format!("'{key}'"), format!("\"{key}\"")].iter().find_map(|key| header.split_once(key.as_str()));
    let (_, after) = found.with_context(|| format!("its header does not say `{key}`"))?;
    Ok(after.trim_start_matches([':', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.save` of `numpy.array([[1, 2, 3]], dtype='>f4')` and the like must not pass for something else.
    #[test]
    fn what_is_not_understood_is_refused() {
        let array = Array { shape: vec![1, 3], values: Values::F32(vec![1.0, 2.0, 3.0]) };
        let bytes = encode(&array);
        assert_eq!(decode(&bytes).unwrap(), array);
        assert_eq!(bytes.len() % 64, 12, "the numbers begin at a multiple of 64");
        let changed = |from: &str, to: &str| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let mut bytes = bytes.clone();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            decode(&bytes).map_err(|error| error.to_string())
        };
        assert!(changed("'<f4'", "'>f4'").unwrap_err().contains(">f4"));
        assert!(changed("False", "True ").unwrap_err().contains("column-major"));
        assert!(changed("(1, 3,)", "(2, 3,)").unwrap_err().contains("3 numbers, and its header says 6"));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut off after {length} bytes");
        }
        let one = Array { shape: vec![2], values: Values::I64(vec![7, 8]) };
        assert_eq!(decode(&encode(&one)).unwrap(), one);
    }
}
