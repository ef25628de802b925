//! Random weather between a writer and a satellite of a few lines: what was read arrives, once and
//! in order.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use skypipe_broker::protocol::{Outcome, Request, cost};

use super::talk::Talk;
use crate::session::Input;

/// What is on its way on the current connection, and what has arrived.
#[derive(Default)]
struct Satellite {
    on_the_way: std::collections::VecDeque<(Request, Option<Bytes>)>,
    is_greeted: bool,
    next: u64,
    received: u64,
    limit: u64,
    text: Vec<u8>,
    is_finished: bool,
}

impl Satellite {
    /// Takes in the oldest message that is on its way, and answers it.
    fn take_one(&mut self, talk: &mut Talk) {
        match self.on_the_way.pop_front() {
            Some((Request::Hello { .. }, _)) => {
                self.is_greeted = true;
                talk.welcome();
            }
            Some((Request::Open { from, .. }, _)) => {
                assert!(from <= self.next, "the writer has what is expected");
                self.limit = self.received + 4096;
                talk.opened(self.next, self.limit);
            }
            Some((Request::Data { seq, want, .. }, Some(payload))) => {
                assert_eq!(seq, self.next, "chunks come in order, each once");
                self.received += cost(payload.len());
                assert!(self.received <= self.limit, "within the credit");
                self.next += 1;
                self.text.extend_from_slice(&payload);
                self.give(talk, want);
            }
            Some((Request::Want { want, .. }, _)) => self.give(talk, want),
            Some((Request::Finish { seq, .. }, _)) => {
                assert_eq!(seq, self.next, "the finish comes behind all chunks");
                self.is_finished = true;
                talk.finished(Outcome::Kept);
            }
            Some((Request::Ping | Request::Bye | Request::Close { .. }, _)) | None => {}
            Some(other) => panic!("a writer says {other:?}"),
        }
    }

    fn give(&mut self, talk: &mut Talk, want: u64) {
        self.limit = self.limit.max(want.min(self.received + 10_000));
        talk.ack(self.next, self.limit);
    }
}

#[derive(Debug, Clone)]
enum Event {
    Read(String),
    /// So many messages arrive.
    Arrive(usize),
    /// The connection breaks with all that was on its way.
    Break,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => "[a-c\n]{1,9}".prop_map(Event::Read),
        1 => ("[a-z\n]{1,30}", 1..500_usize).prop_map(|(text, times)| Event::Read(text.repeat(times))),
        6 => (1..9_usize).prop_map(Event::Arrive),
        1 => Just(Event::Break),
        1 => (0..4_000_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_16_no_byte_is_lost_and_none_comes_twice(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut talk = Talk::writer();
        let (mut satellite, mut read) = (Satellite::default(), Vec::new());
        let mut connection = 1;
        let mut events = events.into_iter();
        let mut is_over = false;
        while !satellite.is_finished {
            if talk.connects.len() > connection {
                connection = talk.connects.len();
                satellite.on_the_way.clear();
            }
            satellite.on_the_way.extend(talk.take_sent());
            match events.next() {
                Some(Event::Read(text)) if talk.session.wants_input() => {
                    read.extend_from_slice(text.as_bytes());
                    talk.read(&text);
                }
                Some(Event::Arrive(count)) => {
                    for _ in 0..count {
                        satellite.take_one(&mut talk);
                    }
                }
                Some(Event::Break) if satellite.is_greeted => {
                    satellite.on_the_way.clear();
                    talk.break_off();
                }
                Some(Event::Pass(ms)) if satellite.is_greeted => {
                    talk.pass(Duration::from_millis(ms));
                }
                // It reads no more for now, or has never been answered yet.
                Some(Event::Read(_) | Event::Break | Event::Pass(_)) => {}
                None if !is_over => {
                    is_over = true;
                    talk.happen(Input::ReadEnd);
                }
                None if satellite.on_the_way.is_empty() => talk.pass(Duration::from_secs(1)),
                None => satellite.take_one(&mut talk),
            }
        }
        prop_assert!(satellite.text == read);
        prop_assert_eq!(talk.exit, Some(0));
    }
}
