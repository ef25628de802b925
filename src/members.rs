//! Who may use a satellite that others can reach: letting machines in, joining, revoking.
//!
//! Owns the commands about keys. A token, a phrase or a listing goes to stdout, what is said about it
//! to stderr. What the satellite keeps of all this it can neither read nor make ([`crate::keys`]).

pub mod invite;
pub mod join;
pub mod letting;
mod listing;
pub mod phrase;
pub(crate) mod prompt;
mod renewal;
pub mod revoke;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use skypipe_broker::keys::secret::Secret;
use skypipe_broker::keys::seed::Pair;
use skypipe_broker::keys::token::Token;
use skypipe_broker::protocol::{KeyInfo, NewBox, OwnKey, PublicKey, Reply, Rights};
use skypipe_satellite::randomness;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::listing::list;

use crate::ask::inquire;
use crate::config::{self, Place};
use crate::exit::{DONE, Failure, UNREACHABLE};
use crate::keys::voucher::Claim;
use crate::keys::{Identity, Keyring, boxes};
use crate::session::{Question, Timeouts};
use crate::tell::hint;

/// 32 bytes that nobody has had before.
///
/// # Panics
///
/// When the system gives no randomness, without which nothing here is safe.
#[must_use]
pub fn random() -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    randomness::fill(&mut *bytes).expect("the system gave randomness at the start");
    Secret::from(bytes)
}

/// What a satellite says of its keys.
pub(crate) struct Listed {
    pub keys: Vec<KeyInfo>,
    /// The newest generation of reading keys that it has boxes of.
    pub epoch: u32,
}

/// This machine, as one of those that may use a satellite.
pub(crate) struct Member {
    pub place: Place,
    pub token: Token,
    identity: Identity,
    /// Whether it has the access key that lies beside the satellite.
    is_beside: bool,
}

impl Member {
    /// As the environment says, or the invitation that was joined with; or whoever works on the
    /// machine of the satellite whose directory is `data`.
    fn here(data: Option<&Path>) -> Result<Self, Failure> {
        match config::place_of(data)? {
            place @ Place::Invited(..) => Ok(Self {
                is_beside: data.is_some(),
                ..Self::at(place)?
            }),
            Place::Sky(endpoint) => Err(Failure::usage(format!(
                "SATELLITE={endpoint} names a satellite without an invitation to it: keys are for \
                 those who were invited"
            ))),
            Place::Here(_) => Err(Failure::usage(
                "this machine uses its own satellite, which is for you alone and has no keys: join one \
                 that others can reach with skypipe --join, or set SATELLITE to an invitation (on the \
                 machine of a satellite, --data names its directory)",
            )),
        }
    }

    pub fn at(place: Place) -> Result<Self, Failure> {
        let Place::Invited(_, token) = &place else {
            return Err(Failure::usage("that is no invitation"));
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

    /// Puts a question or an order to the satellite; returns its answers.
    fn put(&self, question: Question) -> Result<Vec<Reply>, Failure> {
        let inquiry = inquire(question, &self.place, false, Timeouts::default())?;
        inquiry.hints.iter().for_each(|sentence| hint(sentence));
        if inquiry.code == DONE {
            return Ok(inquiry.answers);
        }
        let mut sentence = inquiry.notices.join("; ");
        if self.is_beside && inquiry.code == UNREACHABLE {
            sentence.push_str(
                "; if the access key here was revoked, empty the file keys/host in that directory and start the \
                 satellite again: it makes another one",
            );
        }
        Err(Failure {
            code: inquiry.code,
            sentence,
        })
    }

    /// Ends the key `name`, which was made just now and which nobody was told of, because of `fault`;
    /// returns what there is to say. As nobody has it, nothing needs to be renewed.
    fn take_back(&self, name: &str, fault: &Failure) -> Failure {
        let undone = self.put(Question::Revoke(name.to_owned(), false));
        let sentence = match undone {
            Ok(_) => format!("{fault}: the key {name} was revoked again, for nobody has it"),
            Err(other) => format!(
                "{fault}: nobody has the key {name}, and it could not be revoked ({other}); skypipe \
                 --revoke {name} does that"
            ),
        };
        Failure {
            code: fault.code,
            sentence,
        }
    }

    /// All keys of the satellite.
    fn keys(&self) -> Result<Listed, Failure> {
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

    /// What this machine, which manages, vouches for of itself. Whoever has the managing key may do all, whatever the
    /// satellite says; when its key ends, its invitation tells, or else the satellite.
    fn claim<'a>(&self, own: &'a OwnKey) -> Claim<'a> {
        Claim {
            name: &own.name,
            boxing: PublicKey(self.identity.boxing().public),
            rights: Rights::ALL,
            expires: self.token.expires.or(own.expires),
        }
    }

    /// The keys of a manager, and the managing key among them. From here on there is a box and a voucher
    /// for this machine, too: without them others could not renew its keys. (The founder begins without.)
    fn manages(&self, own: &OwnKey) -> Result<(Keyring, Pair), Failure> {
        let keyring = self.keyring(own)?;
        let managing = keyring.managing().ok_or_else(|| {
            Failure::failed(format!(
                "your key, {}, does not allow you to manage this satellite: ask for one that does",
                own.name
            ))
        })?;
        if own.boxed.is_none() || !own.is_vouched {
            let new = new_box(&self.claim(own), &keyring, &managing, None)?;
            self.put(Question::Box(new))?;
        }
        Ok((keyring, managing))
    }

    /// The keys that this machine has to seal and to open with.
    fn keyring(&self, own: &OwnKey) -> Result<Keyring, Failure> {
        let keyring = self.identity.keyring(own.boxed.as_deref());
        keyring.map_err(|fault| Failure::failed(fault.to_string()))
    }
}

/// A box for the machine of a key, and a voucher.
fn new_box(
    claim: &Claim<'_>,
    keyring: &Keyring,
    managing: &Pair,
    renewal: Option<Uuid>,
) -> Result<NewBox, Failure> {
    let share = share(keyring, claim.rights);
    let boxed = boxes::seal(&share, &claim.boxing.0, managing, &random());
    let boxed =
        boxed.map_err(|fault| Failure::failed(format!("the box for {}: {fault}", claim.name)))?;
    let epoch = keyring.newest().number;
    Ok(NewBox {
        name: claim.name.to_owned(),
        epoch,
        renewal,
        boxed: boxed.into(),
        voucher: Some(claim.vouch(managing, epoch).into()),
    })
}

/// What of a manager's keys goes to somebody with these rights.
fn share(keyring: &Keyring, rights: Rights) -> Keyring {
    match rights {
        Rights { manage: true, .. } => keyring.for_manager(),
        Rights { read: true, .. } => keyring.for_reader(),
        Rights { .. } => keyring.for_writer(),
    }
}

/// The time, in seconds since 1970 (UTC).
#[must_use]
pub fn wall() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs()
}
