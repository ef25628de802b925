//! What there is at Fly.io, as its answers describe it: apps, machines, volumes, addresses.
//!
//! Owns the fields that are read (`machine_types.go`, `volume_types.go` and `flaps/` in superfly/fly-go).
//! Whatever may be missing or null is an `Option`: Go leaves out what is empty.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::fault::tidy;
use crate::provision::State;

/// The name of our volume.
pub const VOLUME: &str = "skypipe_data";

/// The name of our machine, unique in its app, so that two of them cannot be.
pub const MACHINE: &str = "satellite";

/// What an app's name begins with.
pub const PREFIX: &str = "skypipe-";

/// How many letters follow.
pub const LETTERS: usize = 10;

/// The letters, those of base32.
pub const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `GET /apps?org_slug=`.
#[derive(Debug, Deserialize)]
pub struct Apps {
    /// The apps.
    pub apps: Option<Vec<App>>,
}

/// An app.
#[derive(Debug, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
}

/// A machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Machine {
    /// What identifies it.
    pub id: String,
    /// Its state, of which there are many.
    pub state: Option<String>,
    /// What identifies this version of it.
    pub instance_id: Option<String>,
    /// Where it is.
    pub region: Option<String>,
    /// What it was made from. It is not there while its host does not answer.
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
    /// A word that we gave it.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let config = self.config.as_ref().or(self.incomplete_config.as_ref())?;
        config["metadata"][key].as_str()
    }

    /// Whether it was made to be a satellite.
    #[must_use]
    pub fn is_satellite(&self) -> bool {
        self.metadata("skypipe") == Some("satellite")
    }

    /// Its state's name (`machines/machine-states` in superfly/docs).
    #[must_use]
    pub fn state_name(&self) -> &str {
        self.state.as_deref().unwrap_or("unknown")
    }

    /// Whether it is gone for good, or will be by itself.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.state_name(),
            "destroyed" | "destroying" | "launch_failed" | "migrated" | "replaced"
        )
    }

    /// What its state means here.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state_name() {
            "started" | "starting" | "restarting" | "updating" | "replacing" => State::Running,
            "created" | "creating" | "failed" => State::Unfinished,
            _ => State::Stopped,
        }
    }

    /// Whether it may ever have run, so that its volume may not be empty. Where no events are told, it may.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        let ran = |event: &Value| event["type"] == "start" || event["status"] == "started";
        self.events
            .as_ref()
            .is_none_or(|events| events.is_empty() || events.iter().any(ran))
    }

    /// Whether it runs, and whoever checks on it found it so.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let is_good = |check: &Check| check.status.as_deref() == Some("passing");
        self.state_name() == "started" && self.checks.iter().flatten().all(is_good)
    }

    /// Why it is not up: its state, the code with which it exited last, and what a check said.
    #[must_use]
    pub fn plight(&self) -> String {
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
            .map(|output| format!(", a check said: {}", tidy(output)))
            .unwrap_or_default();
        format!("the machine is {}{code}{check}", tidy(self.state_name()))
    }
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// What identifies it.
    pub id: String,
    /// Its name, which others can have too.
    pub name: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// Where it is, for good.
    pub region: Option<String>,
    /// When it was made, in a form that sorts.
    pub created_at: Option<String>,
}

impl Volume {
    /// Whether it is ours and not about to go (`flaps/flaps_volumes.go`).
    #[must_use]
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

/// `GET /apps/{app}/ip_assignments`.
#[derive(Debug, Deserialize)]
pub struct Addresses {
    /// The addresses.
    pub ips: Option<Vec<Address>>,
}

/// An address that was assigned to an app.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    ip: String,
    shared: Option<bool>,
}

impl Address {
    /// The address, if plain TCP from anywhere comes in by it: a shared one needs TLS that names the app,
    /// and those in `fdaa::/16` are Fly's private network.
    #[must_use]
    pub fn public(&self) -> Option<IpAddr> {
        let ip: IpAddr = self.ip.parse().ok()?;
        let private = matches!(ip, IpAddr::V6(ip) if ip.segments()[0] == 0xfdaa);
        (!private && self.shared != Some(true)).then_some(ip)
    }
}

/// `GET /platform/regions`. fly-go reads `Regions` and `Nearest`, in any case of letters.
#[derive(Debug, Deserialize)]
pub struct Regions {
    /// The regions.
    #[serde(alias = "Regions")]
    pub regions: Option<Vec<Region>>,
    /// The code of the nearest.
    #[serde(alias = "Nearest")]
    pub nearest: Option<String>,
}

/// A region.
#[derive(Debug, Clone, Deserialize)]
pub struct Region {
    /// Three letters.
    pub code: String,
    /// Where it is.
    pub name: Option<String>,
    /// Whether it will be closed.
    pub deprecated: Option<bool>,
    /// Whether it is for some plans only.
    pub requires_paid_plan: Option<bool>,
}

/// `POST /apps/{app}/machines/{id}/exec`. What is empty or 0 is left out.
#[derive(Debug, Deserialize)]
pub struct Exec {
    /// The exit code.
    #[serde(default)]
    pub exit_code: i64,
    /// The signal that ended it.
    pub exit_signal: Option<i64>,
    /// What it wrote.
    pub stdout: Option<String>,
    /// What it complained of.
    pub stderr: Option<String>,
}
