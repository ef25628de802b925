//! What a satellite's machine is made from.
//!
//! Owns the machine's `config` (`machines/api/machines-resource` in superfly/docs) and the words in its
//! metadata, by which a satellite is known:
//!
//! | key | value |
//! | --- | --- |
//! | `skypipe` | `satellite` |
//! | `skypipe_version` | the version that was deployed |
//! | `skypipe_founder` | the public halves of the founder's keys |
//! | `skypipe_port` | the port at which it is reached |
//! | `skypipe_public` | the host that the user said it is reached by, if one was said |
//!
//! Nothing of it is a secret, so Fly's secrets are not used: the satellite makes its key by itself, on its volume.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::things::Machine;
use crate::provision::{PORT, Plan, bracketed};

/// The program in the image.
pub const PROGRAM: &str = "/skypipe";

/// Where the volume is mounted.
pub const DATA: &str = "/data";

/// The port at which the satellite listens in its machine. Fly's proxy reaches it by IPv4.
const INSIDE: u16 = 9000;

/// The smallest machine there is.
#[must_use]
pub fn guest() -> Value {
    json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 })
}

/// What a satellite is to be, with what an upgrade keeps.
#[derive(Debug)]
pub struct Wanted {
    plan: Plan,
    /// The port at which it is reached.
    port: u16,
    /// The host that the user said.
    public: Option<String>,
    /// The host that it is told it has.
    host: String,
    image: String,
}

impl Wanted {
    /// What `plan` says; of the machine that is there, the founder is kept, and host and port too where the
    /// plan names none. Without a host, it is an address: that of IPv4 if there is one.
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

    /// The command is given as `exec`, which goes before whatever an image says of itself, so that an
    /// image of the user's own runs the same; [`PROGRAM`] must be in it in any case, for what runs beside.
    fn command(&self) -> Vec<String> {
        let public = format!("{}:{}", self.host, self.port);
        let arguments = self
            .plan
            .arguments(&format!("0.0.0.0:{INSIDE}"), DATA, &public);
        std::iter::once(PROGRAM.to_owned())
            .chain(arguments)
            .collect()
    }

    /// The config of a new machine with that volume.
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

    /// The config of a machine that is there, with the image, the command and the metadata of the plan;
    /// whatever else it has, be it more memory that somebody gave it, is kept.
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

/// The port at which a satellite's machine is reached.
#[must_use]
pub fn port(machine: &Machine) -> u16 {
    machine
        .metadata("skypipe_port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(PORT)
}
