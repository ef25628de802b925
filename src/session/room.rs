//! What a writer tells of waiting for room: once when it stops, once when it goes on (rule 12).
//!
//! A pipe at its limit that is read from slowly has room again and again, for a moment each. All of that
//! is one pause. Owns the pause and its sentences; never what may be sent.

use std::time::Duration;

use skypipe_broker::protocol::Shortage;

use super::Now;
use crate::tell::size;

/// A writer goes on once it has not lacked room for so long.
const CALM: Duration = Duration::from_secs(2);

/// A writer's waiting for room.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// What it lacks now.
    lacking: Option<Shortage>,
    /// Whether the pause was told, and its end was not.
    is_told: bool,
    /// Since when it lacks nothing, in a pause that was told.
    calm: Option<Now>,
}

impl Pause {
    /// Takes in what the satellite says; returns what is to be told of it.
    pub fn note(&mut self, now: Now, pipe: &str, full: Option<Shortage>) -> Option<String> {
        self.lacking = full;
        let Some(full) = full else {
            if self.is_told {
                self.calm.get_or_insert(now);
            }
            return None;
        };
        self.calm = None;
        let is_new = !std::mem::replace(&mut self.is_told, true);
        is_new.then(|| paused(pipe, full))
    }

    /// What the writer lacks now.
    pub fn lacking(&self) -> Option<Shortage> {
        self.lacking
    }

    /// When [`Pause::end_if_calm`] has something to say.
    pub fn deadline(&self) -> Option<Now> {
        self.calm.map(|since| since + CALM)
    }

    /// Ends a pause after which there was room for long enough; returns what is to be told of it.
    pub fn end_if_calm(&mut self, now: Now, pipe: &str) -> Option<String> {
        let is_calm = self.deadline().is_some_and(|due| due <= now);
        is_calm.then(|| self.end(pipe)).flatten()
    }

    /// Ends a pause, for all that was written has found room; returns what is to be told of it.
    pub fn end(&mut self, pipe: &str) -> Option<String> {
        self.calm = None;
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
