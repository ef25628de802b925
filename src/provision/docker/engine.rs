//! A container engine, and what it can be told.
//!
//! Owns the words of the command for each step, and the fields that are read from its answers. The
//! words are those that `docker` and `podman` share. Other modules decide which object is which.
//!
//! Exit codes do not say why a step failed. So a failure to show or to remove an object counts only
//! if the object is listed. No sentence of the command decides anything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::program::{Program, STEP, words};
use super::target::{Address, Target};
use crate::exit::Failure;
use crate::provision::ssh;

/// How long sending an image to an engine, or pulling one, may take.
const TRANSFER: Duration = Duration::from_secs(1800);

/// How long a container may take to stop before the engine kills it, in seconds.
const STOPPING: &str = "30";

/// How long an engine may take to report the exit code of a container that has ended.
const ENDING: Duration = Duration::from_secs(10);

/// How many of a container's last log lines are shown.
const LAST_LINES: &str = "10";

/// A container engine.
#[derive(Debug)]
pub struct Engine {
    program: Program,
    target: Target,
    /// The engine's processor, as images name it.
    pub architecture: String,
    /// Whether the engine is Podman. The `docker` command may also reach one.
    pub is_podman: bool,
    /// Whether the engine is behind a service. Podman on its own machine is not.
    is_service: bool,
}

/// What an engine keeps by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container, whether it runs or not.
    Container,
    /// A volume.
    Volume,
    /// An image, by its name and tag.
    Image,
}

/// A container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    name: String,
    /// The id of the container's image.
    pub image: String,
    /// Whether the container runs.
    pub state: Condition,
    /// How often the engine has restarted the container.
    #[serde(default)]
    pub restart_count: i64,
    /// The configuration from which the container was created.
    pub config: Config,
    host_config: HostConfig,
}

/// The state of a container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Condition {
    status: String,
    /// The last exit code.
    #[serde(default)]
    pub exit_code: i64,
}

/// The configuration from which a container was created.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The container's labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// The arguments of the program in the container.
    #[serde(default, deserialize_with = "or_default")]
    pub cmd: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default, deserialize_with = "or_default")]
    port_bindings: BTreeMap<String, Option<Vec<Binding>>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_port: String,
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// The volume's labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// The answer to `version`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: Option<Version>,
    server: Option<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    /// Docker's form, such as `amd64`.
    arch: Option<String>,
    /// Podman's form, such as `linux/amd64`.
    os_arch: Option<String>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

/// Reads `null`, which engines write for an empty object, as an empty one.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Condition {
    /// Whether the container runs. One that waits for its restart does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Whether the container has exited and is not about to be restarted.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "exited" | "dead" | "stopped")
    }

    /// Whether the container was created and never started.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(
            self.status.as_str(),
            "created" | "configured" | "initialized"
        )
    }
}

impl Container {
    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &str {
        // Docker writes a slash in front.
        self.name.trim_start_matches('/')
    }

    /// The port of the engine's machine that leads to this port of the container, such as
    /// `9000/tcp`.
    #[must_use]
    pub fn port(&self, inside: &str) -> Option<u16> {
        let bindings = self.host_config.port_bindings.get(inside)?.as_ref()?;
        bindings.first()?.host_port.parse().ok()
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Image => "image",
        }
    }
}

impl Engine {
    /// Asks the engine at this target what it is. `command` is used in place of the user's own
    /// `docker` or `podman`.
    ///
    /// # Errors
    ///
    /// When there is no command, no engine, or this user may not use it.
    pub fn connect(target: &Target, command: Option<PathBuf>) -> Result<Self, Failure> {
        let program = Program::find(target, command)?;
        let answer = program.call(STEP, &["version", "--format", "{{json .}}"], Vec::new());
        let answer = answer.map_err(|failure| at(target, &failure))?;
        let Versions { client, server } = read(&answer)?;
        let is_service = server.is_some();
        let engine = server.or(client.filter(|_| program.is_podman));
        let engine = engine
            .ok_or_else(|| Failure::failed(format!("{target}: there is no container engine")))?;
        let both = engine
            .os_arch
            .as_deref()
            .and_then(|both| both.split_once('/'));
        let architecture = engine
            .arch
            .as_deref()
            .or(both.map(|(_, architecture)| architecture));
        let of_podman = |part: &Component| part.name.starts_with("Podman");
        Ok(Self {
            architecture: architecture.unwrap_or_default().to_owned(),
            is_podman: program.is_podman || engine.components.iter().any(of_podman),
            is_service,
            target: target.clone(),
            program,
        })
    }

    /// The engine's name in messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.target.to_string()
    }

    /// The host of the engine's machine; `None` if it is this machine.
    ///
    /// # Errors
    ///
    /// When the command, or ssh, does not say it.
    pub fn host(&self) -> Result<Option<String>, Failure> {
        let address = match &self.target {
            Target::At(address) => Some(address.clone()),
            Target::Context(name) => self.configured(Some(name))?,
            Target::Default => self.configured(None)?,
        };
        match address {
            None | Some(Address::Unix(_)) => Ok(None),
            Some(Address::Tcp(host, _)) => Ok(Some(host)),
            Some(Address::Ssh(login, _)) => ssh::hostname(&login).map(Some),
        }
    }

    /// The engine's address in the command's own configuration; `None` for an engine of this
    /// machine.
    fn configured(&self, name: Option<&str>) -> Result<Option<Address>, Failure> {
        let url = if !self.program.is_podman {
            let format = "{{.Endpoints.docker.Host}}";
            self.step(&["context", "inspect", "--format", format])?
        } else if self.is_service {
            let format = "{{.URI}} {{.Name}} {{.Default}}";
            let list = self.step(&["system", "connection", "list", "--format", format])?;
            let is_it = |line: &&str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                name.map_or(words.get(2) == Some(&"true"), |name| {
                    words.get(1) == Some(&name)
                })
            };
            let line = list.lines().find(is_it).unwrap_or_default();
            line.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        } else {
            String::new()
        };
        Address::parse(url.trim())
            .transpose()
            .map_err(Failure::failed)
    }

    /// Runs one step.
    fn step(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.program.call(STEP, arguments, Vec::new())
    }

    /// The names of all objects of a kind. Those of images have a tag.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn names(&self, kind: Kind) -> Result<Vec<String>, Failure> {
        let arguments: &[&str] = match kind {
            Kind::Container => &["--all", "--format", "{{.Names}}"],
            Kind::Volume => &["--format", "{{.Name}}"],
            Kind::Image => &["--format", "{{.Repository}}:{{.Tag}}"],
        };
        let list = self.step(&[&[kind.word(), "ls"], arguments].concat())?;
        // A container may have several names.
        Ok(list.split([',', '\n']).map(str::to_owned).collect())
    }

    fn has(&self, kind: Kind, name: &str) -> Result<bool, Failure> {
        Ok(self.names(kind)?.iter().any(|listed| listed == name))
    }

    fn inspect<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<T>, Failure> {
        match self.step(&[kind.word(), "inspect", name]) {
            Ok(answer) => Ok(read::<Vec<T>>(&answer)?.pop()),
            Err(failure) if self.has(kind, name)? => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// The container with this name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn container(&self, name: &str) -> Result<Option<Container>, Failure> {
        self.inspect(Kind::Container, name)
    }

    /// The volume with this name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>, Failure> {
        self.inspect(Kind::Volume, name)
    }

    /// The id of the image with this name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub fn image(&self, name: &str) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Image {
            id: String,
        }
        let image = self.inspect::<Image>(Kind::Image, name)?;
        Ok(image.map(|image| image.id))
    }

    /// Removes an object. Removing one that does not exist succeeds. A container may run; its
    /// unnamed volumes go with it.
    ///
    /// # Errors
    ///
    /// When the object is still there.
    pub fn remove(&self, kind: Kind, name: &str) -> Result<(), Failure> {
        let flags: &[&str] = match kind {
            Kind::Container => &["--force", "--volumes"],
            Kind::Volume | Kind::Image => &[],
        };
        match self.step(&[&[kind.word(), "rm"], flags, &[name]].concat()) {
            Err(failure) if self.has(kind, name)? => Err(failure),
            _ => Ok(()),
        }
    }

    /// Creates a volume.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub fn create_volume(&self, name: &str, labels: &[(&str, &str)]) -> Result<(), Failure> {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("--label={label}={value}"))
            .collect();
        let labels = labels.iter().map(String::as_str);
        let arguments: Vec<&str> = ["volume", "create"].into_iter().chain(labels).collect();
        self.step(&[&arguments[..], &[name]].concat()).map(drop)
    }

    /// Creates a container. `arguments` are its options, its image and its program's arguments.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub fn create(&self, name: &str, arguments: &[String]) -> Result<(), Failure> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let create = ["container", "create", "--name", name];
        self.step(&[&create, &arguments[..]].concat()).map(drop)
    }

    /// Starts a container. Starting a running container succeeds.
    ///
    /// # Errors
    ///
    /// When the container does not start.
    pub fn start(&self, name: &str) -> Result<(), Failure> {
        self.step(&["container", "start", name]).map(drop)
    }

    /// Stops a container in an orderly way. Stopping a stopped container succeeds.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub fn stop(&self, name: &str) -> Result<(), Failure> {
        self.step(&["container", "stop", "--time", STOPPING, name])
            .map(drop)
    }

    /// Renames a container.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub fn rename(&self, name: &str, new: &str) -> Result<(), Failure> {
        self.step(&["container", "rename", name, new]).map(drop)
    }

    /// The exit code of a container that has ended. [`Engine::container`] may report an outdated
    /// one: it reads 0 until Podman has processed the exit.
    ///
    /// # Errors
    ///
    /// When the engine does not say it.
    pub fn exit_code(&self, name: &str) -> Result<i64, Failure> {
        let code = self
            .program
            .call(ENDING, &["container", "wait", name], Vec::new())?;
        code.trim().parse().map_err(|_| not_understood(&code))
    }

    /// The last lines that a container wrote, for people. Empty if the engine does not return them.
    #[must_use]
    pub fn last_words(&self, name: &str) -> String {
        let arguments = ["container", "logs", "--tail", LAST_LINES, name];
        let output = self.program.output(STEP, &arguments, Vec::new());
        output.map_or(String::new(), |output| {
            words(&[output.stdout, output.stderr].concat())
        })
    }

    /// Runs a command in a running container, and returns its stdout.
    ///
    /// # Errors
    ///
    /// When the command fails: its exit code, and what it wrote to stderr in one line. A command
    /// that cannot be run has no exit code of its own, but one of the engine's.
    pub fn exec(&self, name: &str, command: &[&str], limit: Duration) -> Result<String, Failure> {
        let arguments = [&["container", "exec", name], command].concat();
        let output = self.program.output(limit, &arguments, Vec::new())?;
        if !output.status.success() {
            let code = output.status.code().unwrap_or(-1);
            let said = words(&output.stderr);
            let said = said.strip_prefix("skypipe: ").unwrap_or(&said);
            return Err(Failure::failed(format!("exit code {code}: {said}")));
        }
        String::from_utf8(output.stdout).map_err(|_| Failure::failed("it wrote no text"))
    }

    /// Loads an image from an archive.
    ///
    /// # Errors
    ///
    /// When the engine does not take it.
    pub fn load(&self, archive: Vec<u8>) -> Result<(), Failure> {
        let arguments = ["image", "load", "--quiet"];
        self.program.call(TRANSFER, &arguments, archive).map(drop)
    }

    /// Pulls an image from a registry.
    ///
    /// # Errors
    ///
    /// When the engine does not get it.
    pub fn pull(&self, reference: &str) -> Result<(), Failure> {
        let arguments = ["image", "pull", "--quiet", reference];
        self.program
            .call(TRANSFER, &arguments, Vec::new())
            .map(drop)
    }
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Failure> {
    serde_json::from_str(answer).map_err(|_| not_understood(answer))
}

fn not_understood(answer: &str) -> Failure {
    let beginning: String = words(answer.as_bytes()).chars().take(80).collect();
    Failure::failed(format!(
        "the engine's answer is not understood: {beginning:?}"
    ))
}

/// The failure, with the name of the target in front unless the command was left to choose.
fn at(target: &Target, failure: &Failure) -> Failure {
    match target {
        Target::Default => failure.clone(),
        _ => Failure::failed(format!("{target}: {failure}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_from_both_commands_answers() {
        let docker = r#"{"Name": "/a", "Image": "sha256:b", "State": {"Status": "running"},
            "Config": {"Labels": null, "Cmd": null},
            "HostConfig": {"PortBindings": {"1/tcp": null, "9000/tcp": [{"HostIp": "", "HostPort": "9123"}]}}}"#;
        let container: Container = serde_json::from_str(docker).expect("it is one");
        assert_eq!(container.name(), "a");
        assert_eq!(container.port("9000/tcp"), Some(9123));
        assert_eq!(container.port("1/tcp"), None);
        assert_eq!(container.port("2/tcp"), None);
        assert!(container.state.is_running());
        assert!(container.config.labels.is_empty());
        // A container that waits for its restart does not run, and has not ended.
        let state: Condition =
            serde_json::from_str(r#"{"Status": "restarting", "ExitCode": 1}"#).expect("it is one");
        assert!(!state.is_running() && !state.is_new() && !state.has_ended());
    }
}
