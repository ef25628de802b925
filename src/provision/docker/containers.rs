//! Containers and volumes, as the Engine API defines them.
//!
//! Owns the requests about them, and the fields that are read from the answers. Other modules
//! decide which container is which.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::engine::{Engine, Fault, read};
use super::names::LABEL;
use super::stream::{Output, words};
use crate::provision::http::Body;

/// How long a container may take to stop before the engine kills it.
const STOPPING: Duration = Duration::from_secs(30);

/// The time limit for one request about a container, such as starting it.
const STEP: Duration = Duration::from_secs(120);

/// How long an engine may take to report the exit code of a command whose output has ended.
const ENDING: Duration = Duration::from_secs(10);

/// How many of a container's last log lines are shown.
const LAST_LINES: usize = 10;

/// A container in a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// The container's id.
    pub id: String,
    /// The container's names, each with a leading slash.
    #[serde(default)]
    pub names: Vec<String>,
    /// The container's labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `exited` and others.
    pub state: String,
}

/// A container, as the engine describes it in detail.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
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
    /// `created`, `running`, `exited` and others.
    pub status: String,
    running: bool,
    #[serde(default)]
    restarting: bool,
    /// The last exit code.
    #[serde(default)]
    pub exit_code: i64,
}

impl Condition {
    /// Whether the container runs, and is not about to be restarted.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running && !self.restarting
    }

    /// Whether the container has exited and is not about to be restarted.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !self.running && !self.restarting && !self.is_new()
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
    /// The volume's name.
    pub name: String,
    /// The volume's labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

impl Container {
    /// The host port to which a port of the container, such as `9000/tcp`, is published.
    #[must_use]
    pub fn port(&self, own: &str) -> Option<u16> {
        let bindings = self.host_config.port_bindings.get(own)?.as_ref()?;
        bindings
            .iter()
            .find_map(|binding| binding.host_port.parse().ok())
    }
}

/// Reads `null` as the default value: engines write `null` for what is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The query for objects with our label: `{"label":["org.skypipe.satellite=1"]}`.
fn ours() -> String {
    format!("filters=%7B%22label%22%3A%5B%22{LABEL}%3D1%22%5D%7D")
}

impl Engine {
    /// All containers with our label, running or not.
    pub fn labelled(&self) -> Result<Vec<Listed>, Fault> {
        Ok(self
            .get(&format!("/containers/json?all=1&{}", ours()))?
            .unwrap_or_default())
    }

    /// The container with this name or id; `None` if there is none.
    pub fn container(&self, name: &str) -> Result<Option<Container>, Fault> {
        self.get(&format!("/containers/{name}/json"))
    }

    /// Creates a container.
    pub fn create(&self, name: &str, body: &Value) -> Result<(), Fault> {
        self.post::<Value>(&format!("/containers/create?name={name}"), body)
            .map(drop)
    }

    /// Starts a container. Starting a running container succeeds.
    pub fn start(&self, name: &str) -> Result<(), Fault> {
        self.step(&format!("/containers/{name}/start"))
    }

    /// Stops a container in an orderly way. Stopping a stopped container succeeds.
    pub fn stop(&self, name: &str) -> Result<(), Fault> {
        self.step(&format!("/containers/{name}/stop?t={}", STOPPING.as_secs()))
    }

    /// Renames a container.
    pub fn rename(&self, name: &str, new: &str) -> Result<(), Fault> {
        self.step(&format!("/containers/{name}/rename?name={new}"))
    }

    fn step(&self, path: &str) -> Result<(), Fault> {
        self.ask(STEP, "POST", path, Body::Empty, &[200, 204, 304])
            .map(drop)
    }

    /// Removes a container, running or not, and the unnamed volumes that only this container uses.
    pub fn remove(&self, name: &str) -> Result<(), Fault> {
        self.delete(&format!("/containers/{name}?force=1&v=1"))
    }

    /// The exit code of a container that has exited. [`Engine::container`] may report an outdated
    /// one: it reads 0 until Podman has processed the exit.
    pub fn exit_code(&self, name: &str) -> Result<i64, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Waited {
            status_code: i64,
        }
        let path = format!("/containers/{name}/wait");
        let answer = self.ask(ENDING, "POST", &path, Body::Empty, &[200])?;
        read::<Waited>(&answer).map(|waited| waited.status_code)
    }

    /// The last lines that a container wrote, for people. Empty if the engine does not return them.
    #[must_use]
    pub fn last_words(&self, name: &str) -> String {
        let path = format!("/containers/{name}/logs?stdout=1&stderr=1&tail={LAST_LINES}");
        let answer = self.ask(ENDING, "GET", &path, Body::Empty, &[200]);
        let output = answer
            .ok()
            .and_then(|answer| Output::read(&answer.body).ok());
        output
            .map(|output| words(&[output.stdout, output.stderr].concat()))
            .unwrap_or_default()
    }

    /// Runs a command in a running container, and returns its exit code and its output.
    pub fn run(
        &self,
        name: &str,
        command: &[&str],
        patience: Duration,
    ) -> Result<(i64, Output), Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Made {
            id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ended {
            running: bool,
            exit_code: Option<i64>,
        }
        let wanted = json!({"AttachStdout": true, "AttachStderr": true, "Cmd": command});
        let Made { id } = self.post(&format!("/containers/{name}/exec"), &wanted)?;
        let begin = json!({"Detach": false, "Tty": false});
        let path = format!("/exec/{id}/start");
        let answer = self.ask(patience, "POST", &path, Body::Json(&begin), &[200])?;
        let output = Output::read(&answer.body).map_err(Fault::Lost)?;
        let deadline = Instant::now() + ENDING;
        loop {
            let ended = self.get::<Ended>(&format!("/exec/{id}/json"))?;
            match ended {
                Some(Ended {
                    running: false,
                    exit_code: Some(code),
                }) => return Ok((code, output)),
                _ if Instant::now() > deadline => {
                    return Err(Fault::Lost(
                        "the engine does not say how the command ended".into(),
                    ));
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The volume with this name; `None` if there is none.
    pub fn volume(&self, name: &str) -> Result<Option<Volume>, Fault> {
        self.get(&format!("/volumes/{name}"))
    }

    /// All volumes with our label.
    pub fn labelled_volumes(&self) -> Result<Vec<Volume>, Fault> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Volumes {
            #[serde(default, deserialize_with = "or_default")]
            volumes: Vec<Volume>,
        }
        let answer = self.get::<Volumes>(&format!("/volumes?{}", ours()))?;
        Ok(answer.unwrap_or_default().volumes)
    }

    /// Creates a volume.
    pub fn create_volume(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let body = json!({"Name": name, "Labels": labels});
        self.post::<Value>("/volumes/create", &body).map(drop)
    }

    /// Removes a volume that no container uses.
    pub fn remove_volume(&self, name: &str) -> Result<(), Fault> {
        self.delete(&format!("/volumes/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_what_was_bound() {
        let text = r#"{"Image": "sha256:b", "State": {"Status": "running", "Running": true},
            "Config": {"Labels": null, "Cmd": null},
            "HostConfig": {"PortBindings": {"1/tcp": null, "9000/tcp": [{"HostIp": "", "HostPort": "9123"}]}}}"#;
        let container: Container = serde_json::from_str(text).expect("it is one");
        assert_eq!(container.port("9000/tcp"), Some(9123));
        assert_eq!(container.port("1/tcp"), None);
        assert_eq!(container.port("2/tcp"), None);
        assert!(container.state.is_running());
        assert!(container.config.labels.is_empty());
    }

    #[test]
    fn what_is_started_again_and_again_does_not_run() {
        // Docker reports both states for a container that waits for its restart.
        let text =
            r#"{"Status": "restarting", "Running": true, "Restarting": true, "ExitCode": 1}"#;
        let state: Condition = serde_json::from_str(text).expect("it is one");
        assert!(!state.is_running());
        assert!(!state.is_new());
    }
}
