//! The command of `skypipe NAME -- COMMAND…`, whose output is written in the place of stdin.
//!
//! Owns the process: how its program is found, how it is started, told to end, and how it ended. It
//! has skypipe's stdin, stderr and process group, so that Ctrl-C reaches both. Never reads its output.

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
use crate::session::{CommandEnd, Signal};
use crate::tell::words;

/// The exit codes when a command cannot be run, and when there is none of that name: those of `env`,
/// `timeout` and shells.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Where programs are looked for when `PATH` is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
    /// The descriptors that skypipe was started with, which the command gets as well.
    inherited: Vec<RawFd>,
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    /// Its process. It is never reaped, so that no other process gets this number.
    pub pid: Pid,
    /// The pipe from its stdout.
    pub output: OwnedFd,
}

impl Program {
    /// Finds the program of a command; nothing if there is no command. To be called before
    /// anything is opened.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or it cannot be run.
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

    /// Starts it.
    ///
    /// # Errors
    ///
    /// A sentence, when the system does not.
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
    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
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

/// Tells a command to end, as skypipe was told. Ctrl-C has reached it already: a second one means more
/// to some programs than the first.
pub fn pass_on(pid: Pid, signal: Signal) {
    let signal = match signal {
        Signal::Interrupt => return,
        Signal::Hangup => rustix::process::Signal::HUP,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    // One that has ended needs no telling.
    let _ = kill_process(pid, signal);
}

/// Which files a command's name may mean, in order.
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
