//! The configuration of a satellite's machine.
//!
//! Owns the machine's `config` (`machines/api/machines-resource` in superfly/docs), and the
//! metadata by which a satellite is recognised:
//!
//! | key | value |
//! | --- | --- |
//! | `skypipe` | `satellite` |
//! | `skypipe_version` | the version that was deployed |
//! | `skypipe_founder` | the public keys of the founder |
//! | `skypipe_port` | the port at which others reach the satellite |
//! | `skypipe_public` | the host at which others reach the satellite, if the user named one |
//!
//! None of these is a secret, so Fly's secrets are not used: the satellite makes its key itself, on
//! its volume.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::things::Machine;
use crate::provision::{PORT, Plan, bracketed};

/// The path of the program in the image.
pub const PROGRAM: &str = "/skypipe";

/// Where the volume is mounted.
pub const DATA: &str = "/data";

/// The port at which the satellite listens in its machine. Fly's proxy reaches it by IPv4.
const INSIDE: u16 = 9000;

/// The smallest size of machine that the platform has.
#[must_use]
pub fn guest() -> Value {
    json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 })
}

/// The configuration that a satellite should have, including what an upgrade keeps.
#[derive(Debug)]
pub struct Wanted {
    plan: Plan,
    /// The port at which others reach the satellite.
    port: u16,
    /// The host that the user named.
    public: Option<String>,
    /// The host in the satellite's own public address.
    host: String,
    image: String,
}

impl Wanted {
    /// Builds the configuration from `plan`. The founder of an existing machine is kept; its host
    /// and port are kept if the plan names none. Without a host, an address of the app is used: the
    /// IPv4 address if there is one.
    #[must_use]
    pub fn new(
        plan: &Plan,
        machine: Option<&Machine>,
        addresses: &[IpAddr],
        image: String,
    ) -> Self {
        let kept = |key| {
            machine
                .and_then(|machine| machine.metadata(key))
                .map(str::to_owned)
        };
        let mut plan = plan.clone();
        plan.founder = kept("skypipe_founder").unwrap_or(plan.founder);
        let there = machine.map_or(PORT, port);
        let public = plan.public.clone().or_else(|| kept("skypipe_public"));
        let address = addresses
            .iter()
            .find(|ip| ip.is_ipv4())
            .or(addresses.first());
        let host = public
            .clone()
            .or_else(|| address.map(ToString::to_string))
            .unwrap_or_default();
        Self {
            host: bracketed(&host),
            port: plan.port.unwrap_or(there),
            plan,
            public,
            image,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut words = vec![
            ("skypipe", "satellite".to_owned()),
            ("skypipe_version", self.plan.version.clone()),
            ("skypipe_founder", self.plan.founder.clone()),
            ("skypipe_port", self.port.to_string()),
        ];
        words.extend(self.public.clone().map(|public| ("skypipe_public", public)));
        words
    }

    /// The satellite's command. It is set as `exec`, which overrides the command of the image, so
    /// that an image of the user's runs the same way. Such an image must contain [`PROGRAM`] in any
    /// case, for commands that run next to the satellite.
    fn command(&self) -> Vec<String> {
        let public = format!("{}:{}", self.host, self.port);
        let arguments = self
            .plan
            .arguments(&format!("0.0.0.0:{INSIDE}"), DATA, &public);
        std::iter::once(PROGRAM.to_owned())
            .chain(arguments)
            .collect()
    }

    /// The configuration of a new machine with that volume.
    #[must_use]
    pub fn config(&self, volume: &str) -> Value {
        let config = json!({
            "guest": guest(),
            "restart": { "policy": "always" },
            "mounts": [{ "volume": volume, "path": DATA }],
            "services": [{
                "protocol": "tcp",
                "internal_port": INSIDE,
                "autostop": "off",
                "autostart": true,
                "min_machines_running": 1,
                "ports": [{ "port": self.port, "handlers": [] }],
            }],
            "checks": {
                "satellite": { "type": "tcp", "port": INSIDE, "interval": "15s", "timeout": "5s", "grace_period": "5s" },
            },
        });
        self.renewed(&config)
    }

    /// The configuration of an existing machine, with the image, the command and the metadata of
    /// the plan. Everything else is kept, such as memory that somebody added.
    #[must_use]
    pub fn renewed(&self, config: &Value) -> Value {
        let mut config = config.clone();
        config["image"] = json!(self.image);
        config["init"]["exec"] = json!(self.command());
        if let Some(service) = config["services"].get_mut(0) {
            service["ports"] = json!([{ "port": self.port, "handlers": [] }]);
        }
        for (key, word) in self.metadata() {
            config["metadata"][key] = json!(word);
        }
        config
    }
}

/// The port at which others reach a satellite's machine.
#[must_use]
pub fn port(machine: &Machine) -> u16 {
    machine
        .metadata("skypipe_port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(PORT)
}
