//! The one error type of the core. Each variant says what was expected, what was found, and what to do.

/// Everything that can go wrong in the core.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of images or labels is not what its format promises.
    #[error("{what}: {problem}")]
    Data {
        /// The file or its format.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A weights file could not be parsed, or what it holds cannot be used.
    #[error("{0}")]
    Weights(String),
    /// A parameter that the architecture needs is not in the weights.
    #[error("weights do not fit `{architecture}`: parameter `{key}` (shape {expected:?}) is missing; there are {found}")]
    MissingKey {
        /// The architecture's name.
        architecture: String,
        /// The parameter's PyTorch name.
        key: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The first of the names that there are, in words.
        found: String,
    },
    /// A parameter has another shape than the architecture's.
    #[error("weights do not fit `{architecture}`: parameter `{key}` should have shape {expected:?}, the file has {found:?}")]
    Shape {
        /// The architecture's name.
        architecture: String,
        /// The parameter's PyTorch name.
        key: String,
        /// Its shape in the architecture.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// The weights hold parameters that the architecture does not know.
    #[error("weights do not fit `{architecture}`: unexpected parameters {keys:?}")]
    UnexpectedKeys {
        /// The architecture's name.
        architecture: String,
        /// The names of these parameters.
        keys: Vec<String>,
    },
    /// A setting is out of its range.
    #[error("{0}")]
    Config(String),
    /// The device failed to run a computation or to read it back.
    #[error("the device failed: {0}")]
    Device(String),
    /// The loss or a parameter is not finite.
    #[error("training has diverged: {0}; a lower learning rate helps, and single precision where it was mixed")]
    Diverged(String),
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Result of the core's operations.
pub type Result<T> = std::result::Result<T, Error>;

impl From<riposte_spec::Error> for Error {
    fn from(error: riposte_spec::Error) -> Self {
        match error {
            riposte_spec::Error::Card(problem) => Self::Data { what: "model card", problem },
            other => Self::Config(other.to_string()),
        }
    }
}

impl From<riposte_data::Error> for Error {
    fn from(error: riposte_data::Error) -> Self {
        match error {
            riposte_data::Error::Data { what, problem } => Self::Data { what, problem },
            riposte_data::Error::Cancelled => Self::Cancelled,
            other => Self::Config(other.to_string()),
        }
    }
}
