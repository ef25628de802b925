//! A registry for a test: the real one, on a loopback port, with a password.
//!
//! Owns the process and its files. The user is `x` and the password is the token, as in Fly.io's
//! registry (flyctl, `internal/build/imgsrc`, and fly-go, `tokens.Docker`).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

/// A running registry. Dropping it stops it.
pub struct Registry {
    child: Child,
    address: String,
    drain: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Registry {
    /// Starts a registry, and returns when it listens.
    pub fn start(token: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("reg.")
            .tempdir()
            .expect("a directory");
        let at = directory.path();
        let passwords = at.join("passwords");
        set_password(&passwords.display().to_string(), token);
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\nauth: {{htpasswd: {{realm: fly, path: {0}/passwords}}}}\n",
            at.display()
        );
        fs::write(at.join("config.yml"), config).expect("the configuration is written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(at.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let address = listening(&mut log);
        // A full pipe would block the registry, so its log is read to the end.
        let drain = thread::spawn(move || for _ in log.lines() {});
        Self {
            child,
            address,
            drain: Some(drain),
            _directory: directory,
        }
    }

    /// The address, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(drain) = self.drain.take() {
            let _ = drain.join();
        }
    }
}

/// Reads the log up to the line that names the address.
fn listening(log: &mut impl std::io::BufRead) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = log.read_line(&mut line).expect("the log can be read");
        assert!(read > 0, "the registry ended: {seen}");
        if let Some((_, rest)) = line.split_once("listening on ") {
            return rest.split('"').next().unwrap_or_default().to_owned();
        }
        seen.push_str(&line);
    }
}

/// Writes the password file. The token is passed on stdin, so that it is not visible in a list of
/// processes.
fn set_password(file: &str, token: &str) {
    let mut child = Command::new("htpasswd")
        .args(["-i", "-B", "-C", "4", "-c", file, "x"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("htpasswd starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{token}").expect("the token is taken");
    drop(stdin);
    assert!(
        child.wait().expect("it ends").success(),
        "htpasswd wrote its file"
    );
}
