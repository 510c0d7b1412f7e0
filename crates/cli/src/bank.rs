//! Banks in a folder: a card, `bank.json`, and a file for each pair of classes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use riposte::bank::{Bank, BankCard, BankUse, Difference, Pair, Pick};
use riposte::models::Model;
use riposte::spec::counter::CounterKind;
use riposte::spec::post_train::PostTrain;
use riposte::spec::setup::Setup;

use crate::args::{BankFlags, SettingFlags};
use crate::file;
use crate::models::{Source, sha256};
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

    /// The copies of `pair`, which belong into `bank`; `None` if they are not there.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn copies(&self, bank: &Bank<Model>, pair: Pair) -> Result<Option<Vec<Difference>>> {
        let path = self.file(pair);
        if !path.exists() {
            return Ok(None);
        }
        let copies = bank.from_safetensors(&file::read(&path)?, self.card.draws);
        Ok(Some(copies.with_context(|| format!("`{}` is damaged", path.display()))?))
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
        let BankCard { architecture, weights_sha256, riposte, .. } = &self.card;
        ensure!(
            (*architecture, weights_sha256) == (source.architecture, &source.identity()?),
            "the bank in `{}` belongs to other weights than `{}`: a {architecture} with SHA-256 {weights_sha256}",
            self.path.display(),
            source.name,
        );
        let mut bank = Bank::new(model.clone(), *riposte)?;
        for pair in Pair::all(riposte::Classifier::classes(model)) {
            let copies = self.copies(&bank, pair).context("`riposte bank` with the same words makes a damaged file anew")?;
            let Some(copies) = copies else {
                bail!("the bank in `{}` is not finished: `riposte bank` goes on with it", self.path.display())
            };
            bank.insert(pair, copies);
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
    /// If the defense is not attacked by what climbs on copies, has none, or adapts otherwise.
    pub fn check_of_attacker(&self, setup: &Setup) -> Result<()> {
        let kind = setup.counter_kind();
        ensure!(
            kind != CounterKind::None,
            "--counter-bank is for an attack on the defense: name one with --counter, bank or all"
        );
        let Some(attacked) = setup.riposte else {
            bail!(
                "--counter-bank holds copies of a riposte, and none answers here: a --defense has no copies, so leave the bank out"
            )
        };
        ensure!(
            matches!(kind, CounterKind::Bank | CounterKind::All),
            "--counter {kind} does not climb on copies of a bank: leave --counter-bank out, or take --counter bank or all"
        );
        let card = PostTrain { search: attacked.search, ..self.card.riposte };
        let differences = results::differences(&card, &attacked)?;
        ensure!(card == attacked, "the copies in `{}` adapt otherwise than the defense ({differences})", self.path.display());
        Ok(())
    }

    /// What results tell of it, where `pick` answers.
    ///
    /// # Errors
    /// Never: a card can be written.
    pub fn used(&self, pick: Pick) -> Result<BankUse> {
        let card_sha256 = Some(sha256(&serde_json::to_vec(&self.card.of_copies())?));
        Ok(BankUse { seed: self.card.seed, draws: self.card.draws, pick, card_sha256 })
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
