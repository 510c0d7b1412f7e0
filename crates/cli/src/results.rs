//! Results as JSON Lines: a header with all settings, then one record for each input. A run can go on where a file ends.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use riposte::eval::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the first line says the file is.
const FORMAT: &str = "riposte results 1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: String,
    /// The program's version.
    pub version: String,
    /// Everything that the records depend on.
    pub settings: Value,
}

/// A results file, open at its end.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    file: File,
}

impl Header {
    /// The header of a run with `settings`.
    pub fn new(settings: Value) -> Self {
        Self { format: FORMAT.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), settings }
    }
}

impl ResultsFile {
    /// Opens or creates the file at `path` for a run with `header` that starts at input `first`, and gives the records that it
    /// already holds. A line that was cut off in the middle is dropped.
    ///
    /// # Errors
    /// If the file is something else, was made with other settings or by another version, or cannot be read or written. It is
    /// left as it is then.
    pub fn open(path: &Path, header: &Header, first: u64) -> Result<(Self, Vec<Record>)> {
        let open = || -> Result<_> {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            let (records, end) = read(&file, header, first)?;
            file.set_len(end)?;
            file.seek(SeekFrom::End(0))?;
            if end == 0 {
                writeln!(file, "{}", serde_json::to_string(header)?)?;
            }
            Ok((file, records))
        };
        let (file, records) = open().with_context(|| format!("cannot go on with `{}`", path.display()))?;
        Ok((Self { path: path.to_owned(), file }, records))
    }

    /// Adds a record. It is in the file when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        // One write for a line: a kill leaves whole lines.
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// The records of a file and the length of its whole lines.
fn read(file: &File, header: &Header, first: u64) -> Result<(Vec<Record>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut end, mut number, mut records) = (0, 0, Vec::new());
    loop {
        let mut line = Vec::new();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            ensure!(number > 0 || is_start_of_header(&line), "it is not a results file of `riposte eval`");
            return Ok((records, end));
        }
        if number == 0 {
            check_header(&line, header)?;
        } else {
            let record: Record = serde_json::from_slice(&line).with_context(|| format!("line {} is damaged", number + 1))?;
            let expected = first + records.len() as u64;
            ensure!(record.input == expected, "line {} is input {}, not {expected}", number + 1, record.input);
            records.push(record);
        }
        (end, number) = (end + length as u64, number + 1);
    }
}

/// Whether the only, unfinished line of a file is one of ours, or nothing.
fn is_start_of_header(line: &[u8]) -> bool {
    let start = format!(r#"{{"format":"{FORMAT}""#);
    line.len() < start.len() && start.as_bytes().starts_with(line) || line.starts_with(start.as_bytes())
}

fn check_header(line: &[u8], expected: &Header) -> Result<()> {
    let found: Header = serde_json::from_slice(line).context("it is not a results file of `riposte eval`")?;
    ensure!(found.format == expected.format, "it has the format `{}`, this program writes `{}`", found.format, expected.format);
    ensure!(found.version == expected.version, "version {} of this program made it, this is {}", found.version, expected.version);
    let mut differences = Vec::new();
    compare("", &found.settings, &expected.settings, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    bail!("it was made with other settings ({}); use the same ones, or another file", differences.join(", "));
}

/// Collects what differs, by the path to it.
fn compare(path: &str, found: &Value, expected: &Value, differences: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), differences);
            }
        }
        _ if found == expected => {}
        _ => differences.push(format!("{path} is {found} there and {expected} here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(input: u64) -> Record {
        Record {
            input,
            label: 3,
            natural: 3,
            attacked: Some(5),
            perturbation: Some(0.3),
            nan: false,
            riposte_natural: None,
            riposte_attacked: None,
        }
    }

    fn header() -> Header {
        Header::new(json!({ "seed": 0, "attack": { "steps": 40, "epsilon": 0.3 } }))
    }

    /// A fresh path that is removed with the guard.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("riposte-results-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_run_goes_on_after_the_last_whole_line() {
        let path = Scratch::new("cut");
        let (mut file, records) = ResultsFile::open(&path.0, &header(), 7).unwrap();
        assert!(records.is_empty());
        file.append(&record(7)).unwrap();
        file.append(&record(8)).unwrap();
        drop(file);
        let whole = std::fs::read(&path.0).unwrap();
        std::fs::write(&path.0, &whole[..whole.len() - 20]).unwrap();
        let (mut file, records) = ResultsFile::open(&path.0, &header(), 7).unwrap();
        assert_eq!(records, [record(7)]);
        file.append(&record(8)).unwrap();
        assert_eq!(std::fs::read(&path.0).unwrap(), whole);
    }

    #[test]
    fn other_settings_are_named_and_the_file_stays() {
        let path = Scratch::new("settings");
        ResultsFile::open(&path.0, &header(), 0).unwrap().0.append(&record(0)).unwrap();
        let before = std::fs::read(&path.0).unwrap();
        let other = Header::new(json!({ "seed": 0, "attack": { "steps": 20, "epsilon": 0.3 } }));
        let error = format!("{:#}", ResultsFile::open(&path.0, &other, 0).unwrap_err());
        assert!(error.contains("attack.steps is 40 there and 20 here"), "{error}");
        assert!(!error.contains("epsilon"), "{error}");
        assert_eq!(std::fs::read(&path.0).unwrap(), before);
    }

    #[test]
    fn a_file_of_something_else_is_not_overwritten() {
        let path = Scratch::new("other");
        for content in ["my notes", "my notes\n", "{\"format\":\"other\"}\n", "[]\n"] {
            std::fs::write(&path.0, content).unwrap();
            assert!(ResultsFile::open(&path.0, &header(), 0).is_err(), "{content}");
            assert_eq!(std::fs::read_to_string(&path.0).unwrap(), content);
        }
    }

    #[test]
    fn an_empty_file_and_a_cut_header_begin_anew() {
        let path = Scratch::new("empty");
        for content in ["", "{\"form", "{\"format\":\"riposte results 1\",\"ver"] {
            std::fs::write(&path.0, content).unwrap();
            let (mut file, records) = ResultsFile::open(&path.0, &header(), 0).unwrap();
            assert!(records.is_empty());
            file.append(&record(0)).unwrap();
            assert_eq!(ResultsFile::open(&path.0, &header(), 0).unwrap().1, [record(0)]);
        }
    }

    #[test]
    fn a_damaged_line_and_a_missing_input_are_errors() {
        let path = Scratch::new("damaged");
        let line = |input| serde_json::to_string(&record(input)).unwrap();
        let head = serde_json::to_string(&header()).unwrap();
        std::fs::write(&path.0, format!("{head}\n{}\nnonsense\n", line(0))).unwrap();
        let error = format!("{:#}", ResultsFile::open(&path.0, &header(), 0).unwrap_err());
        assert!(error.contains("line 3 is damaged"), "{error}");
        std::fs::write(&path.0, format!("{head}\n{}\n{}\n", line(0), line(2))).unwrap();
        let error = format!("{:#}", ResultsFile::open(&path.0, &header(), 0).unwrap_err());
        assert!(error.contains("input 2, not 1"), "{error}");
    }
}
