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

use serde_json::Value;

use super::names::INSIDE;
use super::program::{Program, STEP, words};
use super::target::{self, Target};
use crate::exit::Failure;
use crate::provision::http;

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

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// The container's name, without the slash that Docker writes in front.
    pub name: String,
    /// The id of the container's image.
    pub image: String,
    /// The labels of the container and its image.
    pub labels: Labels,
    /// The arguments of the program in the container.
    pub arguments: Vec<String>,
    /// The port of the engine's machine that leads to the satellite.
    pub port: Option<u16>,
    /// How often the engine has restarted the container.
    pub restarts: i64,
    /// The last exit code.
    pub exit_code: i64,
    status: String,
}

impl Container {
    /// Reads what `container inspect` says. Both engines write `null` for an empty object.
    pub fn read(from: &Value) -> Self {
        let text = |path: &str| {
            from.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let number = |path: &str| {
            from.pointer(path)
                .and_then(Value::as_i64)
                .unwrap_or_default()
        };
        let words = from["Config"]["Cmd"].as_array().into_iter().flatten();
        let port = &from["HostConfig"]["PortBindings"][INSIDE][0]["HostPort"];
        Self {
            name: text("/Name").trim_start_matches('/').to_owned(),
            image: text("/Image").to_owned(),
            labels: labels(&from["Config"]["Labels"]),
            arguments: words.filter_map(Value::as_str).map(str::to_owned).collect(),
            port: port.as_str().and_then(|port| port.parse().ok()),
            restarts: number("/RestartCount"),
            exit_code: number("/State/ExitCode"),
            status: text("/State/Status").to_owned(),
        }
    }

    /// Whether the container runs. One that waits for its restart does not.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Whether the container has exited and is not about to be restarted.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "exited" | "dead" | "stopped")
    }

    /// Whether the container was created and never started.
    pub fn is_new(&self) -> bool {
        matches!(
            self.status.as_str(),
            "created" | "configured" | "initialized"
        )
    }
}

fn labels(from: &Value) -> Labels {
    let labels = from.as_object().into_iter().flatten();
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    labels.filter_map(text).collect()
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
    pub fn connect(target: &Target, command: Option<PathBuf>) -> Result<Self, Failure> {
        let program = Program::find(target, command)?;
        let answer = program.call(STEP, &["version", "--format", "{{json .}}"], Vec::new());
        let versions = read(&answer.map_err(|failure| at(target, &failure))?)?;
        let is_service = versions["Server"].is_object();
        let version = &versions[if is_service { "Server" } else { "Client" }];
        // Docker says `amd64`, and Podman `linux/amd64`.
        let both = version["OsArch"]
            .as_str()
            .and_then(|both| both.split_once('/'));
        let architecture = version["Arch"].as_str().or(both.map(|(_, one)| one));
        let parts = version["Components"].as_array().into_iter().flatten();
        let mut names = parts.filter_map(|part| part["Name"].as_str());
        Ok(Self {
            architecture: architecture.unwrap_or_default().to_owned(),
            is_podman: program.is_podman || names.any(|name| name.starts_with("Podman")),
            is_service,
            target: target.clone(),
            program,
        })
    }

    /// The engine's name in messages.
    pub fn place(&self) -> String {
        self.target.to_string()
    }

    /// The host of the engine's machine; `None` if it is this machine, or a virtual machine on it
    /// such as Podman's.
    pub fn host(&self) -> Result<Option<String>, Failure> {
        let host = match &self.target {
            Target::At(address) => target::host(address),
            Target::Context(name) => target::host(&self.configured(Some(name))?),
            Target::Default => target::host(&self.configured(None)?),
        };
        // Such an address leads any other machine to itself.
        host.map(|host| host.filter(|host| !is_loopback(host)))
    }

    /// The engine's address in the command's own configuration; empty for Podman without a service.
    fn configured(&self, name: Option<&str>) -> Result<String, Failure> {
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
        Ok(url.trim().to_owned())
    }

    /// Runs one step.
    fn step(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.program.call(STEP, arguments, Vec::new())
    }

    /// The names of all objects of a kind. Those of images have a tag.
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

    fn inspect(&self, kind: Kind, name: &str) -> Result<Option<Value>, Failure> {
        match self.step(&[kind.word(), "inspect", name]) {
            Ok(answer) => Ok(read(&answer)?.get(0).cloned()),
            Err(failure) if self.has(kind, name)? => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// The container with this name; `None` if there is none.
    pub fn container(&self, name: &str) -> Result<Option<Container>, Failure> {
        let seen = self.inspect(Kind::Container, name)?;
        Ok(seen.as_ref().map(Container::read))
    }

    /// The labels of the volume with this name; `None` if there is none.
    pub fn volume(&self, name: &str) -> Result<Option<Labels>, Failure> {
        let seen = self.inspect(Kind::Volume, name)?;
        Ok(seen.map(|seen| labels(&seen["Labels"])))
    }

    /// The id of the image with this name; `None` if there is none.
    pub fn image(&self, name: &str) -> Result<Option<String>, Failure> {
        let seen = self.inspect(Kind::Image, name)?;
        Ok(seen.and_then(|seen| seen["Id"].as_str().map(str::to_owned)))
    }

    /// Removes an object. Removing one that does not exist succeeds. A container may run; its
    /// unnamed volumes go with it.
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
    pub fn create(&self, name: &str, arguments: &[String]) -> Result<(), Failure> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let create = ["container", "create", "--name", name];
        self.step(&[&create, &arguments[..]].concat()).map(drop)
    }

    /// Starts a container. Starting a running container succeeds.
    pub fn start(&self, name: &str) -> Result<(), Failure> {
        self.step(&["container", "start", name]).map(drop)
    }

    /// Stops a container in an orderly way. Stopping a stopped container succeeds.
    pub fn stop(&self, name: &str) -> Result<(), Failure> {
        self.step(&["container", "stop", "-t", STOPPING, name])
            .map(drop)
    }

    /// Renames a container.
    pub fn rename(&self, name: &str, new: &str) -> Result<(), Failure> {
        self.step(&["container", "rename", name, new]).map(drop)
    }

    /// The exit code of a container that has ended. [`Engine::container`] may report an outdated
    /// one: it reads 0 until Podman has processed the exit.
    pub fn exit_code(&self, name: &str) -> Result<i64, Failure> {
        let code = self
            .program
            .call(ENDING, &["container", "wait", name], Vec::new())?;
        code.trim().parse().map_err(|_| not_understood(&code))
    }

    /// The last lines that a container wrote, for people. Empty if the engine does not return them.
    pub fn last_words(&self, name: &str) -> String {
        let arguments = ["container", "logs", "--tail", LAST_LINES, name];
        let output = self.program.output(STEP, &arguments, Vec::new());
        output.map_or(String::new(), |output| {
            words(&[output.stdout, output.stderr].concat())
        })
    }

    /// Runs a command in a running container, and returns its stdout.
    pub fn exec(&self, name: &str, command: &[&str], limit: Duration) -> Result<String, Failure> {
        let arguments = [&["container", "exec", name], command].concat();
        let output = self.program.output(limit, &arguments, Vec::new())?;
        if !output.status.success() {
            let code = output.status.code().unwrap_or(-1);
            let said = words(&output.stderr);
            let said = said.strip_prefix("skypipe: ").unwrap_or(&said);
            return Err(Failure::failed(format!("exit code {code}: {said}")));
        }
        String::from_utf8(output.stdout).map_err(|_| Failure::failed("its output is not text"))
    }

    /// Loads an image from an archive.
    pub fn load(&self, archive: Vec<u8>) -> Result<(), Failure> {
        let arguments = ["image", "load", "--quiet"];
        self.program.call(TRANSFER, &arguments, archive).map(drop)
    }

    /// Pulls an image from a registry.
    pub fn pull(&self, reference: &str) -> Result<(), Failure> {
        let arguments = ["image", "pull", "--quiet", reference];
        self.program
            .call(TRANSFER, &arguments, Vec::new())
            .map(drop)
    }
}

/// Whether this name or address is this machine, for whoever uses it.
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    http::is_loopback(&name) || name.ends_with(".localhost")
}

fn read(answer: &str) -> Result<Value, Failure> {
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

    fn read(text: &str) -> Container {
        Container::read(&serde_json::from_str(text).expect("it is JSON"))
    }

    /// Podman's virtual machine is reached at `ssh://core@127.0.0.1:PORT`.
    #[test]
    fn no_other_machine_is_led_to_itself() {
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
            "localhost",
            "LocalHost.",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "192.0.2.1",
            "fe80::1",
            "far",
            "localhost.example",
            "1270.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        let engine = |url: &str| Engine {
            program: Program::named("docker"),
            target: Target::At(url.to_owned()),
            architecture: String::new(),
            is_podman: false,
            is_service: true,
        };
        assert_eq!(engine("tcp://127.0.0.1:2375").host(), Ok(None));
        assert_eq!(engine("tcp://far:2375").host(), Ok(Some("far".to_owned())));
    }

    #[test]
    fn a_container_is_read_from_what_an_engine_says() {
        let container = read(
            r#"{"Name": "/a", "Image": "sha256:b", "State": {"Status": "running"},
            "Config": {"Labels": null, "Cmd": null},
            "HostConfig": {"PortBindings": {"1/tcp": null, "9000/tcp": [{"HostPort": "9123"}]}}}"#,
        );
        assert_eq!((container.name.as_str(), container.port), ("a", Some(9123)));
        assert!(container.is_running());
        assert!(container.labels.is_empty() && container.arguments.is_empty());
        // A container that waits for its restart does not run, and has not ended.
        let container = read(r#"{"State": {"Status": "restarting", "ExitCode": 1}}"#);
        assert!(!container.is_running() && !container.is_new() && !container.has_ended());
        assert_eq!((container.exit_code, container.port), (1, None));
    }
}
