//! Adaptive modeling against adversarial attacks.
//!
//! **Problem.** An adversarially trained classifier is fixed: an attacker who knows it searches, inside a small ball around
//! an image, a perturbation that makes it err.
//!
//! **Method** (Yan & Ng, "Adaptive Modeling Against Adversarial Attacks", arXiv 2112.12431). Before it answers, the
//! classifier adapts itself to the one input at hand. It takes its own prediction, the *original class* y'; attacks the
//! input itself until the prediction changes to the *neighbor class* y''; then *post-trains* a copy of itself for a few
//! steps on training samples of these two classes, and lets the copy answer. The copy is thrown away.
//!
//! **Modules**, in the order of the method. What a run is, as plain data, is in [`spec`]; images are in [`data`]. A [`classifier`]
//! (one of the [`models`], with [`weights`], which [`import`] finds in files of others) meets an [`attack`]; the [`neighbor`] search finds the two classes; [`post_train`] is
//! search and adaptation together, and one [`defense`] of several; a [`bank`] has copies that adapted before any input came. [`evaluate`] brings attack and defense together and counts;
//! [`presets`] has the settings of the paper and of its code; [`train`] makes base models, in either [`precision`]. With the feature
//! `zoo`, the module of that name has models that come with the project.
//!
//! Everything computes on the device of the tensors that it is given, and nothing here opens, fetches, prints, sleeps,
//! spawns or reads a clock: the command line and the page do. Awaiting is reading back from the device.
//!
//! ```
//! use riposte::burn::tensor::Device;
//! use riposte::data::digits::{self, Split};
//! use riposte::data::pool::ClassPools;
//! use riposte::models::{Architecture, Model};
//! use riposte::presets::Preset;
//! use riposte::rng::Seed;
//! use riposte::ToTensor;
//! use riposte::attack::{Attacks, Goal, Pgd};
//! use riposte::defense::Defense;
//! use riposte::post_train::{PostTrain, PostTraining};
//! use std::ops::ControlFlow;
//!
//! # pollster::block_on(async {
//! let device = Device::flex();
//! let model = Model::random(Architecture::FastMnistCnn, Seed(0), &device);
//! let test = digits::generate(Seed(0), Split::Test, 0..1);
//! let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
//!
//! // The attack: five steps of PGD, in the ball and in the pixel range.
//! let image = test.images().to_tensor([0], &device);
//! let goal = Goal::Untargeted { labels: vec![test.label(0)] };
//! let attacked = Pgd { steps: 5, ..Pgd::MNIST }.attack(&model, image, &goal, &[Seed(1).input(0)])?.finish();
//!
//! // The riposte: search, adapt, answer.
//! let settings = PostTrain { iterations: 2, batch_size: 8, ..Preset::M_MNIST.post_train };
//! let riposte = PostTraining { model: &model, pools: &pools, settings };
//! let answer = riposte.answer(attacked.images, Seed(1).input(0), async |_| ControlFlow::Continue(())).await?;
//! assert_eq!(answer.logits.dims(), [1, 10]);
//! # Ok::<(), riposte::Error>(()) }).unwrap();
//! ```

#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro, clippy::disallowed_methods, clippy::disallowed_types)]

pub mod attack;
pub mod bank;
pub mod classifier;
pub mod defense;
pub mod error;
pub mod evaluate;
pub mod import;
pub mod models;
pub mod neighbor;
pub mod optimizer;
pub mod post_train;
pub mod precision;
pub mod tensors;
pub mod train;
pub mod weights;
#[cfg(feature = "zoo")]
pub mod zoo;

pub use burn;
pub use classifier::Classifier;
pub use error::{Error, Result};
pub use riposte_data as data;
pub use riposte_data::rng;
pub use riposte_spec as spec;
pub use riposte_spec::preset as presets;
pub use tensors::ToTensor;

/// The examples of `ARCHITECTURE.md`, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../ARCHITECTURE.md")]
struct Architecture;
