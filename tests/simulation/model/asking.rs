//! The effect of `--eof` and `--discard` on a pipe.

use skypipe_protocol::Mode;

use super::Pipe;
use super::choices::Choices;
use crate::simulation::facts::Facts;

impl Pipe {
    /// `--eof` (rule 6).
    pub(super) fn eof(&mut self, facts: &Facts, choices: &mut Choices) {
        let mut finished = false;
        let mut released = Vec::new();
        for listener in self
            .listeners
            .iter_mut()
            .filter(|listener| listener.accepting)
        {
            listener.accepting = false;
            listener.eof = true;
            finished |= listener.mode != Mode::Tap;
            for feed in &mut listener.feeds {
                if !self.streams[feed.stream].finished {
                    feed.limit = Some(self.streams[feed.stream].len);
                    released.push(feed.stream);
                }
            }
        }
        if !finished {
            self.push_stream(None);
        }
        released.sort_unstable();
        released.dedup();
        for stream in released {
            if !self.is_held(stream) {
                self.back(stream, facts, choices);
            }
        }
    }

    /// Drops unread data that no listener holds.
    pub(super) fn discard(&mut self, facts: &Facts, choices: &mut Choices) {
        self.settle_follows(choices);
        self.dropped = (0, 0);
        for stream in 0..self.streams.len() {
            if self.streams[stream].gone || self.is_held(stream) {
                continue;
            }
            let known = &mut self.streams[stream];
            let facts = known.id.and_then(|id| facts.streams.get(&id));
            self.dropped.1 += facts.map_or(0, |facts| facts.bytes(known.taken, known.len));
            if known.finished || known.taken < known.len {
                self.dropped.0 += 1;
                known.discarded = true;
            }
            known.taken = known.len;
            known.gone = known.finished;
        }
    }
}
