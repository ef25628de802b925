//! `--join` and `--leave`: which satellite this machine uses.

use std::env;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{OwnKey, Reply};
use zeroize::Zeroizing;

use super::prompt::prompt;
use super::{Member, new_keyring};
use crate::config::{self, Place};
use crate::crypto::attestation::Claim;
use crate::crypto::phrase::Phrase;
use crate::crypto::sealed_keyring;
use crate::crypto::wrapping::Wrapped;
use crate::exit::{DONE, Failure};
use crate::private_file;
use crate::provision::record::{self, Deployed};
use crate::report::{notice, words};
use crate::session::Question;

/// Asks the user for a phrase.
pub(crate) type Ask<'a> = dyn FnMut() -> Result<Zeroizing<String>, Failure> + 'a;

/// The longest input that is read for an invitation or a phrase, in bytes.
const MAX_TEXT: u64 = 4096;

/// Joins the satellite of an invitation, and returns the exit code.
///
/// # Errors
///
/// When there is no valid invitation, another satellite was joined, or this one cannot be reached.
pub fn join() -> Result<u8, Failure> {
    let text = invitation()?;
    if text.trim().is_empty() {
        return Err(Failure::usage(
            "there is no invitation: paste its line, or hand it in on stdin",
        ));
    }
    let place = config::invited(&text)
        .map_err(|why| Failure::usage(format!("that is no invitation: {why}")))?;
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
        notice("but where SATELLITE is set, as it is here, that one is used");
    }
    Ok(DONE)
}

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
    if !forget()? {
        notice("this machine has joined no satellite");
        return Ok(DONE);
    }
    if let Some(Deployed { target, .. }) = deployed {
        notice(&format!(
            "the satellite at {target} goes on running: skypipe --reset {target} ends it"
        ));
    }
    match ended {
        Some(Ok(name)) => notice(&format!(
            "this machine uses its own satellite again, and its key, {name}, is revoked; if somebody may have a copy \
             of it, skypipe --revoke {name} on another machine makes a new reading key, too"
        )),
        Some(Err(fault)) => notice(&format!(
            "this machine uses its own satellite again; its key lives on, for it could not be revoked ({fault}): \
             skypipe --revoke on another machine does that"
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

/// Why a machine could not join.
#[derive(Debug)]
pub(crate) enum NotIn {
    /// The satellite stores nothing that a phrase opens.
    NoPhrase,
    /// Any other failure.
    Failed(Failure),
}

impl From<Failure> for NotIn {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NotIn> for Failure {
    fn from(why: NotIn) -> Self {
        match why {
            NotIn::NoPhrase => Self::failed(
                "the satellite has no phrase: skypipe --phrase makes one on a machine that has joined",
            ),
            NotIn::Failed(failure) => failure,
        }
    }
}

/// Gets the keys for this machine: from its sealed keyring, or with the phrase. `ask` asks the user for the
/// phrase if the environment does not have it.
pub(crate) fn come_in(member: &mut Member, ask: &mut Ask<'_>) -> Result<OwnKey, NotIn> {
    let own = member.own_key()?;
    if member.token.kind == Kind::Phrase {
        member.token.kind = by_phrase(member, &own, ask)?;
    } else if own.rights.manage {
        member.manages(&own)?;
    } else {
        member.keyring(&own)?;
    }
    Ok(own)
}

/// Stores the invitation where every later use finds it.
pub(crate) fn keep(token: &Token) -> Result<(), Failure> {
    let path = config::joined()?;
    private_file::replace(&path, token.encode().as_bytes())
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), words(&error))))
}

/// Removes the stored invitation, so that this machine uses its own satellite again. Returns whether there
/// was one.
pub(crate) fn forget() -> Result<bool, Failure> {
    record::forget()?;
    let path = config::joined()?;
    private_file::remove(&path)
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), words(&error))))
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
                "this machine has joined the satellite at {endpoint} already: skypipe --leave forgets \
                 that, and the key with it"
            )))
        }
        _ => Ok(()),
    }
}

/// Opens with the phrase what the satellite stores for it, and stores a sealed keyring for this machine.
/// From then on this machine joins like any other.
fn by_phrase(member: &Member, own: &OwnKey, ask: &mut Ask<'_>) -> Result<Kind, NotIn> {
    let failed = |why: String| Failure::failed(why);
    let answers = member.put(Question::Phrase)?;
    let kept = answers.into_iter().find_map(|answer| match answer {
        Reply::Phrase(phrase) => phrase,
        _ => None,
    });
    let kept = kept.ok_or(NotIn::NoPhrase)?;
    let wrapped = Wrapped::from_bytes(&kept.wrapped).map_err(|fault| failed(fault.to_string()))?;
    let (seed, managing) = wrapped
        .open(&typed_phrase(ask)?)
        .map_err(|fault| failed(fault.to_string()))?;
    let keyring = sealed_keyring::open(&kept.sealed_keyring, &seed.encryption(), &managing)
        .map_err(|fault| failed(fault.to_string()))?;
    let pair = keyring
        .managing()
        .ok_or_else(|| failed("what the phrase opens lacks a key".to_owned()))?;
    let claim = Claim {
        rights: own.rights,
        ..member.claim(own)
    };
    let new = new_keyring(&claim, &keyring, &pair, None)?;
    member.put(Question::Keyring(new))?;
    Ok(Kind::Boxed { managing })
}

/// Reads the phrase from the environment, from the file that it names, or from the terminal.
fn typed_phrase(ask: &mut Ask<'_>) -> Result<Phrase, Failure> {
    let text = if let Ok(phrase) = env::var("SKYPIPE_PHRASE") {
        Zeroizing::new(phrase)
    } else if let Some(path) = env::var_os("SKYPIPE_PHRASE_FILE") {
        let path = Path::new(&path);
        let text = read_phrase(path);
        text.map_err(|error| Failure::failed(format!("{}: {}", path.display(), words(&error))))?
    } else {
        ask()?
    };
    Phrase::parse(&text).map_err(|fault| Failure::failed(fault.to_string()))
}

fn ask_for_phrase() -> Result<Zeroizing<String>, Failure> {
    prompt("phrase: ").map_err(|fault| {
        let fault = fault.sentence;
        Failure::failed(format!(
            "{fault}; SKYPIPE_PHRASE can hold the phrase for scripts"
        ))
    })
}

fn read_phrase(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(2 * 4096));
    File::open(path)?.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}
