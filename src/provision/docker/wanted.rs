//! The container that a satellite should have.
//!
//! Owns the options with which the container is created, and the comparison with an existing
//! container. Runs nothing.

use std::collections::BTreeMap;

use super::engine::Container;
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

impl Wanted {
    /// Describes the container. Unless the plan names another address, the address of the existing
    /// container `current` is kept. `host` is where others reach the engine's machine if neither
    /// the plan nor `current` says.
    pub fn new(
        plan: &Plan,
        host: &str,
        founder: &str,
        current: Option<&Container>,
        image: Present,
    ) -> Self {
        let label = |name: &str| current.and_then(|current| current.labels.get(name));
        let kept = label(OUTSIDE).and_then(|port| port.parse().ok());
        let port = plan.port.or(kept).unwrap_or(PORT);
        let public = plan
            .public
            .as_ref()
            .or(label(PUBLIC))
            .map_or(host, String::as_str);
        let labels = [
            (LABEL, "1"),
            (VERSION, &plan.version),
            (FOUNDER, founder),
            (OUTSIDE, &port.to_string()),
            (PUBLIC, public),
            (FROM, &image.name),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let plan = Plan {
            founder: founder.to_owned(),
            ..plan.clone()
        };
        let address = format!("{}:{port}", bracketed(public));
        let arguments = plan.arguments(LISTEN, DATA, &address);
        Self {
            image,
            port,
            labels: BTreeMap::from(labels),
            arguments,
        }
    }

    /// Whether a container is as wanted.
    pub fn is(&self, container: &Container) -> bool {
        // A container also shows the labels of its image, so that more labels than wanted are
        // allowed.
        let has = |(name, value)| container.labels.get(name) == Some(value);
        container.image == self.image.id
            && container.arguments == self.arguments
            && container.port == Some(self.port)
            && self.labels.iter().all(has)
    }

    /// The options, the image and the arguments with which the container is created. The image
    /// brings the health check: the `docker` command can only name one that needs a shell.
    pub fn options(&self, is_podman: bool) -> Vec<String> {
        // Podman's unit that starts containers with the machine knows only `always`.
        let restart = if is_podman {
            "always"
        } else {
            "unless-stopped"
        };
        let fixed = [
            "--pull=never",
            &format!("--entrypoint={PROGRAM}"),
            &format!("--publish={}:{INSIDE}", self.port),
            &format!("--mount=type=volume,source={VOLUME},target={DATA}"),
            &format!("--restart={restart}"),
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            // Both engines have this driver, whatever their default is, and both limit its size.
            "--log-driver=json-file",
            "--log-opt=max-size=10m",
        ];
        let fixed = fixed.map(str::to_owned).into_iter();
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| format!("--label={name}={value}"));
        let image = [self.image.name.clone()];
        let program = image.into_iter().chain(self.arguments.iter().cloned());
        fixed.chain(labels).chain(program).collect()
    }
}
