//! Access to a satellite with keys: inviting, joining, revoking.
//!
//! This module owns what the commands about keys have in common ([`Member`]). The satellite can neither read
//! nor forge what it stores for these commands ([`crate::crypto`]).

pub mod enroll;
pub mod join;
pub(crate) mod renewal;

use std::path::Path;

use bytes::Bytes;
use skypipe_protocol::seed::Pair;
use skypipe_protocol::token::Token;
use skypipe_protocol::{KeyInfo, NewKeyring, OwnKey, Phrase, PublicKey, Reply, Rights};
use uuid::Uuid;

use crate::config::{self, Place};
use crate::conversation::inquire;
use crate::crypto::attestation::Claim;
use crate::crypto::{Identity, Keyring, sealed_keyring};
use crate::exit::{DONE, Failure, UNREACHABLE};
use crate::report::hint;
use crate::session::{Question, Timeouts};
use crate::system::random;

/// The satellite's list of authorized keys.
pub(crate) struct Listed {
    pub keys: Vec<KeyInfo>,
    /// The newest generation of reading keys for which it has sealed keyrings.
    pub epoch: u32,
}

/// This machine as a member of a satellite with keys.
pub(crate) struct Member {
    pub place: Place,
    pub token: Token,
    pub identity: Identity,
    /// Whether it uses the access key stored next to the satellite.
    is_beside: bool,
}

impl Member {
    /// The member named by the environment, or by the joined invitation. With `data`, the access key of the
    /// satellite on this machine that has this data directory.
    pub fn here(data: Option<&Path>) -> Result<Self, Failure> {
        match config::place_of(data)? {
            place @ Place::Invited(..) => Ok(Self {
                is_beside: data.is_some(),
                ..Self::at(place)?
            }),
            Place::Remote(endpoint) => Err(Failure::usage(format!(
                "SATELLITE={endpoint} is an address, not an invitation: keys can only be managed \
                 with an invitation"
            ))),
            Place::Here(_) => Err(Failure::usage(
                "this machine uses its own satellite, which is only for you and has no keys: to \
                 use another one, run skypipe --join or set SATELLITE to an invitation; on a \
                 satellite's own machine, give its directory with --data",
            )),
        }
    }

    pub fn at(place: Place) -> Result<Self, Failure> {
        let Place::Invited(_, token) = &place else {
            return Err(Failure::usage("that is not an invitation"));
        };
        let token = (**token).clone();
        let identity = Identity::new(&token, random);
        Ok(Self {
            place,
            token,
            identity,
            is_beside: false,
        })
    }

    /// Sends a question to the satellite and returns its answers.
    pub fn put(&self, question: Question) -> Result<Vec<Reply>, Failure> {
        let inquiry = inquire(question, &self.place, false, Timeouts::default())?;
        inquiry.hints.iter().for_each(|sentence| hint(sentence));
        if inquiry.code == DONE {
            return Ok(inquiry.answers);
        }
        let mut sentence = [inquiry.notices, inquiry.failures].concat().join("; ");
        if self.is_beside && inquiry.code == UNREACHABLE {
            sentence.push_str(
                "; if the access key stored here was revoked, empty the file keys/host in that \
                 directory and restart the satellite, which makes a new one",
            );
        }
        Err(Failure {
            code: inquiry.code,
            sentence,
        })
    }

    /// Revokes the key `name` because of `fault`. The key was made just now and nobody was told of it, so
    /// no keys need to be renewed. Returns the failure to report.
    pub fn take_back(&self, name: &str, fault: &Failure) -> Failure {
        let undone = self.put(Question::Revoke(name.to_owned(), false));
        let sentence = match undone {
            Ok(_) => format!("{fault}: the new key {name} was revoked, because nobody received it"),
            Err(other) => format!(
                "{fault}: nobody received the new key {name}, but it could not be revoked \
                 ({other}); to revoke it: skypipe --revoke {name}"
            ),
        };
        Failure {
            code: fault.code,
            sentence,
        }
    }

    /// Lists all keys of the satellite.
    pub fn keys(&self) -> Result<Listed, Failure> {
        let mut listed = Listed {
            keys: Vec::new(),
            epoch: 0,
        };
        for answer in self.put(Question::Keys)? {
            if let Reply::Keys { keys, epoch, .. } = answer {
                listed.keys.extend(keys);
                listed.epoch = listed.epoch.max(epoch);
            }
        }
        Ok(listed)
    }

    /// What the satellite says of this machine's own key.
    pub fn own_key(&self) -> Result<OwnKey, Failure> {
        let answers = self.put(Question::Own)?;
        let own = answers.into_iter().find_map(|answer| match answer {
            Reply::Welcome { key, .. } => key,
            _ => None,
        });
        own.ok_or_else(|| Failure::failed("the satellite has no keys"))
    }

    /// What this machine, a manager, attests about itself. The holder of the managing key may do
    /// everything, whatever the satellite says. The key's expiry comes from its invitation, or else from
    /// the satellite.
    pub fn claim<'a>(&self, own: &'a OwnKey) -> Claim<'a> {
        Claim {
            name: &own.name,
            encryption: PublicKey(self.identity.encryption().public),
            rights: Rights::ALL,
            expires: self.token.expires.or(own.expires),
        }
    }

    /// The keyring of a manager, and the managing key in it. This call also stores a sealed keyring and an
    /// attestation for this machine: without them others could not renew its keys. (The owner begins
    /// without.)
    pub fn manages(&self, own: &OwnKey) -> Result<(Keyring, Pair), Failure> {
        let keyring = self.keyring(own)?;
        let managing = keyring.managing().ok_or_else(|| {
            Failure::failed(format!(
                "your key, {}, does not allow you to manage this satellite: ask for an invitation \
                 that does",
                own.name
            ))
        })?;
        if own.sealed_keyring.is_none() || !own.is_attested {
            let new = new_keyring(&self.claim(own), &keyring, &managing, None)?;
            self.put(Question::Keyring(new))?;
        }
        Ok((keyring, managing))
    }

    /// The keyring with which this machine seals and opens.
    pub fn keyring(&self, own: &OwnKey) -> Result<Keyring, Failure> {
        let keyring = self.identity.keyring(own.sealed_keyring.as_deref());
        keyring.map_err(|fault| Failure::failed(fault.to_string()))
    }
}

/// A sealed keyring for the machine of a key, with its attestation.
pub(crate) fn new_keyring(
    claim: &Claim<'_>,
    keyring: &Keyring,
    managing: &Pair,
    renewal: Option<Uuid>,
) -> Result<NewKeyring, Failure> {
    let share = share(keyring, claim.rights);
    let sealed_keyring = sealed_keyring::seal(&share, &claim.encryption.0, managing, &random());
    let sealed_keyring = sealed_keyring.map_err(|fault| {
        Failure::failed(format!("the sealed keyring for {}: {fault}", claim.name))
    })?;
    let epoch = keyring.newest().number;
    Ok(NewKeyring {
        name: claim.name.to_owned(),
        epoch,
        renewal,
        sealed_keyring: sealed_keyring.into(),
        attestation: Some(claim.attest(managing, epoch).into()),
    })
}

/// What the satellite stores for those who know a phrase.
pub(crate) fn seal_for_phrase(
    keyring: &Keyring,
    managing: &Pair,
    wrapped: Bytes,
    encryption: PublicKey,
) -> Result<Phrase, Failure> {
    let sealed_keyring =
        sealed_keyring::seal(&keyring.for_manager(), &encryption.0, managing, &random());
    let sealed_keyring = sealed_keyring.map_err(|fault| Failure::failed(fault.to_string()))?;
    let attestation = Claim::of_phrase(encryption)
        .attest(managing, keyring.newest().number)
        .into();
    Ok(Phrase {
        wrapped,
        encryption,
        sealed_keyring: sealed_keyring.into(),
        attestation,
    })
}

/// The part of a manager's keyring that these rights include.
fn share(keyring: &Keyring, rights: Rights) -> Keyring {
    match rights {
        Rights { manage: true, .. } => keyring.for_manager(),
        Rights { read: true, .. } => keyring.for_reader(),
        Rights { .. } => keyring.for_writer(),
    }
}
