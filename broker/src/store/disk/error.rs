//! Why a store cannot be opened, and what a write error means.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use rustix::io::Errno;

use super::frame;
use crate::store::WriteError;

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the directory.
    InUse(PathBuf),
    /// A later program wrote a file in the directory. Nothing was changed.
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version of the file's format.
        version: u32,
    },
    /// The operating system reported an error.
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
                "{} was written by a later version of skypipe (format {version}; this version reads up to {})",
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
            // `Display` already includes the error's own message.
            Self::Io(error) => error.source(),
            Self::InUse(_) | Self::TooNew { .. } => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether an error says that the disk, or the user's quota, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether an error says that the system is short of a resource, which says nothing about the disk.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    number.is_some_and(|number| shortages.contains(&number))
}

/// What a write error means. Anything but a lack of room is a failure of the disk: a program that retries
/// after such a failure promises what nobody can keep.
#[must_use]
pub fn write_error(directory: &Path, error: &io::Error) -> WriteError {
    let sentence = format!("cannot write to {}: {error}", directory.display());
    if is_full(error) || is_shortage(error) {
        WriteError::Full(sentence)
    } else {
        WriteError::Failed(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_room_is_tried_again() {
        let meaning = |errno: Errno| write_error(Path::new("/data"), &errno.into());
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NOMEM] {
            assert!(matches!(meaning(errno), WriteError::Full(_)), "{errno}");
        }
        for errno in [
            Errno::IO,
            Errno::ROFS,
            Errno::NOENT,
            Errno::ACCESS,
            Errno::STALE,
        ] {
            assert!(matches!(meaning(errno), WriteError::Failed(_)), "{errno}");
        }
    }

    #[test]
    fn the_systems_words_are_said_once() {
        let error = OpenError::from(io::Error::from(Errno::NOENT));
        let mut sentence = error.to_string();
        let mut source = error::Error::source(&error);
        while let Some(error) = source {
            sentence = format!("{sentence}: {error}");
            source = error.source();
        }
        assert_eq!(sentence.matches("No such file").count(), 1, "{sentence}");
    }
}
