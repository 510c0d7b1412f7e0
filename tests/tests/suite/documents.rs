//! What documents and cards say is computed from the lines in `docs/results`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use riposte::presets::Preset;
use riposte::spec::Choice;
use riposte::spec::attack::Stop;
use riposte::spec::card::{Counts, ModelCard};
use riposte::spec::pareto::{self, Form, Line};
use riposte::spec::post_train::Parameters;
use riposte::spec::preset::PresetName;
use riposte::spec::record::Record;
use riposte::spec::results::{Header, Settings};
use riposte::spec::summary::{Gain, Summary, wilson_interval};

use crate::package;

/// A results file: the settings of its first part, and all records.
struct Results {
    settings: Settings,
    records: Vec<Record>,
}

fn repository() -> PathBuf {
    package().parent().expect("the tests lie in the repository").to_path_buf()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

fn results() -> Vec<Results> {
    results_in("docs/results")
}

fn results_in(folder: &str) -> Vec<Results> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (heads, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with(r#"{"format""#));
        let head: Header = serde_json::from_str(heads[0]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Results { settings: head.settings, records: lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect() }
    };
    files(&repository().join(folder), "jsonl").into_iter().map(read).collect()
}

fn cards() -> Vec<ModelCard> {
    let read = |path: PathBuf| ModelCard::from_json(&std::fs::read(path).unwrap()).unwrap();
    let of = |folder| files(&repository().join(folder), "json");
    of("static/models").into_iter().chain(of("static/zoo")).map(read).collect()
}

#[test]
fn a_model_opens_with_an_image_that_the_lines_show_as_saved_and_those_of_the_page_that_were_trained_against_attacks_all_do() {
    let results = results();
    for card in cards() {
        if card.is_undefended() {
            assert_eq!(card.opening, None, "{}", card.id);
            continue;
        }
        let of_the_page = repository().join("static/models").join(&card.weights).exists();
        let Some(opening) = card.opening else {
            assert!(!of_the_page, "{} has no opening image", card.id);
            continue;
        };
        let measured = results
            .iter()
            .find(|file| file.settings.weights_sha256 == card.sha256 && file.settings.setup() == opening.preset.preset().setup())
            .unwrap_or_else(|| panic!("no results file has the setup in which {} opens", card.id));
        assert_eq!(measured.settings.seed, opening.seed);
        assert_eq!(Counts::of(&measured.records), opening.counts, "{}", card.id);
        let record = measured.records.iter().find(|record| record.input == opening.image).unwrap();
        assert_ne!(record.attacked, Some(record.label), "{}", card.id);
        assert_eq!(record.riposte_attacked.unwrap().answer, record.label, "{}", card.id);
    }
}

#[test]
fn light_presets_are_among_the_forms_that_were_measured() {
    let measured: Vec<Form> = files(&repository().join("docs/results/forms"), "jsonl")
        .into_iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines = text.lines();
            let header: pareto::Header = serde_json::from_str(lines.next().unwrap()).unwrap();
            for line in lines {
                let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(line.answers.len(), header.forms.len(), "{}", path.display());
            }
            header.forms
        })
        .collect();
    for light in [Preset::LIGHT_CIFAR, Preset::INSTANT_CIFAR, Preset::LIGHT_MNIST, Preset::INSTANT_MNIST] {
        assert!(measured.iter().any(|form| form.riposte == light.post_train && form.bank.is_none()), "{}", light.name);
    }
}

/// With `RIPOSTE_BLESS=1` it writes the table instead.
#[test]
fn the_table_of_gains_in_the_readme_is_that_of_the_lines() {
    compare("README.md", "gains", &table());
}

/// As above.
#[test]
fn the_table_of_other_defenses_is_that_of_the_lines() {
    compare("docs/results/systems/README.md", "defenses", &defenses());
}

/// Compares the table `name` of a document with `table`, or writes it.
fn compare(document: &str, name: &str, table: &str) {
    let begin = format!("<!-- table: {name} -->\n");
    let path = repository().join(document);
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(&begin).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let written = format!("{before}{begin}\n{table}\n<!-- end -->{after}");
    if std::env::var_os("RIPOSTE_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    assert!(readme == written || std::env::var_os("RIPOSTE_BLESS").is_some(), "run this test with RIPOSTE_BLESS=1");
}

/// Rows: models and defenses, `(none)` for the base model alone. Columns: right under an attack that stops at success, one that never stops,
/// none, and one by an attacker who knows the defense.
fn defenses() -> String {
    let ids: BTreeMap<String, String> = cards().into_iter().map(|card| (card.sha256, card.id)).collect();
    let points = |share: f64| format!("{:.1}", 100.0 * share);
    let interval = |right: usize, of: usize| {
        let [low, high] = wilson_interval(right, of);
        format!("{} ({} to {})", points(right as f64 / of as f64), points(low), points(high))
    };
    let gained =
        |Gain { gain, interval: [low, high], .. }: Gain| format!("{:+.1} ({} to {})", 100.0 * gain, points(low), points(high));
    let mut rows: BTreeMap<(String, String), [String; 4]> = BTreeMap::new();
    let whole = |file: &Results| {
        let post_train = file.settings.setup().riposte;
        post_train.is_none_or(|post_train| post_train.parameters == Parameters::All)
            && ids.contains_key(&file.settings.weights_sha256)
    };
    let of_the_riposte =
        results().into_iter().filter(|file| whole(file) && ids[&file.settings.weights_sha256] != "digits-robust");
    // Of an attacker who does not know the very copies of a bank.
    let mut countered: Vec<Results> = results_in("docs/results/counter")
        .into_iter()
        .filter(|file| whole(file) && (file.settings.bank.is_none() || file.settings.counter_bank.is_some()))
        .collect();
    // What the base model holds is taken from the file with the most images.
    countered.sort_by_key(|file| file.records.len());
    let all = results_in("docs/results/systems").into_iter().chain(of_the_riposte).chain(countered);
    for Results { settings, records } in all {
        let riposte = settings.setup().riposte_kind().to_string();
        let defense = settings.defense.map_or(riposte, |defense| defense.kind().to_string());
        let defense = if settings.bank.is_some() { format!("{defense}, of a bank") } else { defense };
        let model = ids[&settings.weights_sha256].clone();
        let summary = Summary::of(&records);
        let images = summary.images;
        let counted = if images == 1000 { String::new() } else { format!(", {images} images") };
        let mut put = |defense: &str, column: usize, text: String| {
            rows.entry((model.clone(), defense.to_owned())).or_default()[column] = text + &counted;
        };
        if let Some(left) = &summary.counter {
            let last = left.rows.last().unwrap();
            let [low, high] = last.interval;
            put(&defense, 3, format!("{} ({} to {})", points(last.accuracy), points(low), points(high)));
            if settings.setup().pgd().is_none() {
                put("(none)", 3, interval(last.base, images));
            }
            continue;
        }
        let attacked = || Some((summary.riposte_robust_correct?, Gain::robust(&records)?));
        if let (Some(pgd), Some((right, gain))) = (settings.setup().pgd(), attacked()) {
            let column = usize::from(pgd.stop == Stop::Never);
            put(&defense, column, format!("{}, {}", interval(right, images), gained(gain)));
            put("(none)", column, interval(summary.robust_correct.unwrap(), images));
        }
        if let Some(right) = summary.riposte_natural_correct {
            put(&defense, 2, interval(right, images));
            put("(none)", 2, interval(summary.natural_correct, images));
        }
    }
    let mut table = "| model | defense | attack stops at success | attack takes all steps | no attack | attacker who knows it |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for ((model, defense), [stop, never, natural, counter]) in rows {
        table += &format!("| `{model}` | {defense} | {stop} | {never} | {natural} | {counter} |\n");
    }
    table
}

/// Rows: models and ripostes. Columns: the attack stops at success, never stops, or there is none.
fn table() -> String {
    let ids: BTreeMap<String, String> = cards().into_iter().map(|card| (card.sha256, card.id)).collect();
    let mut rows: BTreeMap<(String, String), [String; 3]> = BTreeMap::new();
    for Results { settings, records } in results() {
        let kind = riposte::spec::keys::KEYS.iter().find(|key| key.name == "riposte").unwrap();
        // A form that adapts less has the name of its preset.
        let light = settings.riposte.filter(|riposte| riposte.parameters != Parameters::All);
        let preset = PresetName::ALL.iter().find(|name| light == Some(name.preset().post_train));
        let riposte = preset.map_or_else(|| kind.get(&settings.setup()).unwrap(), |preset| format!("`{preset}`"));
        let column = match settings.setup().pgd().map(|attack| attack.stop) {
            Some(Stop::AtSuccess) => 0,
            Some(Stop::Never) => 1,
            None => 2,
        };
        let gain = if settings.attack.is_some() { Gain::robust(&records) } else { Gain::natural(&records) };
        let points = |share: f64| format!("{:.1}", 100.0 * share);
        let Gain { gain, interval: [low, high], .. } = gain.unwrap();
        let cell = format!("{:+.1} ({} to {}), {} images", 100.0 * gain, points(low), points(high), records.len());
        rows.entry((ids[&settings.weights_sha256].clone(), riposte)).or_default()[column] = cell;
    }
    let mut table =
        "| model | riposte | attack stops at success | attack takes all steps | no attack |\n|---|---|---|---|---|\n".to_owned();
    for ((model, riposte), [stop, never, natural]) in rows {
        table += &format!("| `{model}` | {riposte} | {stop} | {never} | {natural} |\n");
    }
    table
}
