use riposte_spec::class::Prediction;
use riposte_spec::counter::{Judgment, Round};
use riposte_spec::record::Record;
use serde::{Deserialize, Serialize};

use crate::{Picture, RunId};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The engine's code runs and takes requests.
    Booted,
    /// Bytes of a file on their way. `total` is known before the first byte.
    Download {
        what: String,
        received: u64,
        total: u64,
    },
    /// The device that computes.
    Device(DeviceNotice),
    /// A model is ready: so many test images of each class are at hand.
    Opened {
        run: RunId,
        test_images: usize,
    },
    Gallery {
        run: RunId,
        samples: Vec<Sample>,
    },
    Classified {
        run: RunId,
        prediction: Prediction,
    },
    /// Something worth a line of text while a run goes on ("compiling shaders").
    Note {
        run: RunId,
        notice: Notice,
    },
    /// Steps of an attack, in order from its start point (step 0) on, as many as came together.
    Steps {
        run: RunId,
        steps: Vec<StepData>,
    },
    /// The neighbor search is done.
    Neighbor {
        run: RunId,
        original: Prediction,
        neighbor: Prediction,
        image: Picture,
    },
    /// Iterations of post-training, in order, as many as came together.
    Iterations {
        run: RunId,
        iterations: Vec<IterationData>,
    },
    /// A duel has ended.
    Fought {
        run: RunId,
        record: Record,
    },
    /// A row of a slice, the lowest first: the class at each point, for the static model and for the copy.
    Row {
        run: RunId,
        row: usize,
        classes: Vec<Vec<u8>>,
    },
    /// All rows of a slice are there.
    Sliced {
        run: RunId,
    },
    /// A step of post-training was timed: seconds for each of its samples.
    Timed {
        run: RunId,
        seconds_per_sample: f64,
    },
    /// An attack is done.
    Attacked {
        run: RunId,
        seconds: f64,
    },
    /// The defense has answered.
    Answered {
        run: RunId,
        verdict: Box<Verdict>,
    },
    /// The attacker of act 3 climbs: so many steps of so many.
    Climbing {
        run: RunId,
        step: usize,
        of: usize,
    },
    /// The defense adapts to a point of the attacker: so many iterations of so many.
    Adapting {
        run: RunId,
        iteration: usize,
        of: usize,
    },
    /// The attacker has seen what the defense answers at a point.
    Round {
        run: RunId,
        round: Round,
        image: Picture,
    },
    /// A point was judged by draws that the attacker never saw: the untouched image first.
    Judged {
        run: RunId,
        judgment: Judgment,
    },
    /// The attack on the defense is done.
    Countered {
        run: RunId,
        seconds: f64,
    },
    Cancelled {
        run: RunId,
    },
    /// A run could not be done. `message` is a sentence for the visitor; `retry`: the same request may work when sent again.
    Failed {
        run: RunId,
        message: String,
        retry: bool,
    },
    /// The engine is lost (out of memory, a bug, the device gone). A new worker is needed.
    Crashed {
        message: String,
    },
}

impl Event {
    /// The run it is about.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Opened { run, .. }
            | Self::Gallery { run, .. }
            | Self::Classified { run, .. }
            | Self::Note { run, .. }
            | Self::Steps { run, .. }
            | Self::Neighbor { run, .. }
            | Self::Iterations { run, .. }
            | Self::Fought { run, .. }
            | Self::Row { run, .. }
            | Self::Sliced { run }
            | Self::Timed { run, .. }
            | Self::Attacked { run, .. }
            | Self::Answered { run, .. }
            | Self::Climbing { run, .. }
            | Self::Adapting { run, .. }
            | Self::Round { run, .. }
            | Self::Judged { run, .. }
            | Self::Countered { run, .. }
            | Self::Cancelled { run }
            | Self::Failed { run, .. } => Some(*run),
            Self::Booted | Self::Download { .. } | Self::Device(_) | Self::Crashed { .. } => None,
        }
    }

    /// Whether its run ends with it.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Opened { .. }
            | Self::Gallery { .. }
            | Self::Classified { .. }
            | Self::Fought { .. }
            | Self::Sliced { .. }
            | Self::Timed { .. }
            | Self::Attacked { .. }
            | Self::Answered { .. }
            | Self::Countered { .. }
            | Self::Cancelled { .. }
            | Self::Failed { .. } => true,
            Self::Booted
            | Self::Download { .. }
            | Self::Device(_)
            | Self::Note { .. }
            | Self::Steps { .. }
            | Self::Neighbor { .. }
            | Self::Iterations { .. }
            | Self::Row { .. }
            | Self::Climbing { .. }
            | Self::Adapting { .. }
            | Self::Round { .. }
            | Self::Judged { .. }
            | Self::Crashed { .. } => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    WebGpu,
    Cpu,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNotice {
    pub kind: DeviceKind,
    /// Its name, as the adapter gives it.
    pub name: String,
    /// Why it is not the one that was wished for.
    pub reason: Option<String>,
}

impl DeviceKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebGpu => "WebGPU",
            Self::Cpu => "CPU",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Once for each kind of run and architecture on WebGPU.
    CompilingShaders,
    Downloading,
    Drawing,
    SearchingNeighbor,
    PostTraining,
    /// Attacker and defense take turns.
    Countering,
}

/// An image with its label; `number` is its place in the official set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub number: u32,
    pub label: usize,
    pub image: Picture,
}

/// State of an attack after `index` steps; 0 is its start point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepData {
    pub index: usize,
    pub image: Picture,
    pub prediction: Prediction,
}

/// One iteration of post-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IterationData {
    /// Mean loss of the minibatch before the step.
    pub loss: f32,
    /// What the copy says of the input after it.
    pub logits: Vec<f32>,
    /// Some of the minibatch's samples: a few of each half.
    pub samples: Vec<Sample>,
    /// Whether they are shown as they are trained on.
    pub perturbed: bool,
}

/// The two answers side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub base: Prediction,
    /// Equal to `base` where there was no neighbor class and so nothing to adapt.
    pub adapted: Prediction,
    pub riposted: bool,
    pub work: Work,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub seconds: f64,
    pub iterations: usize,
    pub samples: usize,
    /// Multiply-adds of the training passes counted as two operations each.
    pub flops: f64,
}
