//! A machine's configuration, field by field.
//!
//! Owns the list of fields (Machines API, `fly.MachineConfig` of its `OpenAPI` text, and fly-go's
//! `machine_types.go`), and the check of a single configuration. A documented field that this
//! stand-in does not implement is refused, too, so that no test passes by accident.

#![expect(
    dead_code,
    reason = "most fields are named only so that others are refused"
)]
#![expect(clippy::struct_field_names, reason = "the names are the platform's")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
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
    #[serde(default)]
    pub skip_service_registration: bool,
    #[serde(default)]
    pub skip_secrets: bool,
    pub min_secrets_version: Option<u64>,
    #[serde(default)]
    pub lease_ttl: u64,
    pub lsvd: Option<bool>,
    pub current_version: Option<String>,
}

/// `config`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub image: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub init: Init,
    pub guest: Option<Guest>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub services: Vec<Service>,
    #[serde(default)]
    pub checks: BTreeMap<String, Check>,
    #[serde(default)]
    pub files: Vec<File>,
    pub restart: Option<Restart>,
    #[serde(default)]
    pub auto_destroy: bool,
    pub stop_config: Option<StopConfig>,
    pub dns: Option<IgnoredAny>,
    pub metrics: Option<IgnoredAny>,
    pub size: Option<String>,
    pub disable_machine_autostart: Option<bool>,
    pub schedule: Option<IgnoredAny>,
    pub processes: Option<IgnoredAny>,
    pub containers: Option<IgnoredAny>,
    pub volumes: Option<IgnoredAny>,
    pub standbys: Option<IgnoredAny>,
    pub statics: Option<IgnoredAny>,
    pub rootfs: Option<IgnoredAny>,
    pub cache_drive: Option<IgnoredAny>,
    pub spot: Option<IgnoredAny>,
}

/// `init`: the command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    pub exec: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub tty: Option<bool>,
    pub swap_size_mb: Option<u64>,
    pub kernel_args: Option<Vec<String>>,
}

/// `guest`: the size of the machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    #[serde(default = "shared")]
    pub cpu_kind: String,
    #[serde(default = "one")]
    pub cpus: u64,
    #[serde(default = "least")]
    pub memory_mb: u64,
    pub max_memory_mb: Option<u64>,
    pub gpus: Option<u64>,
    pub gpu_kind: Option<String>,
    pub host_dedication_id: Option<String>,
    pub persist_rootfs: Option<String>,
    pub kernel_args: Option<Vec<String>>,
}

/// `mounts`: at most one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub volume: String,
    pub path: String,
    pub name: Option<String>,
    pub encrypted: Option<bool>,
    pub size_gb: Option<u64>,
    pub extend_threshold_percent: Option<u64>,
    pub add_size_gb: Option<u64>,
    pub size_gb_limit: Option<u64>,
}

/// `services`: the ports that the proxy passes on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub protocol: String,
    pub internal_port: u16,
    pub autostop: Option<Autostop>,
    pub autostart: Option<bool>,
    pub min_machines_running: Option<u64>,
    #[serde(default)]
    pub ports: Vec<Port>,
    pub checks: Option<Vec<Check>>,
    pub concurrency: Option<Concurrency>,
    pub force_instance_key: Option<String>,
    pub force_instance_description: Option<String>,
}

/// `autostop`: a boolean in the old form, a word in the new one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Autostop {
    Old(bool),
    New(AutostopWord),
}

/// The words of the new form.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutostopWord {
    Off,
    Stop,
    Suspend,
}

/// One port, or a range of ports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    pub port: Option<u16>,
    pub start_port: Option<u16>,
    pub end_port: Option<u16>,
    #[serde(default)]
    pub handlers: Vec<String>,
    pub force_https: Option<bool>,
    pub tls_options: Option<IgnoredAny>,
    pub http_options: Option<IgnoredAny>,
    pub proxy_proto_options: Option<IgnoredAny>,
}

/// `concurrency`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub hard_limit: Option<u64>,
    pub soft_limit: Option<u64>,
}

/// A check.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub port: Option<u16>,
    #[serde(rename = "kind")]
    pub purpose: Option<String>,
    pub interval: Option<Span>,
    pub timeout: Option<Span>,
    pub grace_period: Option<Span>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub protocol: Option<String>,
    pub tls_skip_verify: Option<bool>,
    pub tls_server_name: Option<String>,
    pub headers: Option<IgnoredAny>,
}

/// `restart`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    pub policy: Policy,
    pub max_retries: Option<u32>,
}

/// When a program that exited is restarted.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    No,
    OnFailure,
    Always,
}

/// `files`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub guest_path: String,
    pub raw_value: Option<String>,
    pub secret_name: Option<String>,
    pub image_config: Option<String>,
    pub mode: Option<u32>,
}

/// `stop_config`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConfig {
    pub signal: Option<String>,
    pub timeout: Option<Span>,
}

/// A duration: nanoseconds, or text such as `10s` (fly-go, `duration.go`).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Span {
    Nanoseconds(u64),
    Text(String),
}

fn shared() -> String {
    "shared".to_owned()
}

fn one() -> u64 {
    1
}

fn least() -> u64 {
    256
}

impl Span {
    /// The duration in whole seconds; `None` if it is invalid.
    pub fn seconds(&self) -> Option<u64> {
        match self {
            Self::Nanoseconds(count) => Some(count.div_ceil(1_000_000_000)),
            Self::Text(text) if text.ends_with("ms") => Some(
                text.trim_end_matches("ms")
                    .parse::<u64>()
                    .ok()?
                    .div_ceil(1000),
            ),
            Self::Text(text) => {
                let factor = match text.chars().last()? {
                    's' => 1,
                    'm' => 60,
                    'h' => 3600,
                    _ => return None,
                };
                Some(text[..text.len() - 1].parse::<u64>().ok()? * factor)
            }
        }
    }
}

impl Config {
    /// Parses and checks a configuration.
    pub fn read(value: &Value) -> Result<Self, Refusal> {
        let config: Self = serde_json::from_value(value.clone())
            .map_err(|error| Refusal::malformed(400, format!("json: config: {error}")))?;
        config.fault().map_or(Ok(config), |what| {
            Err(Refusal::malformed(400, format!("invalid_argument: {what}")))
        })
    }

    /// The restart policy. The default is `on-failure` with ten attempts.
    pub fn policy(&self) -> (Policy, u32) {
        let restart = self.restart.as_ref();
        let retries = restart
            .and_then(|restart| restart.max_retries)
            .unwrap_or(10);
        (
            restart.map_or(Policy::OnFailure, |restart| restart.policy),
            retries,
        )
    }

    /// The public ports that carry raw TCP, each with the port in the machine.
    pub fn raw_ports(&self) -> Vec<(u16, u16)> {
        let raw = self
            .services
            .iter()
            .filter(|service| service.protocol == "tcp");
        raw.flat_map(|service| {
            let plain = service.ports.iter().filter(|port| port.handlers.is_empty());
            plain.filter_map(|port| Some((port.port?, service.internal_port)))
        })
        .collect()
    }

    /// What is invalid in it.
    fn fault(&self) -> Option<String> {
        self.unplayed()
            .or_else(|| self.guest.as_ref().and_then(Guest::fault))
            .or_else(|| self.mounts.iter().find_map(Mount::fault))
            .or_else(|| (self.mounts.len() > 1).then(|| "only one mount is allowed".to_owned()))
            .or_else(|| self.services.iter().find_map(Service::fault))
            .or_else(|| self.checks.values().find_map(Check::fault))
            .or_else(|| self.files.iter().find_map(File::fault))
            .or_else(|| self.environment_fault())
    }

    fn environment_fault(&self) -> Option<String> {
        let bad = self.env.iter().find(|(name, value)| {
            name.is_empty() || name.contains(['=', '\n', '\0']) || value.contains(['\n', '\0'])
        });
        bad.map(|(name, _)| format!("env {name} cannot be passed on"))
    }

    /// A documented field in it that is not implemented here.
    fn unplayed(&self) -> Option<String> {
        let odd = [
            ("schedule", self.schedule.is_some()),
            ("processes", self.processes.is_some()),
            ("containers", self.containers.is_some()),
            ("volumes", self.volumes.is_some()),
            ("standbys", self.standbys.is_some()),
            ("statics", self.statics.is_some()),
            ("rootfs", self.rootfs.is_some()),
            ("cache_drive", self.cache_drive.is_some()),
            ("spot", self.spot.is_some()),
            (
                "size with guest",
                self.size.is_some() && self.guest.is_some(),
            ),
        ];
        let found = odd.iter().find(|(_, is_there)| *is_there);
        found.map(|(name, _)| format!("{name} is not played by the stand-in"))
    }
}

impl Guest {
    fn fault(&self) -> Option<String> {
        // `MIN_MEMORY_MB_PER_SHARED_CPU` and similar constants in fly-go's machine_types.go.
        let (least, most) = match self.cpu_kind.as_str() {
            "shared" => (256, 2048),
            "performance" => (2048, 8192),
            other => return Some(format!("unknown guest.cpu_kind {other}")),
        };
        if !matches!(self.cpus, 1 | 2 | 4 | 6 | 8 | 10 | 12 | 14 | 16) {
            return Some(format!("invalid guest.cpus {}", self.cpus));
        }
        let (low, high) = (least * self.cpus, most * self.cpus);
        let fits = (low..=high).contains(&self.memory_mb) && self.memory_mb.is_multiple_of(256);
        (!fits).then(|| {
            format!("invalid guest.memory_mb, {low} to {high} in steps of 256 are allowed")
        })
    }
}

impl Mount {
    fn fault(&self) -> Option<String> {
        (!self.path.starts_with('/') || self.path.contains(':'))
            .then(|| format!("invalid mount path {}", self.path))
    }
}

impl Service {
    fn fault(&self) -> Option<String> {
        if !matches!(self.protocol.as_str(), "tcp" | "udp") {
            return Some(format!("unknown service protocol {}", self.protocol));
        }
        if self.internal_port == 0 || self.ports.is_empty() {
            return Some("a service needs an internal_port and ports".to_owned());
        }
        self.ports
            .iter()
            .find_map(Port::fault)
            .or_else(|| self.checks.iter().flatten().find_map(Check::fault))
    }
}

impl Port {
    fn fault(&self) -> Option<String> {
        const HANDLERS: [&str; 6] = ["http", "tls", "tcp", "pg_tls", "proxy_proto", "edge_http"];
        let odd = self
            .handlers
            .iter()
            .find(|handler| !HANDLERS.contains(&handler.as_str()));
        if let Some(odd) = odd {
            return Some(format!("unknown handler {odd}"));
        }
        match (self.port, self.start_port, self.end_port) {
            (Some(1..), None, None) => None,
            (None, Some(_), Some(_)) => {
                Some("ranges of ports are not played by the stand-in".to_owned())
            }
            _ => Some("a port of a service needs its number".to_owned()),
        }
    }
}

impl Check {
    fn fault(&self) -> Option<String> {
        if !matches!(self.kind.as_deref(), Some("tcp" | "http")) {
            return Some("a check needs its type, tcp or http".to_owned());
        }
        let spans = [&self.interval, &self.timeout, &self.grace_period];
        let odd = spans
            .into_iter()
            .flatten()
            .find(|span| span.seconds().is_none());
        odd.map(|span| format!("{span:?} is no duration"))
    }
}

impl File {
    fn fault(&self) -> Option<String> {
        let sources = u8::from(self.raw_value.is_some()) + u8::from(self.secret_name.is_some());
        if sources != 1 || self.image_config.is_some() {
            return Some("a file needs one of raw_value and secret_name".to_owned());
        }
        let path = &self.guest_path;
        (!path.starts_with('/') || path.contains(':')).then(|| format!("invalid guest_path {path}"))
    }
}
