//! The process that is this machine's satellite: `skypipe --local-satellite`.
//!
//! Owns its lock, and what it is watched for: a satellite whose directory was taken away is found by nobody.
//! What a satellite does is the business of the crate `skypipe-satellite`.

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

/// Is this machine's satellite until it has been idle for long enough or somebody stops it. Says
/// `ready` on stdout when it listens, or why it does not.
///
/// # Errors
///
/// When it cannot listen, or what it kept or was found by was taken away. The sentence has then been said on
/// stdout; as the program's, it goes to the log as well.
pub fn serve(settings: &Settings) -> Result<u8, Failure> {
    be_the_satellite(settings).map_err(|error| {
        let sentence = format!("{error:#}");
        // Whoever started this one may be gone.
        let _ = writeln!(io::stdout(), "{sentence}");
        Failure::failed(sentence)
    })?;
    Ok(DONE)
}

fn be_the_satellite(settings: &Settings) -> anyhow::Result<()> {
    let inherited = independence::begin();
    let directory = Directory::make(&config::here()?)?;
    let _lock = claim(&directory).context("its lock fails")?;
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

/// Takes the lock for life and notes the process in it. Who starts a satellite looks first whether
/// the lock is held, so this waits for no longer than somebody else's look at it.
fn claim(directory: &Directory) -> io::Result<File> {
    let mut lock = directory.lock()?;
    lock.set_len(0)?;
    writeln!(lock, "{}", process::id())?;
    Ok(lock)
}

/// Says that it listens. If nobody hears that any more, it was started long ago by someone who has
/// given up, and another one may have been started since: this one ends.
fn announce() {
    if writeln!(io::stdout(), "{READY}").is_err() {
        process::exit(DONE.into());
    }
    // The pipe to the starter has served.
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&null);
    }
}
