//! Files of forms: a header, then a line for each input.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use riposte::spec::pareto::{FORMAT, Form, Header, Line};

use crate::{file, results};

/// A file, open at its end.
pub(super) struct LinesFile(File);

impl LinesFile {
    /// Opens or creates the file for a run with `header`, and says how many inputs it holds. A line that was cut off is dropped.
    ///
    /// # Errors
    /// If it is something else, was made with other settings or forms, or another process is writing it.
    pub(super) fn open(path: &Path, header: &Header) -> Result<(Self, usize)> {
        let open = || -> Result<_> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            results::lock(&file)?;
            if file.metadata()?.len() == 0 {
                writeln!(file, "{}", serde_json::to_string(header)?)?;
                return Ok((Self(file), 0));
            }
            let (found, lines, length) = parse(&file::read(path)?)?;
            check(&found, header)?;
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

/// # Errors
/// If a file that begins with `found` is of another run than `header`.
fn check(found: &Header, header: &Header) -> Result<()> {
    ensure!(
        found.version == header.version,
        "version {} of this program made it, this is {}: take another file",
        found.version,
        header.version
    );
    // The seconds of a file are those of one device.
    let (there, here) = (found.settings.device, header.settings.device);
    ensure!(there == here, "it was measured on a {there}, and this run is on a {here}: take that device, or another file");
    if !found.settings.same_run(&header.settings) {
        let differences = results::differences(&found.settings, &header.settings)?;
        bail!("it was made with other settings ({differences}); use the same ones, or another file");
    }
    let same = found.forms.len() == header.forms.len();
    if same && found.forms.iter().zip(&header.forms).all(|(there, here)| there.is_same(here)) {
        return Ok(());
    }
    let names = |forms: &[Form]| forms.iter().map(|form| format!("`{}`", form.name)).collect::<Vec<_>>().join(", ");
    let (there, here) = (names(&found.forms), names(&header.forms));
    if there != here {
        bail!(
            "it compares the forms {there}, and this run {here}: ask for the same ones in the same order, or take another file"
        );
    }
    let differing = found.forms.iter().zip(&header.forms).find(|(there, here)| !there.is_same(here));
    let (there, here) = differing.context("forms of the same names in the same order differ")?;
    bail!(
        "its form `{}` is another one ({}); use the same settings and banks, or another file",
        here.name,
        results::differences(there, here)?
    )
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
