//! Why a store cannot be opened.

use std::path::PathBuf;
use std::{error, fmt, io};

use super::frame;

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse(PathBuf),
    /// A file in it was written by a later program; nothing was touched.
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version of its form.
        version: u32,
    },
    /// The operating system says no.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "{} is in use by another satellite", path.display())
            }
            Self::TooNew { path, version } => write!(
                f,
                "{} was written by a later version of skypipe (form {version}; this one knows {})",
                path.display(),
                frame::VERSION
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl error::Error for OpenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::InUse(_) | Self::TooNew { .. } => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
