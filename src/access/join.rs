//! Becoming a member of a satellite: its keys, by sealed keyring or by phrase, and the stored invitation.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use skypipe_protocol::token::Kind;
use skypipe_protocol::{OwnKey, Reply};
use zeroize::Zeroizing;

use super::{Member, new_keyring};
use crate::crypto::attestation::Claim;
use crate::crypto::phrase::Phrase;
use crate::crypto::sealed_keyring;
use crate::crypto::wrapping::Wrapped;
use crate::exit::Failure;
use crate::report::words;
use crate::session::Question;

/// Asks the user for a phrase.
pub(crate) type Ask<'a> = dyn FnMut() -> Result<Zeroizing<String>, Failure> + 'a;

/// The longest input that is read for an invitation or a phrase, in bytes.
pub(crate) const MAX_TEXT: u64 = 4096;

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
                "the satellite has no phrase: to make one, run skypipe --phrase on a machine that \
                 has joined",
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
        .ok_or_else(|| failed("the data stored for the phrase lacks a key".to_owned()))?;
    let claim = Claim {
        rights: own.rights,
        ..member.claim(own)
    };
    let new = new_keyring(&claim, &keyring, &pair, None)?;
    member.put(Question::Keyring(new))?;
    Ok(Kind::Keyring { managing })
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

fn read_phrase(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(2 * 4096));
    File::open(path)?.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}
