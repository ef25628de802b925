//! What a writer reports about waiting for room: one message when it has stopped for a second, one when it
//! continues (rule 12).
//!
//! A fast writer lacks room for a moment again and again, which is not worth a message. A pipe that is read
//! slowly gives a stopped writer a little room each time; all of that is one pause. This module owns the
//! pause and its sentences. It never decides what may be sent.

use std::time::Duration;

use skypipe_protocol::Shortage;

use super::Now;
use crate::report::size;

/// A writer counts as stopped once it has lacked room for this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pause has ended once the writer has not lacked room for this long.
const CALM: Duration = Duration::from_secs(2);

/// The state of a writer that may be waiting for room.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// What the satellite lacks room in now.
    lacking: Option<Shortage>,
    /// Since when it has lacked room.
    since: Option<Now>,
    /// Whether the pause was reported and its end was not.
    is_told: bool,
    /// During a reported pause: since when there has been room.
    calm: Option<Now>,
}

impl Pause {
    /// Records what the satellite reports.
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

    /// What the satellite lacks room in now.
    pub fn lacking(&self) -> Option<Shortage> {
        self.lacking
    }

    /// When [`Pause::tell`] must be called next.
    pub fn deadline(&self) -> Option<Now> {
        let stopped = self.since.filter(|_| !self.is_told);
        let stopped = stopped.map(|since| since + PATIENCE);
        stopped.or(self.calm.map(|since| since + CALM))
    }

    /// The message that is due now: that the writer has stopped, or that it continues.
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

    /// Ends the pause, since everything written has found room. Returns the message about that, if one is
    /// due.
    pub fn end(&mut self, pipe: &str) -> Option<String> {
        (self.calm, self.since) = (None, None);
        let was_told = std::mem::take(&mut self.is_told);
        was_told.then(|| format!("{} has room again: resuming", named(pipe)))
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
            "this machine's key has reached its limit of {} unread: paused until someone reads \
             what it wrote",
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

/// The sentence about missing room, for the message of `--timeout`.
pub(super) fn no_room(pipe: &str, full: Shortage) -> String {
    let pipe = named(pipe);
    match full {
        Shortage::Pipe(limit) => format!("no room in {pipe} (limit {})", size(limit)),
        Shortage::Key(limit) => {
            format!(
                "no room for {pipe} (this machine's key has reached its limit of {})",
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

/// A pipe's name as sentences quote it.
pub(super) fn named(pipe: &str) -> String {
    if pipe.is_empty() {
        "the default pipe".to_owned()
    } else {
        format!("\"{pipe}\"")
    }
}
