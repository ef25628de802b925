//! Other programs that are run to their end.
//!
//! Owns the limits of their time and of their output, that none of them runs on behind the next
//! step, and which variables they do not inherit. Knows no program.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The most that a program may write to stdout, and to stderr, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;

/// How long a program may take to end after it was told to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The command without the variables of this program that may hold a secret.
pub fn without_secrets(command: &mut Command) -> &mut Command {
    let secrets = ["SATELLITE", "SKYPIPE_PHRASE"];
    secrets
        .into_iter()
        .fold(command, |command, name| command.env_remove(name))
}

/// What happens to a process while this program waits for it.
#[derive(Debug)]
enum Event {
    /// It has closed its stdout, after this.
    Stdout(io::Result<Vec<u8>>),
    /// It has closed its stderr, after this.
    Stderr(io::Result<Vec<u8>>),
    /// It has ended, and its exit code can be read.
    Ended,
}

/// Gives a process its input, and waits for its end. Returns its exit code and all that it wrote to
/// the streams that are pipes. A process that takes longer than `limit`, or writes more than makes
/// sense, has ended when this returns, too.
///
/// # Errors
///
/// When the process was ended, or its output cannot be read. The error is a sentence.
pub fn finish(mut child: Child, input: Vec<u8>, limit: Duration) -> Result<Output, String> {
    if let Some(mut stdin) = child.stdin.take() {
        // A process that does not read to the end tells why on its stderr.
        thread::spawn(move || stdin.write_all(&input));
    }
    let (sender, events) = mpsc::channel();
    listen(child.stdout.take(), &sender, Event::Stdout);
    listen(child.stderr.take(), &sender, Event::Stderr);
    let pid = Pid::from_child(&child);
    thread::spawn(move || {
        // The process stays a zombie until its exit code is read, so that its id stays its own.
        let unread = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), unread));
        let _ = sender.send(Event::Ended);
    });
    match collect(&events, limit) {
        Ok((stdout, stderr)) => Ok(Output {
            status: child.wait().map_err(|error| error.to_string())?,
            stdout,
            stderr,
        }),
        Err(why) => {
            let _ = end(child, &events);
            Err(why)
        }
    }
}

/// Reads a stream to its end, or to the limit, in a thread of its own.
fn listen(
    stream: Option<impl Read + Send + 'static>,
    sender: &Sender<Event>,
    event: fn(io::Result<Vec<u8>>) -> Event,
) {
    let sender = sender.clone();
    thread::spawn(move || {
        let mut heard = Vec::new();
        let read = match stream {
            Some(stream) => stream.take(MAX_OUTPUT).read_to_end(&mut heard),
            None => Ok(0),
        };
        // Nobody listens any more if the process was given up.
        let _ = sender.send(event(read.map(|_| heard)));
    });
}

/// What the process wrote, as soon as it has ended.
fn collect(events: &Receiver<Event>, limit: Duration) -> Result<(Vec<u8>, Vec<u8>), String> {
    let deadline = Instant::now() + limit;
    let (mut stdout, mut stderr, mut has_ended) = (None, None, false);
    while stdout.is_none() || stderr.is_none() || !has_ended {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Stdout(read)) => stdout = Some(sensible(read)?),
            Ok(Event::Stderr(read)) => stderr = Some(sensible(read)?),
            Ok(Event::Ended) => has_ended = true,
            Err(_) => return Err(format!("no answer within {} seconds", limit.as_secs())),
        }
    }
    Ok((stdout.unwrap_or_default(), stderr.unwrap_or_default()))
}

fn sensible(read: io::Result<Vec<u8>>) -> Result<Vec<u8>, String> {
    let heard = read.map_err(|error| error.to_string())?;
    if heard.len() as u64 == MAX_OUTPUT {
        return Err("the command says more than makes sense".to_owned());
    }
    Ok(heard)
}

/// Tells a process to end, kills it if it does not, and waits until it is gone.
fn end(mut child: Child, events: &Receiver<Event>) -> io::Result<ExitStatus> {
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    let deadline = Instant::now() + GRACE;
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                break;
            }
        }
    }
    child.wait()
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::test_kill_process;

    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell")
    }

    /// Runs a script that is ended, and checks that it is gone. Returns why it was ended.
    fn is_ended(script: &str) -> String {
        let child = shell(script);
        let pid = Pid::from_child(&child);
        let why = finish(child, Vec::new(), Duration::from_millis(300));
        assert!(test_kill_process(pid).is_err(), "{script} still runs");
        why.expect_err("it does not end by itself")
    }

    #[test]
    fn no_secret_is_inherited() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "env"]).env_clear();
        command.env("SATELLITE", "x").env("SKYPIPE_PHRASE", "x");
        let output = without_secrets(&mut command).output();
        let shown = output.expect("there is a shell").stdout;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let is_secret = |line: &str| line.starts_with("SATELLITE=") || line.starts_with("SKYPIPE_");
        assert!(!shown.lines().any(is_secret), "{shown}");
    }

    #[test]
    fn what_goes_in_comes_out() {
        let output = finish(
            shell("cat; echo x >&2; exit 3"),
            vec![b'x'; 1 << 20],
            Duration::from_secs(60),
        );
        let output = output.expect("it ends");
        assert_eq!(
            (output.stdout.len(), &*output.stderr),
            (1 << 20, &b"x\n"[..])
        );
        assert_eq!(output.status.code(), Some(3));
        // A process may close its streams long before it ends, and may have none.
        let closed = finish(
            shell("exec >&- 2>&-; read line; exit 4"),
            Vec::new(),
            Duration::from_secs(60),
        );
        assert_eq!(closed.expect("it ends").status.code(), Some(4));
        let silent = Command::new("/bin/sh").args(["-c", "exit 5"]).spawn();
        let silent = finish(
            silent.expect("there is a shell"),
            Vec::new(),
            Duration::from_secs(60),
        );
        assert_eq!(silent.expect("it ends").status.code(), Some(5));
    }

    #[test]
    fn what_takes_too_long_has_ended_when_that_is_told() {
        assert!(is_ended("exec sleep 1000").contains("no answer"));
        // It does not react to being told.
        assert!(is_ended("trap '' TERM; exec sleep 1000").contains("no answer"));
        // It ends in its own time, and is waited for.
        let orderly = "trap 'exec sleep 0.3' TERM; while :; do sleep 0.05; done";
        assert!(is_ended(orderly).contains("no answer"));
    }

    #[test]
    fn what_says_too_much_is_ended() {
        for stream in ["", " >&2"] {
            let child = shell(&format!("exec yes{stream}"));
            let pid = Pid::from_child(&child);
            let why = finish(child, Vec::new(), Duration::from_secs(60));
            let why = why.expect_err("it never ends");
            assert!(why.contains("more than makes sense"), "{why}");
            assert!(test_kill_process(pid).is_err());
        }
    }
}
