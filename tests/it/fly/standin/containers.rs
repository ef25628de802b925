//! The containers behind machines: podman with its own storage.
//!
//! Owns how podman is called. Containers get a bridge in the test's own network. A program that
//! binds only its own loopback address is then as unreachable as on the platform.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64ct::{Base64, Encoding as _};

use crate::common::podman::{configure, podman};

/// podman, with its own storage and configuration.
#[derive(Debug)]
pub struct Podman {
    directory: PathBuf,
}

/// An image that was pulled.
#[derive(Debug, Clone)]
pub struct Image {
    pub registry: String,
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

/// A container that was started.
#[derive(Debug, Clone)]
pub struct Container {
    pub id: String,
    /// The container's address; `None` if its program exited before the query.
    pub address: Option<IpAddr>,
}

/// The container to start.
#[derive(Debug)]
pub struct Run {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Directories and files, each with its path in the container.
    pub volumes: Vec<(PathBuf, String)>,
}

/// The result of a command next to a program.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Podman {
    /// podman with its storage in a directory, and the token for pulling.
    pub fn new(directory: &Path, registry: &str, token: &str) -> Self {
        configure(directory);
        let auth = Base64::encode_string(format!("x:{token}").as_bytes());
        let auth = format!("{{\"auths\":{{\"{registry}\":{{\"auth\":\"{auth}\"}}}}}}");
        secret_file(&directory.join("auth.json"), &auth, 0o600);
        Self {
            directory: directory.to_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = podman(&self.directory);
        command
            .env("HOME", &self.directory)
            .env("TMPDIR", &self.directory)
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Calls podman. Returns its stdout, or its stderr if it fails.
    pub fn call(&self, arguments: &[&str]) -> Result<String, String> {
        text(&self.command(arguments).output().expect("podman starts"))
    }

    /// Pulls an image from a registry without TLS.
    pub fn pull(&self, name: &str) -> Result<Image, String> {
        let auth = self.directory.join("auth.json").display().to_string();
        self.call(&[
            "pull",
            "--quiet",
            "--tls-verify=false",
            "--authfile",
            &auth,
            name,
        ])?;
        let digest = self.call(&["image", "inspect", "--format", "{{.Digest}}", name])?;
        let (rest, _) = name.split_once('@').unwrap_or((name, ""));
        let (registry, rest) = rest.split_once('/').unwrap_or(("", rest));
        let (repository, tag) = rest.split_once(':').unwrap_or((rest, ""));
        Ok(Image {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.into(),
            digest,
        })
    }

    /// Starts a container.
    pub fn run(&self, run: &Run) -> Result<Container, String> {
        let env = self.directory.join(format!("{}.env", run.name));
        let lines: Vec<String> = run
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        secret_file(&env, lines.concat(), 0o600);
        let (env, volumes) = (env.display().to_string(), mounts(&run.volumes));
        let entrypoint = serde_json::json!(run.command).to_string();
        let mut arguments = vec![
            "run",
            "-d",
            "--pull=never",
            "--name",
            &run.name,
            "--env-file",
            &env,
        ];
        arguments.extend(volumes.iter().flat_map(|volume| ["-v", volume.as_str()]));
        arguments.extend(["--entrypoint", &entrypoint, &run.image]);
        let started = self.call(&arguments);
        let _ = fs::remove_file(&env);
        let id = started.inspect_err(|_| self.remove(&run.name))?;
        let address = self.call(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &id]);
        Ok(Container {
            id,
            address: address.ok().and_then(|address| address.parse().ok()),
        })
    }

    /// Waits until a container exits; `None` if it is removed meanwhile.
    pub fn wait(&self, id: &str) -> Option<i32> {
        self.call(&["wait", id]).ok()?.parse().ok()
    }

    /// Asks a container to exit, kills it after this many seconds, and removes it. Returns its exit
    /// code.
    pub fn stop(&self, id: &str, seconds: u64) -> Option<i32> {
        let _ = self.call(&["stop", "-t", &seconds.to_string(), id]);
        let code = self.wait(id);
        self.remove(id);
        code
    }

    /// Removes a container in any state.
    pub fn remove(&self, id: &str) {
        let _ = self.call(&["rm", "--force", "--ignore", "--time", "0", id]);
    }

    /// The ids of all containers.
    pub fn list(&self) -> Vec<String> {
        let ids = self
            .call(&["ps", "--all", "--quiet", "--no-trunc"])
            .unwrap_or_default();
        ids.lines().map(str::to_owned).collect()
    }

    /// Runs a command in a container; `None` if it did not exit within this many seconds.
    pub fn exec(&self, id: &str, command: &[String], seconds: u64) -> Option<Ended> {
        let podman = self.command(&[]);
        let mut bounded = Command::new("timeout");
        bounded
            .args(["--kill-after=1", &seconds.to_string(), "podman", "exec", id])
            .args(command);
        for (name, value) in podman.get_envs() {
            bounded.env(name, value.unwrap_or_default());
        }
        bounded
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = bounded.spawn().expect("timeout starts");
        let output = child.wait_with_output().expect("it ends");
        let code = output.status.code().unwrap_or(-1);
        // The exit codes of timeout(1) when the time is up.
        (code != 124 && code != 137).then(|| Ended {
            code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Writes a file that only its owner, or others according to `mode`, may read.
pub fn secret_file(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path);
    file.expect("a file is made")
        .write_all(content.as_ref())
        .expect("a file is written");
}

fn mounts(volumes: &[(PathBuf, String)]) -> Vec<String> {
    volumes
        .iter()
        .map(|(from, to)| format!("{}:{to}", from.display()))
        .collect()
}

fn text(output: &Output) -> Result<String, String> {
    let bytes = if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    };
    let said = String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}
