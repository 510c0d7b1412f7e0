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
use riposte::spec::summary::Gain;

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
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (heads, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with(r#"{"format""#));
        let head: Header = serde_json::from_str(heads[0]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Results { settings: head.settings, records: lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect() }
    };
    files(&repository().join("docs/results"), "jsonl").into_iter().map(read).collect()
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
    const BEGIN: &str = "<!-- table: gains -->\n";
    let path = repository().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let written = format!("{before}{BEGIN}\n{}\n<!-- end -->{after}", table());
    if std::env::var_os("RIPOSTE_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    assert!(readme == written || std::env::var_os("RIPOSTE_BLESS").is_some(), "run this test with RIPOSTE_BLESS=1");
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
