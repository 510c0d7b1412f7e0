//! Banks in a folder: a card, `bank.json`, and a file for each pair of classes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use riposte::bank::{Bank, BankCard, BankUse, Pair, Pick};
use riposte::models::Model;
use riposte::spec::post_train::PostTrain;
use riposte::spec::setup::Setup;

use crate::args::{BankFlags, SettingFlags};
use crate::file;
use crate::models::Source;
use crate::results;

/// A folder with a card.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    pub card: BankCard,
}

impl Folder {
    /// The bank at `path`.
    ///
    /// # Errors
    /// If there is none, or its card is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let json = std::fs::read(card_path(path))
            .with_context(|| format!("there is no bank in `{}`: `riposte bank --out` makes one", path.display()))?;
        let card = BankCard::from_json(&json).with_context(|| format!("cannot use the bank in `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), card })
    }

    /// The bank at `path` of which `card` tells, begun or gone on with.
    ///
    /// # Errors
    /// If another bank is there, or it cannot be written.
    pub fn begin(path: &Path, card: BankCard) -> Result<Self> {
        if !card_path(path).exists() {
            let json = serde_json::to_string_pretty(&card)? + "\n";
            file::write_atomically(&card_path(path), json.as_bytes())?;
        }
        let found = Self::open(path)?;
        found.check_pool(card.pool_sha256.as_deref())?;
        let (version, pool_sha256) = (found.card.version.clone(), found.card.pool_sha256.clone());
        let same = BankCard { version, pool_sha256, ..card };
        if found.card != same {
            let differences = results::differences(&found.card, &same)?;
            bail!("`{}` holds another bank ({differences}): name another folder", path.display());
        }
        Ok(found)
    }

    /// Checks the training samples with this SHA-256 against those that its copies adapted on, as far as both are known.
    ///
    /// # Errors
    /// If they are others.
    pub fn check_pool(&self, pool_sha256: Option<&str>) -> Result<()> {
        if let (Some(here), Some(there)) = (pool_sha256, self.card.pool_sha256.as_deref()) {
            ensure!(
                here == there,
                "the copies in `{}` adapted on other training samples than those here: their SHA-256 is {there} there and {here} here; take \
                 the same --data and --post-samples, or another folder",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Whether the copies of `pair` are there.
    pub fn has(&self, pair: Pair) -> bool {
        self.file(pair).exists()
    }

    /// Writes the copies of a pair.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, pair: Pair, bytes: &[u8]) -> Result<()> {
        file::write_atomically(&self.file(pair), bytes)
    }

    /// The bank, with the copies that are there.
    ///
    /// # Errors
    /// If it belongs to another base model, or a file is damaged or missing.
    pub fn load(&self, source: &Source, model: &Model) -> Result<Bank<Model>> {
        let BankCard { architecture, weights_sha256, draws, riposte, .. } = &self.card;
        ensure!(
            (*architecture, weights_sha256) == (source.architecture, &source.identity()?),
            "the bank in `{}` belongs to other weights than `{}`: a {architecture} with SHA-256 {weights_sha256}",
            self.path.display(),
            source.name,
        );
        let mut bank = Bank::new(model.clone(), *riposte)?;
        for pair in Pair::all(riposte::Classifier::classes(model)) {
            let path = self.file(pair);
            ensure!(path.exists(), "the bank in `{}` is not finished: `riposte bank` goes on with it", self.path.display());
            let copies = bank.from_safetensors(&file::read(&path)?, *draws);
            bank.insert(pair, copies.with_context(|| format!("cannot use `{}`", path.display()))?);
        }
        Ok(bank)
    }

    /// `setup` with the bank's riposte: of the setup's own, the search stays.
    ///
    /// # Errors
    /// If `flags` ask for something else than the bank holds, or `setup` has no riposte.
    pub fn setup(&self, setup: Setup, flags: &SettingFlags) -> Result<Setup> {
        let Some(asked) = setup.riposte else { bail!("--bank needs a riposte, and --riposte is none") };
        let riposte = PostTrain { search: asked.search, ..self.card.riposte };
        let banked = Setup { riposte: Some(riposte), ..setup };
        for (name, value) in flags.given() {
            let key = riposte::spec::keys::Key::named(name).expect("flags are made from keys");
            let (asked, held) = (key.get(&setup), key.get(&banked));
            ensure!(
                asked == held,
                "--{name} {value} is not what the bank holds: {}",
                held.unwrap_or_else(|| "nothing".to_owned())
            );
        }
        Ok(banked)
    }

    /// Whether an attacker on the defense of `setup` learns something by it.
    ///
    /// # Errors
    /// If the defense is not attacked, or adapts otherwise.
    pub fn check_of_attacker(&self, setup: &Setup) -> Result<()> {
        let Some(attacked) = setup.riposte.filter(|_| setup.counter.is_some()) else {
            bail!("--counter-bank is for an attack on the defense: name one with --counter, such as bank or all")
        };
        let card = PostTrain { search: attacked.search, ..self.card.riposte };
        let differences = results::differences(&card, &attacked)?;
        ensure!(card == attacked, "the copies in `{}` adapt otherwise than the defense ({differences})", self.path.display());
        Ok(())
    }

    /// What results tell of it, where `pick` answers.
    pub fn used(&self, pick: Pick) -> BankUse {
        BankUse { seed: self.card.seed, draws: self.card.draws, pick }
    }

    fn file(&self, pair: Pair) -> PathBuf {
        self.path.join(format!("{pair}.safetensors"))
    }
}

impl BankFlags {
    /// The bank that is to answer, if one is.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self) -> Result<Option<Folder>> {
        self.bank.as_deref().map(Folder::open).transpose()
    }
}

fn card_path(folder: &Path) -> PathBuf {
    folder.join("bank.json")
}
