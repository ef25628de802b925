//! The objects at Fly.io, as its answers describe them: apps, machines, volumes, addresses.
//!
//! Owns the fields that are read (`machine_types.go`, `volume_types.go` and `flaps/` in
//! superfly/fly-go). A field that may be missing or null is an `Option`: Go omits empty fields.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::provision::State;
use crate::provision::quote::quote;

/// The name of our volume.
pub const VOLUME: &str = "skypipe_data";

/// The name of our machine. Names are unique in an app, so there cannot be two.
pub const MACHINE: &str = "satellite";

/// The answer to `GET /apps?org_slug=`.
#[derive(Debug, Deserialize)]
pub struct Apps {
    /// The apps.
    pub apps: Option<Vec<App>>,
}

/// An app.
#[derive(Debug, Deserialize)]
pub struct App {
    /// The app's name.
    pub name: String,
}

/// A machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    /// The machine's id.
    pub id: String,
    /// The machine's state, of which there are many.
    pub state: Option<String>,
    /// The id of this version of the machine.
    pub instance_id: Option<String>,
    /// The machine's region.
    pub region: Option<String>,
    /// The configuration of the machine. It is missing while the machine's host does not answer.
    pub config: Option<Value>,
    incomplete_config: Option<Value>,
    checks: Option<Vec<Check>>,
    events: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Check {
    status: Option<String>,
    output: Option<String>,
}

impl Machine {
    /// The value of a metadata key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let config = self.config.as_ref().or(self.incomplete_config.as_ref())?;
        config["metadata"][key].as_str()
    }

    /// Whether the machine was made as a satellite.
    pub fn is_satellite(&self) -> bool {
        self.metadata("skypipe") == Some("satellite")
    }

    /// The name of the machine's state (`machines/machine-states` in superfly/docs).
    pub fn state_name(&self) -> &str {
        self.state.as_deref().unwrap_or("unknown")
    }

    /// Whether the machine is destroyed, or will be without a further request.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.state_name(),
            "destroyed" | "destroying" | "launch_failed" | "migrated" | "replaced"
        )
    }

    /// The machine's state in the terms of this program.
    pub fn state(&self) -> State {
        match self.state_name() {
            "started" | "starting" | "restarting" | "updating" | "replacing" => State::Running,
            "created" | "creating" | "failed" => State::Unfinished,
            _ => State::Stopped,
        }
    }

    /// Whether the machine may ever have run, so that its volume may hold data. If the platform
    /// lists no events, it may have.
    pub fn may_have_run(&self) -> bool {
        let ran = |event: &Value| event["type"] == "start" || event["status"] == "started";
        self.events
            .as_ref()
            .is_none_or(|events| events.is_empty() || events.iter().any(ran))
    }

    /// Whether the machine runs and its checks pass.
    pub fn is_up(&self) -> bool {
        let is_good = |check: &Check| check.status.as_deref() == Some("passing");
        self.state_name() == "started" && self.checks.iter().flatten().all(is_good)
    }

    /// Why the machine is not up: its state, its last exit code, and the output of a check.
    pub fn describe(&self) -> String {
        let code = |event: &Value| event["request"]["exit_event"]["exit_code"].as_i64();
        let code = self.events.iter().flatten().find_map(code);
        let code = code
            .map(|code| format!(", it exited with {code}"))
            .unwrap_or_default();
        let bad = |check: &&Check| check.status.as_deref() != Some("passing");
        let check = self
            .checks
            .iter()
            .flatten()
            .find(bad)
            .and_then(|check| check.output.as_deref());
        let check = check
            .map(|output| format!(", a check said: {}", quote(output)))
            .unwrap_or_default();
        format!("the machine is {}{code}{check}", quote(self.state_name()))
    }
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// The volume's id.
    pub id: String,
    /// The volume's name. Other volumes can have the same name.
    pub name: Option<String>,
    /// The volume's state.
    pub state: Option<String>,
    /// The volume's region, which never changes.
    pub region: Option<String>,
    /// The time of creation, in a form that sorts.
    pub created_at: Option<String>,
}

impl Volume {
    /// Whether the volume is ours and is not about to be destroyed (`flaps/flaps_volumes.go`).
    pub fn is_ours(&self) -> bool {
        let going = [
            "scheduling_destroy",
            "fork_cleanup",
            "waiting_for_detach",
            "pending_destroy",
            "destroying",
            "destroyed",
        ];
        self.name.as_deref() == Some(VOLUME)
            && !self
                .state
                .as_deref()
                .is_some_and(|state| going.contains(&state))
    }
}

/// The answer to `GET /apps/{app}/ip_assignments`.
#[derive(Debug, Deserialize)]
pub struct Addresses {
    /// The addresses.
    pub ips: Option<Vec<Address>>,
}

/// An address that is assigned to an app.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    ip: String,
    shared: Option<bool>,
}

impl Address {
    /// The address, if it accepts plain TCP from anywhere. A shared address needs TLS that names
    /// the app, and addresses in `fdaa::/16` are in Fly's private network.
    pub fn public(&self) -> Option<IpAddr> {
        let ip: IpAddr = self.ip.parse().ok()?;
        let private = matches!(ip, IpAddr::V6(ip) if ip.segments()[0] == 0xfdaa);
        (!private && self.shared != Some(true)).then_some(ip)
    }
}

/// The answer to `GET /platform/regions`. fly-go reads `Regions` and `Nearest`, and ignores case.
#[derive(Debug, Deserialize)]
pub struct Regions {
    /// The regions.
    #[serde(alias = "Regions")]
    pub regions: Option<Vec<Region>>,
    /// The code of the nearest region.
    #[serde(alias = "Nearest")]
    pub nearest: Option<String>,
}

/// A region.
#[derive(Debug, Clone, Deserialize)]
pub struct Region {
    /// The code of the region, three letters.
    pub code: String,
    /// The name of the place.
    pub name: Option<String>,
    /// Whether the region will be closed.
    pub deprecated: Option<bool>,
    /// Whether the region requires a paid plan.
    pub requires_paid_plan: Option<bool>,
}

/// The answer to `POST /apps/{app}/machines/{id}/exec`. Empty and zero fields are omitted.
#[derive(Debug, Deserialize)]
pub struct Exec {
    /// The exit code.
    #[serde(default)]
    pub exit_code: i64,
    /// The signal that ended the command.
    pub exit_signal: Option<i64>,
    /// The command's stdout.
    pub stdout: Option<String>,
    /// The command's stderr.
    pub stderr: Option<String>,
}
