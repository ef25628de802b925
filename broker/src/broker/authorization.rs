//! Authorization: which key may do what. Without keys everybody may do everything.
//!
//! The key is the one that authenticated the connection (the user id that TLS sets on every message), never
//! one that a client claims. Every command is checked when it arrives. A revoked key is therefore useless
//! from the next command on, heartbeats included.

use uuid::Uuid;

use super::shares::SHARE;
use super::{Broker, Peer};
use crate::keys::{Key, KeyId, KeyRegistry};
use crate::protocol::{Code, Confirm, Data, Finish, Hello, Listen, Open, OwnKey, Reply, Request};
use crate::store::Store;
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
fn farewell(why: &str) -> String {
    format!("{}: ask for a new invitation", why.replace("its", "your"))
}

impl<S: Store> Broker<S> {
    /// Admits only clients with an authorized key. `address` is the `host:port` under which others reach the
    /// satellite, if known.
    #[must_use]
    pub fn guarded_by(mut self, registry: KeyRegistry, address: Option<String>) -> Self {
        self.registry = Some(registry);
        self.has_registry_changed = true;
        self.address = address;
        self
    }

    /// The authorized keys, if they have changed since the last call, and how many clients a key without the
    /// right to manage may have.
    pub fn changed_registry(&mut self) -> Option<(&KeyRegistry, usize)> {
        let has_changed = std::mem::take(&mut self.has_registry_changed);
        let share = self.settings.clients.div_ceil(SHARE);
        let registry = self.registry.as_ref().filter(|_| has_changed)?;
        Some((registry, share))
    }

    /// The id of the key with this public key, if its holder may connect.
    #[cfg(test)]
    pub(super) fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        self.registry.as_ref()?.admit(public, self.unix_time)
    }

    /// Sets the unix_time-clock time by which keys expire, in seconds since 1970 (UTC). The broker's own time
    /// stands still while the machine sleeps.
    pub fn tell_time(&mut self, unix_time: u64) {
        self.unix_time = unix_time;
    }

    /// Whether the key of a connection is still valid. If not, the client is told.
    pub(super) fn has_valid_key(&mut self, peer: &Peer, key: Option<KeyId>) -> bool {
        let Some(registry) = &self.registry else {
            return true;
        };
        let Some(id) = key else {
            return false;
        };
        let why = match registry.get(id) {
            None => "its key was revoked",
            Some(key) if key.has_expired(self.unix_time) => "its key has expired",
            Some(_) => return true,
        };
        // If the key's end was noticed at the time, the client was told then.
        if self.clients.at(peer).is_some() {
            self.expel(id, why, None);
        }
        self.refuse(peer, Code::Denied, &farewell(why), None);
        false
    }

    /// Whether the key of a connection permits a command. If not, the client is told.
    pub(super) fn is_allowed(
        &mut self,
        peer: &Peer,
        key: Option<KeyId>,
        request: &Request,
    ) -> bool {
        let fault = self.key(key).and_then(|key| fault(key, &need(request)));
        let Some(message) = fault else {
            return true;
        };
        let about = match request {
            Request::Open(Open { stream, .. }) => Some(*stream),
            Request::Listen(Listen { listener, .. }) => Some(*listener),
            _ => None,
        };
        self.refuse(peer, Code::Denied, &message, about);
        false
    }

    /// Whether a client may use this key: a client always keeps its first key. A client from before a restart
    /// has not yet shown its key and may use any.
    pub(super) fn is_clients_key(&self, client: Uuid, key: Option<KeyId>) -> bool {
        let known = self.clients.key_of(client);
        known.is_none() || known == key
    }

    /// Whether the holder of a key may see a pipe.
    pub(super) fn sees(&self, key: Option<KeyId>, pipe: &str) -> bool {
        self.key(key).is_none_or(|key| key.covers(pipe))
    }

    pub(super) fn key(&self, key: Option<KeyId>) -> Option<&Key> {
        self.registry.as_ref()?.get(key?)
    }

    /// What the handshake tells a client about its own key.
    pub(super) fn own_key(&self, key: Option<KeyId>) -> Option<OwnKey> {
        self.key(key).map(|key| OwnKey {
            name: key.name.clone(),
            rights: key.rights,
            expires: key.expires(),
            sealed_keyring: key.sealed_keyring.clone(),
            is_attested: key.attestation.is_some(),
            address: self.address.clone(),
        })
    }

    /// Ends everything that the clients of a key have here, except for the client at `asker`. That client
    /// still gets its answer and is refused with its next command.
    pub(super) fn expel(&mut self, key: KeyId, why: &str, asker: Option<&Peer>) {
        let error = Reply::Error {
            code: Code::Denied,
            message: farewell(why),
            about: None,
        };
        for client in self.clients.with_key(key) {
            if asker.is_none() || self.clients.peer(client) != asker {
                self.tell(client, &error, None);
                self.forget(client, why);
            }
        }
    }
}
