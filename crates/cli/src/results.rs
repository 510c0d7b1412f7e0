//! Results as JSON Lines: a header with all settings, then one record for each input. A run can go on where a file ends. What
//! another device computed, or other batches, is a part with a header of its own: files of parts that follow each other are
//! joined by writing one after the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use riposte::bank::BankUse;
use riposte::evaluate::Record;
use riposte::spec::results::{FORMAT, Header, Part};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file::Stream;
use crate::output;

/// Settings that the parts of a file may have of their own: records depend on them in the rounding of floats alone.
const OWN: [&str; 3] = ["first", "device", "batch"];

/// A results file, open at its end.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    sink: Sink,
    /// Of the run that goes on with it.
    header: Header,
    run: Part,
    parts: Vec<Part>,
}

/// Where records go.
#[derive(Debug)]
enum Sink {
    File(File),
    Stream(Stream),
    /// A file that cannot be written: what it holds can be told.
    Closed(ErrorKind),
}

impl ResultsFile {
    /// Opens or creates the file at `path` for a run with `header`, and gives the records that it already holds. A line that was
    /// cut off in the middle is dropped.
    ///
    /// # Errors
    /// If the file is something else, was made with other settings or by another version, if another process has it open, or if it
    /// cannot be read or written. It is left as it is then.
    pub fn open(path: &Path, header: Header) -> Result<(Self, Vec<Record>)> {
        let open = || -> Result<_> {
            if let Some(stream) = Stream::at(path)? {
                return Ok((Sink::Stream(stream), Held::default()));
            }
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) {
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                    let file = File::open(path).map_err(|_| io::Error::from(error.kind()))?;
                    return Ok((Sink::Closed(error.kind()), read(&file, &header)?));
                }
                file => file?,
            };
            lock(&file)?;
            let held = read(&file, &header)?;
            file.set_len(held.length)?;
            file.seek(SeekFrom::End(0))?;
            Ok((Sink::File(file), held))
        };
        let (sink, held) = open().with_context(|| format!("cannot go on with `{}`", path.display()))?;
        let run = header.settings.part();
        Ok((Self { path: path.to_owned(), sink, header, run, parts: held.parts }, held.records))
    }

    /// Whether records go to standard output.
    pub fn is_output(&self) -> bool {
        matches!(self.sink, Sink::Stream(Stream::Output))
    }

    /// # Errors
    /// If records cannot be added, as to a file that may only be read.
    pub fn check_open(&self) -> Result<()> {
        match &self.sink {
            Sink::Closed(kind) => Err(io::Error::from(*kind)).with_context(|| format!("cannot write `{}`", self.path.display())),
            Sink::File(_) | Sink::Stream(_) => Ok(()),
        }
    }

    /// The parts of the file, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The parts without what they have from input `end` on.
    pub fn parts_before(&self, end: u64) -> Vec<Part> {
        let before = self.parts.iter().filter(|part| part.first < end);
        before.map(|part| Part { images: part.images.min(end - part.first), ..*part }).collect()
    }

    /// Number of the first input of the part that the next record belongs to.
    pub fn part_begin(&self) -> u64 {
        match self.parts.last() {
            Some(part) if part.is_like(&self.run) => part.first,
            Some(part) => part.end(),
            None => self.run.first,
        }
    }

    /// Adds a record. It is in the file when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let mut lines = String::new();
        match self.parts.last_mut() {
            Some(part) if part.is_like(&self.run) => part.images += 1,
            _ => {
                self.header.settings.first = record.input;
                lines = serde_json::to_string(&self.header)? + "\n";
                self.parts.push(Part { first: record.input, images: 1, ..self.run });
            }
        }
        lines += &serde_json::to_string(record)?;
        lines.push('\n');
        // One write: a kill leaves whole lines.
        let written = match &mut self.sink {
            Sink::File(file) => file.write_all(lines.as_bytes()),
            Sink::Stream(stream) => stream.write_all(lines.as_bytes()).and_then(|()| stream.flush()),
            Sink::Closed(kind) => Err((*kind).into()),
        };
        written.with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// What a results file tells whoever does not go on with it.
#[derive(Debug)]
pub struct Lines {
    /// Of its first part.
    pub header: Header,
    pub records: Vec<Record>,
    pub parts: Vec<Part>,
}

impl Lines {
    /// Reads `text`, that of one file or of several that follow each other; `None` if it has no record. A last line that was cut off
    /// is left out.
    ///
    /// # Errors
    /// If it is something else, or its parts leave a gap, overlap or have different settings.
    pub fn parse(text: &[u8]) -> Result<Option<Self>> {
        let line = text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        if !line.ends_with(b"\n") {
            ensure!(is_start_of_header(line), "it is not a results file of `riposte eval`");
            return Ok(None);
        }
        let header: Header = serde_json::from_slice(line).context("it is not a results file of `riposte eval`")?;
        ensure!(header.format == FORMAT, "it has the format `{}`, this program reads `{FORMAT}`", header.format);
        let held = read(text, &header)?;
        Ok((!held.records.is_empty()).then_some(Self { header, records: held.records, parts: held.parts }))
    }
}

/// Keeps other processes from writing the file, until this one closes it or ends in whatever way.
pub fn lock(file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!("another run of this program is writing it; wait for its end, or take another file")
        }
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            eprintln!("Note: files here cannot be locked; see to it that no other run writes the same one.");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// What a file holds.
#[derive(Debug, Default)]
struct Held {
    records: Vec<Record>,
    parts: Vec<Part>,
    /// Length in bytes up to the last record's end.
    length: u64,
}

fn read(lines: impl Read, header: &Header) -> Result<Held> {
    let first = header.settings.first;
    let mut reader = BufReader::new(lines);
    let (mut held, mut position) = (Held::default(), 0);
    for number in 1.. {
        let mut line = Vec::new();
        position += reader.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            ensure!(number > 1 || is_start_of_header(&line), "it is not a results file of `riposte eval`");
            break;
        }
        let next = first + held.records.len() as u64;
        if number == 1 || line.starts_with(br#"{"format""#) {
            let part = check_header(&line, header)?;
            match part.first {
                found if found == next => held.parts.push(part),
                found if number == 1 => bail!(
                    "it begins with input {found}, not {next}; ask for the images that it was begun with (`riposte eval --first {found}`, \
                     or the same --images and --shard of `riposte bench`), or take another file"
                ),
                found => {
                    bail!("the part in line {number} begins with input {found}, not {next}; join parts that follow each other")
                }
            }
        } else {
            let record: Record = serde_json::from_slice(&line).with_context(|| format!("line {number} is damaged"))?;
            ensure!(record.input == next, "line {number} is input {}, not {next}", record.input);
            held.records.push(record);
            held.parts.last_mut().expect("line 1 is a header").images += 1;
            held.length = position;
        }
    }
    held.parts.retain(|part| part.images > 0);
    Ok(held)
}

/// Whether the only, unfinished line of a file is one of ours, or nothing.
fn is_start_of_header(line: &[u8]) -> bool {
    let start = format!(r#"{{"format":"{FORMAT}""#);
    line.len() < start.len() && start.as_bytes().starts_with(line) || line.starts_with(start.as_bytes())
}

/// What a header has in every version.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: String,
}

/// The part that a header begins, which must be one of a run with `expected`.
fn check_header(line: &[u8], expected: &Header) -> Result<Part> {
    let head: Head = serde_json::from_slice(line).context("it is not a results file of `riposte eval`")?;
    ensure!(head.format == expected.format, "it has the format `{}`, this program writes `{}`", head.format, expected.format);
    ensure!(head.version == expected.version, "version {} of this program made it, this is {}", head.version, expected.version);
    // Read into today's types first: words that were spelled otherwise are no difference.
    let found: Header = serde_json::from_slice(line).context("its settings are not those of `riposte eval`")?;
    if found.settings.same_run(&expected.settings) {
        return Ok(found.settings.part());
    }
    for (ours, theirs, what) in [
        (&expected.settings.test_sha256, &found.settings.test_sha256, "test images"),
        (&expected.settings.pool_sha256, &found.settings.pool_sha256, "training samples"),
    ] {
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            ensure!(
                ours == theirs,
                "it was computed with other {what} than those that are there now (SHA-256 {theirs}, not {ours})"
            );
        }
    }
    for (ours, theirs, flag) in [
        (&expected.settings.bank, &found.settings.bank, "--bank"),
        (&expected.settings.counter_bank, &found.settings.counter_bank, "--counter-bank"),
    ] {
        let card = |used: &Option<BankUse>| used.as_ref().and_then(|used| used.card_sha256.clone());
        if let (Some(ours), Some(theirs)) = (card(ours), card(theirs)) {
            ensure!(
                ours == theirs,
                "it was made with a bank of other copies than those of {flag} (SHA-256 of the card {theirs} there and {ours} here); take that \
                 one, or another file"
            );
        }
    }
    let differences = differences(&found.settings, &expected.settings)?;
    bail!("it was made with other settings ({differences}); use the same ones, or another file");
}

/// In words, what differs between two sets of settings, except what is a part's own.
pub fn differences(found: &impl Serialize, expected: &impl Serialize) -> Result<String> {
    let mut differences = Vec::new();
    compare("", &output::to_value(found)?, &output::to_value(expected)?, &mut differences);
    Ok(differences.join(", "))
}

/// Collects what differs, by the path to it, except what is a part's own.
fn compare(path: &str, found: &Value, expected: &Value, differences: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), differences);
            }
        }
        _ if found == expected || OWN.contains(&path) => {}
        // A hash that one of them lacks counts as the same: see `Settings::same_run`.
        (Value::Null, Value::String(_)) | (Value::String(_), Value::Null) if path.ends_with("_sha256") => {}
        _ => differences.push(format!("{path} is {found} there and {expected} here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riposte::attack::{Attack, Pgd};
    use riposte::models::Architecture;
    use riposte::presets::{Preset, PresetName};
    use riposte::spec::Choice;
    use riposte::spec::dataset::DatasetId;
    use riposte::spec::results::{Processor, Settings};

    fn record(input: u64) -> Record {
        Record { attacked: Some(5), perturbation: Some(0.3), ..Record::of_input(input, 3, 3) }
    }

    /// Of a CPU's run from input `first` on.
    fn header(first: u64) -> Header {
        other_header(Processor::Cpu, first)
    }

    fn other_header(device: Processor, first: u64) -> Header {
        Header::new(Settings {
            architecture: Architecture::FastMnistCnn,
            weights_sha256: "00".to_owned(),
            reading: Default::default(),
            test_sha256: Some("11".to_owned()),
            pool_sha256: Some("22".to_owned()),
            dataset: DatasetId::Mnist,
            first,
            seed: 0,
            device,
            batch: 128,
            natural: false,
            attack: Some(Attack::Pgd(Preset::F_MNIST.attack)),
            target: None,
            quantize: Default::default(),
            riposte: Some(Preset::F_MNIST.post_train),
            counter: None,
            post_samples: None,
            bank: None,
            defense: None,
            counter_bank: None,
            images_sha256: None,
        })
    }

    /// Writes a file of `inputs` as a CPU's run does.
    fn write(path: &Path, inputs: std::ops::Range<u64>) {
        let (mut file, _) = ResultsFile::open(path, header(inputs.start)).unwrap();
        inputs.for_each(|input| file.append(&record(input)).unwrap());
    }

    fn error_of(path: &Path, header: Header) -> String {
        format!("{:#}", ResultsFile::open(path, header).unwrap_err())
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
        write(&path.0, 7..9);
        let whole = std::fs::read(&path.0).unwrap();
        std::fs::write(&path.0, &whole[..whole.len() - 20]).unwrap();
        let (mut file, records) = ResultsFile::open(&path.0, header(7)).unwrap();
        assert_eq!(records, [record(7)]);
        file.append(&record(8)).unwrap();
        assert_eq!(std::fs::read(&path.0).unwrap(), whole);
    }

    #[test]
    fn other_settings_are_named_and_the_file_stays() {
        let path = Scratch::new("settings");
        write(&path.0, 0..1);
        let before = std::fs::read(&path.0).unwrap();
        let mut other = header(0);
        other.settings.attack = Some(Attack::Pgd(Pgd { steps: 20, ..Preset::F_MNIST.attack }));
        let error = error_of(&path.0, other);
        assert!(error.contains("attack.steps is 40 there and 20 here"), "{error}");
        assert!(!error.contains("epsilon"), "{error}");
        assert_eq!(std::fs::read(&path.0).unwrap(), before);
    }

    /// Their headers are in the words of before.
    #[test]
    fn the_projects_own_results_go_on() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let original = entry.unwrap().path();
            if original.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            files += 1;
            let name = original.file_stem().unwrap().to_string_lossy().into_owned();
            let kind = if name.contains("-fast-") { "fast" } else { "fixed" };
            let (stop, attack) = (if name.ends_with("-never") { "never" } else { "at-success" }, !name.ends_with("-natural"));
            let asked = [("riposte", kind), if attack { ("stop", stop) } else { ("attack", "none") }];
            let preset = PresetName::ALL.iter().find(|preset| name.starts_with(preset.name())).unwrap();
            let setup = preset.preset().with(asked).unwrap();
            let text = std::fs::read_to_string(&original).unwrap();
            let first: Header = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let settings = Settings { attack: setup.attack, riposte: setup.riposte, device: Processor::Cpu, ..first.settings };
            let path = Scratch::new(&name);
            std::fs::write(&path.0, &text).unwrap();
            let (_, records) = ResultsFile::open(&path.0, Header::new(settings)).unwrap();
            let lines = text.lines().filter(|line| line.starts_with(r#"{"input""#)).count();
            assert!(lines > 0 && records.len() == lines, "{name}");
        }
        assert!(files >= 7, "{files}");
    }

    /// A header in the spelling of version 0.1's first files.
    #[test]
    fn a_file_in_old_words_goes_on() {
        let path = Scratch::new("old");
        write(&path.0, 0..2);
        let new = std::fs::read_to_string(&path.0).unwrap();
        let old = new
            .replace("original-and-neighbor", "original-and-neighbour")
            .replace(r#""augmentation":"none""#, r#""augmentation":"None""#);
        assert_ne!(old, new);
        std::fs::write(&path.0, &old).unwrap();
        let (mut file, records) = ResultsFile::open(&path.0, header(0)).unwrap();
        assert_eq!(records, [record(0), record(1)]);
        file.append(&record(2)).unwrap();
        drop(file);
        assert_eq!(ResultsFile::open(&path.0, header(0)).unwrap().1.len(), 3);
    }

    #[test]
    fn a_file_that_is_being_written_is_refused_until_it_is_closed() {
        let path = Scratch::new("locked");
        let (mut file, _) = ResultsFile::open(&path.0, header(0)).unwrap();
        file.append(&record(0)).unwrap();
        let error = error_of(&path.0, header(0));
        assert!(error.contains("another run of this program is writing it"), "{error}");
        drop(file);
        assert_eq!(ResultsFile::open(&path.0, header(0)).unwrap().1, [record(0)]);
    }

    #[test]
    fn a_file_of_other_images_is_refused_and_one_without_a_hash_goes_on() {
        let path = Scratch::new("images");
        write(&path.0, 0..1);
        for (what, change) in [
            ("test images", (|settings| settings.test_sha256 = Some("33".to_owned())) as fn(&mut Settings)),
            ("training samples", |settings| settings.pool_sha256 = Some("33".to_owned())),
        ] {
            let mut other = header(0);
            change(&mut other.settings);
            let error = error_of(&path.0, other);
            assert!(error.contains(what) && error.contains("33"), "{error}");
        }
        let text = std::fs::read_to_string(&path.0).unwrap();
        let old = text.replace(r#""test_sha256":"11","pool_sha256":"22","#, "");
        assert_ne!(old, text);
        std::fs::write(&path.0, old).unwrap();
        assert_eq!(ResultsFile::open(&path.0, header(0)).unwrap().1, [record(0)]);
    }

    #[test]
    fn files_are_read_without_knowing_their_settings() {
        let (a, b) = (Scratch::new("read-a"), Scratch::new("read-b"));
        write(&a.0, 0..2);
        write(&b.0, 2..3);
        let [a, b] = [&a, &b].map(|file| std::fs::read(&file.0).unwrap());
        let lines = Lines::parse(&[a.clone(), b.clone()].concat()).unwrap().unwrap();
        assert_eq!((lines.header, lines.records), (header(0), [0, 1, 2].map(record).to_vec()));
        assert!(format!("{:#}", Lines::parse(&[b, a.clone()].concat()).unwrap_err()).contains("input 0, not 3"));
        assert_eq!(Lines::parse(&a[..a.len() - 5]).unwrap().unwrap().records, [record(0)]);
        assert!(Lines::parse(b"").unwrap().is_none() && Lines::parse(b"notes\n").is_err());
    }

    #[test]
    fn a_file_of_something_else_is_not_overwritten() {
        let path = Scratch::new("other");
        for content in ["my notes", "my notes\n", "{\"format\":\"other\"}\n", "[]\n"] {
            std::fs::write(&path.0, content).unwrap();
            assert!(ResultsFile::open(&path.0, header(0)).is_err(), "{content}");
            assert_eq!(std::fs::read_to_string(&path.0).unwrap(), content);
        }
    }

    #[test]
    fn a_file_without_a_record_begins_anew() {
        let path = Scratch::new("empty");
        let head = serde_json::to_string(&header(0)).unwrap() + "\n";
        for content in ["", "{\"form", "{\"format\":\"riposte results 1\",\"ver", &head] {
            std::fs::write(&path.0, content).unwrap();
            write(&path.0, 0..1);
            assert_eq!(ResultsFile::open(&path.0, header(0)).unwrap().1, [record(0)]);
            assert_eq!(std::fs::read_to_string(&path.0).unwrap().lines().count(), 2);
        }
    }

    #[test]
    fn a_damaged_line_and_a_missing_input_are_errors() {
        let path = Scratch::new("damaged");
        let line = |input| serde_json::to_string(&record(input)).unwrap();
        let head = serde_json::to_string(&header(0)).unwrap();
        std::fs::write(&path.0, format!("{head}\n{}\nnonsense\n", line(0))).unwrap();
        let error = error_of(&path.0, header(0));
        assert!(error.contains("line 3 is damaged"), "{error}");
        std::fs::write(&path.0, format!("{head}\n{}\n{}\n", line(0), line(2))).unwrap();
        let error = error_of(&path.0, header(0));
        assert!(error.contains("input 2, not 1"), "{error}");
    }

    #[test]
    fn another_device_goes_on_in_a_part_of_its_own() {
        let path = Scratch::new("devices");
        write(&path.0, 3..5);
        let (mut file, records) = ResultsFile::open(&path.0, other_header(Processor::Gpu, 3)).unwrap();
        assert_eq!((records.len(), file.part_begin()), (2, 5));
        file.append(&record(5)).unwrap();
        file.append(&record(6)).unwrap();
        let part = |first, images, device| Part { first, images, device, batch: 128 };
        let parts = [part(3, 2, Processor::Cpu), part(5, 2, Processor::Gpu)];
        assert_eq!(file.parts(), parts);
        drop(file);
        let (file, records) = ResultsFile::open(&path.0, other_header(Processor::Gpu, 3)).unwrap();
        assert_eq!((file.parts(), records.len(), file.part_begin()), (&parts[..], 4, 5));
        drop(file);
        // A kill right after the header of the second part.
        let text = std::fs::read_to_string(&path.0).unwrap();
        let cut = text.lines().take(4).map(|line| format!("{line}\n")).collect::<String>();
        std::fs::write(&path.0, cut).unwrap();
        let (mut file, _) = ResultsFile::open(&path.0, header(3)).unwrap();
        file.append(&record(5)).unwrap();
        assert_eq!(file.parts(), [part(3, 3, Processor::Cpu)]);
        drop(file);
        assert_eq!(ResultsFile::open(&path.0, header(3)).unwrap().0.parts(), [part(3, 3, Processor::Cpu)]);
    }

    #[test]
    fn files_that_follow_each_other_are_joined_by_concatenation() {
        let (a, b, joined) = (Scratch::new("a"), Scratch::new("b"), Scratch::new("joined"));
        write(&a.0, 0..2);
        write(&b.0, 2..4);
        let join = |files: &[&Scratch]| {
            let bytes: Vec<u8> = files.iter().flat_map(|file| std::fs::read(&file.0).unwrap()).collect();
            std::fs::write(&joined.0, bytes).unwrap();
        };
        join(&[&a, &b]);
        let (file, records) = ResultsFile::open(&joined.0, header(0)).unwrap();
        assert_eq!(records, [0, 1, 2, 3].map(record));
        assert_eq!(file.part_begin(), 2);
        drop(file);
        join(&[&b, &a]);
        assert!(error_of(&joined.0, header(0)).contains("it begins with input 2, not 0; ask for the images"));
        join(&[&a, &b, &b]);
        let error = error_of(&joined.0, header(0));
        assert!(error.contains("the part in line 7 begins with input 2, not 4"), "{error}");
    }
}
