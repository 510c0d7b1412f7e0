//! Files of forms: a header, then a line for each input.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use riposte::spec::pareto::{FORMAT, Header, Line};

use crate::{file, results};

/// A file, open at its end.
pub(super) struct LinesFile(File);

impl LinesFile {
    /// Opens or creates the file for a run with `header`, and says how many inputs it holds. A line that was cut off is dropped.
    ///
    /// # Errors
    /// If it is something else, or was made with other settings or forms.
    pub(super) fn open(path: &Path, header: &Header) -> Result<(Self, usize)> {
        let open = || -> Result<_> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            if file.metadata()?.len() == 0 {
                writeln!(file, "{}", serde_json::to_string(header)?)?;
                return Ok((Self(file), 0));
            }
            let (found, lines, length) = parse(&file::read(path)?)?;
            let same = found.forms == header.forms && found.settings.same_run(&header.settings);
            if !same
                || (&found.format, &found.version) != (&header.format, &header.version)
                || found.settings.device != header.settings.device
            {
                bail!("it was made with other settings ({})", results::differences(&found, header)?);
            }
            file.set_len(length as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok((Self(file), lines.len()))
        };
        open().with_context(|| format!("cannot go on with `{}`", path.display()))
    }

    pub(super) fn append(&mut self, line: &Line) -> Result<()> {
        // One write: a kill leaves whole lines.
        Ok(self.0.write_all((serde_json::to_string(line)? + "\n").as_bytes())?)
    }
}

/// The header and the lines of a file.
///
/// # Errors
/// If it cannot be read, or is something else.
pub(super) fn read(path: &Path) -> Result<(Header, Vec<Line>)> {
    let (header, lines, _) = parse(&file::read(path)?).with_context(|| format!("cannot use `{}`", path.display()))?;
    Ok((header, lines))
}

/// Header, whole lines, and the length of these in bytes.
fn parse(bytes: &[u8]) -> Result<(Header, Vec<Line>, usize)> {
    let mut rows = bytes.split_inclusive(|byte| *byte == b'\n').take_while(|row| row.ends_with(b"\n"));
    let first = rows.next().context("it has no header")?;
    let header: Header = serde_json::from_slice(first).context("it is not a file of `riposte pareto`")?;
    ensure!(header.format == FORMAT, "it has the format `{}`, this program writes `{FORMAT}`", header.format);
    let (mut lines, mut length) = (Vec::new(), first.len());
    for (number, row) in rows.enumerate() {
        let line: Line = serde_json::from_slice(row).with_context(|| format!("line {} is damaged", number + 2))?;
        ensure!(line.input == number as u64, "line {} is input {}, not {number}", number + 2, line.input);
        ensure!(line.answers.len() == header.forms.len(), "line {} has not one answer for each form", number + 2);
        lines.push(line);
        length += row.len();
    }
    Ok((header, lines, length))
}
