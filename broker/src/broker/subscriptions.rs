//! Listeners: joining and leaving, what they are sent, and what they confirm.
//!
//! This module owns every subscription, the queue of listeners that may have something to receive, and the
//! times at which they look again. It never decides which stream a listener gets.

mod resuming;
mod serving;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::base::Base;
use super::peers::Sender;
use crate::interface::Peer;
use crate::pipe::{Away, Changed, ListenerKey, Now};
use crate::protocol::{Code, Confirm, Listen, Reply};
use crate::store::record::Record;
use crate::store::{Store, StreamKey};

/// Where a listener is.
#[derive(Debug)]
enum Presence {
    /// The listener subscribed on this connection. If its client moves to another connection, the listener is
    /// sent nothing until it has resumed there.
    Here(Option<Peer>),
    /// The listener is known only from the log, and has not connected in this run of the satellite.
    Restored,
    /// The listener timed out. This is its position.
    Away(Away),
}

/// The subscription of one listener.
#[derive(Debug)]
struct Subscription {
    /// The client that the listener belongs to.
    client: Uuid,
    pipe: Arc<str>,
    key: ListenerKey,
    presence: Presence,
    /// How many streams the listener lost the rest of, if it ever timed out and came back. Every connection
    /// is told, because an earlier connection may have broken before it heard.
    missed: Option<u64>,
    /// The stream that last got a window from the reserve because of this listener.
    promised: Option<Uuid>,
}

/// All listeners.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_id: HashMap<Uuid, Subscription>,
    by_key: HashMap<ListenerKey, Uuid>,
    /// Listeners that may have something to receive. Each is in the queue at most once.
    awake: VecDeque<ListenerKey>,
    awake_set: HashSet<ListenerKey>,
    /// Listeners that wait for the end of a line, by the time at which they stop waiting.
    line_waits: BTreeSet<(Now, ListenerKey)>,
}

/// What others ask about listeners.
impl Subscriptions {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn knows(&self, listener: Uuid) -> bool {
        self.by_id.contains_key(&listener)
    }

    /// The UUID of a listener, and the client that it belongs to.
    pub fn name_of(&self, listener: ListenerKey) -> Option<(Uuid, Uuid)> {
        let id = *self.by_key.get(&listener)?;
        Some((id, self.client_of(id)?))
    }

    /// The client that a listener belongs to.
    pub fn client_of(&self, listener: Uuid) -> Option<Uuid> {
        self.by_id.get(&listener).map(|it| it.client)
    }

    /// All listeners, each with its client, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = (Uuid, Uuid)> {
        self.by_id.iter().map(|(id, it)| (*id, it.client))
    }

    /// Everything that a checkpoint records of listeners: themselves, and their cursors while they are away.
    pub fn changes(&self) -> impl Iterator<Item = Changed> {
        let listeners = self.by_key.keys().map(|key| Changed::Listener(*key));
        let away = self.by_id.values().filter_map(|it| match &it.presence {
            Presence::Away(away) => Some((it.key, away)),
            _ => None,
        });
        let parts =
            away.flat_map(|(key, away)| away.streams().map(move |it| Changed::Part(key, it)));
        listeners.chain(parts)
    }

    /// The record of a listener. `of_pipe` makes the record of one that is not away. None if the listener is
    /// gone.
    pub fn record(
        &self,
        key: ListenerKey,
        of_pipe: impl FnOnce(Uuid, Uuid, &Arc<str>) -> Option<Record>,
    ) -> Option<Record> {
        let id = *self.by_key.get(&key)?;
        let Subscription {
            client,
            pipe,
            presence,
            ..
        } = self.by_id.get(&id)?;
        match presence {
            Presence::Away(away) => Some(away.listener_record(key, id, *client, pipe)),
            Presence::Here(_) | Presence::Restored => of_pipe(id, *client, pipe),
        }
    }

    /// The record of a listener's cursor in a stream. `of_pipe` makes the record of one that is not away.
    /// None if the cursor is gone.
    pub fn part_record(
        &self,
        key: ListenerKey,
        stream: StreamKey,
        of_pipe: impl FnOnce(&str) -> Option<Record>,
    ) -> Option<Record> {
        let subscription = self.by_id.get(self.by_key.get(&key)?)?;
        match &subscription.presence {
            Presence::Away(away) => away.part_record(key, stream),
            Presence::Here(_) | Presence::Restored => of_pipe(&subscription.pipe),
        }
    }

    /// Promises a window from the reserve to a stream, on behalf of its listeners. Each listener gives a
    /// window to only one stream at a time: `uses` says whether another one uses its window. Returns whether
    /// the stream gets the window.
    pub fn promise(
        &mut self,
        listeners: &[ListenerKey],
        stream: Uuid,
        uses: impl Fn(Uuid) -> bool,
    ) -> bool {
        let is_promised = |listener: &ListenerKey| {
            let uuid = self.by_key.get(listener);
            let promised = uuid.and_then(|uuid| self.by_id.get(uuid)?.promised);
            promised.is_some_and(|other| other != stream && uses(other))
        };
        if listeners.iter().any(is_promised) {
            return false;
        }
        for listener in listeners {
            if let Some(uuid) = self.by_key.get(listener)
                && let Some(subscription) = self.by_id.get_mut(uuid)
            {
                subscription.promised = Some(stream);
            }
        }
        true
    }

    /// The number of cursors kept for absent listeners.
    #[cfg(test)]
    pub fn kept_parts(&self) -> usize {
        let away = self.by_id.values().filter_map(|it| match &it.presence {
            Presence::Away(away) => Some(away.breadth()),
            _ => None,
        });
        away.sum()
    }

    /// Whether all listeners are away.
    #[cfg(test)]
    pub fn are_all_away(&self) -> bool {
        let mut all = self.by_id.values();
        all.all(|it| matches!(it.presence, Presence::Away(_)))
    }
}

/// What listeners send.
impl Subscriptions {
    /// Resumes a listener, perhaps on another connection. If the listener is new, this checks it and returns
    /// its pipe, for [`Self::join`]. `is_used` says that the UUID may not be used for a new listener.
    pub fn listen<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        listen: &Listen,
        is_used: bool,
    ) -> Option<Arc<str>> {
        let (peer, listener) = (from.peer, listen.listener);
        if self.knows(listener) {
            self.listen_again(base, from, listen);
            return None;
        }
        let about = Some(listener);
        if listen.resume.is_some() {
            let message = "this satellite does not know the listener: it was restarted";
            base.out.refuse(peer, Code::Unknown, message, about);
            return None;
        }
        let pipe = base.name(peer, &listen.pipe, about)?;
        if is_used {
            let message = "that UUID is in use";
            base.out.refuse(peer, Code::Malformed, message, about);
            return None;
        }
        Some(pipe)
    }

    /// Answers `Listen`.
    fn listening<S>(&self, base: &mut Base<S>, peer: &Peer, listener: Uuid) {
        let missed = self.by_id.get(&listener).and_then(|it| it.missed);
        let reply = Reply::Listening {
            listener,
            lost: missed.is_some(),
            missed: missed.unwrap_or(0),
        };
        base.out.reply(peer, reply);
    }

    /// Creates a new listener that was checked, and for which there is room.
    pub fn join<S: Store>(
        &mut self,
        base: &mut Base<S>,
        from: Sender<'_>,
        listen: &Listen,
        pipe: &Arc<str>,
    ) {
        let (client, listener) = (from.client, listen.listener);
        let (mode, window) = (listen.mode, listen.window);
        self.listening(base, from.peer, listener);
        let place = base.pipes.new_key();
        let key = ListenerKey(place);
        let peer = base.peers.peer(client).cloned();
        let subscription = Subscription {
            client,
            pipe: pipe.clone(),
            key,
            presence: Presence::Here(peer),
            missed: None,
            promised: None,
        };
        self.by_id.insert(listener, subscription);
        self.by_key.insert(key, listener);
        let owner = base.peers.key_of(client);
        base.shares.listener_comes(listener, owner);
        base.peers.add_listener(client, listener);
        base.budget.touch();
        base.run(pipe, |pipe, ctx| {
            pipe.join(key, mode, window, StreamKey(place), ctx);
        });
    }

    /// Takes in what a listener has confirmed.
    pub fn confirm<S: Store>(&mut self, base: &mut Base<S>, from: Sender<'_>, confirm: &Confirm) {
        let Confirm {
            listener,
            next_seq,
            window,
        } = *confirm;
        let Some(subscription) = self.owned(base, from, listener) else {
            return;
        };
        let key = subscription.key;
        let confirmed = base.run(&subscription.pipe, |pipe, ctx| {
            pipe.confirm(key, next_seq, window, ctx)
        });
        if confirmed.is_err() {
            let message = "the listener confirms more than it was sent";
            let about = Some(listener);
            base.out.refuse(from.peer, Code::Order, message, about);
        }
        // A listener that has confirmed everything may give its writers a window from the reserve.
        base.budget.touch();
    }

    /// Removes a listener before its end, if it belongs to this client.
    pub fn leave<S: Store>(&mut self, base: &mut Base<S>, client: Uuid, listener: Uuid) {
        if self.client_of(listener) != Some(client) {
            return;
        }
        let Some(subscription) = self.remove(base, listener) else {
            return;
        };
        let Subscription {
            pipe,
            key,
            presence,
            ..
        } = subscription;
        if let Presence::Away(away) = presence {
            base.absent.remove(|absent| absent == listener);
            base.durability.note_changed(Changed::Listener(key));
            return forget_parts(base, key, &away);
        }
        base.budget.touch();
        base.run(&pipe, |pipe, ctx| pipe.leave(key, ctx));
    }

    /// A listener of the sender's client. Any other sender is told.
    fn owned<S>(
        &self,
        base: &mut Base<S>,
        from: Sender<'_>,
        listener: Uuid,
    ) -> Option<&Subscription> {
        let found = self.by_id.get(&listener);
        if let Some(subscription) = found
            && subscription.client == from.client
        {
            return found;
        }
        let (code, message) = match found {
            Some(_) => (Code::Denied, "that listener is another client's"),
            None => (Code::Unknown, "this satellite does not know the listener"),
        };
        base.out.refuse(from.peer, code, message, Some(listener));
        None
    }
}

/// The end of listeners.
impl Subscriptions {
    /// Removes a listener that has confirmed its end.
    pub fn ended<S>(&mut self, base: &mut Base<S>, key: ListenerKey)
    where
        S: Store,
    {
        let Some(listener) = self.by_key.get(&key).copied() else {
            return;
        };
        if let Some(subscription) = self.remove(base, listener) {
            base.tell(subscription.client, Reply::Closed { listener });
        }
    }

    fn remove<S>(&mut self, base: &mut Base<S>, listener: Uuid) -> Option<Subscription> {
        let subscription = self.by_id.remove(&listener)?;
        let key = subscription.key;
        self.by_key.remove(&key);
        base.shares.goes(listener);
        self.line_waits.retain(|(_, waiting)| *waiting != key);
        base.peers.drop_listener(subscription.client, listener);
        Some(subscription)
    }

    /// Gives up a listener that timed out. Others may take what it had not confirmed, and its position is
    /// kept.
    pub fn lose<S: Store>(&mut self, base: &mut Base<S>, listener: Uuid) {
        let Some(subscription) = self.by_id.get_mut(&listener) else {
            return;
        };
        if matches!(subscription.presence, Presence::Away(_)) {
            return;
        }
        let key = subscription.key;
        self.line_waits.retain(|(_, waiting)| *waiting != key);
        let away = base.run(&subscription.pipe, |pipe, ctx| {
            pipe.give_up_listener(key, ctx)
        });
        let Some(away) = away else {
            return;
        };
        base.pipes.add_cursors(away.breadth());
        base.durability.note_changed(Changed::Listener(key));
        subscription.presence = Presence::Away(away);
        base.set_absent(subscription.client, listener);
        base.budget.touch();
    }
}

/// Drops the cursors that were kept while a listener was away.
fn forget_parts<S: Store>(base: &mut Base<S>, key: ListenerKey, away: &Away) {
    base.pipes.drop_cursors(away.breadth());
    for stream in away.streams() {
        base.durability.note_changed(Changed::Part(key, stream));
    }
}
