//! `--reset`: stops this machine's own satellite.
//!
//! Owns the asking before something that waits is lost, and the end of a satellite that does not
//! listen any more. Never touches a satellite that others may use.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::check::hung;
use super::{count, inquire, is_running};
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::local::directory::Directory;
use crate::session::Question;
use crate::tell::{notice, words};

/// How long a satellite that was told to stop may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stops the satellite, after asking if something would be lost and `yes` is not given. Returns the
/// exit code.
///
/// # Errors
///
/// When it cannot or must not be stopped.
pub fn reset(yes: bool) -> Result<u8, Failure> {
    if config::named_satellite()?.is_some() {
        return Err(Failure::usage(
            "--reset is for the satellite that starts by itself on this machine, and SATELLITE \
             names another one",
        ));
    }
    let path = config::here()?;
    if !is_running(&path)? {
        notice("no satellite of yours runs on this machine");
        return Ok(DONE);
    }
    let lost = what_is_lost(&path)?;
    if let Some(lost) = &lost {
        confirm(lost, yes)?;
    }
    stop(&path, lost.is_some())?;
    notice("your satellite on this machine has stopped; one starts again at the next use");
    Ok(DONE)
}

/// What would be lost if the satellite stopped, in a sentence.
fn what_is_lost(path: &Path) -> Result<Option<String>, Failure> {
    let inquiry = inquire(Question::Status, &Place::Here(path.to_owned()), false, None)?;
    Ok(match inquiry.status() {
        Some(status) if status.waiting == 0 => None,
        Some(status) => {
            let (streams, bytes) = (count(status.waiting, "stream"), count(status.bytes, "byte"));
            Some(format!("{streams} with {bytes} would be lost"))
        }
        None => Some(format!(
            "{}, and whether something would be lost is not known",
            hung(path)
        )),
    })
}

fn confirm(lost: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "{lost}: with --yes it is done all the same"
        )));
    }
    let _ = write!(io::stderr(), "skypipe: {lost}. Stop the satellite? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::failed("the satellite was left alone")),
    }
}

/// Asks the satellite to stop, and if it does not, ends its process.
fn stop(path: &Path, force: bool) -> Result<(), Failure> {
    let asked = inquire(
        Question::Stop(force),
        &Place::Here(path.to_owned()),
        false,
        None,
    )?;
    if asked.code == DONE && has_ended(path)? {
        return Ok(());
    }
    if !force {
        asked.tell();
        return Err(Failure::failed("the satellite was left alone"));
    }
    for signal in [Signal::TERM, Signal::KILL] {
        kill(path, signal)?;
        if has_ended(path)? {
            return Ok(());
        }
    }
    Err(Failure::failed(hung(path)))
}

/// Waits until the satellite has let go of its lock, which it does at its very end.
fn has_ended(path: &Path) -> Result<bool, Failure> {
    let Some(directory) = Directory::open(path)? else {
        return Ok(true);
    };
    let (sender, freed) = channel();
    thread::spawn(move || sender.send(directory.lock().is_ok()));
    Ok(freed.recv_timeout(PATIENCE).unwrap_or(false))
}

fn kill(path: &Path, signal: Signal) -> Result<(), Failure> {
    let pid = Directory::open(path)?.and_then(|directory| directory.pid());
    let Some(pid) = pid.filter(|pid| is_satellite(*pid)) else {
        return Err(Failure::failed(hung(path)));
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = process else {
        return Ok(());
    };
    match kill_process(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            let why = words(&error.into());
            Err(Failure::failed(format!(
                "process {pid} cannot be ended: {why}"
            )))
        }
    }
}

/// Whether the process `pid` is a satellite of this kind. The number was written down by one, but
/// maybe by one in another container that shares the home directory.
fn is_satellite(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .any(|argument| argument == b"--local-satellite")
}
