//! `--reset`: stops this machine's own satellite. [`deployed`] ends a deployed one.
//!
//! This module asks before unread data would be lost, and ends a satellite that no longer answers. It never
//! touches a satellite that others may use.

mod deployed;

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use skypipe_protocol::text::count;

use super::check::hung;
use crate::cli::Reset;
use crate::config::{self, Place};
use crate::conversation::{has_left_something, inquire, is_running};
use crate::exit::{DONE, Failure};
use crate::local::directory::Directory;
use crate::prompt;
use crate::provision::record;
use crate::report::notice;
use crate::session::{Question, Timeouts};

/// How long a satellite may take to stop.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Stops the satellite and returns the exit code. Without `yes` it asks first if unread data would be lost.
///
/// # Errors
///
/// When the satellite cannot or must not be stopped.
pub fn reset(reset: &Reset) -> Result<u8, Failure> {
    if reset.target.is_some() {
        return deployed::reset(reset);
    }
    if config::named_satellite()?.is_some() {
        return Err(Failure::usage(
            "--reset only works for a satellite that --setup deployed or that started by itself \
             on this machine, but SATELLITE names another one",
        ));
    }
    if record::deployed()?.is_some() {
        return deployed::reset(reset);
    }
    let flags = &reset.deploy;
    if flags.app.is_some() || flags.org.is_some() || flags.json {
        return Err(Failure::usage(
            "no satellite was set up from this machine: name one, as in --reset fly",
        ));
    }
    let path = config::here()?;
    let has_left = has_left_something()?;
    if !has_left && !is_running(&path)? {
        notice("no satellite is running on this machine");
        return Ok(DONE);
    }
    match inquire(
        Question::Status,
        &Place::Here(path.clone()),
        has_left,
        Timeouts::default(),
    )?
    .status()
    {
        Some(status) if status.waiting == 0 => stop(&path, || ask_to_stop(&path, false))?,
        Some(status) => {
            let streams = count(status.waiting, "unread stream");
            let bytes = count(status.bytes, "byte");
            let lost = format!("this would delete {streams} ({bytes})");
            confirm(&lost, reset.yes)?;
            stop(&path, || ask_to_stop(&path, true))?;
        }
        None => {
            confirm(
                &format!("{}; this would delete its unread data", hung(&path)),
                reset.yes,
            )?;
            stop(&path, || end(&path))?;
        }
    }
    notice("the satellite on this machine has stopped; a new one starts at the next use");
    Ok(DONE)
}

fn confirm(lost: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match prompt::confirm(&format!("{lost}. Stop the satellite?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the satellite is unchanged")),
        None => Err(Failure::usage(format!(
            "{lost}; to do it anyway: skypipe --reset --yes"
        ))),
    }
}

/// Stops the satellite with `how`, while nobody may start the next one. Its clients come back at once, and
/// their new satellite would look like one that did not stop.
fn stop(path: &Path, how: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let directory = Directory::open(path)?;
    let start_lock = directory
        .map(|directory| directory.start_lock())
        .transpose();
    let _start_lock =
        start_lock.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    how()
}

/// Asks the satellite to stop. `force` stops it even if data waits in it.
fn ask_to_stop(path: &Path, force: bool) -> Result<(), Failure> {
    let asked = inquire(
        Question::Stop(force),
        &Place::Here(path.to_owned()),
        false,
        Timeouts::default(),
    )?;
    if asked.code == DONE && has_ended(path)? {
        return Ok(());
    }
    asked.tell();
    Err(Failure::failed("the satellite did not stop"))
}

/// Ends the process of a satellite that does not answer. A satellite that was only suspended gets the
/// chance to shut down in order.
fn end(path: &Path) -> Result<(), Failure> {
    let process = process(path).ok_or_else(|| Failure::failed(hung(path)))?;
    for signals in [&[Signal::TERM, Signal::CONT][..], &[Signal::KILL]] {
        for signal in signals {
            // If this fails, the lock shows that the satellite still runs.
            let _ = kill_process(process, *signal);
        }
        if has_ended(path)? {
            return Ok(());
        }
    }
    Err(Failure::failed(hung(path)))
}

/// Waits until the satellite has released its lock, its very last action.
fn has_ended(path: &Path) -> Result<bool, Failure> {
    let Some(directory) = Directory::open(path)? else {
        return Ok(true);
    };
    let (sender, freed) = channel();
    thread::spawn(move || sender.send(directory.lock().is_ok()));
    Ok(freed.recv_timeout(TIMEOUT).unwrap_or(false))
}

/// The satellite's process. A satellite wrote its pid down, but possibly in another container that shares
/// the home directory, so the process is checked.
fn process(path: &Path) -> Option<Pid> {
    let pid = Directory::open(path).ok()??.pid()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let is_satellite = line
        .split(|byte| *byte == 0)
        .any(|word| word == b"--local-satellite");
    if is_satellite {
        Pid::from_raw(i32::try_from(pid).ok()?)
    } else {
        None
    }
}
