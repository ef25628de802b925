//! `--reset` of a satellite that was deployed: ends it, with all it has.
//!
//! Owns the question before that, which names what would be lost. Never ends one that was not asked
//! about, and forgets it only when the platform says that nothing is left.

use serde_json::json;

use super::Talk;
use super::record::{self, Deployed};
use super::talk::Console;
use super::target::Target;
use crate::ask::{count, inquire};
use crate::cli::Deploy;
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::members::join;
use crate::session::Question;

/// Ends the satellite that was deployed, and returns the exit code.
///
/// # Errors
///
/// When it must not be ended, or something of it is left.
pub fn reset(deployed: &Deployed, yes: bool, json: bool) -> Result<u8, Failure> {
    let mut talk = Console::new(json);
    let ended = end(deployed, yes, &mut talk);
    if let Err(failure) = &ended {
        talk.fail(failure);
    }
    ended.map(|()| DONE)
}

fn end(deployed: &Deployed, yes: bool, talk: &mut Console) -> Result<(), Failure> {
    let target = Target::parse(&deployed.target).map_err(Failure::failed)?;
    let mut provider = target.provider(&Deploy::default(), Some(&deployed.name))?;
    confirm(deployed, yes, talk)?;
    talk.begin(&format!("look for the satellite at {target}"));
    match provider.find(talk)? {
        Some(found) => {
            talk.done(&found.name);
            provider.destroy(&found, talk)?;
        }
        None => talk.done("it is gone already"),
    }
    join::forget()?;
    record::forget_seed(&deployed.target)?;
    talk.finish(
        "gone",
        json!({"target": deployed.target, "name": deployed.name}),
    );
    talk.say("the satellite is gone, and this machine uses its own again");
    Ok(())
}

fn confirm(deployed: &Deployed, yes: bool, talk: &mut Console) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    talk.begin("ask the satellite what waits there");
    let lost = lost()?;
    talk.done("");
    let Deployed { target, name } = deployed;
    let what =
        format!("this ends the satellite {name} at {target} for all machines that use it; {lost}");
    match talk.confirm(&format!("{what}. End it?"))? {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the satellite was left alone")),
        None => Err(Failure::usage(format!("{what}: with --yes it is done"))),
    }
}

/// What would be lost, in words.
fn lost() -> Result<String, Failure> {
    let unknown = "it does not answer, so what waits there cannot be told, and would be lost";
    let Some(place @ Place::Invited(..)) = config::joined_satellite()? else {
        return Ok(unknown.to_owned());
    };
    let inquiry = inquire(Question::Status, &place, false, None)?;
    Ok(match inquiry.status() {
        None => unknown.to_owned(),
        Some(status) if status.waiting == 0 => "nothing waits there".to_owned(),
        Some(status) => {
            let (streams, bytes) = (count(status.waiting, "stream"), count(status.bytes, "byte"));
            format!("{streams} with {bytes} would be lost")
        }
    })
}
