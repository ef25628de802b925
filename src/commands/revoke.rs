//! `--revoke`: revokes a key, and has everybody else get a new reading key.
//!
//! The key is revoked first, so that its holder is locked out whatever fails later. If the renewal breaks
//! off, the same command continues it: revoking a revoked key succeeds. A writer's key is no exception,
//! because it contains the secret that all writers share.

use skypipe_protocol::HOST;
use skypipe_protocol::text::{count, normal};

use crate::access::Member;
use crate::access::renewal::Renewal;
use crate::cli::Revoke;
use crate::exit::{DONE, Failure};
use crate::prompt::confirm;
use crate::report::{notice, size};
use crate::session::Question;

/// Revokes a key, and returns the exit code.
///
/// # Errors
///
/// When this machine may not, or the satellite cannot be reached.
pub fn revoke(revoke: &Revoke) -> Result<u8, Failure> {
    let name = revoke.name.as_str();
    let member = Member::here(revoke.data.as_deref())?;
    let own = member.own_key()?;
    if normal(&own.name) == normal(name) {
        return Err(Failure::usage(
            "that is this machine's own key: revoke it on another machine",
        ));
    }
    if normal(name) == HOST && !revoke.yes {
        ask_about_host()?;
    }
    // This comes before any change: it makes sure that this manager has a sealed keyring and an
    // attestation.
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
                "the key {name} is revoked; new data is sealed with a new reading key{rest}"
            ));
            Ok(DONE)
        }
        Err(fault) => Err(Failure::failed(format!(
            "the key {name} is revoked, but the reading key was not renewed ({fault}): run this \
             again, here or on another machine that can invite others"
        ))),
    }
}

/// The unread data that the key wrote, in words. `None` if there is none.
fn what_it_wrote(member: &Member, name: &str) -> Option<String> {
    // If this machine may not see the list, the satellite says so when the key itself is revoked.
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

/// Asks whether the unread data is dropped. Without a terminal, returns what remains to be reported.
fn ask_about_what_it_wrote(member: &Member, name: &str, wrote: &str) -> Result<String, Failure> {
    match confirm(&format!(
        "The key {name} is revoked. It wrote {wrote} that are still unread. Delete what nobody is \
         reading?"
    )) {
        Some(true) => {
            member.put(Question::Revoke(name.to_owned(), true))?;
            Ok(String::new())
        }
        Some(false) => Ok(String::new()),
        None => Ok(format!(
            "; it wrote {wrote} that are still unread: to delete what nobody is reading, add \
             --discard"
        )),
    }
}

/// Asks before the satellite's own access key is revoked: without it that machine can enroll nobody.
fn ask_about_host() -> Result<(), Failure> {
    let what = format!(
        "{HOST} is the access key of the satellite's own machine: without it, --data there and \
         --setup on another machine no longer work (to make a new one, empty the file keys/host \
         in the satellite's data directory and restart the satellite)"
    );
    match confirm(&format!("{what}. Revoke it?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::failed("the key is unchanged")),
        None => Err(Failure::usage(format!(
            "{what}; to revoke it anyway, add --yes"
        ))),
    }
}
