//! Values that are one of a few.

use crate::Error;

/// A value that is one of a few. Each has one word, the same in JSON, on the command line, in an address and on the page;
/// words that earlier versions wrote go on being read.
pub trait Choice: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// What such a value is: `loss`.
    const WHAT: &'static str;

    /// All values, in the order in which they are offered.
    const ALL: &'static [Self];

    /// The word.
    fn name(self) -> &'static str;

    /// Other words that are read as this value.
    fn aliases(self) -> &'static [&'static str];

    /// What the value means, in one line.
    fn about(self) -> &'static str;

    /// The value of a word.
    ///
    /// # Errors
    /// [`Error::Setting`] with the words that there are.
    fn named(word: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().copied().find(|value| value.name() == word || value.aliases().contains(&word));
        known.ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|value| value.name()).collect();
            Error::Setting(format!("unknown {} `{word}`: use {}", Self::WHAT, words.join(", ")))
        })
    }
}

/// Declares an enum whose values are a [`Choice`]: `Variant = "word" | "older word"`, with the documentation of a variant as the
/// line that tells its meaning.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        pub enum $Name:ident: $what:literal {
            $($(#[doc = $about:literal])+ $Variant:ident = $word:literal $(| $alias:literal)*,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $Name {
            $($(#[doc = $about])+ #[serde(rename = $word $(, alias = $alias)*)] $Variant,)+
        }

        impl $crate::Choice for $Name {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$(Self::$Variant),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                }
            }

            fn aliases(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Variant => &[$($alias),*],)+
                }
            }

            fn about(self) -> &'static str {
                match self {
                    $(Self::$Variant => concat!($($about),+),)+
                }
                .trim()
                .trim_end_matches('.')
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::Choice::name(*self))
            }
        }

        impl std::str::FromStr for $Name {
            type Err = $crate::Error;

            fn from_str(word: &str) -> $crate::Result<Self> {
                $crate::Choice::named(word)
            }
        }
    };
}

pub(crate) use choices;
