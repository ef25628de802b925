//! The process that is this machine's satellite: `skypipe --local-satellite`.
//!
//! Owns its independence from whoever started it, and its lock. What a satellite does is the
//! business of the crate `skypipe-satellite`.

use std::fs::File;
use std::io::{self, Write};
use std::process;

use anyhow::Context as _;
use rustix::stdio::dup2_stdout;
use skypipe_satellite::{Listen, Settings};

use super::descriptors::close_inherited;
use super::directory::Directory;
use super::start::READY;
use crate::config;
use crate::exit::{DONE, Failure};

/// Is this machine's satellite until it has been idle for long enough or somebody stops it. Says
/// `ready` on stdout when it listens, or why it does not.
///
/// # Errors
///
/// When it cannot listen. The sentence has then been said on stdout; as the program's, it goes to
/// the log as well.
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
    close_inherited();
    // A session of its own, so that the end of the starter's terminal is not its end. Only the first
    // process of a session cannot begin one, and has no need to.
    let _ = rustix::process::setsid();
    let directory = Directory::make(&config::here()?)?;
    let _lock = claim(&directory).context("its lock fails")?;
    let listen = Listen::Ipc(directory.socket().map_err(anyhow::Error::msg)?);
    let data = config::data()?;
    let settings = Settings {
        data,
        ..settings.clone()
    };
    skypipe_satellite::run(&listen, &settings, |_| announce())
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
