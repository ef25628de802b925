//! `--leave`: forgets the satellite that was joined, and revokes this machine's key there.

use crate::access::Member;
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::joined::forget;
use crate::provision::record::{self, Deployed};
use crate::report::notice;
use crate::session::Question;

/// Revokes this machine's key at the joined satellite, forgets that satellite, and returns the exit code.
/// If revoking fails, the reason is reported and the machine leaves all the same.
///
/// # Errors
///
/// When the invitation cannot be removed.
pub fn leave() -> Result<u8, Failure> {
    let deployed = record::deployed().ok().flatten();
    // An invalid invitation can be forgotten, too.
    let joined = config::joined_satellite();
    let ended = joined.transpose().map(|place| end_own_key(place?));
    record::forget()?;
    if !forget()? {
        notice("this machine has not joined a satellite");
        return Ok(DONE);
    }
    if let Some(Deployed { target, .. }) = deployed {
        notice(&format!(
            "the satellite at {target} is still running; to remove it: skypipe --reset {target}"
        ));
    }
    match ended {
        Some(Ok(name)) => notice(&format!(
            "this machine uses its own satellite again, and its key, {name}, is revoked; if \
             somebody may have a copy of it, also make a new reading key, on another machine: \
             skypipe --revoke {name}"
        )),
        Some(Err(fault)) => notice(&format!(
            "this machine uses its own satellite again, but its key could not be revoked \
             ({fault}); to revoke it, on another machine: skypipe --revoke"
        )),
        None => notice("this machine uses its own satellite again"),
    }
    Ok(DONE)
}

/// Asks the satellite to revoke this machine's key. Returns the key's name.
fn end_own_key(place: Place) -> Result<String, Failure> {
    let member = Member::at(place)?;
    let own = member.own_key()?;
    member.put(Question::Revoke(own.name.clone(), false))?;
    Ok(own.name)
}
