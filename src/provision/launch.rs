//! Launches a satellite, in the same steps on every platform.
//!
//! 1. **Look** at what exists ([`Host::inspect`]): nothing, the rest of an interrupted launch, or a
//!    satellite. A satellite of another owner that came in between is refused.
//! 2. **Decide** on the [`Settings`]. The owner stays for good. The port and the public host stay
//!    unless the plan names others. The program stays if the plan names none and the version is the
//!    same.
//! 3. **Read the program** and check that it can run there, before anything is made.
//! 4. **Prepare** what a satellite stands on ([`Host::prepare`]): an app, a volume, addresses.
//! 5. **Put** the program there ([`Host::put`]), unless it stays.
//! 6. **Run** it ([`Host::run`]), and wait until it works.
//! 7. If it does not work, **restore** the former satellite ([`Host::restore`]).
//!
//! Each step uses what exists already. A launch that was interrupted is therefore continued by the
//! next one, from step 1. No step deletes data.

use std::path::PathBuf;

use skypipe_protocol::address::is_host;

use super::console::Console;
use super::host::{Existing, Found, Host, RunError, State};
use super::image::{Architecture, satellite};
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
    fn new(plan: &Plan, existing: &Existing) -> Self {
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
    fn check(&self) -> Result<(), Failure> {
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
        "{shown} is no host that others can be told: say another with --public"
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

impl Program {
    fn read(plan: &Plan, host: &mut dyn Host) -> Result<Self, Failure> {
        if let Some(image) = &plan.image {
            return Ok(Self::Image(image.clone()));
        }
        let architecture = host.architecture()?;
        let bytes = satellite(plan.binary.as_deref(), architecture)?;
        Ok(Self::Executable(bytes, architecture))
    }
}

/// Launches a satellite. Where `found` is one, this continues its launch, starts it again or
/// replaces its program; its data, owner and address are kept. Returns when the satellite works.
///
/// # Errors
///
/// When a step fails. The former satellite, if there was one, then runs as before, or the sentence
/// says that it does not. What was made is left for the next launch.
pub fn launch(
    host: &mut dyn Host,
    plan: &Plan,
    found: Option<&Found>,
    console: &mut dyn Console,
) -> Result<Found, Failure> {
    let existing = host.inspect(found)?;
    refuse_overtaken(found, plan, &existing)?;
    let mut settings = Settings::new(plan, &existing);
    settings.check()?;
    let program = if settings.program.is_empty() {
        Some(Program::read(plan, host)?)
    } else {
        None
    };
    let name = host.prepare(&settings, console)?;
    if let Some(program) = program {
        settings.program = host.put(&program, &settings.version, console)?;
    }
    console.begin("start the satellite");
    match host.run(&settings, console) {
        Ok(()) => console.done(""),
        Err(RunError::Refused(failure)) => return Err(failure),
        Err(RunError::Broken(failure)) => {
            return Err(if existing.settings.is_some() {
                restore(host, &failure, console)
            } else {
                failure
            });
        }
    }
    Ok(Found {
        name,
        version: Some(settings.version),
        owner: Some(settings.owner),
        state: State::Running,
    })
}

/// Refuses a satellite of another owner that came after this launch had found none.
fn refuse_overtaken(
    found: Option<&Found>,
    plan: &Plan,
    existing: &Existing,
) -> Result<(), Failure> {
    match &existing.owner {
        Some(owner) if found.is_none() && *owner != plan.owner => Err(Failure::failed(
            "somebody else has launched a satellite there meanwhile: try again, and it is found",
        )),
        _ => Ok(()),
    }
}

fn restore(host: &mut dyn Host, failure: &Failure, console: &mut dyn Console) -> Failure {
    console.begin("put the former program back");
    let end = match host.restore(console) {
        Ok(()) => {
            console.done("");
            "the former program was put back".to_owned()
        }
        Err(other) => format!("the former program could not be put back either: {other}"),
    };
    Failure {
        sentence: format!("{failure}; {end}"),
        code: failure.code,
    }
}

#[cfg(test)]
mod tests;
