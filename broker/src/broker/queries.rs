//! Queries and commands about pipes and the satellite: list, discard, eof, status, keys, stop.
//!
//! This module owns the queries that wait for their turn. It changes no other part.

mod work;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use self::work::{Waiting, Work};
use super::OLD_IDS;
use super::base::Base;
use super::peers::Sender;
use super::streams::Streams;
use crate::interface::Peer;
use crate::keys::{Key, KeyId};
use crate::pipe::{Now, Pipe};
use crate::protocol::{Code, MAX_ORDER, MAX_PAGE, PipeInfo, Reply, Request, Status};
use crate::store::{Store, StreamKey};
use crate::text::count;

/// Queries that wait, and what a status tells besides.
#[derive(Debug, Default)]
pub(super) struct Queries {
    work: Work,
    /// Restrictions that the process could not drop.
    inherited: Vec<String>,
}

impl Queries {
    pub fn set_inherited(&mut self, inherited: Vec<String>) {
        self.inherited = inherited;
    }

    /// When the first waiting query is due.
    pub fn deadline(&self) -> Option<Now> {
        self.work.deadline()
    }

    /// Forgets a connection that is gone, and its queries.
    pub fn forget(&mut self, peer: &Peer) {
        self.work.forget(peer);
    }

    /// Answers a query now or when its turn comes.
    pub fn ask<S: Store>(
        &mut self,
        base: &mut Base<S>,
        streams: &Streams,
        from: Sender<'_>,
        question: Request,
    ) {
        let waiting = Waiting::new(from, question);
        match self.work.admit(waiting, base.now) {
            Ok(Some(due)) => self.answer(base, streams, due),
            Ok(None) => {}
            Err(message) => base.out.refuse(from.peer, Code::Limit, message, None),
        }
    }

    /// The number of queries that wait.
    pub fn waiting(&self) -> usize {
        self.work.len()
    }

    /// The next query whose turn has come, among the first `most`. Those that still wait go to the end.
    pub fn next_due(&mut self, most: &mut usize, now: Now) -> Option<Waiting> {
        self.work.next_due(most, now)
    }

    /// Answers a query, for which its asker pays.
    pub fn answer<S: Store>(&mut self, base: &mut Base<S>, streams: &Streams, due: Waiting) {
        let looks = match due.question() {
            Request::List { after } => list(base, streams, &due, after.as_deref()),
            _ => self.status(base, &due),
        };
        self.work.pay(due, base.now, looks);
    }

    /// Answers with the satellite's status. Returns the work done: the number of pipes and streams examined.
    fn status<S: Store>(&self, base: &mut Base<S>, due: &Waiting) -> usize {
        let status = status(base, due.key(), &self.inherited);
        base.out.reply(due.peer(), Reply::Status(status));
        base.pipes.len() + base.pipes.streams()
    }
}

/// Answers with one page of pipes. Returns the work done: the number of pipes, streams and writers examined.
fn list<S: Store>(
    base: &mut Base<S>,
    streams: &Streams,
    due: &Waiting,
    after: Option<&str>,
) -> usize {
    let mut looks = streams.wanting();
    let behind = base.pipes.after(after).inspect(|_| looks += 1);
    let seen = behind.filter(|(name, _)| base.access.sees(due.key(), name));
    let page: Vec<_> = seen.take(MAX_PAGE + 1).collect();
    looks += page.iter().map(|(_, pipe)| pipe.streams()).sum::<usize>();
    let infos = page.iter().map(|(name, pipe)| pipe.info(name));
    let mut pipes: Vec<PipeInfo> = infos.collect();
    let more = pipes.len() > MAX_PAGE;
    pipes.truncate(MAX_PAGE);
    let full: HashSet<&str> = streams.full_pipes().collect();
    for info in &mut pipes {
        info.full = full.contains(info.name.as_str());
    }
    base.out.reply(due.peer(), Reply::Pipes { pipes, more });
    looks
}

/// Counts only pipes that the key may see.
fn status<S: Store>(base: &Base<S>, key: Option<KeyId>, inherited: &[String]) -> Status {
    let (pipes, waiting, bytes) = waiting(base, key);
    let settings = &base.settings;
    let public = Status {
        program: settings.program.clone(),
        since: settings.since,
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
    // The rest of the status is only for keys that may manage.
    if base.access.key(key).is_some_and(|key| !key.rights.manage) {
        return public;
    }
    let store = base.pipes.store();
    Status {
        pid: settings.pid,
        kept: store.kept(),
        memory: settings.memory,
        used: base.budget.used(),
        disk: store.disk().map(|disk| (disk.used, disk.budget)),
        trouble: base.durability.full().cloned(),
        inherited: inherited.to_vec(),
        clients: base.peers.connected() as u64,
        ..public
    }
}

/// The numbers of pipes, of streams with unconfirmed data, and of their unconfirmed bytes, as far as the key
/// may see the pipes.
fn waiting<S: Store>(base: &Base<S>, key: Option<KeyId>) -> (u64, u64, u64) {
    let seen = base
        .pipes
        .iter()
        .filter(|(name, _)| base.access.sees(key, name));
    let sum = |(pipes, streams, bytes), (_, pipe): (_, &Pipe)| {
        let (more_streams, more_bytes) = pipe.waiting();
        (pipes + 1, streams + more_streams, bytes + more_bytes)
    };
    seen.fold((0, 0, 0), sum)
}

/// Whether the satellite may stop. If not, the reason.
pub(super) fn may_stop<S: Store>(base: &Base<S>, force: bool) -> Result<(), (Code, String)> {
    if !base.settings.stoppable {
        let message = "this satellite can only be stopped on the machine where it was started";
        return Err((Code::Denied, message.to_owned()));
    }
    let (_, streams, bytes) = waiting(base, None);
    if streams == 0 || force {
        return Ok(());
    }
    let wait = if streams == 1 { "waits" } else { "wait" };
    let (streams, bytes) = (count(streams, "stream"), count(bytes, "byte"));
    Err((Code::Waiting, format!("{streams} with {bytes} {wait}")))
}

/// The pipe of an `--eof`. One that is malformed is refused.
pub(super) fn eof_pipe<S: Store>(
    base: &mut Base<S>,
    from: Sender<'_>,
    name: &str,
    order: &Bytes,
) -> Option<Arc<str>> {
    let name = base.name(from.peer, name, None)?;
    if order.len() > MAX_ORDER {
        let message = "the signed order of an --eof is too long";
        base.out.refuse(from.peer, Code::Malformed, message, None);
        return None;
    }
    Some(name)
}

/// Ends the live listeners of a pipe. If there are none, the end becomes an empty stream, for which there is
/// room.
pub(super) fn eof<S: Store>(base: &mut Base<S>, from: Sender<'_>, name: &Arc<str>, order: &Bytes) {
    let marker = StreamKey(base.pipes.new_key());
    if !base.pipes.get(name).is_some_and(Pipe::is_live) {
        let id = Uuid::from_u64_pair(OLD_IDS, marker.0);
        base.pipes.add_stream(marker, id, name);
        let owner = base.peers.key_of(from.client);
        base.shares.stream_comes(marker, owner);
    }
    base.run(name, |pipe, ctx| pipe.eof(marker, order, ctx));
    base.out.reply(from.peer, Reply::EofTaken);
}

/// Drops the unread data of a pipe.
pub(super) fn discard<S: Store>(base: &mut Base<S>, peer: &Peer, name: &str) {
    if let Some(name) = base.name(peer, name, None) {
        let (streams, bytes) = base.run(&name, Pipe::discard);
        base.out.reply(peer, Reply::Discarded { streams, bytes });
    }
}

/// Answers with one page of keys.
pub(super) fn keys<S: Store>(base: &mut Base<S>, peer: &Peer, after: Option<&str>) {
    let info = |key: &&Key| key.info(base.peers.has_key(key.id()), base.holds(key.id()));
    match base.access.keys(after, info) {
        Ok(keys) => base.out.reply(peer, keys),
        Err((code, message)) => base.out.refuse(peer, code, message, None),
    }
}
