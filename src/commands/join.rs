//! `--join`: makes this machine use the satellite of an invitation.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::access::Member;
use crate::access::join::{MAX_TEXT, come_in};
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::joined::keep;
use crate::prompt::prompt;
use crate::provision::record;
use crate::report::{notice, words};

/// Joins the satellite of an invitation, and returns the exit code.
///
/// # Errors
///
/// When there is no valid invitation, another satellite was joined, or this one cannot be reached.
pub fn join() -> Result<u8, Failure> {
    let text = invitation()?;
    if text.trim().is_empty() {
        return Err(Failure::usage(
            "no invitation was given: paste its line, or pass it on stdin",
        ));
    }
    let place = config::invited(&text)
        .map_err(|why| Failure::usage(format!("that is not an invitation: {why}")))?;
    let mut member = Member::at(place)?;
    let path = config::joined()?;
    refuse_another(&path, &member)?;
    let own = come_in(&mut member, &mut ask_for_phrase)?;
    if !path.exists() {
        record::forget()?;
    }
    keep(&member.token)?;
    notice(&format!(
        "this machine now uses the satellite at {}, as {} ({})",
        member.place, own.name, own.rights
    ));
    if config::named_satellite()?.is_some() {
        notice("SATELLITE is set here and takes precedence; to use the joined satellite, unset it");
    }
    Ok(DONE)
}

/// Reads the invitation from stdin, or asks the user to paste it.
fn invitation() -> Result<Zeroizing<String>, Failure> {
    if io::stdin().is_terminal() {
        return prompt("invitation: ");
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * 4096));
    let read = io::stdin().take(MAX_TEXT).read_to_string(&mut text);
    read.map_err(|error| Failure::failed(format!("cannot read stdin: {}", words(&error))))?;
    Ok(text)
}

/// Refuses a second satellite or key: a machine has one of each, and a change must be deliberate.
fn refuse_another(path: &Path, member: &Member) -> Result<(), Failure> {
    let Ok(text) = fs::read_to_string(path).map(Zeroizing::new) else {
        return Ok(());
    };
    match config::invited(&text) {
        Ok(Place::Invited(endpoint, token)) if token.seed != member.token.seed => {
            Err(Failure::failed(format!(
                "this machine has already joined the satellite at {endpoint}; to leave it and \
                 revoke its key: skypipe --leave"
            )))
        }
        _ => Ok(()),
    }
}

fn ask_for_phrase() -> Result<Zeroizing<String>, Failure> {
    prompt("phrase: ").map_err(|fault| {
        let fault = fault.sentence;
        Failure::failed(format!(
            "{fault}; scripts can set SKYPIPE_PHRASE to the phrase"
        ))
    })
}
