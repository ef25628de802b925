//! `--invite NAME --for KEY` enrolls a machine that has made its own seed; `--keys --for KEY` reports
//! whether it is enrolled.
//!
//! This module owns the answer for such a machine. The answer contains no secret, so it may pass through
//! anybody's hands. `skypipe --setup` runs these commands on the satellite's machine to enroll other
//! machines ([`crate::provision`]). They can be repeated: a key that exists already is reported once more.

use std::path::Path;

use serde::{Deserialize, Serialize};
use skypipe_protocol::address::Address;
use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::text::json;
use skypipe_protocol::{KeyInfo, MAX_KEY_NAME, NewKey, PublicKey, Reply};

use super::Member;
use crate::cli::Invite;
use crate::config::PROGRAM;
use crate::exit::{DONE, Failure};
use crate::output;
use crate::session::Question;
use crate::system::unix_time;

/// The most names that are tried for one machine.
const MAX_NAMES: usize = 1000;

/// The answer for an enrolled machine: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The name of its key. `None` if it has none there.
    pub name: Option<String>,
    /// The satellite's public key, by which the machine verifies it.
    pub satellite: PublicKey,
    /// The `host:port` at which others reach the satellite, if the satellite was told.
    pub address: Option<String>,
    /// Program and version on the satellite's machine.
    pub program: String,
}

/// Enrolls the machine with these public keys, and returns the exit code.
pub(crate) fn enroll(
    member: &Member,
    invite: &Invite,
    public_keys: PublicKeys,
) -> Result<u8, Failure> {
    let keys = member.keys()?.keys;
    if let Some(name) = name_of(&keys, public_keys) {
        return tell(member, Some(name));
    }
    let name = invited(member, invite, public_keys, &free_name(&invite.name, &keys))?;
    tell(member, Some(name.clone())).map_err(|fault| member.take_back(&name, &fault))
}

/// Reports whether the machine with these public keys is enrolled, and returns the exit code.
///
/// # Errors
///
/// When this machine may not see that, or the satellite cannot be reached.
pub fn is_enrolled(public_keys: PublicKeys, data: Option<&Path>) -> Result<u8, Failure> {
    output::check()?;
    let member = Member::here(data)?;
    let name = name_of(&member.keys()?.keys, public_keys);
    tell(&member, name)
}

fn tell(member: &Member, name: Option<String>) -> Result<u8, Failure> {
    let line = Enrolled {
        name,
        satellite: PublicKey(member.token.satellite),
        address: member.own_key()?.address,
        program: PROGRAM.to_owned(),
    };
    output::hand_over(&format!("{}\n", line.encode()?))?;
    Ok(DONE)
}

fn name_of(keys: &[KeyInfo], public_keys: PublicKeys) -> Option<String> {
    let is_good = |key: &&KeyInfo| key.expires.is_none_or(|end| end > unix_time());
    let key = keys
        .iter()
        .filter(is_good)
        .find(|key| key.encryption == public_keys.encryption);
    key.map(|key| key.name.clone())
}

/// The requested name, or if it is taken, a similar free one.
pub(crate) fn free_name(asked: &str, keys: &[KeyInfo]) -> String {
    let is_free = |name: &String| !keys.iter().any(|key| key.name == *name);
    let numbered = (2..MAX_NAMES).map(|number| format!("{}-{number}", shortened(asked)));
    let mut names = std::iter::once(asked.to_owned()).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// Shortens a name so that a number fits behind it.
fn shortened(name: &str) -> &str {
    let mut end = name.len().min(MAX_KEY_NAME - 4);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

fn invited(
    member: &Member,
    invite: &Invite,
    public_keys: PublicKeys,
    name: &str,
) -> Result<String, Failure> {
    let expires = invite.expires;
    let new = NewKey {
        name: name.to_owned(),
        public: public_keys.public,
        encryption: public_keys.encryption,
        rights: invite.rights,
        pipes: invite.pipes.clone(),
        expires: expires.map(|span| unix_time().saturating_add(span.as_secs())),
        quota: invite.quota,
        epoch: 0,
        sealed_keyring: None,
        attestation: None,
    };
    let answers = member.put(Question::Invite(new))?;
    let name = answers.into_iter().find_map(|answer| match answer {
        Reply::Invited { name } => Some(name),
        _ => None,
    });
    name.ok_or_else(|| Failure::failed("the satellite did not confirm the new key"))
}

impl Enrolled {
    fn encode(&self) -> Result<String, Failure> {
        let line = serde_json::to_string(self).map(|line| json(&line).into_owned());
        line.map_err(|error| Failure::failed(error.to_string()))
    }

    /// Parses the line that the program on the satellite's machine printed.
    ///
    /// # Errors
    ///
    /// When it is no such line.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let read: Result<Self, _> = serde_json::from_str(text.trim());
        let read = read.map_err(|_| {
            Failure::failed(
                "the skypipe next to the satellite gave no valid answer: is it another version?",
            )
        })?;
        let is_good = |address: &String| address.parse::<Address>().is_ok();
        let is_long = |name: &String| name.len() > MAX_KEY_NAME;
        if read.name.iter().any(is_long) || !read.address.iter().all(is_good) {
            return Err(Failure::failed(
                "the skypipe next to the satellite gave an invalid answer",
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use skypipe_protocol::{Holds, Rights};

    use super::*;

    fn key(name: &str) -> KeyInfo {
        KeyInfo {
            name: name.to_owned(),
            encryption: PublicKey([1; 32]),
            rights: Rights::ALL,
            pipes: Vec::new(),
            expires: None,
            quota: None,
            holds: Holds::default(),
            made: 0,
            used: None,
            is_connected: false,
            has_keyring: false,
            attestation: None,
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        assert_eq!(free_name("laptop", &[]), "laptop");
        let keys = [key("laptop"), key("laptop-2")];
        assert_eq!(free_name("laptop", &keys), "laptop-3");
        let long = "ü".repeat(MAX_KEY_NAME / 2);
        let other = free_name(&long, &[key(&long)]);
        assert!(
            other.len() <= MAX_KEY_NAME && other.ends_with("ü-2"),
            "{other}"
        );
    }

    #[test]
    fn what_is_told_is_read_and_nonsense_is_not() {
        let told = Enrolled {
            name: Some("a b\u{202e}".to_owned()),
            satellite: PublicKey([7; 32]),
            address: Some("[fd00::1]:9000".to_owned()),
            program: "skypipe 1.0.0".to_owned(),
        };
        let line = told.encode().unwrap();
        assert!(line.is_ascii() && !line.contains('\n'), "{line}");
        assert_eq!(Enrolled::parse(&format!("{line}\n")), Ok(told));
        let bad = line.replace("[fd00::1]:9000", "a b:9000");
        for bad in ["", "{}", "ready", &bad] {
            assert!(Enrolled::parse(bad).is_err(), "{bad}");
        }
    }
}
