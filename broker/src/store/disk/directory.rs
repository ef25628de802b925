//! The store's directory: file names, the lock, and syncing of the directory itself.
//!
//! This module never deletes a file that it does not know, nor a file that is marked as damaged.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::OpenError;
use super::presence::Presence;

/// The name of the file that reserves space.
const RESERVE: &str = "reserve";

/// The name of the lock file.
const LOCK: &str = "lock";

/// The suffix of files that are not completely written.
const UNFINISHED: &str = ".tmp";

/// The directory. It is locked as long as this value exists.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
    _lock: File,
}

/// The files in the directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// The numbers of the segments, in order.
    pub segments: Vec<u32>,
    /// The numbers of the state files, in order.
    pub states: Vec<u32>,
    /// Files that are not completely written.
    pub unfinished: Vec<PathBuf>,
    /// The total size of files kept because something in them is damaged, in bytes.
    pub damaged: u64,
}

impl Directory {
    /// Opens the directory, which is created if needed, and locks it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let handle = File::open(path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(path.into())),
            Err(error) => return Err(OpenError::Io(error.into())),
        }
        Ok(Self {
            path: path.into(),
            handle,
            _lock: lock,
        })
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open directory.
    #[must_use]
    pub fn handle(&self) -> &File {
        &self.handle
    }

    /// The files that must stay in place for the data to be found again.
    pub fn presence(&self) -> io::Result<Presence> {
        Presence::of([&self.path, &self.path.join(LOCK)])
    }

    /// Lists the files in the directory.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if let Some(number) = number(&name, "log-") {
                listing.segments.push(number);
            } else if let Some(number) = number(&name, "state-") {
                listing.states.push(number);
            } else if name.starts_with("state-") && name.contains(UNFINISHED) {
                listing.unfinished.push(entry.path());
            } else if name.starts_with("damaged-") {
                listing.damaged += entry.metadata()?.len();
            }
        }
        listing.segments.sort_unstable();
        listing.states.sort_unstable();
        Ok(listing)
    }

    /// The path of a segment.
    #[must_use]
    pub fn segment(&self, number: u32) -> PathBuf {
        self.path.join(format!("log-{number:016x}"))
    }

    /// The path of a state file.
    #[must_use]
    pub fn state(&self, number: u32) -> PathBuf {
        self.path.join(format!("state-{number:016x}"))
    }

    /// The path of a state file that is being written.
    #[must_use]
    pub fn unfinished_state(&self, number: u32) -> PathBuf {
        self.path.join(format!("state-{number:016x}{UNFINISHED}"))
    }

    /// The path of the reserve.
    #[must_use]
    pub fn reserve(&self) -> PathBuf {
        self.path.join(RESERVE)
    }

    /// Renames a damaged file, so that it stays until somebody looks at it.
    pub fn set_aside(&self, file: &Path) -> io::Result<()> {
        fs::rename(file, self.aside(file))
    }

    /// Keeps a copy of a damaged file that is about to be truncated.
    pub fn copy_aside(&self, file: &Path) -> io::Result<u64> {
        fs::copy(file, self.aside(file))
    }

    fn aside(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut path = self.path.join(format!("damaged-{name}"));
        let mut count = 1;
        while path.exists() {
            count += 1;
            path = self.path.join(format!("damaged-{name}-{count}"));
        }
        path
    }

    /// Makes the names of new files survive a power loss.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Creates a new file that only its owner may read.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens an existing file for writing.
pub fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn number(name: &str, prefix: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    if digits.len() != 16 {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}
/// Whether a store has written something into this directory. It may all have been taken since.
#[must_use]
pub fn has_logs(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| number(&name, "log-").is_some())
}
