//! What goes wrong, as a sentence for the visitor.

/// Why a run did not end as it should.
pub enum Trouble {
    Cancelled,
    /// A sentence for the visitor; `retry`: the same request may work when sent again.
    Failed {
        message: String,
        retry: bool,
    },
}

impl Trouble {
    pub fn retry(message: String) -> Self {
        Self::Failed { message, retry: true }
    }

    pub fn last(message: String) -> Self {
        Self::Failed { message, retry: false }
    }
}

impl From<riposte::Error> for Trouble {
    fn from(error: riposte::Error) -> Self {
        match error {
            riposte::Error::Cancelled => Self::Cancelled,
            riposte::Error::Device(problem) => {
                Self::retry(format!("The device failed ({problem}). Try again; if it stays so, reload the page."))
            }
            other => Self::last(format!("{other}.")),
        }
    }
}
