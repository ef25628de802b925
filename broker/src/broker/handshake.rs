//! Who may come, and who has to go: the handshake, and the end of a key.

use std::time::Duration;

use super::access::{Validity, farewell};
use super::base::Base;
use super::peers::Sender;
use super::{Broker, Peer, Settings, is_reserved};
use crate::keys::KeyId;
use crate::protocol::{Code, Hello, Limits, MAX_CHUNK, REVISION, Reply};
use crate::store::Store;
use crate::text;

impl<S: Store> Broker<S> {
    pub(super) fn hello(&mut self, peer: &Peer, key: Option<KeyId>, hello: &Hello) {
        let client = hello.client;
        if let Err((code, why)) = self.may_come(key, hello) {
            return self.refuse(peer, code, &why);
        }
        let before = self.base.peers.peer(client);
        if before.is_some_and(|before| before != peer) {
            self.withdraw_from(client);
        }
        let earlier = self.base.peers.connect(client, peer, self.base.now);
        if let Some(earlier) = earlier {
            self.forget_v01(peer);
            self.out_of_reach(earlier);
        }
        let base = &mut self.base;
        base.peers.set_key(client, key);
        base.access.note_use(key);
        base.peers.schedule_check(client);
        let welcome = Reply::Welcome {
            satellite: base.settings.satellite,
            revision: REVISION,
            program: base.settings.program.clone(),
            limits: limits(&base.settings),
            key: base.access.own_key(key),
        };
        base.out.reply(peer, welcome);
    }

    /// Whether a client may come, or come back. If not, the reason.
    fn may_come(&self, key: Option<KeyId>, hello: &Hello) -> Result<(), (Code, String)> {
        let Hello {
            client,
            revision,
            program,
        } = hello;
        let Base {
            settings, peers, ..
        } = &self.base;
        if *revision != REVISION {
            let message = format!(
                "this satellite ({}) speaks revision {REVISION} of SKYPIPE/1 and {program} speaks \
                 {revision}: upgrade the older of the two",
                settings.program
            );
            return Err((Code::Revision, message));
        }
        if is_reserved(*client) {
            return Err((Code::Malformed, "that UUID is reserved".to_owned()));
        }
        if !peers.is_its_key(*client, key) {
            return Err((Code::Denied, "that client has another key".to_owned()));
        }
        if !peers.knows(*client) && peers.present() >= settings.clients {
            let clients = text::count(settings.clients as u64, "client");
            let message = format!("this satellite is full: it serves at most {clients} at a time");
            return Err((Code::Limit, message));
        }
        if peers.is_present(*client) {
            return Ok(());
        }
        self.client_may_come(key).map_err(|why| (Code::Limit, why))
    }

    /// Whether the key of a connection is still valid. If not, the client is told.
    pub(super) fn has_valid_key(&mut self, peer: &Peer, key: Option<KeyId>) -> bool {
        let (id, why) = match self.base.access.validity(key) {
            Validity::Valid => return true,
            Validity::NoKey => return false,
            Validity::Ended(id, why) => (id, why),
        };
        // If the key's end was noticed at the time, the client was told then.
        if self.base.peers.at(peer).is_some() {
            self.expel(id, why, None);
        }
        self.refuse(peer, Code::Denied, &farewell(why));
        false
    }

    pub(super) fn keys_saved(&mut self, saved: Result<(), String>) {
        let base = &mut self.base;
        if let Err(why) = saved {
            return base.access.not_saved(&why, &mut base.out);
        }
        let (news, answers) = base.access.saved();
        for news in news {
            for client in base.peers.with_key(news.holder) {
                if base.peers.peer(client) != Some(&news.from) {
                    let sealed_keyring = news.sealed_keyring.clone();
                    base.tell(client, Reply::Keyring { sealed_keyring });
                }
            }
        }
        for (peer, reply) in answers {
            base.out.reply(&peer, reply);
        }
    }

    pub(super) fn revoke(&mut self, from: Sender<'_>, name: &str, discard: bool) {
        let base = &mut self.base;
        // A client that revokes its own key, without the right to manage, must not discard data that others
        // are to get.
        let discard = discard && base.access.has_manage(from.key);
        let revoked = base.access.revoke(from.peer, name, &mut base.out);
        let Some(revoked) = revoked else {
            return;
        };
        if revoked.is_new {
            self.expel(revoked.key, "its key was revoked", Some(from.peer));
        }
        self.let_go_of(revoked.key, discard);
    }

    /// Forgets everything that the clients of a revoked key could come back for. With `discard`, also drops
    /// streams written with the key that nobody takes.
    fn let_go_of(&mut self, key: KeyId, discard: bool) {
        let base = &mut self.base;
        for id in base.shares.things_of(key) {
            match self.subscriptions.client_of(id) {
                Some(client) => self.subscriptions.leave(base, client, id),
                None => self.streams.cut(base, id, "its key was revoked"),
            }
        }
        // What follows from that may end some of the streams.
        self.settle();
        if !discard {
            return;
        }
        for stream in self.base.shares.written_by(key) {
            if let Some(place) = self.base.pipes.place(stream).cloned() {
                self.base
                    .run(&place.pipe, |pipe, ctx| pipe.discard_one(stream, ctx));
            }
        }
    }

    /// Ends everything that the clients of a key have here, except for the client at `asker`. That client
    /// still gets its answer and is refused with its next command.
    fn expel(&mut self, key: KeyId, why: &str, asker: Option<&Peer>) {
        for client in self.base.peers.with_key(key) {
            let peer = self.base.peers.peer(client).cloned();
            if asker.is_some() && peer.as_ref() == asker {
                continue;
            }
            if let Some(peer) = peer {
                self.refuse(&peer, Code::Denied, &farewell(why));
            }
            self.forget(client, why);
        }
    }
}

fn limits(settings: &Settings) -> Limits {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let shorter = settings.writer_lost.min(settings.listener_lost);
    Limits {
        chunk: MAX_CHUNK as u64,
        // A peer can send four heartbeats within the shorter timeout.
        heartbeat_ms: ms(shorter / 4).clamp(20, 5_000),
        writer_lost_ms: ms(settings.writer_lost),
        listener_lost_ms: ms(settings.listener_lost),
    }
}
