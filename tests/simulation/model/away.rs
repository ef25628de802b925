//! Rule 16: clients that were lost for their silence, and come back.

use skypipe_protocol::Mode;
use uuid::Uuid;

use super::Pipe;
use super::choices::Choices;
use super::parts::{Feed, Listener, Said};
use crate::simulation::facts::Facts;

/// What is left of a part for a listener that comes back.
enum Left {
    /// Nothing: everything up to here was printed, and the end if `true`.
    Printed(u64, bool),
    /// Everything from this chunk on.
    From(u64),
    /// Others have taken it.
    Missed,
}

impl Pipe {
    /// A listener is lost.
    pub(super) fn lose(&mut self, id: Uuid, facts: &Facts, choices: &mut Choices) {
        let listener = self.listener(id).expect("only present listeners are lost");
        let mut was = self.listeners[listener].clone();
        for feed in &mut was.feeds {
            feed.claim = self.streams[feed.stream].claim == Some(listener);
        }
        self.leave(id, facts, choices);
        self.listeners[listener].was = Some(Box::new(was));
    }

    /// A lost listener comes back. If it cannot continue, it is not `here` afterwards.
    pub(super) fn come_back(
        &mut self,
        id: Uuid,
        said: &Said,
        facts: &Facts,
        choices: &mut Choices,
    ) {
        let lost = |listener: &Listener| listener.id == id && listener.was.is_some();
        let Some(place) = self.listeners.iter().position(lost) else {
            return;
        };
        let mut was = *self.listeners[place].was.take().expect("it was lost");
        if was.mode != Mode::Tap {
            self.settle_follows(choices);
        }
        let loose = was.feeds.iter().any(|feed| feed.loose);
        if loose && choices.pick(2) == 1 {
            // The tap may never have watched what a `--one` had. Without that it was perhaps idle, and an idle
            // listener begins anew.
            was.feeds.retain(|feed| !feed.loose);
            was.had = was
                .feeds
                .iter()
                .any(|feed| self.streams[feed.stream].finished);
        }
        let parts: Vec<_> = was
            .feeds
            .iter()
            .filter(|feed| !feed.is_complete())
            .collect();
        let left: Vec<_> = parts
            .iter()
            .map(|feed| self.left_of(feed, was.mode, said))
            .collect();
        let missed = left.iter().filter(|it| matches!(it, Left::Missed)).count() as u64;
        if missed > 0 && matches!(was.mode, Mode::Default | Mode::One) {
            return;
        }
        let listener = &mut self.listeners[place];
        *listener = Listener::new(id, was.mode);
        listener.turned = said.has_items;
        listener.missed = (!loose).then_some(missed);
        listener.had = was.had;
        listener.eof = was.eof;
        if was.waits || (was.accepting && was.feeds.is_empty() && !was.had) {
            return self.find(place, choices);
        }
        self.listeners[place].accepting = was.accepting;
        for (feed, left) in parts.iter().zip(left) {
            self.take_up(place, feed, &left, facts, choices);
        }
        if was.accepting {
            self.go_on_live(place);
        }
        self.listeners[place].order.sort_unstable();
    }

    fn left_of(&self, feed: &Feed, mode: Mode, said: &Said) -> Left {
        let stream = &self.streams[feed.stream];
        let (printed, has_end) = match stream.id {
            Some(id) => said.printed.get(&id).copied().unwrap_or_default(),
            None => (0, said.has_marker),
        };
        let has = printed.max(feed.confirmed);
        let has_limit = feed.limit.is_some_and(|limit| has >= limit);
        let has_all = has_end && stream.finished && !(stream.gone && mode == Mode::One);
        if has_all || has_limit {
            return Left::Printed(has, has_end);
        }
        let others = stream.claim.is_some() || (mode == Mode::One && self.is_held(feed.stream));
        let lacks = match mode {
            Mode::Default | Mode::One => stream.taken > has,
            // Others have had all of it, even if some of them still hold it.
            Mode::Follow => stream.is_spent() && stream.len > has,
            Mode::Tap => stream.finished || feed.limit.is_some(),
        };
        if stream.gone || others || lacks {
            Left::Missed
        } else {
            Left::From(has.max(stream.taken))
        }
    }

    fn take_up(
        &mut self,
        place: usize,
        part: &Feed,
        left: &Left,
        facts: &Facts,
        choices: &mut Choices,
    ) {
        let (stream, tap) = (part.stream, self.listeners[place].mode == Mode::Tap);
        match *left {
            Left::Missed => {}
            Left::Printed(at, has_end) => {
                let known = &mut self.streams[stream];
                if known.gone || known.claim.is_some() || (known.kept && !has_end) || tap {
                    return;
                }
                known.taken = known.taken.max(at);
                known.told |= has_end;
                if !self.is_held(stream) {
                    self.back(stream, facts, choices);
                }
            }
            Left::From(_) if tap => {
                let from = self.streams[stream].len;
                self.listeners[place]
                    .feeds
                    .push(Feed::new(stream, from, false, part.loose));
            }
            Left::From(at) => {
                let claim = part.claim && !self.is_held(stream);
                let known = &mut self.streams[stream];
                if claim {
                    known.claim = Some(place);
                    known.claimed = self.now;
                } else if !known.kept {
                    known.taken = known.taken.max(at);
                }
                let feed = Feed {
                    sent: at,
                    confirmed: at,
                    claim,
                    end_sent: false,
                    end_confirmed: false,
                    ..part.clone()
                };
                let len = if claim { u64::MAX } else { known.len };
                let listener = &mut self.listeners[place];
                listener.feeds.push(feed);
                if at < len {
                    listener.order.push((stream, len));
                }
            }
        }
    }

    /// A live listener is live again, unless everything that it was getting has finished (rule 5).
    fn go_on_live(&mut self, place: usize) {
        let Listener { feeds, mode, .. } = &self.listeners[place];
        let open = feeds.iter().any(|feed| !self.streams[feed.stream].finished);
        if !open && *mode != Mode::Follow {
            self.listeners[place].accepting = false;
            return;
        }
        if *mode == Mode::Follow {
            let found = (0..self.streams.len())
                .filter(|stream| self.streams[*stream].finished && self.waits(*stream));
            self.listeners[place].backlog = found.map(|stream| (stream, false)).collect();
        }
        self.go_live(place);
    }

    /// Rule 16: a stream whose writer was lost and comes back continues, if nobody was told that it was
    /// cut. Otherwise the following data is its remainder.
    pub(super) fn reopen(&mut self, id: Uuid, facts: &Facts, choices: &mut Choices) {
        self.settle_follows(choices);
        let stream = self.stream(id).expect("it was lost");
        let known = &mut self.streams[stream];
        if known.gone || known.end_told || known.told || known.discarded {
            // Nothing was received of a stream that has vanished.
            let base = known.len;
            return self.open_from(id, base, choices);
        }
        let (kept, shared) = (known.kept, known.claim.is_none());
        (known.finished, known.cut, known.kept) = (false, false, false);
        let held = self.is_held(stream);
        for listener in 0..self.listeners.len() {
            let known = &self.listeners[listener];
            let feed = known.feeds.iter().find(|feed| feed.stream == stream);
            let Some(feed) = feed.filter(|feed| known.here && !feed.is_complete()) else {
                continue;
            };
            let confirmed = feed.confirmed;
            if kept && shared && known.mode != Mode::Tap {
                let taken = &mut self.streams[stream].taken;
                *taken = confirmed.max(*taken);
            }
            let limited = known.feeds.iter().any(|feed| feed.limit.is_some());
            let ends = matches!(known.mode, Mode::Default | Mode::Tap);
            if shared && ends && !known.accepting && !limited && !known.eof {
                self.listeners[listener].accepting = true;
                self.go_live(listener);
            }
        }
        if !held {
            self.back(stream, facts, choices);
        }
    }
}
