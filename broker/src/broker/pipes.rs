//! All pipes of a satellite by name, and the store of their bytes.
//!
//! This module owns the two ways to look pipes up: one pipe by its name, in constant time, and all pipes in
//! the order of their names. It knows in which pipe each stream is, and it runs all work on pipes. It never
//! decides whether a pipe exists, or what follows from the effects of work.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use uuid::Uuid;

use crate::pipe::{Context, Effect, Now, Pipe, Totals};
use crate::store::{Store, StreamKey};

/// Where a stream is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The stream's UUID.
    pub stream: Uuid,
    pub pipe: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Pipes<S> {
    by_name: HashMap<Arc<str>, Pipe>,
    /// All names, sorted.
    names: BTreeSet<Arc<str>>,
    /// Every stream that is open or waiting.
    streams: HashMap<StreamKey, Place>,
    store: S,
    totals: Totals,
    /// What the last work has answered. The buffer is reused.
    effects: Vec<Effect>,
    /// The last number given to a stream or a listener. Both share one counter, so the numbers show who came
    /// first.
    last_key: u64,
}

impl<S: Store> Pipes<S> {
    /// No pipes. All taps together may hold `taps` bytes.
    pub fn new(store: S, taps: u64) -> Self {
        let totals = Totals {
            taps_limit: taps,
            is_recorded: store.is_durable(),
            ..Totals::default()
        };
        Self {
            by_name: HashMap::new(),
            names: BTreeSet::new(),
            streams: HashMap::new(),
            store,
            totals,
            effects: Vec::new(),
            last_key: 0,
        }
    }

    /// Continues after an earlier run, with the numbers that it gave last.
    pub fn continue_from(&mut self, last_key: u64, arrivals: u64) {
        self.last_key = last_key;
        self.totals.arrivals = arrivals;
    }

    pub fn new_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    /// Runs `work` on a pipe, which is created if needed and removed if it is unused afterwards. The effects
    /// are to be fetched with `take_effects`.
    pub fn run<R>(
        &mut self,
        now: Now,
        name: &Arc<str>,
        work: impl FnOnce(&mut Pipe, &mut Context<'_, S>) -> R,
    ) -> R {
        if !self.by_name.contains_key(name) {
            self.names.insert(name.clone());
        }
        let pipe = self.by_name.entry(name.clone()).or_default();
        let mut ctx = Context {
            now,
            store: &mut self.store,
            totals: &mut self.totals,
            effects: &mut self.effects,
        };
        let result = work(pipe, &mut ctx);
        if pipe.is_unused() {
            self.remove(name);
        }
        result
    }

    /// The effects of the work, in order. The buffer goes back with `reuse`.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn reuse(&mut self, effects: Vec<Effect>) {
        debug_assert!(effects.is_empty(), "all effects were acted on");
        self.effects = effects;
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// The number of listener cursors.
    pub fn cursors(&self) -> usize {
        self.totals.cursors
    }

    /// Counts the cursors that are kept for an absent listener.
    pub fn add_cursors(&mut self, more: usize) {
        self.totals.cursors += more;
    }

    pub fn drop_cursors(&mut self, less: usize) {
        self.totals.cursors -= less;
    }

    /// The cost of everything that taps hold.
    pub fn taps(&self) -> u64 {
        self.totals.taps
    }

    /// The pipes and the store, both at once.
    pub fn split(&mut self) -> (Directory<'_>, &mut S) {
        let directory = Directory {
            by_name: &self.by_name,
            streams: &self.streams,
        };
        (directory, &mut self.store)
    }
}

/// Pipes and streams, to be read while the store is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory<'a> {
    by_name: &'a HashMap<Arc<str>, Pipe>,
    streams: &'a HashMap<StreamKey, Place>,
}

impl<'a> Directory<'a> {
    pub fn get(self, name: &str) -> Option<&'a Pipe> {
        self.by_name.get(name)
    }

    pub fn place(self, stream: StreamKey) -> Option<&'a Place> {
        self.streams.get(&stream)
    }

    pub fn streams(self) -> impl Iterator<Item = StreamKey> + 'a {
        self.streams.keys().copied()
    }

    /// All pipes, in no particular order.
    pub fn all(self) -> impl Iterator<Item = &'a Pipe> {
        self.by_name.values()
    }
}

/// Streams.
impl<S> Pipes<S> {
    pub fn add_stream(&mut self, key: StreamKey, stream: Uuid, pipe: &Arc<str>) {
        let pipe = pipe.clone();
        self.streams.insert(key, Place { stream, pipe });
    }

    pub fn drop_stream(&mut self, key: StreamKey) -> Option<Place> {
        self.streams.remove(&key)
    }

    pub fn place(&self, stream: StreamKey) -> Option<&Place> {
        self.streams.get(&stream)
    }

    /// Whether a stream is open or waiting.
    pub fn has_stream(&self, stream: StreamKey) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The number of streams that are open or waiting.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Every stream that is open or waiting, in no particular order.
    pub fn places(&self) -> impl Iterator<Item = (StreamKey, &Place)> {
        self.streams.iter().map(|(key, place)| (*key, place))
    }

    /// The pipe that a stream is in.
    pub fn pipe_of(&self, stream: StreamKey) -> Option<&Pipe> {
        self.by_name.get(&self.streams.get(&stream)?.pipe)
    }
}

/// Pipes.
impl<S> Pipes<S> {
    pub fn get(&self, name: &str) -> Option<&Pipe> {
        self.by_name.get(name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Pipe> {
        self.by_name.get_mut(name)
    }

    /// The pipe with this name. It is created if it does not exist.
    pub fn get_or_make(&mut self, name: &Arc<str>) -> &mut Pipe {
        if !self.by_name.contains_key(name) {
            self.names.insert(name.clone());
        }
        self.by_name.entry(name.clone()).or_default()
    }

    fn remove(&mut self, name: &str) {
        if self.by_name.remove(name).is_some() {
            self.names.remove(name);
        }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// All pipes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Pipe)> {
        self.after(None)
    }

    /// All pipes whose names sort after `name`.
    pub fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&Arc<str>, &Pipe)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range::<str, _>((from, Bound::Unbounded));
        names.filter_map(|name| Some((name, self.by_name.get(name)?)))
    }

    /// The names of all pipes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_name_and_listed_in_order() {
        let mut pipes = Pipes::new(crate::store::Memory::default(), 0);
        for name in ["b", "", "c", "a", "b"] {
            pipes.get_or_make(&Arc::from(name));
        }
        let names = |pipes: &Pipes<_>| pipes.names().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&pipes), ["", "a", "b", "c"]);
        pipes.remove("b");
        pipes.remove("none");
        assert!(pipes.get("b").is_none() && pipes.get_mut("c").is_some());
        let after: Vec<_> = pipes.after(Some("a")).map(|(name, _)| &**name).collect();
        assert_eq!(after, ["c"]);
        assert_eq!(pipes.iter().count(), 3);
    }
}
