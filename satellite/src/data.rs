//! The data directory of a satellite.
//!
//! Owns the check of who owns the directory, and the pipe that reports finished syncs.
//! [`skypipe_broker::store::disk`] owns the content of the directory and the limit of its disk
//! usage.

use std::fs::{self, DirBuilder};
use std::io::{PipeReader, Write as _, pipe};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use skypipe_broker::store::Recovered;
use skypipe_broker::store::disk::{Disk, OpenError, Presence, Settings};

/// The opened data directory.
pub(crate) struct Data {
    /// The store in the directory.
    pub store: Disk,
    /// What the store recovered from the directory.
    pub recovered: Recovered,
    /// The files that must stay in place while the satellite runs.
    pub presence: Presence,
    /// Receives one byte for each finished sync.
    pub synced: PipeReader,
}

/// The pause before another attempt to open a directory that another satellite uses.
const AGAIN: Duration = Duration::from_millis(20);

/// Opens the directory, and makes it if it does not exist. If another satellite uses it, this waits
/// up to `timeout`.
pub(crate) fn open(
    directory: &Path,
    budget: Option<u64>,
    timeout: Duration,
) -> anyhow::Result<Data> {
    let until = Instant::now() + timeout;
    loop {
        match try_open(directory, budget) {
            Err(error) if is_in_use(&error) && Instant::now() < until => thread::sleep(AGAIN),
            done => return done,
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::InUse(_)))
}

fn try_open(directory: &Path, budget: Option<u64>) -> anyhow::Result<Data> {
    let cannot = || format!("cannot keep data in {}", directory.display());
    make(directory).with_context(cannot)?;
    let (synced, teller) = pipe().context("cannot make a pipe")?;
    let wake = move || {
        // The pipe's other end is closed only when the satellite exits.
        let _ = (&teller).write_all(b"s");
    };
    let (store, recovered) =
        Disk::open(directory, Settings::new(budget), Box::new(wake)).with_context(cannot)?;
    let presence = store.presence().with_context(cannot)?;
    Ok(Data {
        store,
        recovered,
        presence,
        synced,
    })
}

/// Makes the directory, for this user alone. An existing directory must belong to this user, and
/// nobody else may be able to write to it.
fn make(directory: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let found = fs::metadata(directory)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        bail!("it belongs to another user, who could read the data in it");
    }
    if found.mode() & 0o022 != 0 {
        bail!("others can write to it; to stop that: chmod go-w");
    }
    Ok(())
}
