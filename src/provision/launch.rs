//! Launches a satellite, in the same steps on every platform.
//!
//! 1. **Look** at what exists ([`Host::inspect`]): nothing, the rest of an interrupted launch, or a
//!    satellite. A satellite of another owner that came in between is refused.
//! 2. **Decide** on the [`Settings`]. The owner stays for good. The port and the public host stay
//!    unless the plan names others. The program stays if the plan names none and the version is the
//!    same.
//! 3. **Read the program** and check that it can run there, before anything is made.
//! 4. **Prepare** what a satellite stands on ([`Host::prepare`]): an app, a volume, addresses. What an
//!    interrupted launch left is repaired here, and not before the owner is known.
//! 5. **Put** the program there ([`Host::put`]), unless it stays.
//! 6. **Run** it ([`Host::run`]), and wait until it works.
//! 7. If it does not work, **restore** the former satellite ([`Host::restore`]).
//!
//! Each step uses what exists already. A launch that was interrupted is therefore continued by the
//! next one, from step 1. No step deletes data.

use super::console::Console;
use super::host::{Found, Host, RunError, State};
use super::image::satellite;
use super::plan::{Existing, Plan, Program, Settings};
use crate::exit::Failure;

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
        Some(read_program(plan, host)?)
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
            "another machine has just launched a satellite there: run this again to use it",
        )),
        _ => Ok(()),
    }
}

/// Puts the former program back. The step that failed stays open, so that it is shown as failed.
fn restore(host: &mut dyn Host, failure: &Failure, console: &mut dyn Console) -> Failure {
    console.say("it does not work, so the former program is put back");
    let end = match host.restore(console) {
        Ok(()) => "the former program was put back".to_owned(),
        Err(other) => format!("the former program could not be put back either: {other}"),
    };
    Failure {
        sentence: format!("{failure}; {end}"),
        code: failure.code,
    }
}

/// The program to deploy.
fn read_program(plan: &Plan, host: &mut dyn Host) -> Result<Program, Failure> {
    if let Some(image) = &plan.image {
        return Ok(Program::Image(image.clone()));
    }
    let architecture = host.architecture()?;
    let bytes = satellite(plan.binary.as_deref(), architecture)?;
    Ok(Program::Executable(bytes, architecture))
}

#[cfg(test)]
mod tests;
