//! The platforms on which satellites can be deployed.
//!
//! Owns the list of platforms and the syntax of a target. Each platform is one module. A new
//! platform is named here, declared in [`super`], and shown in the help.

use std::fmt;

use super::docker::Docker;
use super::docker::target as docker;
use super::fly::{self, Fly};
use super::ssh::{self, Ssh};
use super::{Choice, Console, Host};
use crate::cli::Deploy;
use crate::exit::Failure;

/// A place where a satellite can be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An app at Fly.io.
    Fly,
    /// A Linux host that is reached by ssh.
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
    /// Parses the argument of `--setup`.
    ///
    /// # Errors
    ///
    /// When the text is no target. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, &docker::Target::parse)
    }

    /// Parses the target in a record. It means what it meant when it was written, whatever the
    /// environment says today.
    ///
    /// # Errors
    ///
    /// When the text is no target. The error is a sentence.
    pub fn recorded(text: &str) -> Result<Self, String> {
        Self::read(text, &docker::Target::recorded)
    }

    fn read(
        text: &str,
        docker: &dyn Fn(&str) -> Result<docker::Target, String>,
    ) -> Result<Self, String> {
        match text {
            "fly" => Ok(Self::Fly),
            _ if text.starts_with("ssh://") => ssh::Target::parse(text)
                .map(Self::Ssh)
                .map_err(|failure| failure.sentence),
            _ if text == "docker" || text.starts_with("docker+") => docker(text).map(Self::Docker),
            _ => Err(format!(
                "'{text}' is not a target: use fly, ssh://user@host, docker, docker+context://name, \
                 docker+unix://PATH, docker+ssh://user@host or docker+tcp://host:port"
            )),
        }
    }

    /// Asks the person for a target.
    ///
    /// # Errors
    ///
    /// When nobody can be asked, or no valid target is answered.
    pub fn choose(console: &mut dyn Console) -> Result<Self, Failure> {
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
        let question = "Where should the satellite run?";
        let chosen = console.choose(question, &choices, "a target to --setup")?;
        match chosen {
            0 => Ok(Self::Fly),
            1 => {
                let host = console.text("the host, as in user@host", "--setup ssh://user@host")?;
                let host = host.trim_start_matches("ssh://");
                Self::parse(&format!("ssh://{host}")).map_err(Failure::usage)
            }
            _ => docker::Target::parse("docker")
                .map(Self::Docker)
                .map_err(Failure::usage),
        }
    }

    /// The platform of this target. `name` is the satellite's name on the platform, if it is
    /// known.
    ///
    /// # Errors
    ///
    /// When a flag does not apply to this target, or something required is missing.
    pub fn host(&self, deploy: &Deploy, name: Option<&str>) -> Result<Box<dyn Host>, Failure> {
        if !matches!(self, Self::Fly) {
            let flags = [
                (deploy.org.is_some(), "--org"),
                (deploy.app.is_some(), "--app"),
                (deploy.region.is_some(), "--region"),
                (deploy.ipv4, "--ipv4"),
            ];
            if let Some((_, flag)) = flags.iter().find(|(given, _)| *given) {
                return Err(Failure::usage(format!("{flag} only works with fly")));
            }
        }
        if matches!(self, Self::Ssh(_)) && deploy.image.is_some() {
            return Err(Failure::usage(
                "--image does not work with ssh: the program is copied to the host",
            ));
        }
        Ok(match self {
            Self::Fly => Box::new(Fly::new(fly::Options {
                org: deploy.org.clone(),
                region: deploy.region.clone(),
                ipv4: deploy.ipv4,
                app: deploy.app.clone().or(name.map(str::to_owned)),
                is_app_named: deploy.app.is_some(),
            })),
            Self::Ssh(target) => Box::new(Ssh::new(target.clone())),
            Self::Docker(target) => Box::new(Docker::new(target.clone())),
        })
    }

    /// Whether a program, such as ssh, asks something at the terminal, such as a password.
    #[must_use]
    pub fn asks_at_the_terminal(&self) -> bool {
        match self {
            Self::Fly => false,
            Self::Ssh(_) => true,
            Self::Docker(target) => target.is_elsewhere(),
        }
    }

    /// Whether the platform can report the satellite's address without asking a person anything,
    /// and the address may have changed since.
    #[must_use]
    pub fn is_asked_quietly(&self) -> bool {
        match self {
            Self::Fly => true,
            Self::Ssh(_) => false,
            Self::Docker(target) => !target.is_elsewhere(),
        }
    }
}
