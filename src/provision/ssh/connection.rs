//! Runs scripts on a host, by the user's own ssh program.
//!
//! Owns the ssh processes, the connection that they share, and how a script's answer is separated
//! from the noise around it. Never knows what a script does.
//!
//! A script is sent on stdin, followed by its own input. The command line for the host's login
//! shell contains no values, and every shell reads it alike, sh or not. A script is one group of
//! commands as a whole. If it is cut off on the way, none of it runs.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use skypipe_satellite::randomness;
use tempfile::TempDir;

use super::record::value;
use super::script::Script;
use super::target::Target;
use crate::exit::Failure;
use crate::provision::child::without_secrets;
use crate::provision::quote::quote;

/// The longest answer that is read, in bytes, including the output of the login.
const MAX_ANSWER: u64 = 4 << 20;

/// The most that is read of stderr, in bytes. The end is kept.
const MAX_STDERR: u64 = 16 << 10;

/// The longest directory of a connection's socket, in bytes. Linux allows 108 for the path of a
/// socket, other systems 104. ssh adds 18 while it makes a socket.
const MAX_DIRECTORY: usize = 80;

/// ssh's exit code when ssh itself failed (ssh(1), "EXIT STATUS").
const SSH_FAILED: i32 = 255;

/// A host, and the connection to it. ssh opens the connection at the first script.
#[derive(Debug)]
pub struct Connection {
    program: PathBuf,
    target: Target,
    directory: TempDir,
}

/// A script's answer.
#[derive(Debug)]
pub struct Answer {
    /// The script's stdout, exactly.
    pub stdout: Vec<u8>,
    /// The script's stderr.
    pub stderr: String,
    /// The script's exit code.
    pub code: i32,
}

impl Answer {
    /// The stdout as text, for lines of `NAME=VALUE`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Connection {
    /// Prepares a connection. ssh opens it at the first script.
    pub fn new(program: PathBuf, target: Target) -> Result<Self, Failure> {
        let directory = private_directory().map_err(|error| {
            Failure::failed(format!("a temporary directory cannot be made: {error}"))
        })?;
        Ok(Self {
            program,
            target,
            directory,
        })
    }

    /// The host's name or address, according to ssh's configuration.
    pub fn hostname(&self) -> Result<String, Failure> {
        let mut command = self.command();
        command.arg("-G").arg("--").arg(self.target.host());
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.cannot_start(&error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let name = text.lines().find_map(|line| line.strip_prefix("hostname "));
        match name {
            Some(name) if output.status.success() => Ok(name.trim().to_owned()),
            _ => Err(self.failure(&String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Runs a script that answers in lines of `NAME=VALUE`, and returns these lines.
    pub fn ask(&self, script: &Script, payload: &[u8]) -> Result<String, Failure> {
        let answer = self.run(script, payload)?;
        let text = answer.text();
        if let Some(sentence) = value(&text, "failure") {
            return Err(Failure::failed(format!(
                "{}: {}",
                self.target,
                quote(sentence)
            )));
        }
        if answer.code != 0 {
            return Err(self.failure(&answer.stderr));
        }
        Ok(text)
    }

    /// Runs a script. `payload` is the script's stdin.
    pub fn run(&self, script: &Script, payload: &[u8]) -> Result<Answer, Failure> {
        let mark = random_mark()?;
        let text = framed(script, &mark, payload.is_empty());
        let mut stderr = tempfile::tempfile_in(self.directory.path())
            .map_err(|error| Failure::failed(format!("no temporary file can be made: {error}")))?;
        let mut child = self.start(text.len(), &stderr)?;
        let received = exchange(&mut child, text.as_bytes(), payload);
        let status = child.wait();
        let heard = read_end(&mut stderr).unwrap_or_default();
        let received = received.and_then(|received| Ok((received, status?)));
        let (received, status) =
            received.map_err(|error| Failure::failed(format!("{}: {error}", self.target)))?;
        if let Some((stdout, code)) = answer(&received, &mark) {
            let stderr = heard.rsplit_once(&format!("\n{mark}<\n"));
            let stderr = stderr.map_or(heard.as_str(), |(_, own)| own).to_owned();
            return Ok(Answer {
                stdout: stdout.to_vec(),
                stderr,
                code,
            });
        }
        // The program that replaces the shell of a closed account writes its message to stdout.
        let heard = heard.replace(&format!("\n{mark}<\n"), "\n");
        let noise = String::from_utf8_lossy(&received);
        let is_silent = heard.trim().is_empty() && status.code() != Some(SSH_FAILED);
        Err(self.failure(if is_silent { &noise } else { &heard }))
    }

    fn start(&self, length: usize, stderr: &File) -> Result<Child, Failure> {
        let mut command = self.command();
        command.arg("-T").arg("--").arg(self.target.host());
        command.arg(format!(
            "sh -c 'eval \"$(dd bs=1 count={length} 2>/dev/null)\"'"
        ));
        // stderr is a file, because the connection that stays in the background may keep it open.
        let stderr = stderr
            .try_clone()
            .map_err(|error| self.cannot_start(&error))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        command.spawn().map_err(|error| self.cannot_start(&error))
    }

    /// ssh with the options of every call. They come before those of the user's configuration. All
    /// calls share one connection. The user's forwardings and login commands are switched off. A
    /// host that is gone is noticed after a minute.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        without_secrets(&mut command).args(["-x", "-a"]);
        for option in [
            "ControlMaster=auto",
            "ControlPersist=300",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "ConnectTimeout=20",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
        ] {
            command.args(["-o", option]);
        }
        command
            .arg("-o")
            .arg(format!("ControlPath={}", self.socket().display()));
        if let Some(user) = self.target.user() {
            command.args(["-l", user]);
        }
        if let Some(port) = self.target.port() {
            command.args(["-p", &port.to_string()]);
        }
        command
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    fn cannot_start(&self, error: &std::io::Error) -> Failure {
        let program = self.program.display();
        Failure::failed(format!("{program} cannot be run: {error}"))
    }

    fn failure(&self, stderr: &str) -> Failure {
        let stderr = quote(stderr);
        let target = &self.target;
        if stderr.is_empty() {
            return Failure::failed(format!("{target}: the connection was lost"));
        }
        Failure::failed(format!("{target}: {stderr}"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.socket().exists() {
            let mut command = self.command();
            command.args(["-O", "exit", "--", self.target.host()]);
            let _ = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A directory for the connection's socket. No character of its path has a meaning for ssh, and the
/// path is short enough for a socket's name.
fn private_directory() -> std::io::Result<TempDir> {
    let place = std::env::temp_dir();
    let is_plain = |text: &str| {
        text.len() <= MAX_DIRECTORY - "/.tmpxxxxxx".len()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte))
    };
    if place.is_absolute() && place.to_str().is_some_and(is_plain) {
        tempfile::tempdir_in(place)
    } else {
        tempfile::tempdir_in(Path::new("/tmp"))
    }
}

fn random_mark() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    randomness::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The script between marks: one before it on both streams, and one after it with its exit code.
fn framed(script: &Script, mark: &str, is_alone: bool) -> String {
    let script = script.text();
    let stdin = if is_alone { "</dev/null" } else { "" };
    format!(
        "{{\nprintf '\\n%s<\\n' {mark}\nprintf '\\n%s<\\n' {mark} >&2\n(\n{script}\n) {stdin}\n\
         printf '\\n%s>%d\\n' {mark} \"$?\"\n}}"
    )
}

/// The bytes between the marks, and the exit code after them.
fn answer<'a>(received: &'a [u8], mark: &str) -> Option<(&'a [u8], i32)> {
    let begin = format!("\n{mark}<\n");
    let end = format!("\n{mark}>");
    let from = position(received, begin.as_bytes())? + begin.len();
    // The line break before the end mark belongs to that mark. If the script wrote nothing, it is
    // also the line break of the first mark.
    let rest = &received[from - 1..];
    let to = position(rest, end.as_bytes())?;
    let code = rest[to + end.len()..].split(|byte| *byte == b'\n').next()?;
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    Some((rest.get(1..to).unwrap_or_default(), code))
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Sends the script and its input, and receives the answer at the same time.
fn exchange(child: &mut Child, script: &[u8], payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::scope(|scope| {
        scope.spawn(move || send(stdin, script, payload));
        let mut received = Vec::new();
        let result = match stdout {
            Some(stdout) => stdout.take(MAX_ANSWER + 1).read_to_end(&mut received),
            None => Ok(0),
        };
        if received.len() as u64 > MAX_ANSWER || result.is_err() {
            // Otherwise the sending thread would wait for ssh, which no longer reads.
            let _ = child.kill();
            result?;
            return Err(std::io::Error::other("the host says more than makes sense"));
        }
        Ok(received)
    })
}

/// Sends the script and its input. A failure is ignored: the answer, or its absence, shows it.
fn send(stdin: Option<ChildStdin>, script: &[u8], payload: &[u8]) {
    if let Some(mut stdin) = stdin
        && stdin.write_all(script).is_ok()
    {
        let _ = stdin.write_all(payload);
    }
}

fn read_end(stderr: &mut File) -> std::io::Result<String> {
    let length = stderr.seek(SeekFrom::End(0))?;
    stderr.seek(SeekFrom::Start(length.saturating_sub(MAX_STDERR)))?;
    let mut bytes = Vec::new();
    stderr.take(MAX_STDERR).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_the_noise_around_it() {
        let heard = b"motd\nno line's end\nM<\nall\n\n\nM>0\nbye\n";
        assert_eq!(answer(heard, "M"), Some((&b"all\n\n"[..], 0)));
        assert_eq!(answer(b"\nM<\n\nM>7\n", "M"), Some((&b""[..], 7)));
        assert_eq!(answer(b"\nM<\nM>7\n", "M"), Some((&b""[..], 7)));
        assert_eq!(answer(b"\nM<\nhalf an answ", "M"), None);
        assert_eq!(answer(b"\nN<\nanother's\nN>0\n", "M"), None);
        assert_eq!(answer(b"\nM<\nx\nM>", "M"), None);
    }
}
