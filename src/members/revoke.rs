//! `--revoke`: ends a key, and has everybody else get a new reading key.
//!
//! The key is ended first, so that whatever fails later its holder is out. Should the renewal break off,
//! the same command goes on with it: a key that was revoked can be revoked again. Who could only write has the
//! secret that writers share, so that is renewed for a writer, too.

use skypipe_broker::keys::HOST;
use skypipe_broker::text::{count, normal};

use super::Member;
use super::prompt::confirm;
use super::renewal::Renewal;
use crate::cli::Revoke;
use crate::exit::{DONE, Failure};
use crate::session::Question;
use crate::tell::{notice, size};

/// Ends a key, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be asked.
pub fn revoke(revoke: &Revoke) -> Result<u8, Failure> {
    let name = revoke.name.as_str();
    let member = Member::here(revoke.data.as_deref())?;
    let own = member.own_key()?;
    if normal(&own.name) == normal(name) {
        return Err(Failure::usage(
            "that is the key of this machine itself: revoke it from another one",
        ));
    }
    if normal(name) == HOST && !revoke.yes {
        ask_about_host()?;
    }
    // Before anything is done: whoever manages has a box and a voucher by now.
    let manager = member.manages(&own);
    let wrote = what_it_wrote(&member, name);
    member.put(Question::Revoke(name.to_owned(), revoke.discard))?;
    let rest = match wrote.filter(|_| !revoke.discard) {
        Some(wrote) => ask_about_what_it_wrote(&member, name, &wrote)?,
        None => String::new(),
    };
    let renewed = manager.and_then(|(keyring, managing)| {
        let renewal = Renewal {
            member: &member,
            keyring: &keyring,
            managing: &managing,
            own: &own,
            revoked: name,
            yes: revoke.yes,
        };
        renewal.carry_out()
    });
    match renewed {
        Ok(()) => {
            notice(&format!(
                "the key {name} is revoked; what is written from now on is sealed with a new \
                 reading key{rest}"
            ));
            Ok(DONE)
        }
        Err(fault) => Err(Failure::failed(format!(
            "the key {name} is revoked, but the reading key is not renewed ({fault}): say it again, \
             or on a machine that can invite others"
        ))),
    }
}

/// What the holder wrote and nobody has read, in words; nothing if there is none of that.
fn what_it_wrote(member: &Member, name: &str) -> Option<String> {
    // Who may not see that is told so by the satellite when it comes to the key itself.
    let keys = member.keys().ok()?;
    let key = keys
        .keys
        .iter()
        .find(|key| normal(&key.name) == normal(name));
    let holds = key.map(|key| key.holds).filter(|it| it.streams > 0);
    holds.map(|holds| {
        let (streams, bytes) = (count(holds.streams, "stream"), size(holds.bytes));
        format!("{streams} with {bytes}")
    })
}

/// Whether that is dropped, if there is somebody to ask; else what remains to be said of it.
fn ask_about_what_it_wrote(member: &Member, name: &str, wrote: &str) -> Result<String, Failure> {
    match confirm(&format!(
        "The key {name} is revoked. It had {wrote} here. Drop what nobody takes of that?"
    )) {
        Some(true) => {
            member.put(Question::Revoke(name.to_owned(), true))?;
            Ok(String::new())
        }
        Some(false) => Ok(String::new()),
        None => Ok(format!(
            "; it had {wrote} here: with --discard what nobody takes of that is dropped, too"
        )),
    }
}

/// Without its access key a satellite's own machine lets nobody in.
fn ask_about_host() -> Result<(), Failure> {
    let what = format!(
        "{HOST} is the access key of the satellite's own machine: without it neither --data there nor --setup \
         on another machine works any more (whoever empties the file keys/host in the satellite's data \
         directory, and starts the satellite again, makes another one)"
    );
    match confirm(&format!("{what}. Revoke it?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the key was left alone")),
        None => Err(Failure::usage(format!("{what}: with --yes it is revoked"))),
    }
}
