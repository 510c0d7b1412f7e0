//! Why a description of a run is refused.

/// A sentence for whoever wrote the description: what was expected, what was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range, unknown, or contradicts another one.
    #[error("{0}")]
    Setting(String),
    /// A model card is not one.
    #[error("model card: {0}")]
    Card(String),
}

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A setting that is refused.
pub(crate) fn refused<T>(sentence: impl Into<String>) -> Result<T> {
    Err(Error::Setting(sentence.into()))
}
