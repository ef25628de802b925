//! The configuration of a satellite's machine.
//!
//! Owns the machine's `config` (`machines/api/machines-resource` in superfly/docs), and the
//! metadata by which a satellite is recognised:
//!
//! | key | value |
//! | --- | --- |
//! | `skypipe` | `satellite` |
//! | `skypipe_version` | the version that was deployed |
//! | `skypipe_owner` | the public keys of the owner |
//! | `skypipe_port` | the port at which others reach the satellite |
//! | `skypipe_public` | the host at which others reach the satellite, if the user named one |
//!
//! None of these is a secret, so Fly's secrets are not used: the satellite makes its key itself, on
//! its volume.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::types::Machine;
use crate::provision::{PORT, Settings};

/// The path of the program in the image.
pub const PROGRAM: &str = "/skypipe";

/// Where the volume is mounted.
pub const DATA: &str = "/data";

/// The port at which the satellite listens in its machine. Fly's proxy reaches it by IPv4.
const INSIDE: u16 = 9000;

/// The smallest size of machine that the platform has.
pub fn guest() -> Value {
    json!({ "cpu_kind": "shared", "cpus": 1, "memory_mb": 256 })
}

/// The settings of the satellite in a machine; `None` if they are incomplete.
pub fn settings(machine: &Machine) -> Option<Settings> {
    let metadata = |key| machine.metadata(key).map(str::to_owned);
    Some(Settings {
        version: metadata("skypipe_version")?,
        owner: metadata("skypipe_owner")?,
        port: port(machine),
        public: metadata("skypipe_public"),
        program: machine.config.as_ref()?["image"].as_str()?.to_owned(),
    })
}

/// The configuration of a new machine with that volume. `addresses` are those of its app.
pub fn new(settings: &Settings, addresses: &[IpAddr], volume: &str) -> Value {
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
            "ports": [],
        }],
        "checks": {
            "satellite": { "type": "tcp", "port": INSIDE, "interval": "15s", "timeout": "5s", "grace_period": "5s" },
        },
    });
    updated(&config, settings, addresses)
}

/// The configuration of an existing machine, with the image, the command and the metadata of the
/// settings. Everything else is kept, such as memory that somebody added.
pub fn updated(config: &Value, settings: &Settings, addresses: &[IpAddr]) -> Value {
    let mut config = config.clone();
    config["image"] = json!(settings.program);
    config["init"]["exec"] = json!(command(settings, addresses));
    if let Some(service) = config["services"].get_mut(0) {
        service["ports"] = json!([{ "port": settings.port, "handlers": [] }]);
    }
    config["metadata"]["skypipe"] = json!("satellite");
    config["metadata"]["skypipe_version"] = json!(settings.version);
    config["metadata"]["skypipe_owner"] = json!(settings.owner);
    config["metadata"]["skypipe_port"] = json!(settings.port.to_string());
    if let Some(public) = &settings.public {
        config["metadata"]["skypipe_public"] = json!(public);
    }
    config
}

/// The command of the machine. It is `exec`, which replaces the entrypoint of the image, so that an
/// image of the user's runs the same way. Such an image must contain [`PROGRAM`] in any case, for
/// commands that run next to the satellite. Without a public host, an address of the app is used:
/// the IPv4 address if there is one.
fn command(settings: &Settings, addresses: &[IpAddr]) -> Vec<String> {
    let v4 = addresses.iter().find(|ip| ip.is_ipv4());
    let address = v4.or(addresses.first()).map(ToString::to_string);
    let public = settings.public.clone().or(address).unwrap_or_default();
    let arguments = settings.arguments(&format!("0.0.0.0:{INSIDE}"), DATA, &public);
    std::iter::once(PROGRAM.to_owned())
        .chain(arguments)
        .collect()
}

/// The port at which others reach a satellite's machine.
pub fn port(machine: &Machine) -> u16 {
    let port = machine.metadata("skypipe_port");
    port.and_then(|port| port.parse().ok()).unwrap_or(PORT)
}
