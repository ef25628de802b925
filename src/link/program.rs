//! The command of `skypipe NAME -- COMMAND…`, whose output is written instead of stdin.
//!
//! This module owns the process: finding its program, starting it, telling it to end, and its exit status.
//! The command shares skypipe's stdin, stderr and process group, so that Ctrl-C reaches both. This module
//! never reads its output.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};
use skypipe_satellite::core_dumps;

use crate::descriptors;
use crate::exit::Failure;
use crate::report::words;
use crate::session::{CommandEnd, Signal};

/// The exit codes for a command that cannot be run and for one that does not exist, as in `env`, `timeout`
/// and shells.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The search path when `PATH` is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command whose program was found and that was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
    /// The descriptors that skypipe inherited. The command inherits them as well.
    inherited: Vec<RawFd>,
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    /// The process. It is never reaped, so that no other process gets the same pid.
    pub pid: Pid,
    /// The read end of the pipe from its stdout.
    pub output: OwnedFd,
}

impl Program {
    /// Finds the program of a command. `None` if there is no command. Call it before any descriptor is
    /// opened.
    ///
    /// # Errors
    ///
    /// When there is no program of that name, or it cannot be run.
    pub fn find(command: &[OsString]) -> Result<Option<Self>, Failure> {
        let Some((name, arguments)) = command.split_first() else {
            return Ok(None);
        };
        let refuse = |code, why: &str| Failure {
            code,
            sentence: format!("cannot run {}: {why}", name.display()),
        };
        let candidates = candidates(name, env::var_os("PATH"));
        let mut files = candidates.iter().filter(|path| path.is_file());
        match files.clone().find(|path| can_be_run(path)) {
            Some(path) => Ok(Some(Self {
                path: path.clone(),
                name: name.clone(),
                arguments: arguments.to_vec(),
                inherited: descriptors::open(),
            })),
            None if files.next().is_some() => Err(refuse(CANNOT_RUN, "it is not executable")),
            None => Err(refuse(NOT_FOUND, "there is no such command")),
        }
    }

    /// Starts the command.
    ///
    /// # Errors
    ///
    /// A sentence about why the system refuses.
    pub fn start(&self) -> Result<Running, String> {
        let cannot = |error| format!("cannot run {}: {}", self.name.display(), words(&error));
        descriptors::keep_from_children(&self.inherited);
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .stdout(Stdio::piped());
        let mut child = core_dumps::as_before(|| command.spawn()).map_err(cannot)?;
        let output = child.stdout.take().map(OwnedFd::from);
        output
            .map(|output| Running {
                pid: Pid::from_child(&child),
                output,
            })
            .ok_or_else(|| cannot(io::Error::other("it has no stdout")))
    }
}

impl Running {
    /// Waits for the command to end.
    ///
    /// # Errors
    ///
    /// When the system does not report its exit status.
    pub fn end(&self) -> io::Result<CommandEnd> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), options))?;
        let status = status.ok_or_else(|| io::Error::other("it has not ended"))?;
        let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        let killed = status.terminating_signal().map(number);
        let code = status.exit_status().map_or(u8::MAX, number);
        Ok(killed.map_or(CommandEnd::Exited(code), CommandEnd::Killed))
    }
}

/// Passes a signal on to the command. Ctrl-C has reached the command already, and to some programs a second
/// SIGINT means more than the first, so SIGINT is not passed on.
pub fn pass_on(pid: Pid, signal: Signal) {
    let signal = match signal {
        Signal::Interrupt => return,
        Signal::Hangup => rustix::process::Signal::HUP,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    // The command may have ended already, which is fine.
    let _ = kill_process(pid, signal);
}

/// The files that a command's name may refer to, in search order.
fn candidates(name: &OsStr, path: Option<OsString>) -> Vec<PathBuf> {
    let file = Path::new(name);
    if name.is_empty() || name.as_encoded_bytes().contains(&b'/') {
        return vec![file.to_owned()];
    }
    let path = path.unwrap_or_else(|| USUAL_PATH.into());
    env::split_paths(&path)
        .map(|directory| directory.join(file))
        .collect()
}

fn can_be_run(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_along_the_path_and_a_path_is_itself() {
        let path = || Some(OsString::from("/a:/b"));
        let there = |name: &str| candidates(OsStr::new(name), path());
        assert_eq!(there("x"), [PathBuf::from("/a/x"), "/b/x".into()]);
        assert_eq!(there("./x"), [PathBuf::from("./x")]);
        assert_eq!(there(""), [PathBuf::from("")]);
    }
}
