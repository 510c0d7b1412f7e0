//! The attacks: projected gradient descent, the paper's; and the strong ones by which an evaluation is trusted.

mod apgd;
mod auto;
mod cw;
mod deepfool;
mod fab;
mod square;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::choice::choices;
use crate::error::refused;

pub use apgd::Apgd;
pub use auto::Auto;
pub use cw::Cw;
pub use deepfool::DeepFool;
pub use fab::Fab;
pub use square::{Colors, Schedule, Square};

/// Any of the attacks. In JSON the word of its kind is among its settings, but for PGD, which was the only one once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Attack {
    /// Auto-PGD.
    Apgd(Apgd),
    /// FAB-T.
    #[serde(rename = "fab-t")]
    Fab(Fab),
    /// Square.
    Square(Square),
    /// The standard ensemble.
    Auto(Auto),
    /// Carlini-Wagner.
    Cw(Cw),
    /// DeepFool.
    #[serde(rename = "deepfool")]
    DeepFool(DeepFool),
    /// Projected gradient descent.
    #[serde(untagged)]
    Pgd(Pgd),
}

choices! {
    /// Which attack on the base model.
    pub enum AttackKind: "attack" {
        /// No attack: the natural images alone
        None = "none",
        /// Projected gradient descent
        Pgd = "pgd",
        /// One signed step to the corner of the ball
        Fgsm = "fgsm",
        /// Auto-PGD: its step size follows from its progress; on the cross-entropy unless told otherwise
        Apgd = "apgd" | "apgd-ce",
        /// Auto-PGD towards one wrong class after the other
        ApgdTargeted = "apgd-t",
        /// FAB-T: the nearest point of each wrong class
        Fab = "fab-t" | "fab",
        /// Random squares, without gradients
        Square = "square",
        /// The standard ensemble: apgd, apgd-t, fab-t and square, each on what is still right
        Auto = "auto" | "standard" | "autoattack",
        /// Carlini and Wagner's: the smallest perturbation, whatever its size
        Cw = "cw",
        /// The smallest perturbation, boundary by boundary, whatever its size
        DeepFool = "deepfool",
    }
}

choices! {
    /// How a perturbation is measured.
    pub enum Norm: "norm" {
        /// Root of the sum of squares over the pixels
        L2 = "l2",
        /// Largest absolute change of a pixel
        LInfinity = "l-infinity" | "linf",
    }
}

impl Norm {
    fn l_infinity() -> Self {
        Self::LInfinity
    }

    fn is_l_infinity(&self) -> bool {
        *self == Self::LInfinity
    }

    /// The largest length that a change of an image can have.
    fn largest(self) -> f32 {
        match self {
            Self::LInfinity => 1.0,
            Self::L2 => Pgd::LARGEST_L2,
        }
    }
}

impl Attack {
    /// Which attack it is.
    pub fn kind(&self) -> AttackKind {
        match self {
            Self::Pgd(pgd) if pgd.is_fgsm() => AttackKind::Fgsm,
            Self::Pgd(_) => AttackKind::Pgd,
            Self::Apgd(Apgd { targets: 0, .. }) => AttackKind::Apgd,
            Self::Apgd(_) => AttackKind::ApgdTargeted,
            Self::Fab(_) => AttackKind::Fab,
            Self::Square(_) => AttackKind::Square,
            Self::Auto(_) => AttackKind::Auto,
            Self::Cw(_) => AttackKind::Cw,
            Self::DeepFool(_) => AttackKind::DeepFool,
        }
    }

    /// The norm in which it measures a perturbation.
    pub fn norm(&self) -> Norm {
        match self {
            Self::Pgd(pgd) => pgd.norm,
            Self::Cw(cw) => cw.norm,
            Self::DeepFool(deep_fool) => deep_fool.norm,
            Self::Apgd(_) | Self::Fab(_) | Self::Square(_) | Self::Auto(_) => Norm::LInfinity,
        }
    }

    /// The attack of a kind with its standard settings in the ball of radius `epsilon`; `None` for no attack.
    pub fn standard(kind: AttackKind, epsilon: f32) -> Option<Self> {
        Some(match kind {
            AttackKind::None => return None,
            AttackKind::Pgd => Self::Pgd(Pgd { epsilon, ..Pgd::MNIST }),
            AttackKind::Fgsm => Self::Pgd(Pgd::fgsm(epsilon)),
            AttackKind::Apgd => Self::Apgd(Apgd { epsilon, ..Apgd::STANDARD }),
            AttackKind::ApgdTargeted => Self::Apgd(Apgd { epsilon, ..Apgd::STANDARD_TARGETED }),
            AttackKind::Fab => Self::Fab(Fab { epsilon, ..Fab::STANDARD }),
            AttackKind::Square => Self::Square(Square { epsilon, ..Square::STANDARD }),
            AttackKind::Auto => Self::Auto(Auto { epsilon, ..Auto::STANDARD }),
            AttackKind::Cw => Self::Cw(Cw::L2),
            AttackKind::DeepFool => Self::DeepFool(DeepFool::STANDARD),
        })
    }

    /// The radius of its ball, in pixel units (`[0, 1]`); `None` for an attack that looks for the smallest perturbation.
    pub fn epsilon(&self) -> Option<f32> {
        match self {
            Self::Pgd(Pgd { epsilon, .. })
            | Self::Apgd(Apgd { epsilon, .. })
            | Self::Fab(Fab { epsilon, .. })
            | Self::Square(Square { epsilon, .. })
            | Self::Auto(Auto { epsilon, .. }) => Some(*epsilon),
            Self::Cw(_) | Self::DeepFool(_) => None,
        }
    }

    /// The same attack in a ball of radius `epsilon`, in pixel units; as it is where it looks for the smallest perturbation.
    pub fn with_radius(self, epsilon: f32) -> Self {
        match self {
            Self::Pgd(attack) => Self::Pgd(Pgd { epsilon, ..attack }),
            Self::Apgd(attack) => Self::Apgd(Apgd { epsilon, ..attack }),
            Self::Fab(attack) => Self::Fab(Fab { epsilon, ..attack }),
            Self::Square(attack) => Self::Square(Square { epsilon, ..attack }),
            Self::Auto(attack) => Self::Auto(Auto { epsilon, ..attack }),
            Self::Cw(_) | Self::DeepFool(_) => self,
        }
    }

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Pgd(attack) => attack.check(),
            Self::Apgd(attack) => attack.check(),
            Self::Fab(attack) => attack.check(),
            Self::Square(attack) => attack.check(),
            Self::Auto(attack) => attack.check(),
            Self::Cw(attack) => attack.check(),
            Self::DeepFool(attack) => attack.check(),
        }
    }
}

/// Settings of projected gradient descent in a ball (Madry et al. 2018; in the L-infinity ball the paper's white-box attack and the inner loop
/// of its Algorithm 1). FGSM (Goodfellow et al. 2015) is one step of it: [`Pgd::fgsm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pgd {
    /// Which ball, and which steps: along the sign of the gradient in the L-infinity ball, along the gradient in the L2 ball.
    #[serde(default = "Norm::l_infinity", skip_serializing_if = "Norm::is_l_infinity")]
    pub norm: Norm,
    /// Radius of the ball, in pixel units: `[0, 1]`; in L2, where it sums over pixels, up to [`Pgd::LARGEST_L2`].
    pub epsilon: f32,
    /// Length of a step in the same norm and units.
    pub step_size: f32,
    /// Number of steps.
    pub steps: usize,
    /// Independent starts, 1 to 256; the strongest result of each image counts.
    pub restarts: usize,
    /// Where the attack begins.
    pub start: Start,
    /// When an image stops moving.
    pub stop: Stop,
    /// What the attack ascends.
    pub loss: Loss,
}

choices! {
    /// Where the attack begins.
    pub enum Start: "start" {
        /// At the image
        Zero = "zero",
        /// At a random point, uniform in the ball and clipped to the pixel range
        Uniform = "uniform",
    }
}

choices! {
    /// When an image stops moving.
    pub enum Stop: "stop" {
        /// After all steps
        Never = "never",
        /// As soon as the attack has succeeded on it: it then rests just past the decision boundary
        AtSuccess = "at-success" | "success",
    }
}

choices! {
    /// The loss that an attack ascends (untargeted) or descends (targeted).
    pub enum Loss: "loss" {
        /// Cross-entropy to the label or the target
        CrossEntropy = "cross-entropy" | "ce",
        /// Largest other logit minus the label's logit (Carlini & Wagner 2017, without the hinge): not scaled away when the
        /// classifier is confident
        Margin = "margin",
        /// Difference of logits ratio (Croce & Hein 2020): the margin over the distance of the largest logit to the third, so that
        /// neither scale nor offset of the logits matters
        Dlr = "dlr",
    }
}

impl Pgd {
    /// The paper's CIFAR-10 attack (section 4.2): 20 steps of 3/255 in 8/255, one restart.
    pub const CIFAR10: Self = Self { epsilon: 8.0 / 255.0, step_size: 3.0 / 255.0, steps: 20, ..Self::MNIST };
    /// The paper's MNIST attack (section 4.2): 40 steps of 0.01 in 0.3, one restart.
    pub const MNIST: Self = Self {
        norm: Norm::LInfinity,
        epsilon: 0.3,
        step_size: 0.01,
        steps: 40,
        restarts: 1,
        start: Start::Zero,
        stop: Stop::Never,
        loss: Loss::CrossEntropy,
    };

    /// The largest radius in L2: the diagonal of a color image of 32 x 32 pixels, beyond which there is nothing.
    pub const LARGEST_L2: f32 = 55.5;

    /// The same attack in the ball of another norm, where the radii are others: in L2 of 2 where that in L-infinity is at least 0.1, as for
    /// MNIST (Tramèr and Boneh 2019), else of 0.5, as for CIFAR-10; each with steps of 2.5 radii over their number.
    #[must_use]
    pub fn in_l2(self) -> Self {
        let epsilon = if self.epsilon >= 0.1 { 2.0 } else { 0.5 };
        Self { norm: Norm::L2, epsilon, step_size: 2.5 * epsilon / self.steps.max(1) as f32, ..self }
    }

    /// One step to the corner of the ball.
    pub const fn fgsm(epsilon: f32) -> Self {
        Self { epsilon, step_size: epsilon, steps: 1, ..Self::MNIST }
    }

    /// Whether this is one step to the corner of the ball, wherever it starts.
    pub fn is_fgsm(&self) -> bool {
        self.steps == 1 && self.step_size == self.epsilon && self.norm == Norm::LInfinity
    }

    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        let most = self.norm.largest();
        for (what, length) in [("epsilon", self.epsilon), ("step size", self.step_size)] {
            if !(0.0..=most).contains(&length) {
                return refused(format!("{what} must be between 0 and {most} in pixel units, not {length}"));
            }
        }
        check_restarts(self.restarts)
    }
}

fn check_radius(epsilon: f32) -> Result<()> {
    if (0.0..=1.0).contains(&epsilon) {
        return Ok(());
    }
    refused(format!("epsilon must be between 0 and 1 in pixel units, not {epsilon}"))
}

fn check_restarts(restarts: usize) -> Result<()> {
    if (1..=256).contains(&restarts) {
        return Ok(());
    }
    refused(format!("restarts must be between 1 and 256, not {restarts}"))
}
