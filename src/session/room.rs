//! What a writer tells of waiting for room: once when it has stopped for a second, once when it goes on
//! (rule 12).
//!
//! A fast writer lacks room for a moment again and again, which is nobody's concern. Of one that has
//! stopped, a pipe that is read from slowly has room for a moment each; all of that is one pause. Owns the
//! pause and its sentences; never what may be sent.

use std::time::Duration;

use skypipe_broker::protocol::Shortage;

use super::Now;
use crate::tell::size;

/// A writer has stopped once it has lacked room for so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A writer goes on once it has not lacked room for so long.
const CALM: Duration = Duration::from_secs(2);

/// A writer's waiting for room.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// What it lacks now.
    lacking: Option<Shortage>,
    /// Since when it lacks something.
    since: Option<Now>,
    /// Whether the pause was told, and its end was not.
    is_told: bool,
    /// Since when it lacks nothing, in a pause that was told.
    calm: Option<Now>,
}

impl Pause {
    /// Takes in what the satellite says.
    pub fn note(&mut self, now: Now, full: Option<Shortage>) {
        self.lacking = full;
        if full.is_some() {
            self.calm = None;
            self.since.get_or_insert(now);
            return;
        }
        self.since = None;
        if self.is_told {
            self.calm.get_or_insert(now);
        }
    }

    /// What the writer lacks now.
    pub fn lacking(&self) -> Option<Shortage> {
        self.lacking
    }

    /// When [`Pause::tell`] has something to say.
    pub fn deadline(&self) -> Option<Now> {
        let stopped = self.since.filter(|_| !self.is_told);
        let stopped = stopped.map(|since| since + PATIENCE);
        stopped.or(self.calm.map(|since| since + CALM))
    }

    /// What is to be told by now: that the writer has stopped, or that it goes on.
    pub fn tell(&mut self, now: Now, pipe: &str) -> Option<String> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        match self.lacking {
            Some(full) => {
                self.is_told = true;
                Some(paused(pipe, full))
            }
            None => self.end(pipe),
        }
    }

    /// Ends a pause, for all that was written has found room; returns what is to be told of it.
    pub fn end(&mut self, pipe: &str) -> Option<String> {
        (self.calm, self.since) = (None, None);
        let was_told = std::mem::take(&mut self.is_told);
        was_told.then(|| format!("{} has room again: going on", named(pipe)))
    }
}

fn paused(pipe: &str, full: Shortage) -> String {
    let pipe = named(pipe);
    match full {
        Shortage::Pipe(limit) => format!(
            "{pipe} has reached its limit of {}: paused until someone reads from it",
            size(limit)
        ),
        Shortage::Key(limit) => format!(
            "this machine's key has its share of {} waiting: paused until someone reads what it wrote",
            size(limit)
        ),
        Shortage::Memory(limit) => format!(
            "{pipe} is paused until someone reads: the satellite's memory of {} is used up",
            size(limit)
        ),
        Shortage::Disk => {
            format!("{pipe} is paused until there is room: the satellite's disk is full")
        }
    }
}

/// What a writer waited for in vain that lacked room.
pub(super) fn no_room(pipe: &str, full: Shortage) -> String {
    let pipe = named(pipe);
    match full {
        Shortage::Pipe(limit) => format!("no room in {pipe} (limit {})", size(limit)),
        Shortage::Key(limit) => {
            format!(
                "no room for {pipe} (this machine's key has its share of {})",
                size(limit)
            )
        }
        Shortage::Memory(limit) => {
            format!(
                "no room for {pipe} (the satellite's memory of {} is used up)",
                size(limit)
            )
        }
        Shortage::Disk => format!("no room for {pipe} (the satellite's disk is full)"),
    }
}

/// A pipe as sentences name it.
pub(super) fn named(pipe: &str) -> String {
    if pipe.is_empty() {
        "the default pipe".to_owned()
    } else {
        format!("\"{pipe}\"")
    }
}
