//! What a folder of results files holds: runs, each from one file or from the parts of several machines.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use riposte::evaluate::Record;
use riposte::spec::bench::{Protocol, ROWS, Row, preset};
use riposte::spec::preset::PresetName;
use riposte::spec::queries;
use riposte::spec::results::{self, Header, Part, Settings};
use riposte::spec::setup::Setup;
use riposte::spec::speed::{self, Head, Timing};
use riposte::spec::{Choice, keys};
use riposte::zoo;
use serde::de::DeserializeOwned;

use crate::args::Shard;
use crate::file;
use crate::models::reading_flags;
use crate::results::Lines;

/// Everything that a report is made of.
pub(super) struct Gathered {
    /// In the order of the suite's rows.
    pub runs: Vec<Measured>,
    pub speeds: Vec<Timed>,
    pub asked: Vec<Asked>,
    /// Files that are no results.
    pub others: Vec<PathBuf>,
}

/// One run.
pub(super) struct Measured {
    pub model: String,
    pub settings: Settings,
    pub version: String,
    pub records: Vec<Record>,
    pub parts: Vec<Part>,
    pub preset: PresetName,
    /// Which cell of the suite it is; `None`: another one.
    pub cell: Option<(&'static Row, Protocol)>,
    pub files: Vec<PathBuf>,
}

/// The times of a model's answers.
pub(super) struct Timed {
    pub model: String,
    pub head: Head,
    pub timings: Vec<Timing>,
}

/// What was found of a model by asking.
pub(super) struct Asked {
    pub model: String,
    pub head: queries::Head,
    pub lines: Vec<queries::Line>,
}

/// A file before its kind is known.
struct Found {
    path: PathBuf,
    text: Vec<u8>,
    header: Header,
}

/// Reads the folder's `.jsonl` files. Files of the same run that follow each other are joined.
///
/// # Errors
/// If a file cannot be read or is damaged, if parts of a run are missing, leave a gap or overlap, or if there are no results at all.
pub(super) fn gather(folder: &Path) -> Result<Gathered> {
    let cannot = || format!("cannot read the folder `{}`", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let (mut found, mut speeds, mut asked, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let text = file::read(&path)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Ok(head) = serde_json::from_slice::<Head>(line)
            && head.format == speed::FORMAT
        {
            speeds.push(timed(&path, &text, head)?);
        } else if let Ok(head) = serde_json::from_slice::<queries::Head>(line)
            && head.format == queries::FORMAT
        {
            let model = model_of(&head.weights_sha256, &path, &format!("-{}", head.preset));
            asked.push(Asked { model, head, lines: lines(&path, whole_lines(&text))? });
        } else if let Ok(header) = serde_json::from_slice::<Header>(line)
            && header.format == results::FORMAT
        {
            found.push(Found { path, text, header });
        } else if !line.is_empty() {
            others.push(path);
        }
    }
    let mut runs: Vec<Measured> = Vec::new();
    while let Some(first) = found.first() {
        let settings = first.header.settings.clone();
        let (mut same, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|other| other.header.settings.same_run(&settings));
        found = rest;
        same.sort_by_key(|found| found.header.settings.first);
        runs.extend(joined(same)?);
    }
    let nothing = runs.is_empty() && speeds.is_empty() && asked.is_empty();
    ensure!(!nothing, "`{}` has no results of `riposte bench` or `riposte eval`", folder.display());
    let rank = |run: &Measured| {
        let row = |(row, protocol): (&Row, Protocol)| (ROWS.iter().position(|other| other == row), protocol == Protocol::Strict);
        (run.cell.is_none(), run.cell.map(row), run.model.clone(), run.settings.seed)
    };
    runs.sort_by_key(rank);
    Ok(Gathered { runs, speeds, asked, others })
}

/// One run from the files of its parts; `None` if they hold no record.
fn joined(parts: Vec<Found>) -> Result<Option<Measured>> {
    check_shards(&parts)?;
    let names = || parts.iter().map(|found| format!("`{}`", found.path.display())).collect::<Vec<_>>().join(", ");
    let whole: Vec<&Found> = parts.iter().filter(|found| found.text.contains(&b'\n')).collect();
    let text: Vec<u8> = whole.iter().flat_map(|found| whole_lines(&found.text)).copied().collect();
    let Some(lines) = Lines::parse(&text).with_context(|| format!("cannot join {}", names()))? else { return Ok(None) };
    let settings = lines.header.settings;
    let preset = preset(settings.dataset, settings.architecture);
    let all = ROWS.iter().flat_map(|row| Protocol::ALL.iter().map(move |protocol| (row, *protocol)));
    let cell = all.filter(|_| settings.is_plain()).find(|(row, protocol)| {
        let same = |setup| setup == settings.setup();
        row.setup(preset, *protocol).is_ok_and(same)
    });
    let files: Vec<PathBuf> = parts.into_iter().map(|found| found.path).collect();
    let model = model(&settings.weights_sha256, &files[0], cell);
    Ok(Some(Measured {
        model,
        version: lines.header.version,
        records: lines.records,
        parts: lines.parts,
        preset,
        cell,
        files,
        settings,
    }))
}

/// Checks that of files which `riposte bench --shard` made all parts are there.
///
/// # Errors
/// If one that has images is missing.
fn check_shards(parts: &[Found]) -> Result<()> {
    let shards: Vec<(String, Shard, &Found)> =
        parts.iter().filter_map(|found| found.shard().map(|(name, shard)| (name, shard, found))).collect();
    for (name, Shard { count, .. }, _) in &shards {
        let count = *count;
        let at = |shard: Shard| shards.iter().find(|(other, part, _)| (other, *part) == (name, shard)).map(|(.., found)| *found);
        let mut missing: Vec<Shard> =
            (0..count).map(|index| Shard { index, count }).filter(|shard| at(*shard).is_none()).collect();
        // Where there are fewer images than parts, some of these have none, and no file. The last one has, and tells how many there are.
        if let Some(last) = at(Shard { index: count - 1, count }).filter(|_| !missing.is_empty())
            && let Some(lines) = Lines::parse(&last.text).with_context(|| format!("cannot use `{}`", last.path.display()))?
        {
            let images = lines.parts.last().map_or(0, |part| part.end() as usize);
            missing.retain(|shard| !shard.of(images, lines.header.settings.batch).is_empty());
        }
        let names: Vec<String> = missing.iter().map(|shard| format!("`{name}.{shard}.jsonl`")).collect();
        ensure!(
            names.is_empty(),
            "of the {count} parts of `{name}` there is no result of {}: compute what is missing, or copy it here",
            names.join(", ")
        );
    }
    Ok(())
}

impl Found {
    /// The part of a suite's cell that its name says it is, and what the files of the others are called.
    fn shard(&self) -> Option<(String, Shard)> {
        let stem = self.path.file_stem()?.to_str()?;
        let (name, shard) = Shard::in_name(stem).filter(|_| self.text.contains(&b'\n'))?;
        Some((name.to_owned(), shard))
    }
}

/// A file's text without a last line that was cut off.
fn whole_lines(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &text[..end]
}

fn timed(path: &Path, text: &[u8], head: Head) -> Result<Timed> {
    let model = model_of(&head.weights_sha256, path, "-speed");
    Ok(Timed { model, head, timings: lines(path, text)? })
}

/// All lines after the first.
fn lines<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<Vec<T>> {
    let lines = text.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).with_context(|| format!("`{}` is damaged", path.display()))).collect()
}

/// The id in the zoo, or what stands in the file's name before `suffix`.
fn model_of(sha256: &str, path: &Path, suffix: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    in_zoo(sha256).unwrap_or_else(|| stem.rfind(suffix).map_or(&*stem, |at| &stem[..at]).to_owned())
}

/// The name of the model with these weights: its id in the zoo, or what the file's name says.
fn model(sha256: &str, path: &Path, cell: Option<(&Row, Protocol)>) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let of_cell = |(row, protocol): (&Row, Protocol)| {
        let end = stem.rfind(&format!("-{}-{protocol}-seed", row.key))?;
        Some(stem[..end].to_owned())
    };
    in_zoo(sha256).or_else(|| cell.and_then(of_cell)).unwrap_or_else(|| format!("weights {}", &sha256[..sha256.len().min(8)]))
}

fn in_zoo(sha256: &str) -> Option<String> {
    zoo::cards().into_iter().find(|card| card.sha256 == sha256).map(|card| card.id)
}

impl Measured {
    /// What a person calls the run.
    pub fn name(&self) -> String {
        match self.cell {
            Some((row, protocol)) => {
                format!("{} {}, {protocol} protocol, seed {}", self.model, self.of_row(row), self.settings.seed)
            }
            None => format!("{}, {}", self.model, self.files[0].file_stem().unwrap_or_default().to_string_lossy()),
        }
    }

    /// The row's name, and what of its riposte is not as in the paper.
    pub fn of_row(&self, row: &Row) -> String {
        let samples = self.settings.post_samples.map(|samples| format!(", from the first {samples} training samples"));
        format!("{}{}", row.name, samples.unwrap_or_default())
    }

    /// Whether `other` is the same cell, with the same training samples; the seed may be another.
    pub fn is_as(&self, other: &Self) -> bool {
        let what = |run: &Self| (run.cell.is_some(), run.settings.setup(), run.settings.dataset, run.settings.post_samples);
        self.model == other.model && what(self) == what(other)
    }

    /// The command that makes the first of its files again, but for the paths of what is no model of the zoo.
    pub fn command(&self) -> String {
        let Settings { seed, natural, first, architecture, reading, .. } = &self.settings;
        let (preset, mut setup) = (self.preset.preset(), self.settings.setup());
        let id = in_zoo(&self.settings.weights_sha256).filter(|_| reading.is_usual());
        let of_file = || format!("--weights FILE --architecture {architecture}{}", reading_flags(reading));
        let model = id.map_or_else(of_file, |id| format!("--model {id}"));
        let mut command = format!("riposte eval {model} --dataset {} --preset {}", self.settings.dataset, self.preset);
        // Where --defense takes the riposte's place, and --images-from the attack's, these two are not to be named.
        if let Some(defense) = self.settings.defense {
            command += &format!(" --defense {defense}");
            setup.riposte = Some(preset.post_train);
        }
        if self.settings.images_sha256.is_some() {
            command += " --images-from FILE";
            setup = Setup { riposte: setup.riposte, counter: setup.counter, ..preset.setup() };
        }
        for (key, value) in keys::differences(&preset, &setup) {
            command += &format!(" --{key} {value}");
        }
        if !natural {
            command += " --natural off";
        }
        match (&self.settings.bank, self.settings.post_samples) {
            // Which samples its copies adapted on, the bank knows.
            (Some(bank), _) => command += &format!(" --bank FOLDER --bank-copy {}", bank.pick),
            (None, Some(samples)) => command += &format!(" --post-samples {samples}"),
            (None, None) => {}
        }
        if self.settings.counter_bank.is_some() {
            command += " --counter-bank FOLDER";
        }
        if *first > 0 {
            command += &format!(" --first {first}");
        }
        command + &format!(" --seed {seed} --images {}", self.records.len())
    }

    /// What it was computed on.
    pub fn how(&self) -> String {
        let words: Vec<String> = self.parts.iter().map(Part::how).collect();
        let distinct = words.iter().enumerate().filter(|(index, word)| !words[..*index].contains(word));
        distinct.map(|(_, word)| word.as_str()).collect::<Vec<_>>().join("; ")
    }
}
