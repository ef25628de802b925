//! A machine's configuration, field by field.
//!
//! Owns the list of fields that are played (Machines API, `fly.MachineConfig` of its `OpenAPI` text,
//! and fly-go's `machine_types.go`), and the check of a single configuration. Any other field is
//! refused, even a documented one, so that no test passes by accident.

#![expect(clippy::struct_field_names, reason = "the names are the platform's")]
#![expect(
    dead_code,
    reason = "some fields are named only so that others are refused"
)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::answer::Refusal;

/// `POST …/machines`, and `POST …/machines/{id}` with `current_version`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The configuration as it was sent, which is shown unchanged.
    pub config: Value,
    pub region: Option<String>,
    pub name: Option<String>,
    #[serde(default)]
    pub skip_launch: bool,
    pub current_version: Option<String>,
}

/// `config`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub image: String,
    pub init: Init,
    guest: Guest,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    services: Vec<Service>,
    #[serde(default)]
    checks: BTreeMap<String, Check>,
    restart: Restart,
}

/// `init`: the command.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    pub exec: Vec<String>,
}

/// `guest`: the size of the machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    cpu_kind: String,
    cpus: u64,
    memory_mb: u64,
}

/// `mounts`: one volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub volume: String,
    pub path: String,
}

/// `services`: the ports that the proxy passes on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    protocol: String,
    internal_port: u16,
    autostop: String,
    autostart: bool,
    min_machines_running: u64,
    ports: Vec<Port>,
}

/// One port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    port: u16,
    handlers: Vec<String>,
}

/// A check. Its durations are texts such as `10s`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    #[serde(rename = "type")]
    kind: String,
    port: u16,
    interval: String,
    timeout: String,
    grace_period: String,
}

/// `restart`: a program that exits is always restarted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    policy: String,
}

impl Config {
    /// Parses and checks a configuration.
    pub fn read(value: &Value) -> Result<Self, Refusal> {
        let config: Self = serde_json::from_value(value.clone())
            .map_err(|error| Refusal::malformed(400, format!("json: config: {error}")))?;
        match config.fault() {
            None => Ok(config),
            Some(what) => Err(Refusal::malformed(400, format!("invalid_argument: {what}"))),
        }
    }

    /// The public ports that carry raw TCP, each with the port in the machine.
    pub fn raw_ports(&self) -> Vec<(u16, u16)> {
        let services = self.services.iter();
        services
            .flat_map(|service| {
                let ports = service.ports.iter();
                ports.map(|port| (port.port, service.internal_port))
            })
            .collect()
    }

    /// What is invalid in it.
    fn fault(&self) -> Option<&'static str> {
        let is_time = |text: &String| {
            let number = text.strip_suffix('s').map(str::parse::<u64>);
            number.is_some_and(|number| number.is_ok())
        };
        let mut checks = self.checks.values();
        let mut times = self
            .checks
            .values()
            .flat_map(|check| [&check.interval, &check.timeout, &check.grace_period]);
        let mut services = self.services.iter();
        let faults = [
            (self.restart.policy == "always", "restart.policy is always"),
            (self.mounts.len() == 1, "there is one mount"),
            (
                self.mounts.iter().all(|mount| mount.path.starts_with('/')),
                "a mount has a path",
            ),
            (
                checks.all(|check| check.kind == "tcp"),
                "a check has the type tcp",
            ),
            (times.all(is_time), "a duration is a number of seconds"),
            (
                services.all(|service| {
                    let mut ports = service.ports.iter();
                    let is_raw = ports.all(|port| port.port > 0 && port.handlers.is_empty());
                    service.protocol == "tcp" && !service.ports.is_empty() && is_raw
                }),
                "a service has ports of raw TCP",
            ),
            (
                self.guest.fits(),
                "a guest has 256 to 2048 MB for each shared CPU",
            ),
        ];
        let faults = faults.iter().find(|(is_so, _)| !is_so);
        faults.map(|(_, what)| *what)
    }
}

impl Guest {
    /// `MIN_MEMORY_MB_PER_SHARED_CPU` and similar constants in fly-go's `machine_types.go`.
    fn fits(&self) -> bool {
        let memory = 256 * self.cpus..=2048 * self.cpus;
        self.cpu_kind == "shared"
            && matches!(self.cpus, 1 | 2 | 4 | 6 | 8)
            && memory.contains(&self.memory_mb)
            && self.memory_mb.is_multiple_of(256)
    }
}
