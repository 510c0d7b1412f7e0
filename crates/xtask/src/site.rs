//! Assembling the static site.
//!
//! Everything a page refers to is named by its content (`assets/NAME-HASH.EXT`), so it can be cached for ever and a new build never
//! mixes with an old one. Only the HTML pages and `riposte.js`, the script another page embeds, keep their names.
//! A file of `web/site/` refers to another by `{{NAME.EXT}}`, which becomes the hashed name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use riposte_protocol::{Asset, DatasetEntry, Manifest, ModelEntry, TRAINING_IMAGES, TRAINING_PHOTOGRAPHS};
use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, gzip};
use crate::pack::{self, Packs, hex};
use crate::wasm::{self, Toolchain};

/// Budgets for what a visitor downloads, gzipped.
const PAGE_BUDGET: u64 = 400 * 1024;
const ENGINE_BUDGET: u64 = 3 * 1024 * 1024;

/// Leaves of the site: they refer to nothing, or only to what stands before them.
const PARTS: [&str; 8] = [
    "newsreader.woff2",
    "newsreader-italic.woff2",
    "riposte-sans.woff2",
    "icon.svg",
    "fonts.css",
    "site.css",
    "arena.css",
    "worker.js",
];
const PAGES: [&str; 4] = ["index.html", "course.html", "embed.html", "riposte.js"];

/// Compiles the page and the engine, packs the data and writes the site to `out`. `named` keeps the names of functions.
pub fn build(root: &Path, out: &Path, data: Option<&Path>, models: &Path, named: bool) -> Result<()> {
    let started = Instant::now();
    let web = root.join("web");
    let target_dir = wasm::target_dir(root);
    let toolchain = Toolchain::find(&web)?;
    let mut site = Site::new(out)?;

    for (name, budget) in [("page", PAGE_BUDGET), ("engine", ENGINE_BUDGET)] {
        // Each has a profile of its name.
        let bundle = Bundle::new(&toolchain.build(&web, &target_dir, name, name, &[])?, name, named)?;
        let size = bundle.gzipped_bytes()?;
        println!("{name}: {:.0} KB, {:.0} KB gzipped", bundle.wasm.len() as f64 / 1e3, size as f64 / 1e3);
        ensure!(named || size <= budget, "the {name} is {size} bytes gzipped, over its budget of {budget}");
        site.words.insert(format!("{name}.bytes"), bundle.wasm.len().to_string());
        site.asset(&format!("{name}.wasm"), &bundle.wasm)?;
        site.asset(&format!("{name}.js"), bundle.js.as_bytes())?;
        bundle.write_snippets(&out.join("assets"))?;
    }
    let models_at_hand = cards(&mut site, models)?;
    let has_model = |dataset: &str| models_at_hand.iter().any(|model| model.dataset == dataset);
    let datasets = datasets(&mut site, root, data, has_model)?;
    let mut manifest = Manifest { datasets, models: models_at_hand };
    let Manifest { datasets, models: offered } = &mut manifest;
    offered.retain(|model| datasets.iter().any(|set| set.id == model.dataset));
    datasets.retain(|set| offered.iter().any(|model| set.id == model.dataset));
    if offered.is_empty() {
        bail!("{} holds no model for the images at hand: nothing could be attacked", models.display());
    }
    site.asset("manifest.json", &serde_json::to_vec(&manifest)?)?;
    for name in PARTS {
        let folder = if name.ends_with(".woff2") { web.join("site/fonts") } else { web.join("site") };
        let content = site.filled(&folder.join(name))?;
        site.asset(name, &content)?;
    }
    for name in PAGES {
        let content = site.filled(&web.join("site").join(name))?;
        std::fs::write(out.join(name), content)?;
    }
    println!("The site is in {} ({:.0} s).", out.display(), started.elapsed().as_secs_f64());
    Ok(())
}

/// A site being written.
struct Site {
    out: PathBuf,
    /// What `{{WORD}}` stands for.
    words: BTreeMap<String, String>,
}

impl Site {
    /// Starts from an empty `assets/` folder.
    fn new(out: &Path) -> Result<Self> {
        let assets = out.join("assets");
        if assets.exists() {
            std::fs::remove_dir_all(&assets).with_context(|| assets.display().to_string())?;
        }
        std::fs::create_dir_all(&assets).with_context(|| assets.display().to_string())?;
        Ok(Self { out: out.to_path_buf(), words: BTreeMap::new() })
    }

    /// Writes a file under its hashed name.
    fn asset(&mut self, name: &str, content: &[u8]) -> Result<Asset> {
        let sha256 = hex(&Sha256::digest(content));
        let (stem, extension) = name.split_once('.').context("an asset has an extension")?;
        let hashed = format!("{stem}-{}.{extension}", &sha256[..12]);
        let path = format!("assets/{hashed}");
        std::fs::write(self.out.join(&path), content)?;
        self.words.insert(name.to_owned(), hashed);
        Ok(Asset { path, bytes: content.len() as u64, sha256 })
    }

    /// A file of `web/site/` with its `{{...}}` filled in; files that are not text as they are.
    fn filled(&self, path: &Path) -> Result<Vec<u8>> {
        let content = std::fs::read(path).with_context(|| path.display().to_string())?;
        let Ok(text) = std::str::from_utf8(&content) else { return Ok(content) };
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").context("unclosed {{")?;
            let value = self.words.get(word).with_context(|| format!("{}: nothing is called {word}", path.display()))?;
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled.into_bytes())
    }
}

/// The datasets whose images can be had; nothing is packed, or downloaded, without a model to attack.
fn datasets(site: &mut Site, root: &Path, data: Option<&Path>, has_model: impl Fn(&str) -> bool) -> Result<Vec<DatasetEntry>> {
    let digits = |id: &str, name: &str, about: &str| DatasetEntry {
        id: id.to_owned(),
        name: name.to_owned(),
        about: about.to_owned(),
        classes: (0..10).map(|class| class.to_string()).collect(),
        channels: 1,
        height: 28,
        width: 28,
        test: None,
        train: None,
        training_images: TRAINING_IMAGES,
    };
    let mut datasets = Vec::new();
    let wanted = |id: &str, pack: &dyn Fn() -> Result<Option<Packs>>| if has_model(id) { pack() } else { Ok(None) };
    if let Some(packs) = wanted("mnist", &|| pack::mnist(root, data))? {
        // Named `.pack`, not `.gz`: some servers announce `.gz` as an encoding, and the browser would unpack it unasked.
        let mut mnist =
            digits("mnist", "MNIST", "Handwritten digits, collected in the 1990s: the classic test of a small network.");
        mnist.test = Some(site.asset("mnist-test.pack", &packs.test)?);
        mnist.train = Some(site.asset("mnist-train.pack", &packs.train)?);
        datasets.push(mnist);
    }
    if let Some(packs) = wanted("cifar10", &|| pack::cifar10(root, data))? {
        let classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
        datasets.push(DatasetEntry {
            classes: classes.map(str::to_owned).to_vec(),
            channels: 3,
            height: 32,
            width: 32,
            test: Some(site.asset("cifar10-test.pack", &packs.test)?),
            train: Some(site.asset("cifar10-train.pack", &packs.train)?),
            training_images: TRAINING_PHOTOGRAPHS,
            ..digits(
                "cifar10",
                "CIFAR-10",
                "Tiny color photographs of ten kinds of things: what the paper\u{2019}s main figures are about.",
            )
        });
    }
    datasets.push(digits("digits", "Drawn digits", "Digits drawn by a program, stroke by stroke: nothing to download."));
    Ok(datasets)
}

/// Every model of a folder: weights with a card beside them.
fn cards(site: &mut Site, folder: &Path) -> Result<Vec<ModelEntry>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut cards: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    cards.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    cards.sort();
    cards.iter().map(|card| model(site, card).with_context(|| card.display().to_string())).collect()
}

fn model(site: &mut Site, card: &Path) -> Result<ModelEntry> {
    let text = std::fs::read_to_string(card)?;
    let fields: serde_json::Value = serde_json::from_str(&text)?;
    let field = |name: &str| fields[name].as_str().map(str::to_owned).with_context(|| format!("the card has no `{name}`"));
    let weights = std::fs::read(card.with_extension("safetensors")).context("the weights beside the card")?;
    let id = field("id")?;
    println!("{id}: {:.0} KB of weights, {:.0} KB gzipped", weights.len() as f64 / 1e3, gzip(&weights)?.len() as f64 / 1e3);
    let weights = site.asset(&format!("{id}.safetensors"), &weights)?;
    Ok(ModelEntry { dataset: field("dataset")?, id, card: text, weights })
}
