//! What happened in a duel, in numbers and in plain words.

use riposte::attack::{Norm, Pgd, Quantize};
use riposte::post_train::{Exit, Parameters, Perturbation, PostTrain, Samples};
use riposte::spec::class::argmax;
use riposte::spec::counter::Course;
use riposte::spec::dataset::DatasetId;
use riposte::spec::outcome::Outcome;
use riposte::spec::units::print_pixels;

use crate::output::percent;

/// A duel from the image to the answer.
#[derive(Debug, Clone)]
pub struct Story {
    pub dataset: DatasetId,
    pub model: String,
    pub origin: Origin,
    /// What the image shows, or is taken to show.
    pub label: usize,
    /// Channels, height, width of all pictures.
    pub shape: [usize; 3],
    pub attack: Pgd,
    /// The class that the attack leads to; `None`: any but the label.
    pub target: Option<usize>,
    /// Which values the pixels of attacked images may have.
    pub quantize: Quantize,
    pub riposte: PostTrain,
    /// Whether the copy that answers was made beforehand.
    pub banked: bool,
    pub image: View,
    pub attacked: View,
    /// x'': where the neighbor search ended.
    pub neighbor: View,
    /// Whether a copy adapted to the attacked image.
    pub adapted: bool,
    /// Its probabilities for the attacked image; the base model's where none did.
    pub answer: Vec<f32>,
    /// Of the first step of the attack after which the base model is wrong.
    pub fooled_after: Option<usize>,
    /// The adapting model on the attacked image: logits before the post-training and after each of its steps, or after all where the
    /// copy was made beforehand. Empty without a neighbor.
    pub race: Vec<Vec<f32>>,
    /// Loss of each batch.
    pub losses: Vec<f32>,
    /// Some samples of the first batch.
    pub samples: Vec<Sample>,
    /// What the riposte says of the image before the attack.
    pub natural_answer: usize,
    /// The attack on the riposte; none where there was none.
    pub counter: Option<Countering>,
}

/// Where an image is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The test set, with its number there.
    Test(usize),
    /// A file.
    File {
        /// As it was given.
        name: String,
        /// Whether somebody said what it shows. Else the base model's answer is taken for right.
        labelled: bool,
    },
}

/// An attack on the riposte.
#[derive(Debug, Clone)]
pub struct Countering {
    pub course: Course,
    /// The point of each round.
    pub points: Vec<Vec<f32>>,
}

/// An image and what the base model says of it.
#[derive(Debug, Clone)]
pub struct View {
    pub pixels: Vec<f32>,
    pub probabilities: Vec<f32>,
}

/// A training sample that the post-training drew.
#[derive(Debug, Clone)]
pub struct Sample {
    pub label: usize,
    pub pixels: Vec<f32>,
}

impl View {
    /// The base model's class.
    pub fn class(&self) -> usize {
        argmax(&self.probabilities)
    }
}

impl Story {
    /// y', the class that the base model gives the attacked image.
    pub fn original_class(&self) -> usize {
        self.attacked.class()
    }

    /// y'', equal to y' where the search found no neighbor.
    pub fn neighbor_class(&self) -> usize {
        self.neighbor.class()
    }

    /// The riposte's answer.
    pub fn answer_class(&self) -> usize {
        argmax(&self.answer)
    }

    /// Largest absolute change of a pixel by the attack.
    pub fn perturbation(&self) -> f32 {
        self.image.pixels.iter().zip(&self.attacked.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.label, self.original_class(), self.neighbor_class(), self.answer_class())
    }

    /// The outcome in a sentence.
    pub fn verdict(&self) -> String {
        let (label, answer) = (self.name(self.label), self.name(self.answer_class()));
        match self.outcome() {
            Outcome::Answered => format!("The riposte answers rightly: {label}."),
            Outcome::Failed => format!("The riposte fails: it says {answer}, and the image shows {label}."),
            Outcome::NoNeighbor => format!("No riposte: the search found no neighbor class, and {answer} stands. It is wrong."),
            Outcome::NotFooled => format!("The attack fails, and the riposte keeps the right answer: {label}."),
            Outcome::Spoiled => {
                format!("The attack fails, but the riposte does harm: it says {answer}, and the image shows {label}.")
            }
        }
    }

    /// What happened, a paragraph for each act.
    pub fn acts(&self) -> Vec<String> {
        let name = |class: usize| self.name(class);
        let sure = |probabilities: &[f32]| percent(f64::from(probabilities[argmax(probabilities)]));
        let mut acts = vec![format!(
            "{} The base model, {}, says {} ({}).",
            self.shown(),
            self.model,
            name(self.image.class()),
            sure(&self.image.probabilities)
        )];
        if self.image.class() != self.label {
            acts[0] += " That is wrong without any attack.";
        }
        acts.push(self.attack_act());
        let (original, neighbor) = (self.original_class(), self.neighbor_class());
        let known = if self.label == original || self.label == neighbor { "is" } else { "is not" };
        if original == neighbor {
            acts.push(format!(
                "The riposte knows neither the label nor the attack. It takes the model's answer, y' = {}, and attacks the input \
                 itself, by up to {} a pixel, to see to which class it is nearest. The answer does not change: there is no \
                 neighbor class, the model does not adapt, and the base model's answer stands.",
                name(original),
                print_pixels(self.riposte.search.attack.epsilon)
            ));
        } else {
            acts.push(format!(
                "The riposte knows neither the label nor the attack. It takes the model's answer, y' = {}, and attacks the input \
                 itself, by up to {} a pixel, until the answer changes: y'' = {}. The label {known} one of the two.",
                name(original),
                print_pixels(self.riposte.search.attack.epsilon),
                name(neighbor)
            ));
            acts.push(if self.adapted { self.adaptation_act() } else { self.ahead_act() });
        }
        acts.push(self.verdict());
        let natural = self.natural_answer;
        let judgment = if natural == self.label { "right" } else { "wrong" };
        acts.push(format!("Of the image before the attack, the riposte says {}, which is {judgment}.", name(natural)));
        acts.extend(self.counter_act());
        acts
    }

    /// The image in a few words.
    pub fn image_name(&self) -> String {
        match &self.origin {
            Origin::Test(index) => format!("test image {index} of {}", self.dataset),
            Origin::File { name, .. } => format!("`{name}`"),
        }
    }

    /// What the image shows, in a sentence.
    fn shown(&self) -> String {
        let label = self.name(self.label);
        match &self.origin {
            Origin::Test(index) => format!("Test image {index} of {} shows {label}.", self.dataset),
            Origin::File { name, labelled: true } => format!("`{name}` shows {label}."),
            Origin::File { name, labelled: false } => {
                format!("What `{name}` shows nobody said (--label): the model's answer, {label}, is taken for right.")
            }
        }
    }

    /// Whether the label is known, not taken from the base model.
    pub fn is_labelled(&self) -> bool {
        !matches!(self.origin, Origin::File { labelled: false, .. })
    }

    /// Its number in the test set; `None` for an image that is in none.
    pub fn index(&self) -> Option<usize> {
        match self.origin {
            Origin::Test(index) => Some(index),
            Origin::File { .. } => None,
        }
    }

    /// A class by its name: a digit, or CIFAR-10's word.
    pub fn name(&self, class: usize) -> String {
        self.dataset.classes().get(class).map_or_else(|| class.to_string(), |name| (*name).to_owned())
    }

    fn attack_act(&self) -> String {
        let Pgd { norm, epsilon, step_size, steps, restarts, .. } = self.attack;
        let (epsilon, step_size) = (print_pixels(epsilon), print_pixels(step_size));
        let what = match (steps, restarts) {
            (1, _) => "one signed step".to_owned(),
            (_, 1) => format!("PGD, {steps} steps of {step_size}"),
            _ => format!("PGD, {restarts} starts, {steps} steps of {step_size}"),
        };
        let what = match self.target {
            Some(target) => format!("{what}, towards {}", self.name(target)),
            None => what,
        };
        let what = match self.quantize {
            Quantize::None => what,
            Quantize::Eight => format!("{what}, rounded to what a file of 8 bits holds"),
        };
        let may = match norm {
            Norm::LInfinity => format!("may change a pixel by {epsilon} and changes none"),
            Norm::L2 => format!("may move the image by {epsilon} in L2 and changes no pixel"),
        };
        let change = format!("The attack ({what}) {may} by more than {:.3}.", self.perturbation());
        let says = self.name(self.original_class());
        let sure = percent(f64::from(self.attacked.probabilities[self.original_class()]));
        if self.original_class() == self.label {
            return format!("{change} It fails: the base model still says {says} ({sure}).");
        }
        let when = match self.fooled_after {
            Some(0) => " from the start".to_owned(),
            Some(1) => " after one step".to_owned(),
            Some(step) => format!(" after {step} steps"),
            None => String::new(),
        };
        format!("{change} The base model is fooled{when}: it says {says} ({sure}).")
    }

    /// What an attacker made of the riposte.
    fn counter_act(&self) -> Option<String> {
        let course = &self.counter.as_ref()?.course;
        let name = |class: usize| self.name(class);
        let mut act = format!("The counter-riposte ({}) knows that the model adapts.", course.settings.kind);
        for round in &course.rounds {
            let [original, neighbor] = round.pair.map(name);
            let (says, sure) = (name(round.answer), percent(f64::from(round.truth)));
            let copy = match original == neighbor {
                true => "finds no neighbor".to_owned(),
                // Which rounds were left as they were, a course does not tell.
                false if self.riposte.exit == Exit::Ahead => format!("finds {original} and {neighbor}"),
                false => format!("adapts to {original} and {neighbor}"),
            };
            act += &format!(" {}: the riposte {copy} and says {says}, {} with {sure}.", round.title(), name(self.label));
        }
        Some(format!("{act} {}", course.sentence(self.label, name)))
    }

    fn ahead_act(&self) -> String {
        format!(
            "The base model puts y' ahead of y'' by more than {} logit, from where no adaptation is expected to turn it around (--post-exit \
             ahead): the model does not adapt, and the base model's answer stands.",
            Exit::LEAD
        )
    }

    fn adaptation_act(&self) -> String {
        let PostTrain { iterations, batch_size, perturbation, .. } = self.riposte;
        let how = match perturbation {
            Perturbation::Fixed(_) => "moved by the difference x'' - x'".to_owned(),
            Perturbation::Normal => "as they are".to_owned(),
            other => format!("perturbed by {} adversarial training", other.kind()),
        };
        let trains = match self.banked {
            true => "that answers images between these two classes has trained beforehand",
            false => "trains",
        };
        let which = match self.riposte.parameters {
            Parameters::All => "A copy of the model",
            Parameters::LastStage => "A copy of the model's last stage and head",
            Parameters::Head => "A copy of the model's head",
            Parameters::Normalization => "A copy of the model's normalization",
        };
        let samples = match self.riposte.samples {
            Samples::Redrawn => format!("{batch_size} training samples each"),
            Samples::Kept => format!("the same {batch_size} training samples"),
        };
        format!(
            "{which} {trains} for {iterations} steps on {samples}, {how}, and answers {} ({}).",
            self.name(self.answer_class()),
            percent(f64::from(self.answer[self.answer_class()]))
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use riposte::presets::Preset;

    /// A story over two classes of pixels; `classes` are of the image, of the attacked image, of x'' and the answer.
    pub(crate) fn story(label: usize, classes: [usize; 4]) -> Story {
        let one_hot = |class: usize| (0..10).map(|index| if index == class { 0.91 } else { 0.01 }).collect::<Vec<f32>>();
        let view = |value: f32, class: usize| View { pixels: vec![value; 784], probabilities: one_hot(class) };
        let adapted = classes[1] != classes[2];
        Story {
            dataset: DatasetId::Digits,
            model: "test".to_owned(),
            origin: Origin::Test(4),
            label,
            shape: [1, 28, 28],
            attack: Preset::M_MNIST.attack,
            target: None,
            quantize: Quantize::None,
            riposte: Preset::M_MNIST.post_train,
            banked: false,
            image: view(0.0, classes[0]),
            attacked: view(0.3, classes[1]),
            neighbor: view(0.1, classes[2]),
            adapted,
            answer: one_hot(classes[3]),
            fooled_after: Some(3),
            race: if adapted {
                (0..51).map(|step| (0..10).map(|class| (step * class) as f32).collect()).collect()
            } else {
                Vec::new()
            },
            losses: if adapted { vec![0.5; 50] } else { Vec::new() },
            samples: if adapted { vec![Sample { label: classes[1], pixels: vec![0.5; 784] }; 16] } else { Vec::new() },
            natural_answer: label,
            counter: None,
        }
    }

    #[test]
    fn each_outcome_is_told_as_it_is() {
        let cases = [
            ([3, 5, 3, 3], Outcome::Answered, "answers rightly: 3"),
            ([3, 5, 3, 5], Outcome::Failed, "fails: it says 5"),
            ([3, 5, 5, 5], Outcome::NoNeighbor, "It is wrong"),
            ([3, 3, 5, 3], Outcome::NotFooled, "attack fails"),
            ([3, 3, 5, 5], Outcome::Spoiled, "does harm"),
        ];
        for (classes, outcome, words) in cases {
            let story = story(3, classes);
            assert_eq!(story.outcome(), outcome);
            assert!(story.verdict().contains(words), "{}", story.verdict());
            assert!(story.acts().contains(&story.verdict()));
        }
    }

    #[test]
    fn a_story_says_whether_the_label_was_a_candidate() {
        assert!(story(3, [3, 5, 3, 3]).acts().join(" ").contains("The label is one of the two"));
        assert!(story(3, [3, 5, 8, 8]).acts().join(" ").contains("The label is not one of the two"));
    }
}
