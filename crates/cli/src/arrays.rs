//! Arrays in files that other programs read and write: safetensors, and NumPy's `.npy` and `.npz`.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use riposte::data::npy;
pub use riposte::data::npy::{Array, Values};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::file;

/// The kinds of files, by their extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Safetensors,
    Npz,
    /// One array without a name.
    Npy,
}

impl Format {
    /// The format of the file at `path`.
    ///
    /// # Errors
    /// If its name ends otherwise.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            Some("npy") => Ok(Self::Npy),
            _ => bail!("`{}` is of no known kind: its name must end in .safetensors, .npz or .npy", path.display()),
        }
    }
}

/// Checks that named arrays can be written to `path`, before they are computed.
///
/// # Errors
/// If its format has no names, or nothing can be written in its folder.
pub fn check(path: &Path) -> Result<()> {
    let name = path.display();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors" | "npz") => {}
        Some("npy") => bail!("`{name}` has room for one array: use .npz or .safetensors"),
        _ => bail!("`{name}` is of no kind that holds several arrays: its name must end in .safetensors or .npz"),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    file::check_folder(folder).with_context(|| format!("cannot write `{name}`"))
}

/// Writes named arrays to a `.safetensors` or `.npz` file.
///
/// # Errors
/// If the file cannot be written, or its format has no names.
pub fn write(path: &Path, arrays: &BTreeMap<&str, Array>) -> Result<()> {
    check(path)?;
    let bytes = match Format::of(path)? {
        Format::Safetensors => {
            let bytes: Vec<Vec<u8>> = arrays.values().map(|array| array.values.to_bytes()).collect();
            let views = arrays.iter().zip(&bytes).map(|((name, array), bytes)| {
                let dtype = match array.values {
                    Values::F32(_) => Dtype::F32,
                    Values::U8(_) => Dtype::U8,
                    Values::I64(_) => Dtype::I64,
                };
                Ok((*name, TensorView::new(dtype, array.shape.clone(), bytes)?))
            });
            safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?
        }
        Format::Npz => {
            let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
            // NumPy can map what is not compressed; images hardly get smaller.
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
            for (name, array) in arrays {
                archive.start_file(format!("{name}.npy"), options)?;
                archive.write_all(&npy::encode(array))?;
            }
            archive.finish()?.into_inner()
        }
        Format::Npy => unreachable!("checked: it has no names"),
    };
    file::write_atomically(path, &bytes)
}

/// Reads all arrays of a file. That of an `.npy` file has no name.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds something else than numbers.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>> {
    let bytes = file::read(path)?;
    let read = || -> Result<BTreeMap<String, Array>> {
        match Format::of(path)? {
            Format::Safetensors => {
                let tensors = SafeTensors::deserialize(&bytes)?;
                tensors
                    .iter()
                    .map(|(name, view)| Ok((name.to_owned(), of_tensor(&view).with_context(|| name.to_owned())?)))
                    .collect()
            }
            Format::Npz => npy::decode_archive(&bytes),
            Format::Npy => Ok(BTreeMap::from([(String::new(), npy::decode(&bytes)?)])),
        }
    };
    read().with_context(|| format!("cannot read the arrays in `{}`", path.display()))
}

fn of_tensor(view: &TensorView) -> Result<Array> {
    let (data, shape) = (view.data(), view.shape().to_vec());
    let values = match view.dtype() {
        Dtype::F32 => Values::F32(numbers(data, f32::from_le_bytes)),
        Dtype::F64 => Values::F32(numbers(data, |bytes| f64::from_le_bytes(bytes) as f32)),
        Dtype::F16 => Values::F32(numbers(data, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Values::F32(numbers(data, |bytes| half::bf16::from_le_bytes(bytes).to_f32())),
        Dtype::U8 => Values::U8(data.to_vec()),
        Dtype::I64 => Values::I64(numbers(data, i64::from_le_bytes)),
        Dtype::I32 => Values::I64(numbers(data, |bytes| i32::from_le_bytes(bytes).into())),
        other => bail!("numbers of the kind {other:?} are not read here"),
    };
    Ok(Array { shape, values })
}

/// Little-endian numbers of `N` bytes.
fn numbers<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_from_files_of_either_kind() {
        let arrays = BTreeMap::from([
            ("attacked", Array { shape: vec![2, 1, 1, 2], values: Values::F32(vec![0.0, 0.25, 1.0, 0.1]) }),
            ("labels", Array { shape: vec![2], values: Values::I64(vec![3, -1]) }),
            ("mask", Array { shape: vec![3], values: Values::U8(vec![0, 1, 255]) }),
        ]);
        for extension in ["safetensors", "npz"] {
            let path = std::env::temp_dir().join(format!("riposte-arrays-{}.{extension}", std::process::id()));
            write(&path, &arrays).unwrap();
            let found = read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(
                found.iter().map(|(name, array)| (name.as_str(), array)).eq(arrays.iter().map(|(name, array)| (*name, array)))
            );
        }
        assert!(write(Path::new("x.npy"), &arrays).is_err() && write(Path::new("x.bin"), &arrays).is_err());
    }
}
