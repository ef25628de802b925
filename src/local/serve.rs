//! The process of this machine's satellite: `skypipe --local-satellite`.
//!
//! This module owns its lock, and watches the directory: nobody can find a satellite whose directory was
//! removed. The crate `skypipe-satellite` does the rest.

use std::fs::File;
use std::io::{self, Write};
use std::process;

use anyhow::Context as _;
use rustix::stdio::dup2_stdout;
use skypipe_satellite::{Background, Listen, Settings};

use super::directory::Directory;
use super::independence;
use super::start::READY;
use crate::config;
use crate::exit::{DONE, Failure};

/// Runs this machine's satellite until it has been idle for long enough or is stopped. Prints `ready` on
/// stdout when it listens, or else the reason why it does not.
///
/// # Errors
///
/// When it cannot listen, or its stored data or its directory was removed. The sentence has been printed on
/// stdout by then. As the program's failure it goes to the log as well.
pub fn serve(settings: &Settings) -> Result<u8, Failure> {
    be_the_satellite(settings).map_err(|error| {
        let sentence = format!("{error:#}");
        // The starter may be gone, so a failed write does not matter.
        let _ = writeln!(io::stdout(), "{sentence}");
        Failure::failed(sentence)
    })?;
    Ok(DONE)
}

fn be_the_satellite(settings: &Settings) -> anyhow::Result<()> {
    let inherited = independence::begin();
    let directory = Directory::make(&config::here()?)?;
    let _lock = claim(&directory).context("its lock failed")?;
    let listen = Listen::Ipc(directory.socket().map_err(anyhow::Error::msg)?);
    let data = config::data()?;
    let settings = Settings {
        data,
        ..settings.clone()
    };
    let background = Background {
        log: directory.log(),
        found_by: directory.found_by(),
        inherited,
    };
    skypipe_satellite::run(&listen, &settings, Some(&background), |_| announce())
}

/// Takes the lock for life and writes the process id into it. A starter checks the lock first, so this
/// waits only for somebody else's short check.
fn claim(directory: &Directory) -> io::Result<File> {
    let mut lock = directory.lock()?;
    lock.set_len(0)?;
    writeln!(lock, "{}", process::id())?;
    Ok(lock)
}

/// Prints that it listens. If nobody reads that any more, the starter gave up long ago, and another
/// satellite may have been started since: this one ends.
fn announce() {
    if writeln!(io::stdout(), "{READY}").is_err() {
        process::exit(DONE.into());
    }
    // The pipe to the starter is no longer needed.
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&null);
    }
}
