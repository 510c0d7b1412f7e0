//! `riposte report`: the tables of a folder of results files, as one HTML page, a Markdown file and JSON.

mod attackers;
mod drawings;
mod gather;
mod sheets;
mod text;

use anyhow::Result;
use riposte::spec::verdict::RULE;
use serde::Serialize;

use crate::args::ReportArgs;
use crate::{file, output};
use gather::Measured;
use sheets::{RobustBench, Sheet};

/// `report.json`
#[derive(Debug, Serialize)]
struct Facts<'a> {
    version: &'static str,
    rule: &'static str,
    tables: &'a [Sheet],
    runs: Vec<RunFacts>,
    robustbench: Vec<RobustBench>,
}

#[derive(Debug, Serialize)]
struct RunFacts {
    name: String,
    files: Vec<String>,
    settings: riposte::spec::results::Settings,
    version: String,
    images: usize,
    computed: String,
    command: String,
}

/// # Errors
/// If the folder has no results, a file of it is damaged, parts of a run leave a gap or overlap, or nothing can be written.
pub fn run(args: ReportArgs) -> Result<()> {
    let gathered = gather::gather(&args.folder)?;
    for path in &gathered.others {
        eprintln!("Note: `{}` is left out: it is not a results file.", path.display());
    }
    let sheets = sheets::sheets(&gathered);
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        rule: RULE,
        tables: &sheets,
        runs: gathered.runs.iter().map(RunFacts::of).collect(),
        robustbench: sheets::robustbench(&gathered.runs),
    };
    let folder = args.out.as_ref().unwrap_or(&args.folder);
    let markdown = text::markdown(&sheets, &gathered.runs);
    let json = serde_json::to_string_pretty(&facts)? + "\n";
    let files = [("report.html", text::html(&sheets, &gathered.runs)?), ("report.md", markdown), ("report.json", json)];
    for (name, content) in &files {
        let path = folder.join(name);
        file::write_atomically(&path, content.as_bytes())?;
        output::line(&path.display().to_string())?;
    }
    Ok(())
}

impl RunFacts {
    fn of(run: &Measured) -> Self {
        Self {
            name: run.name(),
            files: run.files.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect(),
            settings: run.settings.clone(),
            version: run.version.clone(),
            images: run.records.len(),
            computed: run.how(),
            command: run.command(),
        }
    }
}
