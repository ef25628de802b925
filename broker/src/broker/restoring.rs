//! Restores a broker from the records of the previous run (rule 16).
//!
//! All clients start as disconnected but not timed out, and their timeouts start again. v0.1 peers cannot
//! come back, so their streams and listeners end.

use std::sync::Arc;

use super::pipes::Place;
use super::{Broker, Settings, is_reserved};
use crate::pipe::Pipe;
use crate::protocol::How;
use crate::store::record::Owner;
use crate::store::{Recovered, Store, StreamKey};
use crate::text;

impl<S: Store> Broker<S> {
    /// A broker that continues where the previous run on this store stopped.
    pub fn restore(settings: Settings, store: S, recovered: Recovered) -> Self {
        let mut broker = Self::new(settings, store);
        let base = &mut broker.base;
        base.pipes.continue_from(recovered.keys, recovered.arrivals);
        for note in recovered.notes {
            base.out.log(note);
        }
        let (ends, damaged) = (recovered.ends, recovered.damaged);
        let end = |key: u64| ends.get(&key).copied().unwrap_or(0);
        for (key, record) in recovered.streams {
            let name: Arc<str> = Arc::from(text::normal(&record.pipe));
            base.pipes.add_stream(StreamKey(key), record.id, &name);
            let owner = record.owner.map(Owner::key);
            base.shares.stream_comes(StreamKey(key), owner);
            base.pipes
                .get_or_make(&name)
                .restore_stream(record, end(key));
        }
        for (key, record) in &recovered.listeners {
            broker.subscriptions.restore(base, *key, record);
        }
        for part in recovered.parts.values() {
            if let Some(away) = &part.away {
                broker.subscriptions.restore_away(base, part, away);
                continue;
            }
            let place = base.pipes.place(StreamKey(part.stream)).cloned();
            let is_known =
                place.is_some_and(|it| base.pipes.get_or_make(&it.pipe).restore_part(part));
            base.pipes.add_cursors(usize::from(is_known));
        }
        for writer in recovered.writers.into_values() {
            broker.streams.restore(base, &writer);
        }
        broker.go_on();
        for (key, why) in damaged {
            let (base, key, at) = (&mut broker.base, StreamKey(key), end(key));
            broker.streams.cut_damaged(base, key, at, &why);
            broker.settle();
        }
        broker.end_what_stays_away();
        for stream in broker.base.shares.streams() {
            broker.base.recount(stream);
        }
        broker
    }

    /// Completes what the previous run left half done.
    fn go_on(&mut self) {
        for name in self.base.pipes.names().cloned().collect::<Vec<_>>() {
            self.base.run(&name, Pipe::settle_all);
            self.settle();
        }
    }

    /// Answers writers whose data is safe, and ends what cannot come back.
    fn end_what_stays_away(&mut self) {
        self.streams.answer_all_safe(&mut self.base);
        let why = "the satellite was restarted, and its protocol (0.1) cannot reconnect";
        let old = self.streams.ids().filter(|id| is_reserved(*id));
        for stream in old.collect::<Vec<_>>() {
            self.streams.cut(&mut self.base, stream, why);
        }
        let listeners = self.subscriptions.all();
        let old = listeners.filter(|(id, _)| is_reserved(*id));
        for (listener, client) in old.collect::<Vec<_>>() {
            self.subscriptions.leave(&mut self.base, client, listener);
            self.base.peers.remove(client);
        }
        self.settle();
        self.cut_the_orphaned();
    }

    /// Cuts open streams without a writer. The previous run ended while it was cutting them.
    fn cut_the_orphaned(&mut self) {
        let is_orphan = |(key, place): &(StreamKey, Place)| {
            let pipe = self.base.pipes.get(&place.pipe);
            let is_open = pipe.is_some_and(|pipe| pipe.len(*key).is_none());
            is_open && !self.streams.is_written(place.stream, *key)
        };
        let places = self.base.pipes.places();
        let all: Vec<_> = places.map(|(key, place)| (key, place.clone())).collect();
        let orphans: Vec<_> = all.iter().filter(|it| is_orphan(it)).cloned().collect();
        for (key, place) in orphans {
            let how = How::Cut("its writer was lost".to_owned());
            self.base
                .run(&place.pipe, |pipe, ctx| pipe.finish(key, how, ctx));
        }
        self.settle();
        let is_short = |(key, place): (StreamKey, &Place)| {
            let pipe = self.base.pipes.get(&place.pipe)?;
            let is_short = pipe.len(key)? > pipe.end(key)?;
            let comes_back = self.streams.is_awaited(place.stream, key);
            let is_answered = self.streams.key_of(place.stream) == Some(key);
            (is_short && !comes_back).then(|| (key, is_answered, place.pipe.clone()))
        };
        let short: Vec<_> = self.base.pipes.places().filter_map(is_short).collect();
        for (key, is_answered, name) in short {
            self.base
                .run(&name, |pipe, ctx| pipe.end_short(key, is_answered, ctx));
        }
        self.settle();
    }
}
