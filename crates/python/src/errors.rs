//! Errors as exceptions, with the sentences of the command line.

use std::io::{self, ErrorKind};

use pyo3::PyErr;
use pyo3::exceptions::{
    PyFileExistsError, PyFileNotFoundError, PyKeyboardInterrupt, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};

/// The exception that an error is: `KeyboardInterrupt` of a stop, `FileNotFoundError` and its kin of files, `RuntimeError` of a device
/// that failed or a training that diverged, `ValueError` of everything else, which a caller can mend.
pub fn exception(error: anyhow::Error) -> PyErr {
    let sentence = format!("{error:#}");
    if riposte_cli::cancelled(&error) {
        return PyKeyboardInterrupt::new_err(());
    }
    if let Some(riposte::Error::Device(_) | riposte::Error::Diverged(_)) = error.downcast_ref() {
        return PyRuntimeError::new_err(sentence);
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
        None => PyValueError::new_err(sentence),
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(sentence),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(sentence),
        Some(ErrorKind::AlreadyExists) => PyFileExistsError::new_err(sentence),
        Some(_) => PyOSError::new_err(sentence),
    }
}

/// What the command line's parser refuses, without what it says of the command line.
pub fn refused(error: &clap::Error) -> PyErr {
    let text = error.render().to_string();
    let sentence = text.split("\n\nUsage:").next().unwrap_or_default();
    let sentence = sentence.split("\n\nFor more information").next().unwrap_or_default();
    PyValueError::new_err(sentence.trim_start_matches("error: ").trim().to_owned())
}
