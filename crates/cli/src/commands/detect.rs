//! `riposte detect`: the detector of feature squeezing on attacked images of a file.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use riposte::classifier::predictions;
use riposte::defense::{Detector, Transform, threshold};
use riposte::evaluate::wilson_interval;
use riposte::models::Model;
use riposte::{Classifier, ToTensor};
use serde::Serialize;

use crate::args::DetectArgs;
use crate::dataset::{self, DatasetId, Split};
use crate::device;
use crate::given::Given;
use crate::interrupt::Interrupt;
use crate::models::Source;
use crate::output::{self, percent};
use crate::progress;

/// What came of it. Counts are of images.
#[derive(Debug, Serialize)]
struct Detected {
    model: String,
    weights_sha256: String,
    dataset: DatasetId,
    /// Of the file of attacked images.
    images_sha256: String,
    /// The test image that its first image is made of.
    first: usize,
    squeezers: Vec<Transform>,
    /// So many training images, the first ones, have set the threshold.
    calibration_images: usize,
    /// The share of them that was allowed above it.
    false_positives: f32,
    /// An image with a score above it is taken for attacked.
    threshold: f32,
    natural: Share,
    attacked: Share,
    /// Of the attacked images, those that the model gets wrong.
    fooling: Share,
}

/// How many of so many images are taken for attacked.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Share {
    detected: usize,
    images: usize,
}

/// # Errors
/// For missing or unfit files, squeezers that are none; [`riposte::Error::Cancelled`] after Ctrl-C.
pub fn run(args: DetectArgs) -> Result<()> {
    let source = Source::find(&args.model, args.data.dataset)?;
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let shape = source.architecture.image_shape();
    let colored = shape[0] == 3;
    let squeezers = match args.squeezer.as_slice() {
        [] => Detector::<Model>::standard(colored),
        names => names.iter().map(|name| Transform::named(name, colored)).collect::<Result<_, _>>()?,
    };
    let given = Given::read(&args.images_from, shape, args.pixels, args.first)?;
    ensure!(!given.is_empty(), "`{}` holds no images", args.images_from.display());
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let interrupt = Interrupt::listen()?;
    let folder = args.data.data.as_deref();
    let natural = dataset::load_until(dataset, Split::Train, Some(args.calibration_images), folder, &interrupt)?;
    let (asked, found) = (args.calibration_images, natural.len());
    ensure!(asked <= found, "--calibration-images {asked} are more than the {found} training samples of {dataset}");
    let test = dataset::load_until(dataset, Split::Test, Some(given.first + given.len()), folder, &interrupt)?;
    dataset::check_shape(&test, source.architecture)?;
    ensure!(
        given.first + given.len() <= test.len(),
        "the file stands for the test images {} to {}, and {dataset} has {}",
        given.first,
        given.first + given.len() - 1,
        test.len()
    );
    given.check_labels(&test, given.len())?;
    let model = source.load(&device.device)?;
    let detector = Detector { model: &model, squeezers };
    let bar = progress::bar((natural.len() + 2 * given.len()) as u64, "Detecting");
    // Scores, and the classes that the model sees.
    let judged = |count: usize, images: &dyn Fn(std::ops::Range<usize>) -> Tensor<4>| -> Result<(Vec<f32>, Vec<usize>)> {
        let (mut scores, mut classes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for first in (0..count).step_by(BATCH) {
            if interrupt.pressed() {
                return Err(riposte::Error::Cancelled.into());
            }
            let images = images(first..count.min(first + BATCH));
            classes.extend(pollster::block_on(predictions(model.forward(images.clone())))?);
            scores.extend(pollster::block_on(detector.scores(images))?);
            bar.set_position(bar.position() + BATCH as u64);
        }
        Ok((scores, classes))
    };
    let of_set = |set: &riposte::data::Dataset, range| set.images().to_tensor(range, &device.device);
    let (calibration, _) = judged(natural.len(), &|range| of_set(&natural, range))?;
    let threshold = threshold(&calibration, f64::from(args.false_positives));
    let shift = |range: std::ops::Range<usize>| given.first + range.start..given.first + range.end;
    let (of_natural, _) = judged(given.len(), &|range| of_set(&test, shift(range)))?;
    let (of_attacked, seen) = judged(given.len(), &|range| given.tensor(shift(range), &device.device))?;
    bar.finish_and_clear();
    let share = |scores: &mut dyn Iterator<Item = &f32>| {
        scores.fold(Share::default(), |Share { detected, images }, score| Share {
            detected: detected + usize::from(*score > threshold),
            images: images + 1,
        })
    };
    let wrong = |(at, _): &(usize, &f32)| seen[*at] != test.label(given.first + *at);
    let detected = Detected {
        model: source.name.clone(),
        weights_sha256: source.identity()?,
        dataset,
        images_sha256: given.sha256.clone(),
        first: given.first,
        calibration_images: natural.len(),
        false_positives: args.false_positives,
        threshold,
        natural: share(&mut of_natural.iter()),
        attacked: share(&mut of_attacked.iter()),
        fooling: share(&mut of_attacked.iter().enumerate().filter(wrong).map(|(_, score)| score)),
        squeezers: detector.squeezers.clone(),
    };
    if args.json { output::json(&detected) } else { detected.table() }
}

/// Images on the device at once.
const BATCH: usize = 128;

impl Detected {
    fn table(&self) -> Result<()> {
        let names: Vec<String> = self.squeezers.iter().map(|squeezer| squeezer.kind().to_string()).collect();
        output::line(&format!(
            "{}: an image is taken for attacked where its answer moves by more than {:.4} under {}.",
            self.model,
            self.threshold,
            names.join(" or ")
        ))?;
        output::line(&format!(
            "Of the first {} training images of {}, at most {} are. The images below are test images {} to {}, as they are and attacked.",
            self.calibration_images,
            self.dataset,
            percent(f64::from(self.false_positives)),
            self.first,
            self.first + self.attacked.images - 1
        ))?;
        let rows = [
            ("natural test images", self.natural),
            ("attacked images", self.attacked),
            ("attacked images that fool the model", self.fooling),
        ];
        for (what, Share { detected, images }) in rows {
            let [low, high] = wilson_interval(detected, images).map(percent);
            let share = if images == 0 { "-".to_owned() } else { percent(detected as f64 / images as f64) };
            output::line(&format!("{what:<36} {detected:>6} of {images:<6} {share:>9}  ({low} to {high})"))?;
        }
        output::line(
            "The attack did not know of the detector: one who does attacks the squeezed images as well (He et al. 2017).",
        )
    }
}
