//! A built site as one file: a page that carries all that its element needs, for `file://`, a notebook, or wherever a single file can be put.
//!
//! A page opened as a file may fetch nothing, import nothing, and start no worker but a classic one of its own making. So every file lies in
//! the page, compressed: `single/page.js` hands them to `riposte.js`, and what the engine fetches is in the worker's own script.

mod tags;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use riposte_protocol::Manifest;
use riposte_spec::Choice as _;
use riposte_spec::dataset::DatasetId;

use crate::content::gzip;
use crate::finish;
use tags::{attribute, replace_tags};

/// The pages of a site that can be such a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The site's own.
    Main,
    /// The element alone, for frames.
    Frame,
}

impl Page {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "index.html",
            Self::Frame => "embed.html",
        }
    }
}

/// Writes a page of the built site, with the data sets that `wanted` names, or all, as one file.
pub fn write(site: &Path, page: Page, wanted: &[DatasetId], to: &Path) -> Result<()> {
    let text = pack(site, page, wanted)?;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(to, &text).with_context(|| to.display().to_string())?;
    println!("{}: {:.1} MB.", to.display(), text.len() as f64 / 1e6);
    Ok(())
}

fn pack(site: &Path, page: Page, wanted: &[DatasetId]) -> Result<String> {
    let files = Files::of(&site.join("assets"))?;
    let (manifest, carried) = files.manifest(wanted)?;
    let worker = files.worker(&carried)?;
    let script = read_text(&site.join("riposte.js"))?;
    let mut blocks = String::new();
    for name in files.paths.keys().filter(|name| script.contains(&format!("assets/{name}"))) {
        let content = match name {
            name if name == files.name("manifest", "json")? => serde_json::to_vec(&manifest).map(|json| files.addressed(json))?,
            name if name == files.name("worker", "js")? => worker.clone().into_bytes(),
            name if name.ends_with(".css") => files.css(name)?.into_bytes(),
            name => files.read(name)?,
        };
        let packed = STANDARD.encode(gzip(&content)?);
        blocks.push_str(&format!("<script type=\"application/gzip\" data-carried=\"assets/{name}\">{packed}</script>\n"));
    }
    let html = read_text(&site.join(page.name()))?;
    let html = finish::with_first_case(&html, &manifest);
    let html = files.inlined(&html, &(blocks + &inline(include_str!("single/page.js")) + &inline(&script)))?;
    let names: Vec<&str> = manifest.datasets.iter().map(|set| set.id.name()).collect();
    // For whoever asks what the file has, as the Python module does.
    let html = html.replacen("</head>", &format!("<meta name=\"riposte-datasets\" content=\"{}\">\n</head>", names.join(" ")), 1);
    let html = without_folder(&html);
    let others = html.replace("data-carried=\"assets/", "").find("=\"assets/");
    ensure!(others.is_none(), "{} still refers to a file of the site", page.name());
    Ok(html)
}

/// What lies in a site's `assets`, by name.
struct Files {
    paths: BTreeMap<String, PathBuf>,
}

impl Files {
    fn of(assets: &Path) -> Result<Self> {
        let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
        Ok(Self { paths: finish::files_below(assets)?.into_iter().filter_map(named).collect() })
    }

    /// The name that a file was given, by its readable one.
    fn name(&self, stem: &str, extension: &str) -> Result<&str> {
        // Of the content's digest there are twelve digits.
        let is = |name: &&String| {
            name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)).is_some_and(|digest| digest.len() == 14)
        };
        let found = self.paths.keys().find(is);
        found.map(String::as_str).with_context(|| format!("the site has no {stem}.{extension}: is it a built one?"))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = &self.paths[name];
        std::fs::read(path).with_context(|| path.display().to_string())
    }

    fn text(&self, name: &str) -> Result<String> {
        String::from_utf8(self.read(name)?).with_context(|| name.to_owned())
    }

    /// A file as an address that holds it.
    fn data(&self, name: &str) -> Result<String> {
        let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("png") => "image/png",
            Some("svg") => "image/svg+xml",
            Some("woff2") => "font/woff2",
            _ => bail!("{name} is of a kind that no page shows"),
        };
        Ok(format!("data:{kind};base64,{}", STANDARD.encode(self.read(name)?)))
    }

    /// The manifest with the data sets wanted, and the names of what the engine fetches by it.
    fn manifest(&self, wanted: &[DatasetId]) -> Result<(Manifest, Vec<String>)> {
        let mut manifest: Manifest = serde_json::from_slice(&self.read(self.name("manifest", "json")?)?)?;
        let is_wanted = |dataset: DatasetId| wanted.is_empty() || wanted.contains(&dataset);
        manifest.datasets.retain(|set| is_wanted(set.id));
        manifest.models.retain(|model| is_wanted(model.card.dataset));
        manifest.sequences.retain(|sequence| is_wanted(sequence.dataset));
        for dataset in wanted {
            ensure!(manifest.datasets.iter().any(|set| set.id == *dataset), "the site was built without {}", dataset.title());
        }
        let packs = manifest.datasets.iter().flat_map(|set| set.test.iter().chain(&set.train));
        let fetched = manifest.models.iter().map(|model| &model.weights).chain(packs);
        let fetched = fetched.map(|asset| asset.path.trim_start_matches("assets/").to_owned()).collect();
        Ok((manifest, fetched))
    }

    /// The manifest's text with addresses in the place of paths: of pictures such as hold them, of what the engine fetches those that
    /// its worker knows. The element finds them below a base of no letters.
    fn addressed(&self, json: Vec<u8>) -> Vec<u8> {
        let mut text = String::from_utf8(json).expect("JSON is text");
        for name in self.paths.keys() {
            let path = format!("\"assets/{name}\"");
            if text.contains(&path) {
                let address = self.data(name).unwrap_or_else(|_| carried(name));
                text = text.replace(&path, &format!("\"{address}\""));
            }
        }
        text.into_bytes()
    }

    /// A style sheet that holds its fonts.
    fn css(&self, name: &str) -> Result<String> {
        let mut text = self.text(name)?;
        for font in self.paths.keys().filter(|font| font.ends_with(".woff2")) {
            let path = format!("url(\"fonts/{font}\")");
            if text.contains(&path) {
                text = text.replace(&path, &format!("url(\"{}\")", self.data(font)?));
            }
        }
        Ok(text)
    }

    /// The worker's script with the engine in it, no module, and with what it fetches: `fetched` and the engine's code.
    fn worker(&self, fetched: &[String]) -> Result<String> {
        let (script, engine) = (self.name("worker", "js")?, self.name("riposte-engine", "js")?);
        let code = self.name("riposte-engine_bg", "wasm")?;
        let mut held = serde_json::Map::new();
        for name in fetched.iter().map(String::as_str).chain([code]) {
            held.insert(carried(name), STANDARD.encode(gzip(&self.read(name)?)?).into());
        }
        let prelude = include_str!("single/worker.js");
        ensure!(prelude.contains("CARRIED"), "single/worker.js has no place for the files");
        let prelude = prelude.replace("CARRIED", &serde_json::Value::Object(held).to_string());
        let (imports, script): (Vec<String>, Vec<String>) =
            self.text(script)?.lines().map(|line| format!("{line}\n")).partition(|line| line.starts_with("import "));
        ensure!(
            matches!(imports.as_slice(), [import] if import.contains(&format!("from './{engine}'"))),
            "the worker's script imports something else than the engine"
        );
        let script = script.concat();
        let script = replaced(&script, &format!("'./{code}'"), &format!("'{}'", carried(code)))?;
        let script = format!("{}\nconst init = __wbg_init;\n{script}", classic(&self.text(engine)?)?);
        // No module, it has no address of one; what it names is whole.
        Ok(format!("{prelude}\n(() => {{\n{}\n}})();\n", script.replace("import.meta.url", "self.location.href")))
    }

    /// A page with its style sheets, scripts and pictures in it; `element` in the place of the element's script.
    fn inlined(&self, html: &str, element: &str) -> Result<String> {
        let asset = |address: &str| address.trim_start_matches("./").strip_prefix("assets/").map(str::to_owned);
        let html = replace_tags(html, "<link ", ">", |tag| {
            let name = attribute(tag, "href").and_then(asset);
            Ok(match (attribute(tag, "rel"), name) {
                // The element links the fonts, too.
                (Some("stylesheet"), Some(name)) if name == self.name("fonts", "css")? => String::new(),
                (Some("stylesheet"), Some(name)) => format!("<style>{}</style>", self.css(&name)?),
                (Some("icon"), Some(name)) => format!("<link rel=\"icon\" href=\"{}\">", self.data(&name)?),
                (Some("preload" | "modulepreload"), _) => String::new(),
                _ => tag.to_owned(),
            })
        })?;
        let mut element = Some(element);
        let html = replace_tags(&html, "<script ", "</script>", |tag| {
            let source = attribute(tag, "src").unwrap_or_default();
            match asset(source) {
                Some(name) => Ok(inline(&self.text(&name)?)),
                None if source.trim_start_matches("./") == "riposte.js" => Ok(element.take().unwrap_or_default().to_owned()),
                None => Ok(tag.to_owned()),
            }
        })?;
        ensure!(element.is_none(), "the page has no element");
        replace_tags(&html, "<img ", ">", |tag| {
            let source = attribute(tag, "src").unwrap_or_default();
            Ok(match asset(source) {
                Some(name) => tag.replace(source, &self.data(&name)?),
                None => tag.to_owned(),
            })
        })
    }
}

/// The address by which the worker knows a file that it carries.
fn carried(name: &str) -> String {
    format!("carried:{name}")
}

/// A script in the page. It must not end there before its end: in comments and in texts the stroke may be escaped.
fn inline(script: &str) -> String {
    format!("<script type=\"module\">\n{}</script>\n", script.replace("</script", "<\\/script"))
}

/// What `wasm-bindgen` writes for the web, as a script that is no module.
fn classic(module: &str) -> Result<String> {
    let script = without(module, "export { initSync, __wbg_init as default };")?;
    let script: String = script.lines().map(|line| line.strip_prefix("export ").unwrap_or(line).to_owned() + "\n").collect();
    let module = script.lines().any(|line| line.starts_with("import ") || line.starts_with("export"));
    ensure!(!module, "the engine's script imports another: it cannot stand alone");
    Ok(script)
}

/// A page that says nothing of the folder that it is not in.
fn without_folder(html: &str) -> String {
    const SERVER: &str = ", and must come from a web server, not from a file";
    let mut html = html.replace(SERVER, "").replace("href=\"./\"", "href=\"#arena\"");
    for page in ["course.html", "embed.html"] {
        while let Some((before, rest)) = html.split_once(&format!("<a href=\"{page}\"")) {
            // A sentence that leads there leads nowhere.
            let after = rest.split_once("</a>").map_or("", |(_, after)| after);
            let before = before.strip_suffix("Where a page shuts its frames off, ").unwrap_or(before);
            html = format!("{}{}", before.trim_end(), after.strip_prefix('.').unwrap_or(after));
        }
    }
    html
}

fn without(text: &str, part: &str) -> Result<String> {
    replaced(text, part, "")
}

fn replaced(text: &str, part: &str, by: &str) -> Result<String> {
    ensure!(text.contains(part), "`{part}` was expected in a script of the site");
    Ok(text.replace(part, by))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site as it is built, with a word in the place of each file's content.
    fn site() -> tempfile::TempDir {
        let site = tempfile::tempdir().unwrap();
        let manifest = r#"{"datasets":[{"id":"digits","training_images":10,"test":null,"train":null},{"id":"mnist","training_images":10,"test":{"path":"assets/mnist-test-000000000000.pack","bytes":4,"sha256":""},"train":null}],"models":[],"sequences":[]}"#;
        for (path, content) in [
            (
                "index.html",
                concat!(
                    r#"<link rel="icon" href="assets/icon-000000000000.svg"><link rel="preload" href="assets/fonts/a-000000000000.woff2">"#,
                    r#"<link rel="stylesheet" href="assets/fonts-000000000000.css"><link rel="stylesheet" href="assets/site-000000000000.css">"#,
                    r#"<script type="module" src="./riposte.js"></script><a href="./">Riposte</a> <a href="course.html">For teachers</a>"#,
                    r#"<section class="case">mnist</section><p>It needs JavaScript, and must come from a web server, not from a file.</p>"#,
                    r#"<script type="module" src="assets/tour-000000000000.js"></script>"#
                ),
            ),
            (
                "riposte.js",
                "at('assets/worker-000000000000.js'); text('assets/manifest-000000000000.json'); at('assets/fonts-000000000000.css');",
            ),
            ("assets/manifest-000000000000.json", manifest),
            (
                "assets/worker-000000000000.js",
                "import init, { out_of_memory } from './riposte-engine-000000000000.js';\nfetch(new URL('./riposte-engine_bg-000000000000.wasm', import.meta.url));",
            ),
            (
                "assets/riposte-engine-000000000000.js",
                "export function start() {}\nexport { initSync, __wbg_init as default };\n",
            ),
            ("assets/riposte-engine_bg-000000000000.wasm", "engine"),
            ("assets/mnist-test-000000000000.pack", "pack"),
            ("assets/icon-000000000000.svg", "<svg/>"),
            ("assets/site-000000000000.css", "body {}"),
            ("assets/fonts-000000000000.css", "url(\"fonts/a-000000000000.woff2\")"),
            ("assets/fonts/a-000000000000.woff2", "font"),
            ("assets/tour-000000000000.js", "tour() // </script>"),
        ] {
            let path = site.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        site
    }

    /// A file that a page carries, unpacked.
    fn carried_by(html: &str, path: &str) -> String {
        let (_, rest) = html.split_once(&format!("data-carried=\"{path}\">")).unwrap();
        let packed = STANDARD.decode(rest.split('<').next().unwrap()).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
        text
    }

    #[test]
    fn a_single_file_refers_to_no_other_and_its_worker_holds_what_the_engine_fetches() {
        let site = site();
        let html = pack(site.path(), Page::Main, &[]).unwrap();
        for outside in ["assets/icon", "src=\"", "assets/site", "course.html", "href=\"./\"", "web server"] {
            assert!(!html.contains(outside), "{outside}: {html}");
        }
        assert!(
            html.contains("body {}") && html.contains("tour() // <\\/script>") && html.contains("data:image/svg+xml;base64,"),
            "{html}"
        );
        let worker = carried_by(&html, "assets/worker-000000000000.js");
        for held in ["carried:riposte-engine_bg-000000000000.wasm", "carried:mnist-test-000000000000.pack", "function start() {}"]
        {
            assert!(worker.contains(held), "{held}: {worker}");
        }
        assert!(!worker.contains("export") && !worker.contains("import"), "{worker}");
        assert!(carried_by(&html, "assets/manifest-000000000000.json").contains("\"carried:mnist-test-000000000000.pack\""));
        assert!(carried_by(&html, "assets/fonts-000000000000.css").contains("data:font/woff2;base64,"));
    }

    #[test]
    fn a_single_file_has_the_data_sets_that_are_wanted_and_no_byte_of_others() {
        let site = site();
        let html = pack(site.path(), Page::Main, &[DatasetId::Digits]).unwrap();
        assert!(!carried_by(&html, "assets/manifest-000000000000.json").contains("mnist"));
        assert!(!carried_by(&html, "assets/worker-000000000000.js").contains("mnist"));
        let missing = pack(site.path(), Page::Main, &[DatasetId::Cifar10]).unwrap_err().to_string();
        assert!(missing.contains("built without CIFAR-10"), "{missing}");
    }

    #[test]
    fn a_module_that_imports_another_is_refused() {
        let module = "import './snippet.js';\nexport { initSync, __wbg_init as default };\n";
        assert!(classic(module).unwrap_err().to_string().contains("imports another"));
    }
}
