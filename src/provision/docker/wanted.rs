//! The container that a satellite should have.
//!
//! Owns the body of the request that creates the container, and the comparison with an existing
//! container. Sends nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::containers::Container;
use super::images::Present;
use super::names::{
    DATA, FOUNDER, FROM, INSIDE, LABEL, LISTEN, OUTSIDE, PROGRAM, PUBLIC, VERSION, VOLUME,
};
use crate::provision::{PORT, Plan, bracketed};

/// The container to create.
#[derive(Debug)]
pub struct Wanted {
    /// The image to run.
    pub image: Present,
    /// The published port of the engine's machine.
    pub port: u16,
    labels: BTreeMap<String, String>,
    arguments: Vec<String>,
}

/// Labels in the type that the API needs.
#[must_use]
pub fn owned(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

impl Wanted {
    /// Describes the container. Unless the plan names another address, the address of the existing
    /// container `current` is kept. `host` is where others reach the engine's machine if neither
    /// the plan nor `current` says.
    #[must_use]
    pub fn new(
        plan: &Plan,
        host: &str,
        founder: &str,
        current: Option<&Container>,
        image: Present,
    ) -> Self {
        let label = |name: &str| current.and_then(|current| current.config.labels.get(name));
        let kept = label(OUTSIDE).and_then(|port| port.parse().ok());
        let port = plan.port.or(kept).unwrap_or(PORT);
        let public = plan
            .public
            .as_ref()
            .or(label(PUBLIC))
            .map_or(host, String::as_str);
        let labels = owned(&[
            (LABEL, "1"),
            (VERSION, &plan.version),
            (FOUNDER, founder),
            (OUTSIDE, &port.to_string()),
            (PUBLIC, public),
            (FROM, &image.name),
        ]);
        let plan = Plan {
            founder: founder.to_owned(),
            ..plan.clone()
        };
        let address = format!("{}:{port}", bracketed(public));
        let arguments = plan.arguments(LISTEN, DATA, &address);
        Self {
            image,
            port,
            labels,
            arguments,
        }
    }

    /// Whether a container is as wanted.
    #[must_use]
    pub fn is(&self, container: &Container) -> bool {
        // A container also shows the labels of its image, so that more labels than wanted are
        // allowed.
        let has = |(name, value)| container.config.labels.get(name) == Some(value);
        container.image == self.image.id
            && container.config.cmd == self.arguments
            && container.port(INSIDE) == Some(self.port)
            && self.labels.iter().all(has)
    }

    /// The body of the request that creates the container.
    #[must_use]
    pub fn body(&self, is_podman: bool) -> Value {
        // Podman's unit that starts containers with the machine knows only `always`.
        let restart = if is_podman {
            "always"
        } else {
            "unless-stopped"
        };
        // The API takes nanoseconds.
        let seconds = |count: u64| count * 1_000_000_000;
        json!({
            "Image": self.image.name,
            "Entrypoint": [PROGRAM],
            "Cmd": self.arguments,
            "Labels": self.labels,
            "ExposedPorts": {INSIDE: {}},
            "Healthcheck": {
                "Test": ["CMD", PROGRAM, "--check", "--data", DATA],
                "Interval": seconds(60), "Timeout": seconds(20), "StartPeriod": seconds(60), "Retries": 3,
            },
            "HostConfig": {
                "Mounts": [{"Type": "volume", "Source": VOLUME, "Target": DATA}],
                "PortBindings": {INSIDE: [{"HostPort": self.port.to_string()}]},
                "RestartPolicy": {"Name": restart},
                "ReadonlyRootfs": true,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                // Both engines have this driver, whatever their default is, and both limit its
                // size.
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
            },
        })
    }
}
