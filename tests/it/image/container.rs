//! A podman for a test.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::podman::{configure, podman};

/// A podman with its own images and containers, which are removed when this is dropped.
pub struct Podman {
    directory: TempDir,
}

impl Podman {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("there is room");
        configure(directory.path());
        // Only passwords that a test gives are known.
        fs::write(directory.path().join("auth.json"), "{}").expect("there is room");
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self) -> Command {
        let mut command = podman(self.path());
        command.env("REGISTRY_AUTH_FILE", self.path().join("auth.json"));
        command
    }

    /// Runs podman with these arguments and this stdin.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S], stdin: &[u8]) -> Output {
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("podman is installed");
        // An archive is read to its end before podman writes anything, so this does not block.
        let written = child.stdin.take().expect("it is piped").write_all(stdin);
        let output = child.wait_with_output().expect("it ends");
        written
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        output
    }

    /// Like `run`, but asserts success. Returns the output.
    pub fn done<S: AsRef<OsStr>>(&self, arguments: &[S], stdin: &[u8]) -> String {
        let output = self.run(arguments, stdin);
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "podman failed: {said}{complained}");
        said.trim().to_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Containers have mounts, which would outlive their directories.
        for arguments in [["rm", "--all", "--force"], ["rmi", "--all", "--force"]] {
            let _ = self.command().args(arguments).output();
        }
    }
}
