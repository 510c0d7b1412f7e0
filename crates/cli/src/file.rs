//! Writing files whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Writes `bytes` to `path` through a file beside it and a rename: a reader sees the old file or the new one. What is no file, such as
/// `/dev/null`, a pipe or `-` for standard output, stays what it is and takes the bytes.
///
/// # Errors
/// Naming the path, if it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(mut stream) = Stream::at(path)? {
        return stream
            .write_all(bytes)
            .and_then(|()| stream.flush())
            .with_context(|| format!("cannot write `{}`", path.display()));
    }
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let beside = sibling(path);
        let mut file = fs::File::create(&beside)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// What takes bytes one after the other and keeps none: standard output, a pipe, a device.
#[derive(Debug)]
pub enum Stream {
    /// Standard output.
    Output,
    /// A pipe or a device.
    Other(fs::File),
}

impl Stream {
    /// The stream at `path`; `None` for a file, or where there is nothing yet.
    ///
    /// # Errors
    /// If it cannot be opened, or nobody reads the pipe.
    pub fn at(path: &Path) -> Result<Option<Self>> {
        if ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path.as_os_str() == *name) {
            return Ok(Some(Self::Output));
        }
        let Ok(metadata) = fs::metadata(path) else { return Ok(None) };
        if metadata.is_file() || metadata.is_dir() {
            return Ok(None);
        }
        let open = || open_stream(path, &metadata);
        open().map(|file| Some(Self::Other(file))).with_context(|| format!("cannot write `{}`", path.display()))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Output => io::stdout().write(bytes),
            Self::Other(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Output => io::stdout().flush(),
            Self::Other(file) => file.flush(),
        }
    }
}

/// Opens what is no file for writing. A pipe whose reader has not come is waited for: the reader is often started at the same time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn open_stream(path: &Path, metadata: &fs::Metadata) -> io::Result<fs::File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(50);
    if metadata.file_type().is_fifo() {
        let begin = Instant::now();
        // Without this flag opening waits for a reader without end.
        while let Err(error) = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
            match error.raw_os_error() {
                Some(libc::ENXIO) if begin.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Some(libc::ENXIO) => return Err(io::Error::other("no program reads this pipe")),
                _ => return Err(error),
            }
        }
    }
    fs::OpenOptions::new().write(true).open(path)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn open_stream(path: &Path, _: &fs::Metadata) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).open(path)
}

/// Reads a whole file.
///
/// # Errors
/// Naming the path, if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn sibling(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Removes what a process that was killed while it wrote left beside `path`: for whoever alone writes there.
pub fn remove_leftovers(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let middle = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".tmp"));
        if middle.is_some_and(|process| process.parse::<u32>().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes a folder if it is not there, and sees whether files can be written to it.
///
/// # Errors
/// If they cannot.
pub fn check_folder(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".{}.tmp", std::process::id()));
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}
