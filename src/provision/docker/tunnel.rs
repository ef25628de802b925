//! The way to an engine on another machine: the user's own `ssh`, which forwards the engine's socket.
//!
//! Owns that process, the private directory in which its socket is, and what is asked over there to find
//! the engine. It is one connection, so that a password is asked for once. ssh asks at the terminal itself,
//! and what it says on stderr is shown as it says it, but for what could harm a terminal: the other
//! machine's words are among it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::target::{Login, SOCKETS};
use crate::report;

/// What runs over there: it says which of the sockets exist and may be used, then waits until our end is
/// closed, by whatever happens to us. It is one word between single quotes in whichever shell reads it.
const SCRIPT: &str = "for s in \"$@\"; do if test -S \"$s\"; then \
     if test -r \"$s\" && test -w \"$s\"; then echo \"skypipe-open $s\"; else echo \"skypipe-shut $s\"; fi; \
     fi; done; echo skypipe-end; exec cat >/dev/null";

/// The most that is read of what a login over there says, in bytes: a shell's greetings may be among it.
const MAX_GREETING: u64 = 1 << 18;

/// How long ssh may take to open its socket here once it is logged in.
const OPENING: Duration = Duration::from_secs(10);

/// How long it may take to show what ssh said when it has ended.
const SHOWING: Duration = Duration::from_secs(1);

/// The longest path of a socket, in bytes: the 104 of the smallest system, without the zero at its end.
const MAX_SOCKET_PATH: usize = 103;

/// A socket here that leads to an engine there, for as long as this lives.
#[derive(Debug)]
pub struct Tunnel {
    child: Child,
    /// Hangs up when all is shown that ssh said.
    shown: Option<Receiver<()>>,
    socket: PathBuf,
    host: String,
    directory: TempDir,
}

impl Tunnel {
    /// Logs in with `program`, which is ssh, and finds the engine.
    ///
    /// # Errors
    ///
    /// When ssh cannot be run or does not get there, or there is no engine that may be used.
    pub fn open(login: &Login, program: &OsStr) -> Result<Self, String> {
        let host = host_of(login, program)?;
        let directory = private_directory()
            .map_err(|error| format!("there is no room for a socket: {error}"))?;
        let candidates = match &login.socket {
            Some(socket) => vec![socket.as_str()],
            None => SOCKETS.to_vec(),
        };
        let local = |index: usize| directory.path().join(index.to_string());
        let mut command = ssh(login, program);
        for (index, remote) in candidates.iter().enumerate() {
            command
                .arg("-L")
                .arg(format!("{}:{remote}", local(index).display()));
        }
        command
            .args(["--", &login.host])
            .arg(format!("sh -c '{SCRIPT}' sh {}", candidates.join(" ")));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| cannot(program, &error))?;
        let shown = child.stderr.take().map(report::relay);
        // From here on, whatever goes wrong ends it.
        let mut tunnel = Self {
            child,
            shown,
            socket: PathBuf::new(),
            host,
            directory,
        };
        let remote = tunnel.found(login, &candidates)?;
        let index = candidates
            .iter()
            .position(|candidate| *candidate == remote)
            .unwrap_or_default();
        tunnel.socket = tunnel.directory.path().join(index.to_string());
        tunnel.wait_until_it_accepts(login)?;
        Ok(tunnel)
    }

    /// The socket on this machine.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where that machine is reached, as ssh knows it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Reads what the script says over there.
    fn found(&mut self, login: &Login, candidates: &[&str]) -> Result<String, String> {
        let output = self.child.stdout.take().ok_or("ssh has no output")?;
        let (mut open, mut shut, mut ended) = (None, None, false);
        for line in BufReader::new(output.take(MAX_GREETING))
            .split(b'\n')
            .map_while(Result::ok)
        {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            ended = line == "skypipe-end";
            if ended {
                break;
            }
            let named = |mark: &str| {
                let path = line.strip_prefix(mark).map(str::to_owned);
                path.filter(|path| candidates.contains(&path.as_str()))
            };
            open = open.or_else(|| named("skypipe-open "));
            shut = shut.or_else(|| named("skypipe-shut "));
        }
        if !ended {
            return Err(self.ending(login));
        }
        let host = &login.host;
        match (open, shut) {
            (Some(path), _) => Ok(path),
            (None, Some(path)) => Err(format!(
                "{path} on {host} may not be opened by this user: log in as one in the group docker, or as root"
            )),
            (None, None) => Err(format!(
                "there is no container engine on {host}: nothing is at {}; install and start Docker or Podman \
                 there, or name its socket, as docker+ssh://{host}/PATH",
                candidates.join(" nor at ")
            )),
        }
    }

    fn wait_until_it_accepts(&mut self, login: &Login) -> Result<(), String> {
        let deadline = Instant::now() + OPENING;
        while UnixStream::connect(&self.socket).is_err() {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Err(self.ending(login));
            }
            if Instant::now() > deadline {
                return Err(format!("ssh to {} opened no socket", login.host));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The words for an ssh that said nothing more; its own are on stderr already.
    fn ending(&mut self, login: &Login) -> String {
        let sentence = self.end_of_ssh(login);
        if let Some(shown) = &self.shown {
            let _ = shown.recv_timeout(SHOWING);
        }
        sentence
    }

    fn end_of_ssh(&mut self, login: &Login) -> String {
        // It may have closed its output and go on: what is wanted from it cannot come any more.
        let deadline = Instant::now() + OPENING;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                return format!("ssh to {} does not run commands", login.host);
            }
            thread::sleep(Duration::from_millis(20));
        }
        let status = self
            .child
            .wait()
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        format!(
            "ssh to {} ended ({status}); what it said is above",
            login.host
        )
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ssh with what it is always told.
fn ssh(login: &Login, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    // Its own connection: one that is shared would keep the forwarding when this is over. Forwardings of
    // the user's own may fail, when another connection has them already. No command of the user's own.
    for option in [
        "ControlMaster=no",
        "ControlPath=none",
        "ExitOnForwardFailure=no",
        "RemoteCommand=none",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
        "StreamLocalBindUnlink=yes",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-T");
    if let Some(port) = login.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = &login.user {
        command.args(["-l", user]);
    }
    command
}

/// The host that ssh's configuration makes of the one that was named.
fn host_of(login: &Login, program: &OsStr) -> Result<String, String> {
    let mut command = ssh(login, program);
    command
        .args(["-G", "--", &login.host])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().map_err(|error| cannot(program, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("hostname "));
    match host
        .map(str::trim)
        .filter(|host| output.status.success() && !host.is_empty())
    {
        Some(host) => Ok(host.to_owned()),
        None => Err(format!(
            "ssh does not say what {} is ({}); what it said is above",
            login.host, output.status
        )),
    }
}

/// A directory of this user alone, with a short path.
fn private_directory() -> io::Result<TempDir> {
    let usual = tempfile::Builder::new().prefix("skypipe-").tempdir()?;
    if usual.path().as_os_str().len() + 2 <= MAX_SOCKET_PATH {
        return Ok(usual);
    }
    tempfile::Builder::new()
        .prefix("skypipe-")
        .tempdir_in("/tmp")
}

fn cannot(program: &OsStr, error: &io::Error) -> String {
    format!("{} cannot be run: {error}", Path::new(program).display())
}
