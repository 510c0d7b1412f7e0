//! A report as HTML and as Markdown.

use std::fmt::Write;

use anyhow::Result;
use riposte::spec::verdict::RULE;

use super::drawings;
use super::gather::Measured;
use super::sheets::Sheet;
use crate::report::{escaped, filled};

const TEMPLATE: &str = include_str!("../../report/suite.html");

const TITLE: &str = "Riposte: the paper's tables, measured";

/// How intervals and tests are computed.
const METHODS: &str = "Behind an accuracy stands its 95 % Wilson interval; behind a gain, which is of the same images before and after, the 95 % \
    interval for paired proportions of Agresti and Min (2005). Won are inputs that the base model gets wrong and the riposte right, lost \
    the others that change. McNemar's p is exact and two-sided. The protocol `paper` is the attack of the authors' code on the base model; \
    under `strict` it never stops early and starts 5 times at random, and the neighbor search reaches as far as the attack.";

/// One page that needs nothing else.
///
/// # Errors
/// If a drawing cannot be made.
pub(super) fn html(sheets: &[Sheet], runs: &[Measured]) -> Result<String> {
    let tables: String = sheets.iter().map(table).collect();
    let parts = [
        ("{{title}}", TITLE.to_owned()),
        ("{{sheets}}", tables),
        ("{{plots}}", drawings::plots(runs)?),
        ("{{confusions}}", drawings::confusions(runs)),
        ("{{gallery}}", drawings::gallery(runs)),
        ("{{rule}}", escaped(RULE)),
        ("{{methods}}", escaped(METHODS)),
        ("{{runs}}", details(runs)),
        ("{{version}}", format!("riposte {}, burn {}", env!("CARGO_PKG_VERSION"), env!("BURN_VERSION"))),
    ];
    Ok(filled(TEMPLATE, &parts))
}

fn table(sheet: &Sheet) -> String {
    let (columns, rows) = sheet.grid();
    let head: String = columns.iter().map(|name| format!("<th scope=\"col\">{}</th>", escaped(name))).collect();
    let cells = |row: &Vec<String>| row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect::<String>();
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row))).collect();
    format!(
        "<h2>{}</h2>\n<p>{}</p>\n<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n",
        escaped(&sheet.title),
        escaped(&sheet.sentence)
    )
}

fn details(runs: &[Measured]) -> String {
    let mut html = String::new();
    for run in runs {
        let rows = [
            ("Files", files(run)),
            ("Weights", format!("{}, SHA-256 {}", run.settings.architecture, run.settings.weights_sha256)),
            ("Images", images(run)),
            ("Computed", format!("{}; riposte {}", run.how(), run.version)),
        ];
        let rows: String = rows
            .iter()
            .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escaped(value)))
            .collect();
        writeln!(
            html,
            "<details><summary>{}</summary><table class=\"settings\">{rows}</table><p><code>{}</code></p></details>",
            escaped(&run.name()),
            escaped(&run.command())
        )
        .expect("a string takes it");
    }
    html
}

/// The same tables for a repository or an issue.
pub(super) fn markdown(sheets: &[Sheet], runs: &[Measured]) -> String {
    let mut text = format!("# {TITLE}\n");
    let row =
        |cells: &[String]| format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
    for sheet in sheets {
        let (columns, rows) = sheet.grid();
        let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        text += &format!("\n## {}\n\n{}\n\n", sheet.title, sheet.sentence);
        text += &row(&columns);
        text += &row(&vec!["---".to_owned(); columns.len()]);
        rows.iter().for_each(|cells| text += &row(cells));
    }
    text += &format!("\n## Rules\n\n{RULE}\n\n{METHODS}\n\n## Runs\n\n");
    for run in runs {
        text += &format!("- {}: {}; {}; riposte {}. `{}`\n", run.name(), images(run), run.how(), run.version, run.command());
    }
    text
}

fn files(run: &Measured) -> String {
    run.files.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy()).collect::<Vec<_>>().join(", ")
}

/// `test images 0 to 999 of mnist`
fn images(run: &Measured) -> String {
    let first = run.settings.first;
    format!("test images {first} to {} of {}", first + run.records.len() as u64 - 1, run.settings.dataset)
}
