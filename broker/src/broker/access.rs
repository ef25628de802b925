//! Authorization: which key may do what. Without keys everybody may do everything.
//!
//! The key is the one that authenticated the connection (the user id that TLS sets on every message), never
//! one that a client claims. Every command is checked when it arrives. A revoked key is therefore useless
//! from the next command on, heartbeats included.

mod keys;

use uuid::Uuid;

use self::keys::Unsaved;
use crate::keys::{Key, KeyId, KeyRegistry};
use crate::protocol::{Confirm, Data, Finish, Hello, Listen, Open, OwnKey, Request};
use crate::text;

/// The permission that a command needs.
enum Need<'a> {
    /// Any valid key. Other code checks that a stream or listener belongs to the client.
    Any,
    /// May read the pipe.
    Read(&'a str),
    /// May write to the pipe.
    Write(&'a str),
    /// May read and write the pipe.
    Both(&'a str),
    /// May manage the satellite.
    Manage,
    /// May read all pipes.
    ReadAll,
    /// May manage the satellite, or the command concerns the client's own key.
    ManageOr(&'a str),
}

fn need(request: &Request) -> Need<'_> {
    match request {
        Request::Hello(Hello { .. })
        | Request::Ping
        | Request::Bye
        | Request::Data(Data { .. })
        | Request::Credit { .. }
        | Request::Finish(Finish { .. })
        | Request::Close { .. }
        | Request::Confirm(Confirm { .. })
        | Request::Leave { .. }
        | Request::List { .. }
        | Request::Status => Need::Any,
        Request::Open(Open { pipe, .. }) => Need::Write(pipe),
        // A client that may only write must not send listeners home.
        Request::Eof { pipe, .. } => Need::Both(pipe),
        // A client that may read can take all waiting data, which has the same effect as a discard.
        Request::Listen(Listen { pipe, .. }) | Request::Discard { pipe } => Need::Read(pipe),
        Request::Stop { .. }
        | Request::Invite(_)
        | Request::Keys { .. }
        | Request::SetPhrase { .. } => Need::Manage,
        Request::Phrase => Need::ReadAll,
        Request::Keyring(new) => Need::ManageOr(&new.name),
        Request::Revoke { name, .. } => Need::ManageOr(name),
    }
}

/// Why a key does not permit a command, as a message. None if the key permits it.
fn fault(key: &Key, need: &Need<'_>) -> Option<String> {
    let allowed = match need {
        Need::Any => true,
        Need::Read(pipe) => key.may_read(pipe),
        Need::Write(pipe) => key.may_write(pipe),
        Need::Both(pipe) => key.may_read(pipe) && key.may_write(pipe),
        Need::Manage => key.rights.manage,
        Need::ReadAll => key.may_read("") && key.is_for_all_pipes(),
        Need::ManageOr(name) => key.rights.manage || key.name == *name,
    };
    let what = match need {
        _ if allowed => return None,
        Need::Read(pipe) => format!("read from {}", text::pipe(pipe)),
        Need::Write(pipe) => format!("write to {}", text::pipe(pipe)),
        Need::Both(pipe) => format!(
            "end the readers of {}, which requires reading and writing",
            text::pipe(pipe)
        ),
        Need::ReadAll => "read from all pipes".to_owned(),
        Need::Any | Need::Manage | Need::ManageOr(_) => "manage this satellite".to_owned(),
    };
    let name = &key.name;
    Some(format!(
        "your key, {name}, does not allow you to {what}: ask for an invitation that does"
    ))
}

/// The message to a client whose key was revoked or has expired.
pub(super) fn farewell(why: &str) -> String {
    format!("{}: ask for a new invitation", why.replace("its", "your"))
}

/// Whether the key of a connection may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// The key is authorized, or the satellite has no keys.
    Valid,
    /// The connection has no key, although the satellite has keys.
    NoKey,
    /// The key was revoked or has expired, for this reason.
    Ended(KeyId, &'static str),
}

/// The authorized keys.
#[derive(Debug)]
pub(super) struct Access {
    /// None at a satellite without keys, where everybody may do everything.
    registry: Option<KeyRegistry>,
    /// Whether the authorized keys have changed since `changed` was last called.
    has_changed: bool,
    /// Wall-clock time, in seconds since 1970 (UTC).
    unix_time: u64,
    /// The `host:port` under which others reach the satellite, for invitations.
    address: Option<String>,
    /// When the authorized keys were last saved, in seconds since 1970 (UTC).
    saved_at: Option<u64>,
    /// Changes to the authorized keys since the last save.
    unsaved: Unsaved,
}

impl Access {
    /// Access for everybody.
    pub fn new(unix_time: u64) -> Self {
        Self {
            registry: None,
            has_changed: false,
            unix_time,
            address: None,
            saved_at: None,
            unsaved: Unsaved::default(),
        }
    }

    /// Admits only clients with an authorized key.
    pub fn guard(&mut self, registry: KeyRegistry, address: Option<String>) {
        self.registry = Some(registry);
        self.has_changed = true;
        self.address = address;
    }

    /// The authorized keys, if they have changed since the last call.
    pub fn changed(&mut self) -> Option<&KeyRegistry> {
        let has_changed = std::mem::take(&mut self.has_changed);
        self.registry.as_ref().filter(|_| has_changed)
    }

    /// The id of the key with this public key, if its holder may connect.
    #[cfg(test)]
    pub fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        self.registry.as_ref()?.admit(public, self.unix_time)
    }

    /// Sets the time by which keys expire.
    pub fn tell_time(&mut self, unix_time: u64) {
        self.unix_time = unix_time;
    }

    /// Whether the satellite has keys.
    pub fn has_keys(&self) -> bool {
        self.registry.is_some()
    }

    /// Whether the key of a connection may be used now.
    pub fn validity(&self, key: Option<KeyId>) -> Validity {
        let Some(registry) = &self.registry else {
            return Validity::Valid;
        };
        let Some(id) = key else {
            return Validity::NoKey;
        };
        match registry.get(id) {
            None => Validity::Ended(id, "its key was revoked"),
            Some(key) if key.has_expired(self.unix_time) => {
                Validity::Ended(id, "its key has expired")
            }
            Some(_) => Validity::Valid,
        }
    }

    /// Why a key does not permit a command, and the stream or listener that the command is about. None if the
    /// key permits it.
    pub fn fault(&self, key: Option<KeyId>, request: &Request) -> Option<(String, Option<Uuid>)> {
        let message = fault(self.key(key)?, &need(request))?;
        let about = match request {
            Request::Open(open) => Some(open.stream),
            Request::Listen(listen) => Some(listen.listener),
            _ => None,
        };
        Some((message, about))
    }

    /// Whether the holder of a key may see a pipe.
    pub fn sees(&self, key: Option<KeyId>, pipe: &str) -> bool {
        self.key(key).is_none_or(|key| key.covers(pipe))
    }

    /// The key, if the satellite has keys and this is one of them.
    pub fn key(&self, key: Option<KeyId>) -> Option<&Key> {
        self.registry.as_ref()?.get(key?)
    }

    /// Whether a key has the right to manage.
    pub fn has_manage(&self, key: Option<KeyId>) -> bool {
        self.key(key).is_some_and(|key| key.rights.manage)
    }

    /// Whether a key may use what is kept for keys that manage. At a satellite without keys everybody may.
    pub fn manages(&self, key: Option<KeyId>) -> bool {
        self.registry.is_none() || self.has_manage(key)
    }

    /// What the handshake tells a client about its own key.
    pub fn own_key(&self, key: Option<KeyId>) -> Option<OwnKey> {
        self.key(key).map(|key| OwnKey {
            name: key.name.clone(),
            rights: key.rights,
            expires: key.expires(),
            sealed_keyring: key.sealed_keyring.clone(),
            is_attested: key.attestation.is_some(),
            address: self.address.clone(),
        })
    }
}
