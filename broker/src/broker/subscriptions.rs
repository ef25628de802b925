//! Listeners: joining and resuming, what they are sent, and what they confirm.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::upkeep::Kind;
use super::{Broker, FAIR_TURN, Peer, is_reserved};
use crate::pipe::{Away, Changed, Item, ListenerKey, Next, Return};
use crate::protocol::{Code, Mode, Reply, Resume};
use crate::store::{Store, StreamKey};

/// The subscription of one listener.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The client that the listener belongs to.
    pub client: Uuid,
    pub pipe: Arc<str>,
    pub key: ListenerKey,
    /// The connection on which the listener subscribed. If its client moves to another connection, the
    /// listener is sent nothing until it has resumed there.
    pub peer: Option<Peer>,
    /// Whether the listener has connected in this run of the satellite. False for one known only from the
    /// log.
    pub is_of_this_run: bool,
    /// The listener's position when it timed out. None while it is present.
    pub away: Option<Away>,
    /// Whether the listener ever timed out and came back, and, in `missed`, how many streams it lost the rest
    /// of. Every connection is told, because an earlier connection may have broken before it heard.
    pub was_lost: bool,
    pub missed: u64,
    /// The stream that last got a window from the reserve because of this listener.
    pub promised: Option<Uuid>,
}

/// The fields of `Listen`.
pub(super) struct Joining {
    pub listener: Uuid,
    pub pipe: String,
    pub mode: Mode,
    pub window: u64,
    pub resume: Option<Resume>,
}

impl<S: Store> Broker<S> {
    pub(super) fn listen(&mut self, peer: &Peer, client: Uuid, joining: Joining) {
        let Joining {
            listener,
            pipe,
            mode,
            window,
            resume,
        } = joining;
        if self.subscriptions.contains_key(&listener) {
            return self.listen_again(peer, client, listener, resume, window);
        }
        if resume.is_some() {
            let message = "this satellite does not know the listener: it was restarted";
            return self.refuse(peer, Code::Unknown, message, Some(listener));
        }
        let Some(name) = self.name(peer, &pipe, Some(listener)) else {
            return;
        };
        if is_reserved(listener) || self.writers.contains_key(&listener) {
            return self.refuse(peer, Code::Malformed, "that UUID is in use", Some(listener));
        }
        if let Err(why) = self.has_room_for(client, Kind::Listeners, &name) {
            return self.refuse(peer, Code::Limit, &why, Some(listener));
        }
        self.listening(peer, listener);
        self.join(client, listener, &name, mode, window);
    }

    /// Answers `Listen`.
    fn listening(&mut self, peer: &Peer, listener: Uuid) {
        let known = self.subscriptions.get(&listener);
        let reply = Reply::Listening {
            listener,
            lost: known.is_some_and(|subscription| subscription.was_lost),
            missed: known.map_or(0, |subscription| subscription.missed),
        };
        self.reply(peer, &reply);
    }

    /// Creates a listener.
    pub(super) fn join(
        &mut self,
        client: Uuid,
        listener: Uuid,
        name: &Arc<str>,
        mode: Mode,
        window: u64,
    ) {
        let place = self.new_key();
        let key = ListenerKey(place);
        let peer = self.clients.peer(client).cloned();
        self.subscriptions.insert(
            listener,
            Subscription {
                client,
                pipe: name.clone(),
                key,
                peer,
                is_of_this_run: true,
                away: None,
                was_lost: false,
                missed: 0,
                promised: None,
            },
        );
        self.listeners.insert(key, listener);
        let owner = self.clients.key_of(client);
        self.shares.listener_comes(listener, owner);
        if let Some(owner) = self.clients.get_mut(client) {
            owner.listeners.insert(listener);
        }
        self.schedule_check(client);
        self.budget.touch();
        self.with_pipe(name, |pipe, ctx| {
            pipe.join(key, mode, window, StreamKey(place), ctx);
        });
    }

    /// Resumes a listener, perhaps on another connection.
    fn listen_again(
        &mut self,
        peer: &Peer,
        client: Uuid,
        listener: Uuid,
        resume: Option<Resume>,
        window: u64,
    ) {
        let Some((name, key)) = self.owned_listener(peer, client, listener) else {
            return;
        };
        let resume = resume.unwrap_or_default();
        if let Some(away) = self
            .subscriptions
            .get_mut(&listener)
            .and_then(|it| it.away.take())
        {
            return self.listener_is_back(peer, listener, &away, &resume, window);
        }
        let Resume {
            next_seq,
            cost,
            line,
            ..
        } = resume;
        let resumed = if self.subscriptions[&listener].is_of_this_run {
            self.with_pipe(&name, |pipe, _| pipe.resume(key, next_seq))
        } else {
            self.with_pipe(&name, |pipe, ctx| {
                pipe.rejoin(key, next_seq, cost, window, line, ctx);
            });
            Ok(())
        };
        if resumed.is_err() {
            let message = "the listener cannot have reached that position";
            return self.refuse(peer, Code::Unknown, message, Some(listener));
        }
        if let Some(subscription) = self.subscriptions.get_mut(&listener) {
            subscription.peer = Some(peer.clone());
            subscription.is_of_this_run = true;
        }
        self.listening(peer, listener);
        self.wake(key);
    }

    /// Resumes a listener that had timed out (rule 16).
    fn listener_is_back(
        &mut self,
        peer: &Peer,
        listener: Uuid,
        away: &Away,
        resume: &Resume,
        window: u64,
    ) {
        let joined = StreamKey(self.new_key());
        let Some(subscription) = self.subscriptions.get_mut(&listener) else {
            return;
        };
        (subscription.peer, subscription.is_of_this_run) = (Some(peer.clone()), true);
        let (name, key, client) = (
            subscription.pipe.clone(),
            subscription.key,
            subscription.client,
        );
        self.forget_parts(key, away);
        let known = resume.streams.iter().map(|it| (it.stream, *it));
        let back = Return {
            next_seq: resume.next_seq,
            cost: resume.cost,
            window,
            line: resume.line,
            progress: &known.collect::<HashMap<_, _>>(),
            joined,
        };
        let found = self.with_pipe(&name, |pipe, ctx| pipe.come_back(key, away, &back, ctx));
        self.budget.touch();
        self.is_back(client, listener);
        if let Ok(missed) = found {
            if let Some(subscription) = self.subscriptions.get_mut(&listener) {
                subscription.was_lost = true;
                subscription.missed += missed;
            }
            self.listening(peer, listener);
            return self.wake(key);
        }
        self.drop_taker(key);
        self.note_changed(Changed::Listener(key));
        let message = "the satellite lost contact with this listener, and others took its data";
        self.refuse(peer, Code::Lost, message, Some(listener));
    }

    /// Drops the cursors that were kept while a listener was away.
    pub(super) fn forget_parts(&mut self, key: ListenerKey, away: &Away) {
        self.effects.cursors -= away.breadth();
        for stream in away.streams() {
            self.note_changed(Changed::Part(key, stream));
        }
    }

    /// Gives up a listener that timed out. Others may take what it had not confirmed, and its position is
    /// kept.
    pub(super) fn lose_listener(&mut self, listener: Uuid) {
        let Some(subscription) = self
            .subscriptions
            .get(&listener)
            .filter(|it| it.away.is_none())
        else {
            return;
        };
        let (name, key) = (subscription.pipe.clone(), subscription.key);
        self.line_waits.retain(|(_, waiting)| *waiting != key);
        // The records of the following steps already say that the listener is away.
        let away = self.with_pipe(&name, |pipe, ctx| pipe.give_up_listener(key, ctx));
        let Some(away) = away else {
            return;
        };
        self.effects.cursors += away.breadth();
        self.note_changed(Changed::Listener(key));
        if let Some(subscription) = self.subscriptions.get_mut(&listener) {
            (subscription.peer, subscription.away) = (None, Some(away));
        }
        self.remember_absent(listener);
        self.budget.touch();
    }

    pub(super) fn confirm(
        &mut self,
        peer: &Peer,
        client: Uuid,
        listener: Uuid,
        next_seq: u64,
        window: u64,
    ) {
        let Some((name, key)) = self.owned_listener(peer, client, listener) else {
            return;
        };
        let confirmed = self.with_pipe(&name, |pipe, ctx| pipe.confirm(key, next_seq, window, ctx));
        if confirmed.is_err() {
            let message = "the listener confirms more than it was sent";
            self.refuse(peer, Code::Order, message, Some(listener));
        }
        // A listener that has confirmed everything may give its writers a window from the reserve.
        self.budget.touch();
    }

    /// Removes a listener before its end.
    pub(super) fn leave(&mut self, client: Uuid, listener: Uuid) {
        let Some(subscription) = self.subscriptions.get(&listener) else {
            return;
        };
        if subscription.client != client {
            return;
        }
        let (name, key) = (subscription.pipe.clone(), subscription.key);
        if let Some(subscription) = self.subscriptions.get_mut(&listener)
            && let Some(away) = subscription.away.take()
        {
            self.absent.remove(|absent| absent == listener);
            self.drop_taker(key);
            self.note_changed(Changed::Listener(key));
            return self.forget_parts(key, &away);
        }
        self.drop_taker(key);
        self.budget.touch();
        self.with_pipe(&name, |pipe, ctx| pipe.leave(key, ctx));
    }

    /// Removes a listener that has confirmed its end.
    pub(super) fn listener_ended(&mut self, key: ListenerKey) {
        if let Some((client, listener)) = self.drop_taker(key) {
            self.tell(client, &Reply::Closed { listener }, None);
        }
    }

    fn drop_taker(&mut self, key: ListenerKey) -> Option<(Uuid, Uuid)> {
        let listener = self.listeners.remove(&key)?;
        let subscription = self.subscriptions.remove(&listener)?;
        self.shares.goes(listener);
        self.line_waits.retain(|(_, waiting)| *waiting != key);
        if let Some(client) = self.clients.get_mut(subscription.client) {
            client.listeners.remove(&listener);
            client.absent.remove(&listener);
        }
        Some((subscription.client, listener))
    }

    /// Sends a listener what it may have now.
    pub(super) fn serve(&mut self, key: ListenerKey) {
        let Some(listener) = self.listeners.get(&key).copied() else {
            return;
        };
        let Some(subscription) = self.subscriptions.get(&listener) else {
            return;
        };
        let (name, owner) = (subscription.pipe.clone(), subscription.client);
        let Some(client) = self.clients.get(owner) else {
            return;
        };
        if client.old.is_some() {
            return self.serve_old(owner);
        }
        let Some(peer) = subscription
            .peer
            .clone()
            .filter(|peer| client.peer.as_ref() == Some(peer))
        else {
            return;
        };
        for _ in 0..FAIR_TURN {
            match self.with_pipe(&name, |pipe, ctx| pipe.next(key, ctx)) {
                Next::Item(seq, item) => self.send_item(&peer, listener, seq, item),
                Next::Wait(until) => {
                    self.line_waits.insert((until, key));
                    return;
                }
                Next::Nothing => return,
            }
        }
        self.wake(key);
    }

    fn send_item(&mut self, peer: &Peer, listener: Uuid, seq: u64, item: Item) {
        match item {
            Item::Chunk {
                stream,
                at,
                missed,
                payload,
            } => {
                let chunk = Reply::Chunk {
                    listener,
                    seq,
                    stream,
                    at,
                    missed,
                };
                self.send(peer, &chunk, Some(payload));
            }
            Item::Ended(ended) => {
                let reply = Reply::Ended {
                    listener,
                    seq,
                    stream: ended.stream,
                    at: ended.at,
                    how: ended.how,
                    label: ended.label,
                    before: ended.before,
                    missed: ended.missed,
                };
                self.reply(peer, &reply);
            }
            Item::Done { missed, eof } => {
                let done = Reply::Done {
                    listener,
                    seq,
                    missed,
                    eof,
                };
                self.reply(peer, &done);
            }
        }
    }

    /// The pipe and key of a listener, if it belongs to this client. If not, the client is told.
    fn owned_listener(
        &mut self,
        peer: &Peer,
        client: Uuid,
        listener: Uuid,
    ) -> Option<(Arc<str>, ListenerKey)> {
        let subscription = self.subscriptions.get(&listener);
        if let Some(subscription) = subscription
            && subscription.client == client
        {
            return Some((subscription.pipe.clone(), subscription.key));
        }
        let (code, message) = match subscription {
            Some(_) => (Code::Denied, "that listener is another client's"),
            None => (Code::Unknown, "this satellite does not know the listener"),
        };
        self.refuse(peer, code, message, Some(listener));
        None
    }
}
