//! The route to an engine on another machine: the user's own `ssh`, which forwards the engine's
//! socket.
//!
//! Owns the ssh process, the private directory with the local socket, and the command that finds
//! the engine on the other machine. All of it uses one connection, so that a password is asked for
//! once. ssh asks at the terminal itself. Its stderr is shown as it arrives, without characters
//! that could harm a terminal, because part of that text is from the other machine.

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

/// The script for the other machine. It prints which of the sockets exist and may be used. Then it
/// waits until our end is closed, which happens however this program ends. Every shell reads it as
/// one word between single quotes.
const SCRIPT: &str = "for s in \"$@\"; do if test -S \"$s\"; then \
     if test -r \"$s\" && test -w \"$s\"; then echo \"skypipe-open $s\"; else echo \"skypipe-shut $s\"; fi; \
     fi; done; echo skypipe-end; exec cat >/dev/null";

/// The most that is read of the login's output on the other machine, in bytes. That output may
/// include a shell's greetings.
const MAX_GREETING: u64 = 1 << 18;

/// How long ssh may take to open its local socket once it is logged in.
const OPENING: Duration = Duration::from_secs(10);

/// How long showing the rest of ssh's stderr may take after ssh has exited.
const SHOWING: Duration = Duration::from_secs(1);

/// The longest path of a socket, in bytes. The smallest system allows 104, with the zero at the
/// end.
const MAX_SOCKET_PATH: usize = 103;

/// A local socket that leads to an engine on another machine. Dropping the tunnel closes it.
#[derive(Debug)]
pub struct Tunnel {
    child: Child,
    /// This channel closes when all of ssh's stderr has been shown.
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
    /// When ssh cannot be run, cannot log in, or finds no engine that may be used.
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
        // From here on, every error drops the tunnel, which ends ssh.
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

    /// The other machine's host name or address, according to ssh's configuration.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Reads the script's answer from the other machine.
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

    /// The error for an ssh that ended. Its own text is on stderr already.
    fn ending(&mut self, login: &Login) -> String {
        let sentence = self.end_of_ssh(login);
        if let Some(shown) = &self.shown {
            let _ = shown.recv_timeout(SHOWING);
        }
        sentence
    }

    fn end_of_ssh(&mut self, login: &Login) -> String {
        // ssh may have closed its output and go on running. Nothing more can come from it.
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
        // ssh may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ssh with the options of every call.
fn ssh(login: &Login, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    // The connection is not shared: a shared one would keep the forwarding when this is over. The
    // user's own forwardings may fail if another connection has them already. A `RemoteCommand` of
    // the user must not run.
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

/// The host that ssh's configuration gives for the named one.
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

/// A directory for this user alone, with a short path.
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
