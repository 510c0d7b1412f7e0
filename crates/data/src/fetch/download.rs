//! Fetching one published file: resumed where it was cut off, retried, checked, and in place whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use md5::{Digest, Md5};
use ureq::http::{HeaderMap, Response, StatusCode, header};

use super::official::Published;

/// How far the download of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    pub file: &'a str,
    /// Bytes that are there, of `total`.
    pub received: u64,
    pub total: u64,
}

/// Follows a download; `Break` stops it, and the next one goes on from there.
pub type Observer<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Settings of downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloader {
    /// Attempts in a row without a new byte before a host is given up.
    pub tries: usize,
    /// Wait before another attempt.
    pub pause: Duration,
    /// Longest silence of a host.
    pub patience: Duration,
}

impl Default for Downloader {
    fn default() -> Self {
        Self { tries: 3, pause: Duration::from_secs(1), patience: Duration::from_secs(30) }
    }
}

/// Why an attempt failed.
enum Failure {
    /// Another attempt may succeed.
    Passing(anyhow::Error),
    /// This host will not give the file.
    Lasting(anyhow::Error),
    /// Stopped by the observer, or this machine's fault: no host can help.
    Fatal(anyhow::Error),
}

impl Downloader {
    /// Makes sure that `folder` holds the file with the right checksum, and returns its path. Tries the `mirrors` in order. What was
    /// received stays in `NAME.part` and is gone on with next time.
    ///
    /// # Errors
    /// When no mirror gives the file, with what each of them did and what to do; [`crate::Error::Cancelled`] when `observer`
    /// stops it; when the folder cannot be written.
    pub fn fetch(&self, file: &Published, mirrors: &[String], folder: &Path, observer: &mut Observer) -> Result<PathBuf> {
        let target = folder.join(file.name);
        if is_right(&target, file)? {
            return Ok(target);
        }
        let cannot_write = || format!("cannot write to the cache folder `{}`", folder.display());
        fs::create_dir_all(folder).with_context(cannot_write)?;
        // Two processes would write into one part: the second waits, and then finds the file.
        let lock = File::create(folder.join("download.lock")).with_context(cannot_write)?;
        lock.lock().with_context(cannot_write)?;
        if is_right(&target, file)? {
            return Ok(target);
        }
        let part = folder.join(format!("{}.part", file.name));
        let mut failures = String::new();
        for mirror in mirrors {
            let url = format!("{mirror}{}", file.name);
            match self.from_host(&url, file, &part, observer) {
                Ok(()) => {
                    fs::rename(&part, &target).with_context(cannot_write)?;
                    return Ok(target);
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Passing(error) | Failure::Lasting(error)) => failures += &format!("\n  {url}: {error:#}"),
            }
        }
        bail!(
            "cannot download {}:{failures}\nTry again later, or get the file elsewhere and name its folder with --data DIR, or set \
             RIPOSTE_MIRROR to a URL that holds it, or take --dataset digits, which needs no download",
            file.name
        )
    }

    /// Completes `part` from one host and checks it.
    fn from_host(&self, url: &str, file: &Published, part: &Path, observer: &mut Observer) -> Result<(), Failure> {
        let mut most = length(part);
        let (mut fruitless, mut discarded) = (0, false);
        loop {
            let resumed = length(part) > 0;
            let error = match self.transfer(url, file, part, observer) {
                Ok(()) if is_right(part, file).map_err(Failure::Fatal)? => return Ok(()),
                Ok(()) => {
                    fs::remove_file(part).context("cannot discard a damaged download").map_err(Failure::Fatal)?;
                    let error = anyhow::anyhow!("what it sends is damaged (its MD5 is not {}); it was discarded", file.md5);
                    // What an earlier attempt, perhaps at another host, left behind may be the damaged part.
                    if !resumed || discarded {
                        return Err(Failure::Lasting(error));
                    }
                    discarded = true;
                    most = 0;
                    error
                }
                Err(Failure::Passing(error)) => error,
                Err(failure) => return Err(failure),
            };
            let received = length(part);
            fruitless = if received > most { 0 } else { fruitless + 1 };
            most = most.max(received);
            if fruitless >= self.tries {
                return Err(Failure::Passing(error));
            }
            thread::sleep(self.pause);
        }
    }

    /// One request: appends to `part` what is missing.
    fn transfer(&self, url: &str, file: &Published, part: &Path, observer: &mut Observer) -> Result<(), Failure> {
        let mut received = length(part);
        if received > file.bytes {
            fs::remove_file(part).context("cannot discard a damaged download").map_err(Failure::Fatal)?;
            received = 0;
        }
        if received == file.bytes {
            return Ok(());
        }
        let response = self.request(url, received).map_err(|error| Failure::Passing(error.into()))?;
        received = start(&response, received, file)?;
        let mut out = open(part, received).map_err(Failure::Fatal)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            if observer(Progress { file: file.name, received, total: file.bytes }).is_break() {
                return Err(Failure::Fatal(crate::Error::Cancelled.into()));
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(cut_off(received, file, Some(error))),
            };
            received += count as u64;
            if received > file.bytes {
                return Err(Failure::Lasting(anyhow::anyhow!("it sends more than the file's {} bytes", file.bytes)));
            }
            out.write_all(&buffer[..count]).context("cannot write the download").map_err(Failure::Fatal)?;
        }
        if received < file.bytes {
            return Err(cut_off(received, file, None));
        }
        out.sync_all().context("cannot write the download").map_err(Failure::Fatal)
    }

    fn request(&self, url: &str, from: u64) -> Result<Response<ureq::Body>, ureq::Error> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(self.patience))
            .timeout_per_read(Some(self.patience))
            // The checksum is of the file as it is, not packed once more.
            .accept_encoding("identity")
            .user_agent(concat!("riposte/", env!("CARGO_PKG_VERSION")));
        let mut request = config.build().new_agent().get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call()
    }
}

/// Where in the file the body of `response` starts, after a request for the bytes after `received`.
fn start(response: &Response<ureq::Body>, received: u64, file: &Published) -> Result<u64, Failure> {
    let status = response.status();
    let start = match status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(received) => received,
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Failure::Lasting(anyhow::anyhow!("the file is not there any more (the server answers {status})")));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Passing(anyhow::anyhow!("the server is busy (it answers {status})")));
        }
        _ if status.is_server_error() => return Err(Failure::Passing(anyhow::anyhow!("the server fails (it answers {status})"))),
        _ => return Err(Failure::Lasting(anyhow::anyhow!("the server answers {status}"))),
    };
    match response.body().content_length() {
        Some(length) if start + length != file.bytes => {
            let found = start + length;
            Err(Failure::Lasting(anyhow::anyhow!("it sends another file: {found} bytes instead of {}", file.bytes)))
        }
        _ => Ok(start),
    }
}

/// The first byte of `Content-Range: bytes FIRST-LAST/TOTAL`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn cut_off(received: u64, file: &Published, cause: Option<io::Error>) -> Failure {
    let text = format!("it was cut off after {received} of {} bytes", file.bytes);
    Failure::Passing(match cause {
        Some(cause) => anyhow::Error::new(cause).context(text),
        None => anyhow::anyhow!(text),
    })
}

/// Opens `part` to go on after `received` bytes.
fn open(part: &Path, received: u64) -> Result<File> {
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(part)?;
        file.set_len(received)?;
        Ok(file)
    };
    open().with_context(|| format!("cannot write `{}`", part.display()))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// Whether `path` holds the published bytes.
fn is_right(path: &Path, file: &Published) -> Result<bool> {
    Ok(length(path) == file.bytes && md5_of(path)? == file.md5)
}

/// MD5 of a file, in lowercase hexadecimal digits.
pub(super) fn md5_of(path: &Path) -> Result<String> {
    let hash = || -> io::Result<String> {
        let (mut file, mut hasher, mut buffer) = (File::open(path)?, Md5::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(&hasher.finalize())),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    hash().with_context(|| format!("cannot read `{}`", path.display()))
}

/// Lowercase hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
