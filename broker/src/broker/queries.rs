//! Queries and commands about pipes and the satellite: list, discard, eof, status, stop.

use std::collections::HashSet;

use bytes::Bytes;
use uuid::Uuid;

use super::upkeep::Kind;
use super::{Broker, OLD_IDS, Output, Peer};
use crate::keys::KeyId;
use crate::pipe::Pipe;
use crate::protocol::{Code, MAX_ORDER, MAX_PAGE, PipeInfo, Reply, Status};
use crate::store::{Store, StreamKey};
use crate::text::count;

impl<S: Store> Broker<S> {
    /// Sets the restrictions that the process could not drop, for its status ([`Status::inherited`]).
    #[must_use]
    pub fn limited_by(self, inherited: Vec<String>) -> Self {
        Self { inherited, ..self }
    }

    pub(super) fn eof(&mut self, peer: &Peer, client: Uuid, name: &str, order: &Bytes) {
        let Some(name) = self.name(peer, name, None) else {
            return;
        };
        if order.len() > MAX_ORDER {
            let message = "the signed order of an --eof is too long";
            return self.refuse(peer, Code::Malformed, message, None);
        }
        let marker = StreamKey(self.new_key());
        if !self.pipes.get(&name).is_some_and(Pipe::is_live) {
            if let Err(why) = self.has_room_for(client, Kind::Streams, &name) {
                return self.refuse(peer, Code::Limit, &why, None);
            }
            self.streams.insert(
                marker,
                (Uuid::from_u64_pair(OLD_IDS, marker.0), name.clone()),
            );
            let owner = self.clients.key_of(client);
            self.shares.stream_comes(marker, owner);
        }
        self.with_pipe(&name, |pipe, ctx| pipe.eof(marker, order, ctx));
        self.reply(peer, &Reply::EofTaken);
    }

    /// Answers with one page of pipes. Returns the work done: the number of pipes, streams and writers
    /// examined.
    pub(super) fn list(&mut self, peer: &Peer, key: Option<KeyId>, after: Option<&str>) -> usize {
        let mut looks = self.wanting.len();
        let behind = self.pipes.after(after).inspect(|_| looks += 1);
        let seen = behind.filter(|(name, _)| self.sees(key, name));
        let page: Vec<_> = seen.take(MAX_PAGE + 1).collect();
        looks += page.iter().map(|(_, pipe)| pipe.streams()).sum::<usize>();
        let infos = page.iter().map(|(name, pipe)| pipe.info(name));
        let mut pipes: Vec<PipeInfo> = infos.collect();
        let more = pipes.len() > MAX_PAGE;
        pipes.truncate(MAX_PAGE);
        let in_want = self.wanting.iter().filter_map(|id| self.writers.get(id));
        let full: HashSet<&str> = in_want
            .filter(|writer| writer.full.is_some())
            .map(|writer| &*writer.pipe)
            .collect();
        for info in &mut pipes {
            info.full = full.contains(info.name.as_str());
        }
        self.reply(peer, &Reply::Pipes { pipes, more });
        looks
    }

    pub(super) fn discard(&mut self, peer: &Peer, name: &str) {
        let Some(name) = self.name(peer, name, None) else {
            return;
        };
        let (streams, bytes) = self.with_pipe(&name, Pipe::discard);
        self.reply(peer, &Reply::Discarded { streams, bytes });
    }

    /// Answers with the satellite's status. Returns the work done: the number of pipes and streams examined.
    pub(super) fn status(&mut self, peer: &Peer, key: Option<KeyId>) -> usize {
        let status = self.how_it_is(key);
        self.reply(peer, &Reply::Status(status));
        self.pipes.len() + self.streams.len()
    }

    /// Counts only pipes that the key may see.
    fn how_it_is(&self, key: Option<KeyId>) -> Status {
        let seen = self.pipes.iter().filter(|(name, _)| self.sees(key, name));
        let sum = |(pipes, streams, bytes), (_, pipe): (_, &Pipe)| {
            let (more_streams, more_bytes) = pipe.waiting();
            (pipes + 1, streams + more_streams, bytes + more_bytes)
        };
        let (pipes, waiting, bytes) = seen.fold((0, 0, 0), sum);
        // The rest of the status is only for keys that may manage.
        let is_hidden = self.key(key).is_some_and(|key| !key.rights.manage);
        if is_hidden {
            return Status {
                program: self.settings.program.clone(),
                since: self.settings.since,
                pid: 0,
                kept: String::new(),
                memory: 0,
                used: 0,
                disk: None,
                trouble: None,
                inherited: Vec::new(),
                pipes,
                waiting,
                bytes,
                clients: 0,
            };
        }
        Status {
            program: self.settings.program.clone(),
            since: self.settings.since,
            pid: self.settings.pid,
            kept: self.store.kept(),
            memory: self.settings.memory,
            used: self.budget.used(),
            disk: self.store.disk().map(|disk| (disk.used, disk.budget)),
            trouble: self.saving.full.clone(),
            inherited: self.inherited.clone(),
            pipes,
            waiting,
            bytes,
            clients: self.clients.connected() as u64,
        }
    }

    /// Drops all streams and sends all clients away, so that nothing comes back at the next satellite.
    fn drop_all(&mut self) {
        let asking: Vec<_> = self.clients.all().collect();
        for client in asking {
            self.end_all_of(client, "the satellite was reset");
        }
        for name in self.pipes.names().cloned().collect::<Vec<_>>() {
            self.with_pipe(&name, Pipe::discard);
        }
    }

    pub(super) fn stop(&mut self, peer: &Peer, force: bool) {
        if !self.settings.stoppable {
            let message = "this satellite can only be stopped on the machine where it was started";
            return self.refuse(peer, Code::Denied, message, None);
        }
        let status = self.how_it_is(None);
        if status.waiting > 0 && !force {
            let (streams, bytes) = (count(status.waiting, "stream"), count(status.bytes, "byte"));
            let wait = if status.waiting == 1 { "waits" } else { "wait" };
            let message = format!("{streams} with {bytes} {wait}");
            return self.refuse(peer, Code::Waiting, &message, None);
        }
        if force {
            self.drop_all();
        }
        self.save_all();
        self.reply(peer, &Reply::Stopping);
        self.out
            .push_back(Output::Log("a client asked to stop".to_owned()));
        self.out.push_back(Output::Stop);
    }
}
