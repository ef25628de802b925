//! Where satellites can be deployed.
//!
//! Owns the list of platforms and how a target is written. Each platform is one file; a new one is named
//! here and nowhere else.

use std::fmt;

use super::docker::Docker;
use super::docker::target as docker;
use super::fly::{self, Fly};
use super::ssh::{self, Ssh};
use super::{Choice, Provider, Talk};
use crate::cli::Deploy;
use crate::exit::Failure;

/// Where a satellite can be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An app at Fly.io.
    Fly,
    /// A Linux host.
    Ssh(ssh::Target),
    /// An engine of Docker or Podman.
    Docker(docker::Target),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fly => f.write_str("fly"),
            Self::Ssh(target) => target.fmt(f),
            Self::Docker(target) => target.fmt(f),
        }
    }
}

impl Target {
    /// Reads what stands behind `--setup`.
    ///
    /// # Errors
    ///
    /// When it is none; a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "fly" => Ok(Self::Fly),
            _ if text.starts_with("ssh://") => ssh::Target::parse(text)
                .map(Self::Ssh)
                .map_err(|failure| failure.sentence),
            _ if text == "docker" || text.starts_with("docker+") => {
                docker::Target::parse(text).map(Self::Docker)
            }
            _ => Err(format!(
                "--setup {text} makes no sense: it takes fly, ssh://user@host, docker, docker+unix://PATH, \
                 docker+ssh://user@host or docker+tcp://host:port"
            )),
        }
    }

    /// Asks the person.
    ///
    /// # Errors
    ///
    /// When nobody can be asked, or nothing good is answered.
    pub fn choose(talk: &mut dyn Talk) -> Result<Self, Failure> {
        let choice = |name: &str, about: &str| Choice {
            name: name.to_owned(),
            about: about.to_owned(),
        };
        let choices = [
            choice(
                "fly",
                "an app in your account at Fly.io: a small machine with 1 GB of disk, some dollars a month",
            ),
            choice(
                "ssh",
                "a Linux host that you can log in to; root is not needed",
            ),
            choice(
                "docker",
                "a container in Docker or Podman, on this machine or another",
            ),
        ];
        let question = "Where shall the satellite be?";
        let chosen = talk.choose(question, &choices, "skypipe --setup TARGET")?;
        match chosen {
            0 => Ok(Self::Fly),
            1 => {
                let host = talk.text("the host, as in user@host", "--setup ssh://user@host")?;
                let host = host.trim_start_matches("ssh://");
                Self::parse(&format!("ssh://{host}")).map_err(Failure::usage)
            }
            _ => docker::Target::parse("docker")
                .map(Self::Docker)
                .map_err(Failure::usage),
        }
    }

    /// The provider for it. `name` is what the platform calls the satellite, if that is known.
    ///
    /// # Errors
    ///
    /// When a flag makes no sense there, or something that is needed is not there.
    pub fn provider(
        &self,
        deploy: &Deploy,
        name: Option<&str>,
    ) -> Result<Box<dyn Provider>, Failure> {
        if !matches!(self, Self::Fly) {
            let flags = [
                (deploy.org.is_some(), "--org"),
                (deploy.app.is_some(), "--app"),
                (deploy.region.is_some(), "--region"),
                (deploy.ipv4, "--ipv4"),
            ];
            if let Some((_, flag)) = flags.iter().find(|(given, _)| *given) {
                return Err(Failure::usage(format!("{flag} is for --setup fly alone")));
            }
        }
        Ok(match self {
            Self::Fly => Box::new(Fly::new(fly::Options {
                org: deploy.org.clone(),
                region: deploy.region.clone(),
                ipv4: deploy.ipv4,
                app: deploy.app.clone().or(name.map(str::to_owned)),
                is_app_said: deploy.app.is_some(),
            })),
            Self::Ssh(target) => Box::new(Ssh::new(target.clone())),
            Self::Docker(target) => Box::new(Docker::new(target.clone())),
        })
    }

    /// Whether a program asks something at the terminal there, such as a password.
    #[must_use]
    pub fn asks_at_the_terminal(&self) -> bool {
        matches!(self, Self::Ssh(_) | Self::Docker(docker::Target::Ssh(_)))
    }

    /// Whether the platform can be asked where the satellite is without anybody being asked anything,
    /// and could have another answer than before.
    #[must_use]
    pub fn is_asked_quietly(&self) -> bool {
        match self {
            Self::Fly => true,
            Self::Ssh(_) => false,
            Self::Docker(target) => !matches!(target, docker::Target::Ssh(_)),
        }
    }
}
