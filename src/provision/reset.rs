//! `--reset` of a satellite that was deployed: ends it, with all it has.
//!
//! Owns the question before that, which names what would be lost. Never ends another one than was asked
//! about, and forgets it only when the platform says that nothing is left.

use serde_json::json;

use super::record::{self, Deployed, Turn};
use super::talk::Console;
use super::target::Target;
use super::{Found, Talk};
use crate::ask::{count, inquire};
use crate::cli::Reset;
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::members::join;
use crate::session::Question;

/// Ends the satellite at a target, or the one that was deployed, and returns the exit code.
///
/// # Errors
///
/// When it must not be ended, or something of it is left.
pub fn reset(reset: &Reset, deployed: Option<Deployed>) -> Result<u8, Failure> {
    let mut talk = Console::new(reset.deploy.json);
    let ended = end(reset, deployed, &mut talk);
    if let Err(failure) = &ended {
        talk.fail(failure);
    }
    ended.map(|()| DONE)
}

fn end(reset: &Reset, deployed: Option<Deployed>, talk: &mut Console) -> Result<(), Failure> {
    let _turn = Turn::take()?;
    let said = reset.target.as_deref();
    let target = said.or(deployed.as_ref().map(|deployed| deployed.target.as_str()));
    let target = Target::parse(target.unwrap_or_default()).map_err(Failure::usage)?;
    if target.asks_at_the_terminal() {
        talk.keep_still();
    }
    let ours = deployed.filter(|deployed| deployed.target == target.to_string());
    let name = ours.as_ref().map(|ours| ours.name.as_str());
    let mut provider = target.provider(&reset.deploy, name)?;
    talk.begin(&format!("look for the satellite at {target}"));
    let found = provider.find(talk)?;
    let (found, is_ours) = match (found, &ours) {
        (None, None) => {
            talk.done("there is none");
            return Ok(());
        }
        (None, Some(ours)) => {
            talk.done("it is gone already");
            return forget(ours, talk);
        }
        (Some(found), Some(ours)) if !ours.is(&found) && said.is_none() => {
            talk.done("it is gone already");
            talk.say(&format!(
                "another satellite is there now, and was left alone: skypipe --reset {target} ends that one"
            ));
            return forget(ours, talk);
        }
        (Some(found), ours) => {
            let is_ours = ours.as_ref().is_some_and(|ours| ours.is(&found));
            (found, is_ours)
        }
    };
    talk.done(&found.name);
    confirm(&found, &target, is_ours, reset.yes, talk)?;
    provider.destroy(&found, talk)?;
    if let Some(ours) = ours.filter(|_| is_ours) {
        return forget(&ours, talk);
    }
    talk.say("the satellite is gone");
    talk.finish(
        "gone",
        json!({"target": target.to_string(), "name": found.name}),
    );
    Ok(())
}

/// Has this machine use its own satellite again.
fn forget(ours: &Deployed, talk: &mut Console) -> Result<(), Failure> {
    join::forget()?;
    record::forget_seed(&ours.target)?;
    talk.say("the satellite is gone, and this machine uses its own again");
    talk.finish("gone", json!({"target": ours.target, "name": ours.name}));
    Ok(())
}

fn confirm(
    found: &Found,
    target: &Target,
    is_ours: bool,
    yes: bool,
    talk: &mut Console,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let lost = if is_ours {
        talk.begin("ask the satellite what waits there");
        let lost = lost();
        talk.done("");
        lost
    } else {
        "this machine does not use it, so what waits there cannot be told, and would be lost"
            .to_owned()
    };
    let name = &found.name;
    let what =
        format!("this ends the satellite {name} at {target} for all machines that use it; {lost}");
    match talk.confirm(&format!("{what}. End it?"))? {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the satellite was left alone")),
        None => Err(Failure::usage(format!("{what}: with --yes it is done"))),
    }
}

/// What would be lost of the satellite that this machine uses, in words.
fn lost() -> String {
    let unknown =
        || "it does not answer, so what waits there cannot be told, and would be lost".to_owned();
    let Ok(Some(place @ Place::Invited(..))) = config::joined_satellite() else {
        return unknown();
    };
    let Ok(inquiry) = inquire(Question::Status, &place, false, None) else {
        return unknown();
    };
    match inquiry.status() {
        None => unknown(),
        Some(status) if status.waiting == 0 => "nothing waits there".to_owned(),
        Some(status) => {
            let (streams, bytes) = (count(status.waiting, "stream"), count(status.bytes, "byte"));
            format!("{streams} with {bytes} would be lost")
        }
    }
}
