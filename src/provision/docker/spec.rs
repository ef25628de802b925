//! How a satellite's container is created.
//!
//! Owns the options with which the container is created, and the comparison with an existing
//! container. Runs nothing.

use std::collections::BTreeMap;

use super::engine::Container;
use super::images::Present;
use super::names::{
    DATA, FROM, INSIDE, LABEL, LISTEN, OUTSIDE, OWNER, PROGRAM, PUBLIC, VERSION, VOLUME,
};
use crate::provision::Settings;

/// The variables in which both commands hand the user's proxy to a container. One that is given is
/// left as it is, also if it is empty. In small letters, too.
const PROXIES: [&str; 5] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

/// The container that a satellite should have.
#[derive(Debug)]
pub struct Spec {
    /// The image to run.
    pub image: Present,
    /// The published port of the engine's machine.
    pub port: u16,
    labels: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Spec {
    /// Describes the container. `host` is where others reach the engine's machine if the settings do
    /// not say.
    pub fn new(settings: &Settings, host: &str, image: Present) -> Self {
        let port = settings.port;
        let public = settings.public.as_deref().unwrap_or(host);
        let labels = [
            (LABEL, "1"),
            (VERSION, &settings.version),
            (OWNER, &settings.owner),
            (OUTSIDE, &port.to_string()),
            (PUBLIC, public),
            (FROM, &image.name),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            image,
            port,
            labels: BTreeMap::from(labels),
            arguments: settings.arguments(LISTEN, DATA, public),
        }
    }

    /// Whether a container is like this.
    pub fn is(&self, container: &Container) -> bool {
        // A container also shows the labels of its image, so that further labels are
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
        let proxies = PROXIES
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
        let proxies = proxies.map(|name| format!("--env={name}="));
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| format!("--label={name}={value}"));
        let image = [self.image.name.clone()];
        let program = image.into_iter().chain(self.arguments.iter().cloned());
        fixed.chain(proxies).chain(labels).chain(program).collect()
    }
}
