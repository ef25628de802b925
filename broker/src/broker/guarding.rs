//! Who may do what, at a satellite that has keys. Without keys everybody may do everything.
//!
//! The key is that of the connection (the user id that TLS gave it, on every message), never one that
//! a client claims. Each command is checked when it comes, so that a key that has ended is of no use
//! from the next one on, heartbeats included.

use uuid::Uuid;

use super::shares::SHARE;
use super::{Broker, Peer};
use crate::keys::{Key, KeyId, Roll};
use crate::protocol::{Code, OwnKey, Reply, Request};
use crate::store::Store;
use crate::text;

/// What a command takes.
enum Need<'a> {
    /// A key that has not ended. What belongs to a client is checked to be its own elsewhere.
    Any,
    /// The right to listen to a pipe.
    Read(&'a str),
    /// The right to write into a pipe.
    Write(&'a str),
    /// The right to listen to a pipe and to write into it.
    Both(&'a str),
    /// The right to manage.
    Manage,
    /// The right to read in all pipes.
    ReadAll,
    /// The right to manage, or that it is about one's own key.
    ManageOr(&'a str),
}

fn need(request: &Request) -> Need<'_> {
    match request {
        Request::Hello { .. }
        | Request::Ping
        | Request::Bye
        | Request::Data { .. }
        | Request::Want { .. }
        | Request::Finish { .. }
        | Request::Close { .. }
        | Request::Confirm { .. }
        | Request::Leave { .. }
        | Request::List { .. }
        | Request::Status => Need::Any,
        Request::Open { pipe, .. } => Need::Write(pipe),
        // Who may only write shall not send home who listens.
        Request::Eof { pipe, .. } => Need::Both(pipe),
        // Who may read may take all that waits, which comes to the same.
        Request::Listen { pipe, .. } | Request::Discard { pipe } => Need::Read(pipe),
        Request::Stop { .. }
        | Request::Invite(_)
        | Request::Keys { .. }
        | Request::SetPhrase { .. } => Need::Manage,
        Request::Phrase => Need::ReadAll,
        Request::Box(new) => Need::ManageOr(&new.name),
        Request::Revoke { name, .. } => Need::ManageOr(name),
    }
}

/// Why a key does not allow something, in words.
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
        Need::Write(pipe) => format!("write into {}", text::pipe(pipe)),
        Need::Both(pipe) => format!(
            "end the listeners of {}, which takes reading and writing",
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

/// What the holder of a key that has ended is told.
fn farewell(why: &str) -> String {
    format!("{}: ask for a new invitation", why.replace("its", "your"))
}

impl<S: Store> Broker<S> {
    /// Lets in those alone who have a key on the roll. `address` is the `host:port` under which others
    /// reach the satellite, if that is known.
    #[must_use]
    pub fn guarded_by(mut self, roll: Roll, address: Option<String>) -> Self {
        self.roll = Some(roll);
        self.has_roll_changed = true;
        self.address = address;
        self
    }

    /// The roll, if there is one that has changed since it was asked for last, and how many clients one key may have
    /// that does not manage.
    pub fn changed_roll(&mut self) -> Option<(&Roll, usize)> {
        let has_changed = std::mem::take(&mut self.has_roll_changed);
        let share = self.settings.clients.div_ceil(SHARE);
        let roll = self.roll.as_ref().filter(|_| has_changed)?;
        Some((roll, share))
    }

    /// The number of the key with this public half, if its holder may connect.
    #[cfg(test)]
    pub(super) fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        self.roll.as_ref()?.admit(public, self.wall)
    }

    /// The calendar's time, in seconds since 1970 (UTC), by which keys expire. The broker's own time
    /// stands still while the machine sleeps.
    pub fn tell_time(&mut self, wall: u64) {
        self.wall = wall;
    }

    /// Whether a connection with this key may say anything at all; tells it otherwise.
    pub(super) fn has_valid_key(&mut self, peer: &Peer, key: Option<KeyId>) -> bool {
        let Some(roll) = &self.roll else {
            return true;
        };
        let Some(id) = key else {
            return false;
        };
        let why = match roll.get(id) {
            None => "its key was revoked",
            Some(key) if key.has_expired(self.wall) => "its key has expired",
            Some(_) => return true,
        };
        // It was told when it ended, if that was noticed then.
        if self.clients.at(peer).is_some() {
            self.expel(id, why, None);
        }
        self.refuse(peer, Code::Denied, &farewell(why), None);
        false
    }

    /// Whether the key of a connection allows a command; tells it otherwise.
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
            Request::Open { stream, .. } => Some(*stream),
            Request::Listen { listener, .. } => Some(*listener),
            _ => None,
        };
        self.refuse(peer, Code::Denied, &message, about);
        false
    }

    /// Whether a client may speak with this key: it began with the same. One that was there before a
    /// restart has not said yet.
    pub(super) fn is_clients_key(&self, client: Uuid, key: Option<KeyId>) -> bool {
        let known = self.clients.key_of(client);
        known.is_none() || known == key
    }

    /// Whether the holder of a key may know of a pipe.
    pub(super) fn sees(&self, key: Option<KeyId>, pipe: &str) -> bool {
        self.key(key).is_none_or(|key| key.covers(pipe))
    }

    pub(super) fn key(&self, key: Option<KeyId>) -> Option<&Key> {
        self.roll.as_ref()?.get(key?)
    }

    /// What a client is told of its own key when it comes.
    pub(super) fn own_key(&self, key: Option<KeyId>) -> Option<OwnKey> {
        self.key(key).map(|key| OwnKey {
            name: key.name.clone(),
            rights: key.rights,
            expires: key.expires(),
            boxed: key.boxed.clone(),
            is_vouched: key.voucher.is_some(),
            address: self.address.clone(),
        })
    }

    /// Ends all that the holders of a key have here, but for the client at `asker`: it has an answer coming, and
    /// is refused whatever it says next.
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
