//! Table 6: how much two estimates of a gradient agree, and what ZOO and Opt-Attack achieve when they are run to their ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use riposte::attack::opt_attack::Probe;
use riposte::attack::signs::Compared;
use riposte::attack::{Asked, opt_attack, zoo};
use riposte::classifier::read;
use riposte::defense::{Defense, Static};
use riposte::models::Model;
use riposte::neighbor::Searches;
use riposte::post_train::{PostTraining, Progress};
use riposte::rng::{Draws, Purpose, Seed};
use riposte::spec::Choice;
use riposte::spec::bench::{Table, preset};
use riposte::spec::class::argmax;
use riposte::spec::preset::PresetName;
use riposte::spec::queries::{Attacked, Drawn, Estimate, FORMAT, Head, Line, OptAttack, Zoo};
use riposte::{Classifier, ToTensor};

use super::hall::Hall;
use super::work::within_budget;
use crate::args::SuiteArgs;
use crate::interrupt::Interrupt;
use crate::run::Stage;
use crate::{progress, results};

/// Images whose gradients are compared: the paper's number.
const COMPARED: usize = 100;
/// Images that are attacked.
const ATTACKED: usize = 20;
/// By how much ZOO changes a pixel in the table, as the authors' code has it.
const HALF: f32 = 1e-3;
/// Answers, with draws of their own, by which a point that was found is judged.
const JUDGES: usize = 16;
/// Random directions of which the nearest to the base model's boundary is the one that is probed.
const DIRECTIONS: usize = 20;

/// A file of the table: a model under one form of the defense.
pub(super) struct Asking {
    subject: usize,
    pub name: String,
    preset: PresetName,
    attacks: Option<(Zoo, OptAttack)>,
    /// Inputs to which the defense adapts.
    images: usize,
}

/// What there is to do: signs with the full form and with the light one, whose answers are cheap enough that attacks run to their ends.
pub(super) fn of(args: &SuiteArgs, hall: &Hall) -> Vec<Asking> {
    // Inputs are counted from the first: parts of them would not know how many there are.
    let asked = args.tables().contains(&Table::Gradients) && args.is_first();
    let mut found = Vec::new();
    for (subject, of) in hall.subjects.iter().enumerate() {
        let full = preset(of.dataset, of.source.architecture);
        let light = of.dataset.light();
        let attacks = Some((Zoo::STANDARD, OptAttack::STANDARD));
        for (preset, attacks, what) in [(full, None, "signs"), (light, None, "signs"), (light, attacks, "queries")] {
            let most = if attacks.is_some() { ATTACKED } else { COMPARED };
            let name = format!("{}-{preset}-{what}", of.name);
            found.push(Asking { subject, name, preset, attacks, images: args.images.min(most) });
        }
    }
    found.retain(|Asking { name, .. }| args.only.is_empty() || args.only.iter().any(|text| name.contains(text.as_str())));
    if asked { found } else { Vec::new() }
}

/// Goes on with each file until it has its images, or until `deadline` if there is one, and tells which files lack some for that. An input
/// that is under way then is dropped.
///
/// # Errors
/// Of the core; if a file holds something else or cannot be written; [`riposte::Error::Cancelled`] after Ctrl-C.
pub(super) fn run(
    hall: &Hall,
    all: &[Asking],
    folder: &Path,
    interrupt: &Interrupt,
    deadline: Option<Instant>,
) -> Result<Vec<String>> {
    let (stop, mut unfinished) = (interrupt.or_at(deadline), Vec::new());
    for asking in all {
        let stage = hall.stage(asking.subject);
        let Some((settings, pools)) = asking.preset.preset().setup().riposte.zip(stage.pools) else { continue };
        let defense = PostTraining { model: stage.model, pools, settings };
        let path = folder.join(format!("{}.jsonl", asking.name));
        let head = Head {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: stage.source.architecture,
            weights_sha256: stage.source.sha256.clone(),
            dataset: stage.dataset,
            post_samples: stage.post_samples,
            preset: asking.preset,
            riposte: settings,
            attacks: asking.attacks,
        };
        let mut kept = Kept::open(&path, &head)?;
        let bar = progress::bar(asking.images as u64, &asking.name);
        bar.set_position(kept.images as u64);
        while kept.images < asking.images && kept.next < stage.test.len() as u64 {
            let at = At { stage: &stage, defense: &defense, draws: Seed(0).input(kept.next), stop: &stop };
            let lines = stop.check().and_then(|()| pollster::block_on(at.lines(asking.attacks)));
            let Some(lines) = within_budget(lines, interrupt)? else {
                unfinished.push(format!("{}.jsonl ({} of {} inputs)", asking.name, kept.images, asking.images));
                break;
            };
            bar.inc(u64::from(!lines.is_empty()));
            kept.append(&lines)?;
        }
        bar.finish_and_clear();
    }
    Ok(unfinished)
}

/// An input.
struct At<'a> {
    stage: &'a Stage<'a>,
    defense: &'a PostTraining<'a, Model>,
    draws: Draws,
    /// Ctrl-C, or the deadline.
    stop: &'a Interrupt,
}

impl At<'_> {
    /// What is found of it; nothing if the defense does not adapt to it, or the base model is wrong.
    async fn lines(&self, attacks: Option<(Zoo, OptAttack)>) -> Result<Vec<Line>> {
        let (model, input) = (self.stage.model, self.draws.input as usize);
        let label = self.stage.test.label(input);
        let image = self.stage.test.images().to_tensor(input..input + 1, &model.device());
        let neighbors = self.defense.settings.search.search(model, image.clone(), &[self.draws]).await?;
        let right = argmax(&read(model.forward(image.clone())).await?) == label;
        if neighbors.original == neighbors.neighbor || !right {
            return Ok(Vec::new());
        }
        match attacks {
            None => self.signs(image, label).await,
            Some((zoo, opt_attack)) => self.attacks(image, label, zoo, opt_attack).await,
        }
    }

    async fn signs(&self, image: Tensor<4>, label: usize) -> Result<Vec<Line>> {
        let mut stream = self.draws.stream(Purpose::Queries);
        let pixels = image.shape().num_elements();
        let pixel = riposte::rng::below(&mut stream, pixels);
        let settings = OptAttack { directions: DIRECTIONS, ..OptAttack::STANDARD };
        let ask = async |images: Tensor<4>| Ok(vec![read(self.stage.model.forward(images)).await?]);
        let probe = Probe::draw(settings, image.clone(), label, &mut stream, ask).await?;
        let compared = Compared {
            defense: self.defense,
            model: self.stage.model,
            image,
            label,
            draws: self.draws,
            pixel: (pixel, HALF),
            probe,
        };
        let mut observe = async |_: Progress<'_, Model>| self.flow();
        let mut lines = Vec::new();
        for estimate in Estimate::ALL {
            for drawn in Drawn::ALL {
                // A gradient is one answer's: its draws cannot differ within it.
                if (*estimate, *drawn) != (Estimate::Gradient, Drawn::Common) {
                    lines.push(Line::Signs(compared.signs(*estimate, *drawn, &mut observe).await?));
                }
            }
        }
        Ok(lines)
    }

    async fn attacks(&self, image: Tensor<4>, label: usize, zoo: Zoo, opt: OptAttack) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let base = Static(self.stage.model);
        for attack in [Estimate::Zoo, Estimate::OptAttack] {
            let found = self.attack(attack, &base, image.clone(), label, zoo, opt).await?;
            lines.push(self.judged(attack, &base, label, found).await?);
            let found = self.attack(attack, self.defense, image.clone(), label, zoo, opt).await?;
            lines.push(self.judged(attack, self.defense, label, found).await?);
        }
        Ok(lines)
    }

    async fn attack<D: Defense<Model = Model>>(
        &self,
        attack: Estimate,
        defense: &D,
        image: Tensor<4>,
        label: usize,
        zoo: Zoo,
        opt: OptAttack,
    ) -> Result<Asked> {
        let mut asked = 0;
        let ask = async |images: Tensor<4>| {
            let count = images.dims()[0] as u32;
            let draws: Vec<Draws> = (asked..asked + count).map(|number| self.draws.again(Purpose::Selection, number)).collect();
            asked += count;
            self.answers(defense, images, &draws).await
        };
        let mut stream = self.draws.run(Purpose::Queries, 1);
        Ok(match attack {
            Estimate::OptAttack => opt_attack::attack(opt, image, label, &mut stream, ask).await?,
            Estimate::Zoo | Estimate::Gradient => zoo::attack(zoo, image, label, &mut stream, ask).await?,
        })
    }

    async fn judged<D: Defense<Model = Model>>(&self, attack: Estimate, defense: &D, label: usize, found: Asked) -> Result<Line> {
        let of = if defense.is_random() { JUDGES } else { 1 };
        let wrong = match &found.image {
            Some(image) => {
                let draws: Vec<Draws> = (0..of as u32).map(|number| self.draws.again(Purpose::Judgment, number)).collect();
                let answers = self.answers(defense, image.clone().repeat_dim(0, of), &draws).await?;
                Some([answers.iter().filter(|logits| argmax(logits) != label).count(), of])
            }
            None => None,
        };
        Ok(Line::Attacked(Attacked {
            input: self.draws.input,
            attack,
            defended: defense.is_random(),
            first_success: found.first_success,
            queries: found.queries,
            distance: found.image.as_ref().map(|_| found.distance),
            largest: found.image.as_ref().map(|_| found.largest),
            wrong,
        }))
    }

    /// Logits of each image.
    async fn answers<D: Defense<Model = Model>>(
        &self,
        defense: &D,
        images: Tensor<4>,
        draws: &[Draws],
    ) -> riposte::Result<Vec<Vec<f32>>> {
        let mut answers = Vec::with_capacity(draws.len());
        for (prepared, draws) in defense.prepare(images, draws).await?.into_iter().zip(draws) {
            let answer = defense.respond(prepared, *draws, async |_: Progress<'_, Model>| self.flow()).await?;
            answers.push(read(answer.logits).await?);
        }
        match self.flow() {
            ControlFlow::Break(()) => Err(riposte::Error::Cancelled),
            ControlFlow::Continue(()) => Ok(answers),
        }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.stop.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A file under way, locked.
struct Kept {
    file: File,
    /// The next input.
    next: u64,
    /// Inputs that something was found of.
    images: usize,
}

impl Kept {
    fn open(path: &Path, head: &Head) -> Result<Self> {
        let cannot = || format!("cannot write `{}`", path.display());
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).with_context(cannot)?;
        results::lock(&file).with_context(cannot)?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (mut next, mut images, mut whole, mut pending) = (0, 0, 0, false);
        for (index, line) in text.split_inclusive('\n').enumerate() {
            if index == 0 && line.ends_with('\n') {
                let found: Head = serde_json::from_str(line).with_context(|| format!("`{}` is no such file", path.display()))?;
                let differences = results::differences(&found, head)?;
                ensure!(found == *head, "`{}` was made with other settings ({differences}): name another folder", path.display());
                whole = line.len();
                continue;
            }
            match serde_json::from_str::<Line>(line) {
                Ok(Line::Done { input }) => {
                    (next, images) = (input + 1, images + usize::from(pending));
                    pending = false;
                    whole = line.as_ptr() as usize - text.as_ptr() as usize + line.len();
                }
                Ok(_) => pending = true,
                // A last line that was cut off.
                Err(_) if !line.ends_with('\n') => break,
                Err(error) => return Err(error).with_context(|| format!("`{}` is damaged", path.display())),
            }
        }
        file.set_len(whole as u64).with_context(cannot)?;
        file.seek(SeekFrom::End(0)).with_context(cannot)?;
        if whole == 0 {
            file.write_all((serde_json::to_string(head)? + "\n").as_bytes()).with_context(cannot)?;
        }
        Ok(Self { file, next, images })
    }

    /// What was found of the next input.
    fn append(&mut self, lines: &[Line]) -> Result<()> {
        let mut text = String::new();
        for line in lines.iter().chain([&Line::Done { input: self.next }]) {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).context("cannot write a line")?;
        self.next += 1;
        self.images += usize::from(!lines.is_empty());
        Ok(())
    }
}
