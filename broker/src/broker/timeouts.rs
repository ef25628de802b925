//! How clients leave: by goodbye, by a broken connection, or by a timeout (rule 16).

use uuid::Uuid;

use super::clients::Client;
use super::streams::Stage;
use super::{Broker, Now, Output, Peer};
use crate::protocol::How;
use crate::store::Store;

/// How long after its connection closed a program on this machine counts as ended. A program that only gave
/// up on its connection reconnects sooner.
const GONE_AFTER: Now = Now::from_millis(250);

impl<S: Store> Broker<S> {
    /// Handles a connection that has ended.
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

    /// Handles a full send queue. Credit keeps the queues of SKYPIPE/1 clients far from full, so a client
    /// whose queue is full does not read what it asked for and counts as gone.
    pub(super) fn congested(&mut self, peer: Peer) {
        let Some(client) = self.clients.at(&peer) else {
            return;
        };
        if self.clients.is_v01(client) {
            self.retry_old(client, peer);
        } else {
            self.disconnected(&peer);
        }
    }

    /// Handles a client without a connection. Its unused credit is taken back, because data in transit may be
    /// lost. A client that has nothing here, or cannot come back, is forgotten.
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

    /// Takes credit back from all writers of a client whose connection carries no more data.
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

    /// Handles a goodbye.
    pub(super) fn goodbye(&mut self, client: Uuid) {
        self.forget(client, "the writer left before the end");
    }

    /// Ends everything a client has, then forgets the client. `why` becomes the reason of streams that are
    /// cut by this.
    pub(super) fn forget(&mut self, id: Uuid, why: &str) {
        self.end_all_of(id, why);
        self.clients.remove(id);
    }

    /// Ends everything a client has: its streams, its listeners, and its absent ones.
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

    /// Gives up all streams and listeners whose clients have timed out, the client with the earliest deadline
    /// first.
    pub(super) fn lose_the_silent(&mut self) {
        while let Some(id) = self.clients.due(self.now) {
            self.lose(id);
            self.schedule_check(id);
        }
    }

    /// Gives up the streams and listeners of a client that have timed out. If the connection still stands, it
    /// is dropped: the client would otherwise not notice, and must come back on a new one.
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
                    "nothing was heard from it for {}",
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

    /// Schedules the next timeout check of a client. v0.1 peers have no timeouts: they may be silent for
    /// ever, and the transport reports when they are gone.
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

    /// Forgets a writer, and cuts its stream if the stream is open. The writer is forgotten first: its stream
    /// has not finished, so nothing that happens to the stream is an answer to the writer.
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

/// Formats a time for messages.
fn humane(time: Now) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
