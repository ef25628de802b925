//! Invariants after every step, and invariants once nothing moves any more.

use std::time::Duration;

use skypipe_protocol::{MAX_CHUNK, Mode, cost};

use super::{Checker, Verdict};
use crate::simulation::facts::Presence;
use crate::simulation::model::Pipe;

/// The most that the satellite may use beyond its budget, in bytes, so that a full pipe can be drained.
const MOST_RESERVE: u64 = 16 << 20;
/// The most that it may use for taps, in bytes, or two chunks if that is more.
const MOST_TAPS: u64 = 8 << 20;

impl Checker {
    /// The satellite has processed an input and sent its outputs. `used` is its own figure for its memory,
    /// in bytes of payload.
    pub fn step_done(&mut self, used: u64) -> Verdict {
        let reserve = (self.memory / 4).min(MOST_RESERVE);
        let taps = (self.memory / 8).min(MOST_TAPS).max(2 * cost(MAX_CHUNK));
        if used > self.memory + reserve + taps {
            return Err(format!(
                "{used} bytes kept with a budget of {}",
                self.memory
            ));
        }
        let now = self.facts.now;
        let mut squeezed = false;
        for stream in self.facts.streams.values_mut() {
            if stream.finish.is_none() && used >= self.memory / 2 {
                stream.squeezed = Some(now);
                squeezed |= stream.limit < stream.wish;
            }
        }
        if squeezed {
            self.coverage.hit("full budget");
        }
        self.within_budget()?;
        self.noticed()
    }

    /// Rule 16: silence is noticed in time.
    fn noticed(&self) -> Verdict {
        let slack = self.writer_lost.min(self.listener_lost) / 8 + Duration::from_millis(1);
        for (due, id) in self.facts.overdue(self.writer_lost, self.listener_lost) {
            if due + slack < self.facts.now {
                return Err(format!("{id} should have been given up at {due:?}"));
            }
        }
        Ok(())
    }

    /// What must be stored of a pipe in any case, in bytes of payload.
    fn must_keep(&self, pipe: &Pipe) -> u64 {
        let mut sum = 0;
        for (place, stream) in pipe.streams.iter().enumerate() {
            let Some(facts) = stream.id.and_then(|id| self.facts.streams.get(&id)) else {
                continue;
            };
            let feeds = pipe
                .listeners
                .iter()
                .filter(|it| it.here && it.mode != Mode::Tap);
            let feeds = feeds
                .flat_map(|it| &it.feeds)
                .filter(|feed| feed.stream == place && !feed.is_complete());
            let slowest = feeds.map(|feed| feed.confirmed).min();
            let from = match (stream.gone, stream.claim, slowest) {
                (true, ..) => continue,
                (_, Some(_), Some(slowest)) if facts.squeezed.is_some() => slowest,
                (_, None, Some(slowest)) => slowest.min(stream.taken),
                _ => stream.taken,
            };
            sum += facts.bytes(from, stream.len);
        }
        sum
    }

    /// What the model requires to be stored fits into the budget, too.
    fn within_budget(&self) -> Verdict {
        let keep = |ways: &Vec<Pipe>| ways.iter().map(|pipe| self.must_keep(pipe)).min();
        let sum: u64 = self.pipes.values().filter_map(keep).sum();
        let most = self.memory + (self.memory / 4).min(MOST_RESERVE);
        if sum <= most {
            Ok(())
        } else {
            Err(format!("{sum} bytes taken in, with room for {most}"))
        }
    }

    /// With nothing in the way any more, everything that can be read has been read.
    pub fn still(&mut self) -> Verdict {
        for (name, ways) in &mut self.pipes {
            let mut why = None;
            let mut owes = |pipe: &Pipe| {
                let owed = (0..pipe.listeners.len()).find_map(|listener| {
                    let owed = pipe.owed(listener)?;
                    let it = &pipe.listeners[listener];
                    Some(format!(
                        "pipe {name:?}: {:?} listener {} lacks {owed}",
                        it.mode, it.id
                    ))
                });
                why = owed;
                why.is_some()
            };
            ways.retain(|way| !owes(way));
            if ways.is_empty() {
                return Err(why.unwrap_or_else(|| "no way to understand it".to_owned()));
            }
        }
        Ok(())
    }

    /// Whether the pipe may have unread data.
    pub fn waits(&self, name: &str) -> bool {
        self.pipes.get(name).is_some_and(|ways| {
            ways.iter()
                .any(|pipe| (0..pipe.streams.len()).any(|stream| pipe.waits(stream)))
        })
    }

    /// Whether the pipe has a listener.
    pub fn listened_to(&self, name: &str) -> bool {
        let here = |listener: &crate::simulation::facts::Listener| {
            listener.presence == Presence::Here && listener.pipe == name
        };
        self.facts.listeners.values().any(here)
    }

    /// Checks that every pipe is empty.
    pub fn empty(&self) -> Verdict {
        for (name, ways) in &self.pipes {
            for stream in ways.iter().flat_map(|pipe| &pipe.streams) {
                if !stream.gone {
                    return Err(format!("pipe {name:?} still has {stream:?}"));
                }
            }
        }
        Ok(())
    }
}
