//! Tests of a writer on a random network, with a minimal satellite: what was read arrives once and in
//! order.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use skypipe_protocol::{Data, Finish, Hello, Open, Outcome, Request, cost};

use super::dialogue::Dialogue;
use crate::session::Input;

/// The messages in flight on the current connection, and the received bytes.
#[derive(Default)]
struct Satellite {
    on_the_way: std::collections::VecDeque<(Request, Option<Bytes>)>,
    is_greeted: bool,
    text: Vec<u8>,
    /// This many bytes are acknowledged, and survive a restart.
    safe: usize,
    /// The cost of the chunks since the last opening, and its limit.
    received: u64,
    limit: u64,
    is_finished: bool,
}

impl Satellite {
    fn next(&self) -> u64 {
        self.text.len() as u64
    }

    /// Receives the oldest message in flight, and answers it.
    fn take_one(&mut self, dialogue: &mut Dialogue) {
        match self.on_the_way.pop_front() {
            Some((Request::Hello(Hello { .. }), _)) => {
                self.is_greeted = true;
                dialogue.welcome();
            }
            Some((Request::Open(Open { from, .. }), _)) => {
                assert!(from <= self.next(), "the writer has what is expected");
                (self.received, self.limit) = (0, 4096);
                dialogue.opened(self.next(), self.limit);
            }
            Some((Request::Data(Data { at, requested, .. }), Some(payload))) => {
                assert_eq!(at, self.next(), "bytes come in order, each once");
                self.received += cost(payload.len());
                assert!(self.received <= self.limit, "within the credit");
                self.text.extend_from_slice(&payload);
                self.give(dialogue, requested);
            }
            Some((Request::Credit { requested, .. }, _)) => self.give(dialogue, requested),
            Some((Request::Finish(Finish { len, .. }), _)) => {
                assert_eq!(len, self.next(), "the finish comes behind all bytes");
                self.is_finished = true;
                dialogue.finished(Outcome::Kept);
            }
            Some((Request::Ping | Request::Bye | Request::Close { .. }, _)) | None => {}
            Some(other) => panic!("a writer says {other:?}"),
        }
    }

    fn give(&mut self, dialogue: &mut Dialogue, requested: u64) {
        self.limit = self.limit.max(requested.min(self.received + 10_000));
        dialogue.ack(self.safe as u64, self.limit);
    }

    /// Makes up to `more` further bytes safe. The next acknowledgement reports them.
    fn sync(&mut self, more: usize) {
        self.safe = self.text.len().min(self.safe + more);
    }

    /// Restarts, and loses up to `lost` bytes that were not safe.
    fn restart(&mut self, lost: usize) {
        let left = self.text.len().saturating_sub(lost);
        self.text.truncate(left.max(self.safe));
    }
}

#[derive(Debug, Clone)]
enum Event {
    Read(String),
    /// This many messages arrive.
    Arrive(usize),
    /// The connection breaks, with everything in flight on it.
    Break,
    /// This many further bytes become safe at the satellite.
    Sync(usize),
    /// The satellite restarts, and loses at most this many bytes.
    Restart(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => "[a-c\n]{1,9}".prop_map(Event::Read),
        1 => ("[a-z\n]{1,30}", 1..500_usize).prop_map(|(text, times)| Event::Read(text.repeat(times))),
        6 => (1..9_usize).prop_map(Event::Arrive),
        1 => Just(Event::Break),
        3 => (1..3_000_usize).prop_map(Event::Sync),
        1 => (1..3_000_usize).prop_map(Event::Restart),
        1 => (0..4_000_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_16_no_byte_is_lost_and_none_comes_twice(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut dialogue = Dialogue::writer();
        let (mut satellite, mut read) = (Satellite::default(), Vec::new());
        let mut connection = 1;
        let mut events = events.into_iter();
        let mut is_over = false;
        while !satellite.is_finished {
            if dialogue.connects.len() > connection {
                connection = dialogue.connects.len();
                satellite.on_the_way.clear();
            }
            satellite.on_the_way.extend(dialogue.take_sent());
            match events.next() {
                Some(Event::Read(text)) if dialogue.session.wants_input() => {
                    read.extend_from_slice(text.as_bytes());
                    dialogue.read(&text);
                }
                Some(Event::Arrive(count)) => {
                    for _ in 0..count {
                        satellite.take_one(&mut dialogue);
                    }
                }
                Some(Event::Break) if satellite.is_greeted => {
                    satellite.on_the_way.clear();
                    dialogue.break_off();
                }
                Some(Event::Restart(lost)) if satellite.is_greeted => {
                    satellite.restart(lost);
                    satellite.on_the_way.clear();
                    dialogue.break_off();
                }
                Some(Event::Sync(more)) => satellite.sync(more),
                Some(Event::Pass(ms)) if satellite.is_greeted => {
                    dialogue.pass(Duration::from_millis(ms));
                }
                // The writer reads no more for now, or has never been answered yet.
                Some(Event::Read(_) | Event::Break | Event::Restart(_) | Event::Pass(_)) => {}
                None if !is_over => {
                    is_over = true;
                    dialogue.happen(Input::ReadEnd);
                }
                None if satellite.on_the_way.is_empty() => dialogue.pass(Duration::from_secs(1)),
                None => satellite.take_one(&mut dialogue),
            }
        }
        prop_assert!(satellite.text == read);
        prop_assert_eq!(dialogue.exit, Some(0));
    }
}
