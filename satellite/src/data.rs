//! The directory in which a satellite keeps what waits.
//!
//! Owns whose the directory may be, and the pipe through which the end of a sync is told. What is in
//! it, and how much of its disk may be used, is [`skypipe_broker::store::disk`]'s.

use std::fs::{self, DirBuilder};
use std::io::{PipeReader, Write as _, pipe};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use skypipe_broker::store::Recovered;
use skypipe_broker::store::disk::{Disk, OpenError, Presence, Settings};

/// The directory, opened.
pub(crate) struct Data {
    /// The store on it.
    pub store: Disk,
    /// What was found there.
    pub recovered: Recovered,
    /// What must stay where it is.
    pub presence: Presence,
    /// Where a byte tells the end of each sync.
    pub synced: PipeReader,
}

/// How often a directory that another satellite uses is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Opens the directory, and makes it if there is none. One that another satellite uses is waited for as long
/// as `patience`.
pub(crate) fn open(
    directory: &Path,
    budget: Option<u64>,
    patience: Duration,
) -> anyhow::Result<Data> {
    let until = Instant::now() + patience;
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
        // The other end is closed only when the satellite ends.
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

/// Makes the directory, for this user alone; one that is there must be as safe.
fn make(directory: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let found = fs::metadata(directory)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        bail!("it belongs to somebody else, who could read what is kept there");
    }
    if found.mode() & 0o022 != 0 {
        bail!("others can write to it: take that right from them (chmod go-w)");
    }
    Ok(())
}
