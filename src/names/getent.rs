//! `getent`: a program of the host that looks names up as the host does.
//!
//! This module owns that process and its timeout. `getent` is linked dynamically, so the host's modules fit
//! it; if one of them crashes, only `getent` crashes. It is never run through a shell. Of this program's
//! environment it gets only the search path and the DNS settings.

use std::env;
use std::io::{self, ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::report::words;

/// The name of the program.
const GETENT: &str = "getent";

/// The timeout. A name server that does not answer takes `getent` five seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most output that is read, in bytes: some thousand addresses.
const MAX_ANSWER: usize = 1 << 18;

/// The environment variables that `getent` gets.
const PASSED_ON: [&str; 3] = ["PATH", "LOCALDOMAIN", "RES_OPTIONS"];

/// Its exit code when there is no such entry.
const NO_ENTRY: i32 = 2;

/// How often its exit is polled after its output has ended.
const GLANCE: Duration = Duration::from_millis(1);

/// The output about `key` in `database`. `None` if there is no such entry.
///
/// # Errors
///
/// When `getent` cannot be run, or fails. The text is the reason.
pub fn ask(database: &str, key: &str) -> Result<Option<String>, String> {
    run(GETENT, database, key, PATIENCE)
}

fn run(
    program: &str,
    database: &str,
    key: &str,
    patience: Duration,
) -> Result<Option<String>, String> {
    let mut command = Command::new(program);
    command.args([database, "--", key]).env_clear();
    for name in PASSED_ON {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("getent cannot be run ({})", words(&error)))?;
    let end = Instant::now() + patience;
    let answer = listen(&mut child, end);
    // It has ended, or took too long.
    let _ = child.kill();
    let _ = child.wait();
    answer
}

fn listen(child: &mut Child, end: Instant) -> Result<Option<String>, String> {
    let Some(mut stdout) = child.stdout.take() else {
        return Err("getent printed nothing".to_owned());
    };
    let text = read(&mut stdout, end).map_err(|error| format!("getent {}", words(&error)))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.code() == Some(NO_ENTRY) => return Ok(None),
            Ok(Some(status)) if status.success() && !text.is_empty() => return Ok(Some(text)),
            Ok(Some(status)) => return Err(format!("getent failed ({status})")),
            Ok(None) if Instant::now() < end => thread::sleep(GLANCE),
            Ok(None) => return Err(format!("getent {}", late())),
            Err(error) => return Err(format!("getent cannot be waited for ({})", words(&error))),
        }
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "took too long")
}

/// Reads all output, until the time `end`.
fn read(stdout: &mut ChildStdout, end: Instant) -> io::Result<String> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        let left = end
            .checked_duration_since(Instant::now())
            .ok_or_else(late)?;
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut items = [PollFd::new(stdout, PollFlags::IN)];
        match poll(&mut items, Some(&left)) {
            Ok(0) => return Err(late()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match stdout.read(&mut part)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count => text.extend_from_slice(&part[..count]),
        }
        if text.len() > MAX_ANSWER {
            return Err(io::Error::other("printed too much"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for a `getent` that is this script.
    fn answer(script: &str) -> Result<Option<String>, String> {
        run("sh", "-c", script, Duration::from_millis(1500))
    }

    #[test]
    fn its_answer_is_read() {
        assert_eq!(answer("echo sky"), Ok(Some("sky\n".into())));
        assert_eq!(answer("exit 2"), Ok(None));
    }

    #[test]
    fn it_is_told_no_secret() {
        let told = answer("env").expect("it succeeds").expect("PATH is there");
        assert!(!told.contains("HOME="), "{told}");
    }

    #[test]
    fn one_that_crashes_hangs_or_says_nothing_is_no_answer() {
        for (script, reason) in [
            ("kill -SEGV $$", "signal: 11"),
            ("exit 1", "exit status: 1"),
            ("exit 0", "exit status: 0"),
            ("exec sleep 60", "took too long"),
            ("exec >&-; exec sleep 60", "took too long"),
            ("exec yes", "printed too much"),
        ] {
            let error = answer(script).expect_err(script);
            assert!(error.contains(reason), "{script}: {error}");
        }
        let error = run("/nowhere/getent", "ahosts", "sky", PATIENCE).expect_err("none is there");
        assert!(error.contains("cannot be run"), "{error}");
    }
}
