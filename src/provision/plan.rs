//! What is to be deployed: the plan that the user made, and the settings that follow from it and from what is
//! there.
//!
//! It never talks to a platform.

use std::path::PathBuf;

use skypipe_protocol::address::is_host;

use super::image::Architecture;
use super::{PORT, bracketed};
use crate::exit::Failure;

/// What to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version of this program, such as `1.0.0`. The satellite is labelled with it.
    pub version: String,
    /// The public keys of the owner, as text without white space. They are no secret. The satellite
    /// gets them as `--owner`, and the platform's metadata holds them, too.
    pub owner: String,
    /// The port at which others reach the satellite, if the user named one.
    pub port: Option<u16>,
    /// The host (without a port) under which others reach the satellite, if the user named one.
    pub public: Option<String>,
    /// `--satellite-binary`: an executable to deploy instead of this program.
    pub binary: Option<PathBuf>,
    /// `--image`: an image in a registry to deploy instead of this program.
    pub image: Option<String>,
}

/// The settings of one satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The program's version.
    pub version: String,
    /// The public keys of the owner.
    pub owner: String,
    /// The port at which others reach the satellite.
    pub port: u16,
    /// The host under which others reach the satellite, without a port. `None` lets the platform
    /// say.
    pub public: Option<String>,
    /// The program's name on the platform: a file or an image. Empty before it is put there.
    pub program: String,
}

impl Settings {
    pub(super) fn new(plan: &Plan, existing: &Existing) -> Self {
        let former = existing.settings.as_ref();
        let owner = existing.owner.as_ref().unwrap_or(&plan.owner);
        let public = plan.public.as_ref();
        Self {
            version: plan.version.clone(),
            owner: owner.clone(),
            port: plan
                .port
                .or(former.map(|former| former.port))
                .unwrap_or(PORT),
            public: public
                .or(former.and_then(|former| former.public.as_ref()))
                .cloned(),
            program: kept(plan, former).unwrap_or_default(),
        }
    }

    /// Refuses what no satellite can have: the values become words of command lines and lines of
    /// files.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (name, value) in [("version", &self.version), ("owner", &self.owner)] {
            if value.is_empty() || value.contains(|c: char| c.is_control() || c.is_whitespace()) {
                let shown = value.escape_debug();
                return Err(Failure::usage(format!(
                    "'{shown}' cannot be a satellite's {name}"
                )));
            }
        }
        if self.port == 0 {
            return Err(Failure::usage(
                "0 is no port at which a satellite can be reached",
            ));
        }
        self.public.as_deref().map_or(Ok(()), check_public)
    }

    /// The arguments of the satellite, without the program's name. `data` is the data directory on
    /// the platform, `listen` is an address with a port such as `0.0.0.0:9000`, and `public` is the
    /// host under which others reach the satellite.
    #[must_use]
    pub fn arguments(&self, listen: &str, data: &str, public: &str) -> Vec<String> {
        let public = format!("{}:{}", bracketed(public), self.port);
        // A key may begin with a dash. The `=` keeps it from being read as a flag.
        let owner = format!("--owner={}", self.owner);
        let words = [
            "--satellite",
            listen,
            "--data",
            data,
            "--public",
            &public,
            &owner,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// Refuses a text that is no host.
///
/// # Errors
///
/// A usage failure.
pub fn check_public(host: &str) -> Result<(), Failure> {
    if is_host(&bracketed(host)) {
        return Ok(());
    }
    let shown = host.escape_debug();
    Err(Failure::usage(format!(
        "'{shown}' is not a host that other machines can use: name another with --public"
    )))
}

/// The program of the former satellite, if it stays. A program named once stays, too, so that a
/// restart need not send it again.
fn kept(plan: &Plan, former: Option<&Settings>) -> Option<String> {
    let former = former?;
    let names_none = plan.image.is_none() && plan.binary.is_none();
    (names_none && former.version == plan.version).then(|| former.program.clone())
}

/// A program to deploy.
#[derive(Debug)]
pub enum Program {
    /// An image in a registry.
    Image(String),
    /// An executable for this processor.
    Executable(Vec<u8>, Architecture),
}

/// What a launch has to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// The owner, as soon as a satellite with data can exist. Its keys know no other.
    pub owner: Option<String>,
    /// The settings of a satellite that has a program, whether its launch finished or broke off.
    pub settings: Option<Settings>,
}
