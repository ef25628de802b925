//! All pipes of a satellite, by name.
//!
//! This module owns the two ways to look pipes up: one pipe by its name, in constant time, and all pipes in
//! the order of their names. It never decides whether a pipe exists.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::pipe::Pipe;

#[derive(Debug, Default)]
pub(super) struct Pipes {
    by_name: HashMap<Arc<str>, Pipe>,
    /// All names, sorted.
    names: BTreeSet<Arc<str>>,
}

impl Pipes {
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

    pub fn remove(&mut self, name: &str) {
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
        let mut pipes = Pipes::default();
        for name in ["b", "", "c", "a", "b"] {
            pipes.get_or_make(&Arc::from(name));
        }
        let names = |pipes: &Pipes| pipes.names().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&pipes), ["", "a", "b", "c"]);
        pipes.remove("b");
        pipes.remove("none");
        assert!(pipes.get("b").is_none() && pipes.get_mut("c").is_some());
        let after: Vec<_> = pipes.after(Some("a")).map(|(name, _)| &**name).collect();
        assert_eq!(after, ["c"]);
        assert_eq!(pipes.iter().count(), 3);
    }
}
