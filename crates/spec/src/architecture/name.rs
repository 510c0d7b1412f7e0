//! How architectures are named, and what a name says that keys and shapes of weights do not.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Architecture, Nonlinearity, PreActForm, ResNetDepth, Shortcut, WIDTHS};
use crate::{Error, Result};

/// The architectures that have one size, or a size with a name of its own.
const NAMED: [(&str, Architecture); 9] = [
    ("fast-mnist-cnn", Architecture::FastMnistCnn),
    ("madry-mnist-cnn", Architecture::MadryMnistCnn),
    ("trades-mnist-cnn", Architecture::TradesMnistCnn),
    ("preact-resnet18", Architecture::PreActResNet { width: 64, blocks: 2, form: PreActForm::Fast }),
    ("resnet18", Architecture::ResNet { depth: ResNetDepth::D18, width: 64 }),
    ("resnet34", Architecture::ResNet { depth: ResNetDepth::D34, width: 64 }),
    ("resnet50", Architecture::ResNet { depth: ResNetDepth::D50, width: 64 }),
    ("resnet4b", Architecture::ResNet4b),
    ("cnn-a", Architecture::CnnA),
];

/// What the names of the others are made of, for messages.
const PATTERNS: &str = "preact-resnet-wW-bB (width W, B blocks a stage), either with -activated, -bare or -activated-bare; resnet101, \
     resnet152, or any of the ResNets with -wW; wrn-D-W (depth D = 6 n + 4, widening W), wrn-D-W-relu, wrn-D-W-silu; with 1x1 \
     convolutions as shortcuts wrn-D-W-conv-relu, wrn-D-W-conv-leaky, wrn-D-W-conv-silu; dm-wrn-D-W-relu, dm-wrn-D-W-silu";

impl Architecture {
    /// Those that have one size, or a size with a name of its own.
    pub fn named() -> impl Iterator<Item = Self> {
        NAMED.into_iter().map(|(_, architecture)| architecture)
    }

    /// It and those whose weights have the same names and shapes and compute something else: whoever has only the weights cannot tell.
    pub fn lookalikes(self) -> Vec<Self> {
        match self {
            Self::WideResNet { depth, widen, shortcut, .. } => {
                let of = |nonlinearity| Self::WideResNet { depth, widen, shortcut, nonlinearity };
                Nonlinearity::ALL.map(of).to_vec()
            }
            Self::DmWideResNet { depth, widen, .. } => [Nonlinearity::Relu, Nonlinearity::Silu]
                .map(|nonlinearity| Self::DmWideResNet { depth, widen, nonlinearity })
                .to_vec(),
            Self::PreActResNet { width, blocks, form } => {
                let alike = PreActForm::ALL.into_iter().filter(|other| other.is_normalized_last() == form.is_normalized_last());
                alike.map(|form| Self::PreActResNet { width, blocks, form }).collect()
            }
            other => vec![other],
        }
    }

    /// What of its computation the weights do not show, in words: `LeakyReLU of slope 0.1`. `None` if nothing is left open.
    pub fn beyond_weights(self) -> Option<&'static str> {
        match self {
            Self::WideResNet { nonlinearity, .. } | Self::DmWideResNet { nonlinearity, .. } => Some(nonlinearity.title()),
            Self::PreActResNet { form, .. } if form.is_activated() => {
                Some("shortcuts that take the activated value (Rice et al. 2020)")
            }
            Self::PreActResNet { .. } => Some("shortcuts that take a block's input (Fast-FGSM's code)"),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMED.iter().find(|(_, architecture)| architecture == self) {
            return f.write_str(name);
        }
        match *self {
            Self::PreActResNet { width: 64, blocks: 2, form } => write!(f, "preact-resnet18{}", suffix(form)),
            Self::PreActResNet { width, blocks, form } => write!(f, "preact-resnet-w{width}-b{blocks}{}", suffix(form)),
            Self::ResNet { depth, width: 64 } => write!(f, "resnet{}", depth.number()),
            Self::ResNet { depth, width } => write!(f, "resnet{}-w{width}", depth.number()),
            Self::WideResNet { depth, widen, shortcut, nonlinearity } => match (shortcut, nonlinearity) {
                (Shortcut::Pooling, Nonlinearity::Leaky) => write!(f, "wrn-{depth}-{widen}"),
                (Shortcut::Pooling, other) => write!(f, "wrn-{depth}-{widen}-{}", other.word()),
                (Shortcut::Convolution, any) => write!(f, "wrn-{depth}-{widen}-conv-{}", any.word()),
            },
            Self::DmWideResNet { depth, widen, nonlinearity } => write!(f, "dm-wrn-{depth}-{widen}-{}", nonlinearity.word()),
            Self::FastMnistCnn | Self::MadryMnistCnn | Self::TradesMnistCnn | Self::ResNet4b | Self::CnnA => {
                unreachable!("it has a name")
            }
        }
    }
}

/// What the rest of a name after its prefix means.
type OfRest = fn(&str) -> Option<Architecture>;

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let name = if name == "preact-resnet" { "preact-resnet18" } else { name };
        if let Some((_, architecture)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*architecture);
        }
        if let Some((what, choices)) = unsaid(name) {
            return Err(Error::Setting(format!(
                "`{name}` does not say which activation it has, and its weights do not show it: use {choices} ({what})"
            )));
        }
        let prefixes: [(&str, OfRest); 4] =
            [("preact-resnet", preact_resnet), ("resnet", resnet), ("wrn-", wide_resnet), ("dm-wrn-", dm_wide_resnet)];
        let known = prefixes.into_iter().find_map(|(prefix, parse)| parse(name.strip_prefix(prefix)?));
        known.ok_or_else(|| {
            let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            Error::Setting(format!("unknown architecture `{name}`: use {}; {PATTERNS}", names.join(", ")))
        })
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.to_string()
    }
}

impl TryFrom<String> for Architecture {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

/// Of a name that lacks an activation: hints, and the names that have one.
fn unsaid(name: &str) -> Option<(&'static str, String)> {
    if let Some(sizes) = name.strip_prefix("wrn-").and_then(|rest| rest.strip_suffix("-conv")) {
        wide_sizes(sizes)?;
        return Some((
            "TRADES, Carmon et al., AWP and most others have ReLU",
            format!("{name}-relu, {name}-leaky or {name}-silu"),
        ));
    }
    wide_sizes(name.strip_prefix("dm-wrn-")?)?;
    Some((
        "Gowal et al. and Rebuffi et al. have SiLU, also called swish, in most of theirs",
        format!("{name}-silu or {name}-relu"),
    ))
}

fn suffix(form: PreActForm) -> &'static str {
    match form {
        PreActForm::Fast => "",
        PreActForm::Activated => "-activated",
        PreActForm::Bare => "-bare",
        PreActForm::ActivatedBare => "-activated-bare",
    }
}

fn number(text: &str, range: RangeInclusive<usize>) -> Option<usize> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Of `18` or `-wW-bB`, with or without the suffix of a form.
fn preact_resnet(rest: &str) -> Option<Architecture> {
    // The longest suffix first: `-bare` ends `-activated-bare`, too, and the empty one ends everything.
    let forms = [PreActForm::ActivatedBare, PreActForm::Activated, PreActForm::Bare, PreActForm::Fast];
    let (sizes, form) = forms.into_iter().find_map(|form| Some((rest.strip_suffix(suffix(form))?, form)))?;
    if sizes == "18" {
        return Some(Architecture::PreActResNet { width: 64, blocks: 2, form });
    }
    let (width, blocks) = sizes.strip_prefix("-w")?.split_once("-b")?;
    Some(Architecture::PreActResNet { width: number(width, WIDTHS)?, blocks: number(blocks, 1..=64)?, form })
}

/// Of `D` or `D-wW`.
fn resnet(rest: &str) -> Option<Architecture> {
    let (depth, width) = match rest.split_once("-w") {
        Some((depth, width)) => (depth, number(width, WIDTHS)?),
        None => (rest, 64),
    };
    let depth = number(depth, 1..=152)?;
    let depth = ResNetDepth::ALL.into_iter().find(|known| known.number() == depth)?;
    Some(Architecture::ResNet { depth, width })
}

/// Of `D-W`.
fn wide_sizes(sizes: &str) -> Option<(usize, usize)> {
    let (depth, widen) = sizes.split_once('-')?;
    let depth = number(depth, 10..=1000).filter(|depth| depth % 6 == 4)?;
    Some((depth, number(widen, 1..=64)?))
}

fn nonlinearity(sizes: &str) -> Option<(&str, Nonlinearity)> {
    let (sizes, word) = sizes.rsplit_once('-')?;
    Some((sizes, Nonlinearity::ALL.into_iter().find(|known| known.word() == word)?))
}

/// Of `D-W`, `D-W-relu`, `D-W-conv-relu` and the like.
fn wide_resnet(rest: &str) -> Option<Architecture> {
    let (sizes, nonlinearity) = nonlinearity(rest).unwrap_or((rest, Nonlinearity::Leaky));
    let (sizes, shortcut) = match sizes.strip_suffix("-conv") {
        Some(sizes) => (sizes, Shortcut::Convolution),
        None => (sizes, Shortcut::Pooling),
    };
    let (depth, widen) = wide_sizes(sizes)?;
    Some(Architecture::WideResNet { depth, widen, shortcut, nonlinearity })
}

/// Of `D-W-silu` or `D-W-relu`.
fn dm_wide_resnet(rest: &str) -> Option<Architecture> {
    let (sizes, nonlinearity) = nonlinearity(rest).filter(|(_, nonlinearity)| *nonlinearity != Nonlinearity::Leaky)?;
    let (depth, widen) = wide_sizes(sizes)?;
    Some(Architecture::DmWideResNet { depth, widen, nonlinearity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "fast-mnist-cnn",
            "preact-resnet18",
            "preact-resnet18-activated",
            "preact-resnet18-activated-bare",
            "preact-resnet-w16-b2",
            "preact-resnet-w4-b1-bare",
            "resnet18",
            "resnet50",
            "resnet152",
            "resnet34-w4",
            "wrn-34-10",
            "wrn-34-10-relu",
            "wrn-28-4-conv-relu",
            "wrn-70-16-conv-silu",
            "dm-wrn-28-10-silu",
            "resnet4b",
            "cnn-a",
        ] {
            assert_eq!(name.parse::<Architecture>().unwrap().to_string(), name);
        }
        let wrong = [
            "resnet",
            "resnet20",
            "preact-resnet-w0-b2",
            "preact-resnet-w641-b1",
            "wrn-33-10",
            "wrn-4-1",
            "wrn-34",
            "wrn-34-10-pool",
            "dm-wrn-28-10-leaky",
        ];
        for name in wrong {
            let error = name.parse::<Architecture>().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("wrn-D-W"), "{error}");
        }
    }

    #[test]
    fn a_name_without_an_activation_is_asked_for_one() {
        for (name, choice) in [("wrn-34-10-conv", "wrn-34-10-conv-relu"), ("dm-wrn-28-10", "dm-wrn-28-10-silu")] {
            let error = name.parse::<Architecture>().unwrap_err().to_string();
            assert!(error.contains("activation") && error.contains(choice), "{error}");
        }
    }

    #[test]
    fn lookalikes_have_the_same_layers_and_each_its_own_words() {
        for name in ["wrn-10-2-conv-relu", "wrn-10-2", "dm-wrn-10-1-silu", "preact-resnet18", "preact-resnet18-bare"] {
            let architecture: Architecture = name.parse().unwrap();
            let alike = architecture.lookalikes();
            assert!(alike.len() > 1 && alike.contains(&architecture), "{name}");
            for (index, other) in alike.iter().enumerate() {
                assert_eq!(other.layers(), architecture.layers());
                assert!(other.beyond_weights().is_some());
                assert!(alike[..index].iter().all(|before| before.beyond_weights() != other.beyond_weights()));
            }
        }
        assert_eq!(Architecture::CnnA.lookalikes(), [Architecture::CnnA]);
        assert_eq!(Architecture::CnnA.beyond_weights(), None);
    }
}
