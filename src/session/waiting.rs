//! What a session reports about waiting: once each time it has waited for something long enough to be worth a
//! word, and once when a lost satellite is back.
//!
//! This module owns these sentences and their times. It never decides what happens. Waiting for room has a
//! module of its own (`room`).

use std::time::Duration;

use super::Now;
use super::room::named;

/// How long a session waits silently.
const SILENT: Duration = Duration::from_secs(2);

/// The same for a writer whose stdin gives nothing: many programs take their time.
const SILENT_INPUT: Duration = Duration::from_secs(3);

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first answer of a satellite.
    Satellite,
    /// A satellite that was reached before.
    Connection,
    /// The first data of the pipe.
    Data,
    /// The first data on stdin.
    Input,
    /// Readers that confirm everything (`--wait`).
    Readers,
}

/// What a session waits for, and what was said about it.
#[derive(Debug, Default)]
pub(super) struct Wait {
    current: Option<Waiting>,
    /// Since when.
    since: Now,
    is_told: bool,
}

impl Wait {
    /// Records what the session waits for now. Returns a sentence if a satellite that was reported lost is
    /// back.
    pub fn note(&mut self, now: Now, waiting: Option<Waiting>) -> Option<String> {
        if waiting == self.current {
            return None;
        }
        let was_lost = self.current == Some(Waiting::Connection) && self.is_told;
        let took = now.saturating_sub(self.since);
        *self = Self {
            current: waiting,
            since: now,
            is_told: false,
        };
        was_lost.then(|| format!("reconnected after {}", seconds(took)))
    }

    /// When [`Wait::tell`] must be called next.
    pub fn deadline(&self) -> Option<Now> {
        let waiting = self.current.filter(|_| !self.is_told)?;
        let silent = match waiting {
            Waiting::Input => SILENT_INPUT,
            _ => SILENT,
        };
        Some(self.since + silent)
    }

    /// The sentence that is due now.
    pub fn tell(&mut self, now: Now, pipe: &str, endpoint: &str) -> Option<String> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        self.is_told = true;
        self.current
            .map(|waiting| sentence(waiting, pipe, endpoint))
    }
}

fn sentence(waiting: Waiting, pipe: &str, endpoint: &str) -> String {
    let name = named(pipe);
    match waiting {
        Waiting::Satellite => format!("looking for the satellite at {endpoint}"),
        Waiting::Connection => {
            format!("lost the connection to {endpoint}, retrying (nothing is lost)")
        }
        Waiting::Data => format!("waiting for data on {name} (Ctrl-C to stop)"),
        Waiting::Input => {
            format!("waiting for data on stdin, to write it to {name}; to read instead: -r")
        }
        Waiting::Readers => {
            format!("everything is sent: waiting until someone reads {name}")
        }
    }
}

/// A time as people say it: tenths below ten seconds, whole seconds below a minute, then minutes and seconds.
pub(super) fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", tenths / 10, tenths % 10),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_people_say_them() {
        for (millis, said) in [
            (40, "0.0 s"),
            (4_190, "4.1 s"),
            (10_000, "10 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), said);
        }
    }
}
