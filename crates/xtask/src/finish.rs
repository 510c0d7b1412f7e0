//! The last step of the site: budgets, and names by content.
//!
//! Trunk assembles the site under readable names: `assets/site.css`. Here each file in `assets/` is given its content's digest as part
//! of its name, `assets/site-0123456789ab.css`, and whatever refers to it is told. So all of them can be cached for ever, and a new
//! build never mixes with an old one. The pages, and `riposte.js`, the script that another page embeds, keep their names.
//!
//! Trunk itself would name only what `index.html` refers to: not a worker, not the other pages, not what a style sheet or a script
//! asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use riposte_protocol::{Case, Manifest};
use riposte_spec::dataset::DatasetId;

use crate::content::{digest, gzip};

/// What a visitor may be asked to download for each part, gzipped. The page's is not what a visitor waits for to see something: the case
/// that it opens with is in `index.html`.
const BUDGETS: [(&str, usize); 2] = [("riposte-page", 500 * 1024), ("riposte-engine", 3 * 1024 * 1024)];

/// What a build is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Work on the page, which is not optimized.
    Debug,
    /// Visitors.
    Release,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Budgets {
    /// A site over one of them is an error.
    Kept,
    /// Sizes are only told.
    Waived,
}

/// Files that may refer to others.
const TEXTS: [&str; 4] = ["html", "css", "js", "json"];

/// Finishes the site in a folder.
/// `address` is where the site will be.
pub fn finish(site: &Path, profile: Profile, budgets: Budgets, address: Option<&str>) -> Result<()> {
    let assets = site.join("assets");
    if profile == Profile::Release {
        for (part, budget) in BUDGETS {
            weigh(&assets, part, budget, budgets)?;
        }
    }
    tell_size(&assets)?;
    show_first_case(site, &assets)?;
    address_pages(site, address)?;
    name_by_content(site, &assets)
}

fn weigh(assets: &Path, part: &str, budget: usize, budgets: Budgets) -> Result<()> {
    let compressed = |name: String| -> Result<usize> { Ok(gzip(&read(&assets.join(name))?)?.len()) };
    let size = compressed(format!("{part}.js"))? + compressed(format!("{part}_bg.wasm"))?;
    println!("{part}: {:.0} KB gzipped of {:.0}", size as f64 / 1e3, budget as f64 / 1e3);
    ensure!(budgets == Budgets::Waived || size <= budget, "{part} is {size} bytes gzipped, over its budget of {budget}");
    Ok(())
}

/// The worker's script says how far the engine's download is. A server that compresses does not tell the size.
fn tell_size(assets: &Path) -> Result<()> {
    const BLANK: &str = "ENGINE_BYTES";
    let script = assets.join("worker.js");
    let text = read_text(&script)?;
    ensure!(text.contains(BLANK), "{} has no {BLANK}", script.display());
    let size = read(&assets.join("riposte-engine_bg.wasm"))?.len();
    write(&script, text.replace(BLANK, &size.to_string()).as_bytes())
}

/// What refers to a page from outside needs its whole address; without one such lines are left out.
fn address_pages(site: &Path, address: Option<&str>) -> Result<()> {
    const BLANK: &str = "SITE_ADDRESS";
    for path in files_in(site)?.into_iter().filter(|path| is_text(path)) {
        let text = read_text(&path)?;
        if text.contains(BLANK) {
            let told = match address {
                Some(address) => text.replace(BLANK, address.trim_end_matches('/')),
                None => text
                    .lines()
                    .filter(|line| !line.contains(BLANK) && !line.contains("og:image:"))
                    .map(|line| line.to_owned() + "\n")
                    .collect(),
            };
            write(&path, told.as_bytes())?;
        }
    }
    Ok(())
}

/// Puts the case that the page opens with into the page itself: it is seen before any code has arrived.
fn show_first_case(site: &Path, assets: &Path) -> Result<()> {
    const PLACE: &str = "<div data-first-case></div>";
    let page = site.join("index.html");
    let text = read_text(&page)?;
    ensure!(text.contains(PLACE), "{} has no {PLACE}", page.display());
    let manifest: Manifest = serde_json::from_slice(&read(&assets.join("manifest.json"))?)?;
    write(&page, text.replace(PLACE, &first_case(&manifest)).as_bytes())
}

/// A finished page with the first case of another manifest in the place of its own, where it has one.
pub fn with_first_case(page: &str, manifest: &Manifest) -> String {
    const END: &str = "</section>";
    let Some((before, rest)) = page.split_once("<section class=\"case\"") else { return page.to_owned() };
    let (_, after) = rest.split_once(END).unwrap_or_default();
    format!("{before}{}{after}", first_case(manifest))
}

fn first_case(manifest: &Manifest) -> String {
    let mut manifest = manifest.clone();
    manifest.sort_models();
    let first = manifest.datasets.first().and_then(|set| manifest.models.iter().find(|model| model.card.dataset == set.id));
    let shown = first.and_then(|model| Some((model.card.dataset, model.prepared.as_ref()?.cases.first()?)));
    shown.map_or_else(String::new, |(dataset, case)| html_of(case, dataset))
}

fn html_of(case: &Case, dataset: DatasetId) -> String {
    let captions = case.captions(dataset);
    let figure = |path: &String, (what, value): &(String, String)| {
        format!(
            r#"<figure><img src="{path}" alt="" width="112" height="112" fetchpriority="high"><figcaption>{what} <b>{value}</b></figcaption></figure>"#
        )
    };
    let pictures: String = case.pictures.iter().zip(&captions).map(|(path, caption)| figure(path, caption)).collect();
    let (answers, answer) = case.answer(dataset);
    let look = if case.ends_well() { "good" } else { "bad" };
    format!(
        r#"<section class="case" aria-label="A prepared case"><p class="case-verdict {look}">{}</p><div class="case-pictures">{pictures}<figure class="case-answer"><span class="case-arrow" aria-hidden="true">&rarr;</span><figcaption>{answers} <b>{answer}</b></figcaption></figure></div></section>"#,
        case.verdict(dataset)
    )
}

fn name_by_content(site: &Path, assets: &Path) -> Result<()> {
    let mut names = Names { files: BTreeMap::new(), under_way: BTreeSet::new(), given: BTreeMap::new() };
    for path in files_below(assets)? {
        if let Some(other) = names.files.insert(file_name(&path), path.clone()) {
            bail!("{} and {} would be told apart by their folders alone", other.display(), path.display());
        }
    }
    for name in names.files.keys().cloned().collect::<Vec<_>>() {
        names.of(&name)?;
    }
    for path in files_in(site)?.into_iter().filter(|path| is_text(path)) {
        let text = names.told(&read_text(&path)?, "")?;
        write(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Names by content: a file's own depends on those of all that it refers to.
struct Names {
    /// Where each file lies, by its readable name.
    files: BTreeMap<String, PathBuf>,
    /// Files whose references are being named.
    under_way: BTreeSet<String>,
    /// New name by the readable one.
    given: BTreeMap<String, String>,
}

impl Names {
    /// The new name of a file, which has it from then on.
    fn of(&mut self, name: &str) -> Result<String> {
        if let Some(given) = self.given.get(name) {
            return Ok(given.clone());
        }
        ensure!(
            self.under_way.insert(name.to_owned()),
            "{name} refers to itself by way of others: it cannot be named by its content"
        );
        let path = self.files[name].clone();
        let content = if is_text(&path) { self.told(&read_text(&path)?, name)?.into_bytes() } else { read(&path)? };
        let (stem, extension) = name.rsplit_once('.').with_context(|| format!("{} has no extension", path.display()))?;
        let given = format!("{stem}-{}.{extension}", &digest(&content)[..12]);
        write(&path.with_file_name(&given), &content)?;
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        self.given.insert(name.to_owned(), given.clone());
        Ok(given)
    }

    /// The text of the file `own`, with the new names of others in it.
    fn told(&mut self, text: &str, own: &str) -> Result<String> {
        let mut told = text.to_owned();
        for name in self.files.keys().filter(|name| *name != own).cloned().collect::<Vec<_>>() {
            if references(&told, &name).next().is_some() {
                let given = self.of(&name)?;
                told = replaced(&told, &name, &given);
            }
        }
        Ok(told)
    }
}

/// Where a text refers to a file: by its name after a slash, as in `./site.css`. The name alone may mean something else.
fn references(text: &str, name: &str) -> impl Iterator<Item = Range<usize>> {
    let longer = |next: char| next.is_alphanumeric() || ['-', '_', '.'].contains(&next);
    text.match_indices(name)
        .map(|(start, name)| start..start + name.len())
        .filter(move |at| text[..at.start].ends_with('/') && !text[at.end..].starts_with(longer))
}

fn replaced(text: &str, name: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for at in references(text, name) {
        out.push_str(&text[end..at.start]);
        out.push_str(by);
        end = at.end;
    }
    out.push_str(&text[end..]);
    out
}

fn is_text(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| TEXTS.contains(&extension))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_file()).collect())
}

/// Files of a folder and of the folders in it.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_in(folder)?;
    for inner in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        files.extend(files_below(&inner)?);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site of these files, finished.
    fn finished(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("assets/fonts")).unwrap();
        for (path, content) in files {
            std::fs::write(folder.path().join(path), content).unwrap();
        }
        let result = finish(folder.path(), Profile::Debug, Budgets::Kept, None);
        (folder, result)
    }

    /// What a built site has at least.
    fn with_engine<'a>(files: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let engine = [
            ("assets/riposte-engine_bg.wasm", "engine"),
            ("assets/worker.js", "const total = ENGINE_BYTES;"),
            ("assets/manifest.json", r#"{"datasets":[],"models":[],"sequences":[]}"#),
        ];
        [&engine[..], files].concat()
    }

    fn all(folder: &tempfile::TempDir) -> BTreeMap<String, String> {
        let files = files_below(folder.path()).unwrap();
        files.into_iter().map(|path| (file_name(&path), std::fs::read_to_string(path).unwrap())).collect()
    }

    #[test]
    fn a_page_refers_to_style_sheets_and_these_to_fonts_by_names_that_change_with_the_content() {
        let site = |font| {
            let (folder, result) = finished(&with_engine(&[
                ("index.html", r#"<link href="./assets/site.css"><div data-first-case></div>"#),
                ("assets/site.css", r#"url("fonts/serif.woff2")"#),
                ("assets/fonts/serif.woff2", font),
            ]));
            result.unwrap();
            all(&folder)
        };
        let (old, new) = (site("old"), site("new"));
        let name = |site: &BTreeMap<String, String>, stem: &str| {
            site.keys().find(|name| name.starts_with(stem)).expect("each file is there under one name").clone()
        };
        for site in [&old, &new] {
            assert_eq!(site["index.html"], format!(r#"<link href="./assets/{}">"#, name(site, "site-")));
            assert_eq!(site[&name(site, "site-")], format!(r#"url("fonts/{}")"#, name(site, "serif-")));
            assert_eq!(site[&name(site, "worker-")], "const total = 6;");
            assert_eq!(site.len(), 6, "no file is left under its old name");
        }
        assert_ne!(name(&old, "serif-"), name(&new, "serif-"));
        assert_ne!(name(&old, "site-"), name(&new, "site-"), "what refers to another name is another content");
        assert_eq!(name(&old, "worker-"), name(&new, "worker-"), "what did not change keeps its name");
    }

    #[test]
    fn the_picture_of_a_link_has_the_address_of_the_site_or_is_left_out() {
        let page = "<head>\n<meta property=\"og:image\" content=\"SITE_ADDRESS/assets/share.png\">\n<meta property=\"og:image:alt\" content=\"\">\n</head><div data-first-case></div>\n";
        for (address, expected) in [(Some("https://example.org/riposte/"), true), (None, false)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("assets")).unwrap();
            for (path, content) in with_engine(&[("index.html", page), ("assets/share.png", "picture")]) {
                std::fs::write(folder.path().join(path), content).unwrap();
            }
            finish(folder.path(), Profile::Debug, Budgets::Kept, address).unwrap();
            let page = read_text(&folder.path().join("index.html")).unwrap();
            assert_eq!(page.contains("content=\"https://example.org/riposte/assets/share-"), expected, "{page}");
            assert_eq!(page.contains("og:image"), expected, "{page}");
            assert!(!page.contains("SITE_ADDRESS"));
        }
    }

    #[test]
    fn a_name_without_a_slash_or_within_a_longer_one_is_no_reference() {
        let text = r#""site.css" "./my-site.css" "./site.css.map" "assets/site.css""#;
        assert_eq!(replaced(text, "site.css", "s.css"), r#""site.css" "./my-site.css" "./site.css.map" "assets/s.css""#);
    }

    #[test]
    fn files_that_refer_to_each_other_are_refused() {
        let (_folder, result) = finished(&with_engine(&[
            ("index.html", "<div data-first-case></div>"),
            ("assets/a.js", "import './b.js'"),
            ("assets/b.js", "import './a.js'"),
        ]));
        assert!(result.unwrap_err().to_string().contains("refers to itself"));
    }

    #[test]
    fn a_part_over_its_budget_is_refused_unless_budgets_are_waived() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("part.js", "1"), ("part_bg.wasm", "2")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        weigh(folder.path(), "part", 1000, Budgets::Kept).unwrap();
        weigh(folder.path(), "part", 1, Budgets::Waived).unwrap();
        assert!(weigh(folder.path(), "part", 1, Budgets::Kept).unwrap_err().to_string().contains("over its budget"));
    }
}
