//! `--reset` of a deployed satellite: destroys the satellite and everything in it.
//!
//! Owns the question beforehand, which names what would be lost. Never destroys another satellite
//! than the one in that question. Forgets a satellite only when the platform confirms that nothing
//! is left.

use serde_json::json;
use skypipe_protocol::text::count;

use crate::cli::Reset;
use crate::config::{self, Place};
use crate::conversation::inquire;
use crate::exit::Failure;
use crate::joined;
use crate::provision::Found;
use crate::provision::console::{Console as _, StdioConsole};
use crate::provision::record::{self, Deployed, Lock};
use crate::provision::target::Target;
use crate::session::{Question, Timeouts};

/// Destroys the satellite at a target, or the one that this machine deployed, and returns the exit
/// code.
///
/// # Errors
///
/// When the satellite must not be destroyed, or part of it is left.
pub fn reset(reset: &Reset) -> Result<u8, Failure> {
    StdioConsole::over(reset.deploy.json, |console| end(reset, console))
}

fn end(reset: &Reset, console: &mut StdioConsole) -> Result<(), Failure> {
    let _lock = Lock::take()?;
    let deployed = record::deployed()?;
    let said = reset.target.as_deref();
    if let (None, Some(app)) = (said, &reset.deploy.app) {
        return Err(Failure::usage(format!("say --reset fly --app {app}")));
    }
    let target = match (said, &deployed) {
        (Some(said), _) => Target::parse(said),
        (None, deployed) => Target::recorded(deployed.as_ref().map_or("", |it| &it.target)),
    };
    let target = target.map_err(Failure::usage)?;
    if target.asks_at_the_terminal() {
        console.keep_still();
    }
    let known = deployed.as_ref();
    let known = known.filter(|it| said.is_none() || it.target == target.to_string());
    let name = known.map(|known| known.name.as_str());
    let mut host = target.host(&reset.deploy, name)?;
    console.begin(&format!("look for the satellite at {target}"));
    let found = host.find(console)?;
    let Some(found) = found else {
        console.done("there is none");
        if let Some(known) = known {
            return forget_gone(known, console);
        }
        console.finish("gone", json!({"target": target.to_string(), "name": null}));
        return Ok(());
    };
    let ours = deployed.as_ref().filter(|deployed| deployed.is(&found));
    console.done(&found.name);
    if let (None, None, Some(known)) = (said, ours, known) {
        console.say(&format!(
            "another satellite is there, not the one that this machine used; it is unchanged. To remove it: \
             skypipe --reset {target}"
        ));
        return forget_gone(known, console);
    }
    confirm(&found, &target, ours.is_some(), reset.yes, console)?;
    host.remove(&found, console)?;
    if let Some(ours) = ours {
        return forget(ours, console);
    }
    console.say("the satellite is gone");
    console.finish(
        "gone",
        json!({"target": target.to_string(), "name": found.name}),
    );
    Ok(())
}

/// Forgets a satellite that the platform reports as gone, unless it still answers: the target may
/// now lead to another place.
fn forget_gone(known: &Deployed, console: &mut StdioConsole) -> Result<(), Failure> {
    console.begin("look whether the satellite answers all the same");
    let answers = waiting().is_some();
    console.done("");
    if answers {
        return Err(Failure::failed(format!(
            "the satellite that this machine uses is not at {}, and answers all the same: nothing was ended or \
             forgotten (skypipe --leave forgets it)",
            known.target
        )));
    }
    forget(known, console)
}

/// Makes this machine use its own satellite again.
fn forget(ours: &Deployed, console: &mut StdioConsole) -> Result<(), Failure> {
    record::forget()?;
    joined::forget()?;
    record::forget_seed(&ours.target)?;
    console.say("the satellite is gone, and this machine uses its own again");
    console.finish("gone", json!({"target": ours.target, "name": ours.name}));
    Ok(())
}

fn confirm(
    found: &Found,
    target: &Target,
    is_ours: bool,
    yes: bool,
    console: &mut StdioConsole,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let lost = if is_ours {
        console.begin("ask the satellite for unread data");
        let lost = lost();
        console.done("");
        lost
    } else {
        "this machine does not use it, so its unread data is unknown and would be deleted"
            .to_owned()
    };
    let name = &found.name;
    let what = format!(
        "this would remove the satellite {name} at {target} for all machines that use it; {lost}"
    );
    match console.confirm(&format!("{what}. Remove it?"))? {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the satellite is unchanged")),
        None => Err(Failure::usage(format!(
            "{what}; to do it anyway, add --yes"
        ))),
    }
}

/// What would be lost with the satellite that this machine uses, as text for people.
fn lost() -> String {
    waiting().unwrap_or_else(|| {
        "it does not answer, so its unread data is unknown and would be deleted".to_owned()
    })
}

/// The unread data at the satellite, as text for people; `None` if the satellite does not answer.
fn waiting() -> Option<String> {
    let place @ Place::Invited(..) = config::joined_satellite().ok()?? else {
        return None;
    };
    let inquiry = inquire(Question::Status, &place, false, Timeouts::default()).ok()?;
    let status = inquiry.status()?;
    if status.waiting == 0 {
        return Some("it has no unread data".to_owned());
    }
    let streams = count(status.waiting, "unread stream");
    let bytes = count(status.bytes, "byte");
    Some(format!("this would delete {streams} ({bytes})"))
}
