//! How clients go: by goodbye, by a broken connection, by silence (rule 16).

use uuid::Uuid;

use super::clients::Client;
use super::writing::Stage;
use super::{Broker, Now, Output, Peer};
use crate::protocol::How;
use crate::store::Store;

/// How long after its connection was closed a program of this machine counts as ended: one that has
/// only lost patience with its connection is back sooner.
const GONE_AFTER: Now = Now::from_millis(250);

impl<S: Store> Broker<S> {
    /// A connection has ended.
    pub(super) fn disconnected(&mut self, peer: &Peer) {
        self.work.forget(peer);
        if let Some(client) = self.clients.at(peer) {
            self.connection_lost(client);
        }
        self.inflow.forget(peer);
    }

    fn connection_lost(&mut self, client: Uuid) {
        self.clients.disconnect(client);
        self.out_of_reach(client);
        if self.settings.is_local
            && let Some(gone) = self.clients.get_mut(client)
        {
            gone.gone = Some(self.now);
            self.schedule_check(client);
        }
    }

    /// The queue of a connection is full. Credit keeps those of SKYPIPE/1 clients far from that, so
    /// one that does not read what it asked for is as good as gone.
    pub(super) fn congested(&mut self, peer: Peer) {
        let Some(client) = self.clients.at(&peer) else {
            return;
        };
        if self.clients.is_old(client) {
            self.retry_old(client, peer);
        } else {
            self.disconnected(&peer);
        }
    }

    /// A client has no connection: credit that it was given comes back, for what was under way may
    /// be lost. One that has nothing here, or cannot come back, is forgotten.
    pub(super) fn out_of_reach(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        if client.old.is_some() {
            return self.forget(id, "its connection was lost");
        }
        self.withdraw_from(id);
        self.forget_if_over(id);
    }

    /// A client's connection carries nothing any more that its writers may send.
    pub(super) fn withdraw_from(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        for stream in client.streams.clone() {
            self.withdraw(stream);
            if let Some(writer) = self.writers.get_mut(&stream) {
                writer.connection = None;
            }
        }
    }

    /// A client says goodbye.
    pub(super) fn goodbye(&mut self, client: Uuid) {
        self.forget(client, "it left before its end");
    }

    /// Ends all that a client had, and forgets it. `why` stands with streams that are cut by it.
    pub(super) fn forget(&mut self, id: Uuid, why: &str) {
        self.end_all_of(id, why);
        self.clients.remove(id);
    }

    /// Ends all that a client had.
    pub(super) fn end_all_of(&mut self, id: Uuid, why: &str) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let (streams, listeners) = (client.streams.clone(), client.listeners.clone());
        let absent = client.absent.clone();
        for listener in listeners.iter().chain(&absent) {
            self.leave(id, *listener);
        }
        for stream in streams.iter().chain(&absent) {
            self.cut(*stream, why);
        }
        self.absent.remove(|id| absent.contains(&id));
    }

    /// Gives up those who have not been heard of for their time, the longest silent first.
    pub(super) fn lose_the_silent(&mut self) {
        while let Some(id) = self.clients.due(self.now) {
            self.lose(id);
            self.schedule_check(id);
        }
    }

    /// Gives up what a client has here whose time is over. On a connection that is still there it would
    /// go on unawares: it has to come back on a new one.
    fn lose(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        if client.old.is_some() {
            return;
        }
        let silent = self.now.saturating_sub(client.heard);
        let has_ended = client
            .gone
            .is_some_and(|gone| self.now >= gone + GONE_AFTER);
        let (streams, listeners) = (client.streams.clone(), client.listeners.clone());
        let are_listeners_lost = has_ended || silent >= self.settings.listener_lost;
        let are_writers_lost = has_ended || silent >= self.settings.writer_lost;
        if are_listeners_lost {
            for listener in &listeners {
                self.log_lost(&format!("listener {listener} is lost"));
                self.lose_listener(*listener);
            }
        }
        if are_writers_lost {
            let why = if has_ended {
                "its program has ended".to_owned()
            } else {
                format!(
                    "it was not heard of for {}",
                    humane(self.settings.writer_lost)
                )
            };
            for stream in &streams {
                self.log_lost(&format!("the writer of {stream} is lost"));
                self.lose_writer(*stream, &why);
            }
        }
        let has_lost = (are_listeners_lost && !listeners.is_empty())
            || (are_writers_lost && !streams.is_empty());
        let is_idle = are_listeners_lost && listeners.is_empty() && streams.is_empty();
        if has_lost || is_idle {
            self.clients.disconnect(id);
            self.forget_if_over(id);
        }
    }

    fn log_lost(&mut self, what: &str) {
        self.out.push_back(Output::Log(what.to_owned()));
    }

    /// Looks at a client again when the next of its times may be over. Times of 0.1 peers are not
    /// ours to watch: they may be silent for ever, and the transport tells when they are gone.
    pub(super) fn schedule_check(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let has_more =
            client.peer.is_some() || !client.streams.is_empty() || !client.listeners.is_empty();
        let is_watched = client.old.is_none() && has_more;
        let due = is_watched.then(|| self.silence_over(client));
        self.clients.check_at(id, due);
    }

    fn silence_over(&self, client: &Client) -> Now {
        let mut time = self.settings.listener_lost;
        if client.listeners.is_empty() && !client.streams.is_empty() {
            time = self.settings.writer_lost;
        } else if !client.streams.is_empty() {
            time = time.min(self.settings.writer_lost);
        }
        let gone = client.gone.map(|gone| gone + GONE_AFTER);
        (client.heard + time).min(gone.unwrap_or(Now::MAX))
    }

    /// Forgets a writer, and cuts its stream if that is open. It is forgotten first: it has not
    /// finished, so that nothing that becomes of its stream is an answer for it.
    pub(super) fn cut(&mut self, stream: Uuid, why: &str) {
        let missing = self
            .writers
            .get(&stream)
            .filter(|writer| writer.stage == Stage::Finished && writer.is_awaited());
        let missing = missing.map(|writer| (writer.pipe.clone(), writer.key, writer.next));
        let place = self.end_writing(stream);
        self.forget_writer(stream);
        if let Some((pipe, key, end)) = missing {
            self.with_pipe(&pipe, |pipe, ctx| pipe.cut_short(key, end, why, ctx));
        }
        if let Some((pipe, key)) = place {
            self.with_pipe(&pipe, |pipe, ctx| {
                pipe.finish(key, How::Cut(why.to_owned()), ctx);
            });
        }
    }
}

/// A time in words, for messages.
fn humane(time: Now) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
