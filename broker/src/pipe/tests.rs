//! The rules, each named by its number, tested on a single pipe.

use super::listener::SentWhat;
use super::*;
use crate::protocol::{Mode, cost};
use crate::store::Memory;

/// A pipe with a memory store, and a small language for tests.
struct Story {
    pipe: Pipe,
    store: Memory,
    totals: Totals,
    effects: Vec<Effect>,
    now: Now,
    keys: u64,
}

impl Story {
    fn new() -> Self {
        let totals = Totals {
            taps_limit: 1 << 20,
            ..Totals::default()
        };
        let (pipe, store) = (Pipe::default(), Memory::default());
        Self {
            pipe,
            store,
            totals,
            effects: Vec::new(),
            now: Now::ZERO,
            keys: 0,
        }
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Pipe, &mut Context<'_, Memory>) -> R) -> R {
        let mut ctx = Context {
            now: self.now,
            store: &mut self.store,
            totals: &mut self.totals,
            effects: &mut self.effects,
        };
        work(&mut self.pipe, &mut ctx)
    }

    /// The cost of everything that the store has released.
    fn freed(&self) -> u64 {
        let freed = |effect: &Effect| match effect {
            Effect::Freed(cost) => *cost,
            _ => 0,
        };
        self.effects.iter().map(freed).sum()
    }

    /// The stream that was over last.
    fn last_gone(&self) -> Option<(StreamKey, Outcome)> {
        let gone = |effect: &Effect| match effect {
            Effect::Gone(stream, outcome) => Some((*stream, *outcome)),
            _ => None,
        };
        self.effects.iter().rev().find_map(gone)
    }

    fn key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    fn open(&mut self) -> StreamKey {
        self.open_at(0)
    }

    /// Opens a stream that begins at this offset: above 0, it is the rest of a cut stream.
    fn open_at(&mut self, begins: u64) -> StreamKey {
        let key = StreamKey(self.key());
        let opening = Opening {
            id: Uuid::from_u128(u128::from(key.0)),
            label: format!("writer {}", key.0),
            begins,
            is_hidden: false,
        };
        self.with(|pipe, ctx| pipe.open(key, opening, ctx));
        key
    }

    /// Appends text. Its unfinished line is counted as a writer would count it.
    fn write(&mut self, key: StreamKey, text: &'static str) {
        let tail = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
        let payload = Bytes::from_static(text.as_bytes());
        self.with(|pipe, ctx| pipe.append(key, payload, tail as u64, ctx));
    }

    fn end(&mut self, key: StreamKey) {
        self.with(|pipe, ctx| pipe.finish(key, How::End, ctx));
    }

    fn stored(&mut self, text: &'static str) -> StreamKey {
        let key = self.open();
        self.write(key, text);
        self.end(key);
        key
    }

    fn join(&mut self, mode: Mode) -> ListenerKey {
        let place = self.key();
        self.with(|pipe, ctx| {
            pipe.join(ListenerKey(place), mode, u64::MAX, StreamKey(place), ctx);
        });
        ListenerKey(place)
    }

    fn leave(&mut self, key: ListenerKey) {
        self.with(|pipe, ctx| pipe.leave(key, ctx));
    }

    /// Everything that a listener gets now: texts, `.` for an end, `!` for a cut, `~` for the rest of a
    /// stream, `$` for done.
    fn get(&mut self, key: ListenerKey) -> String {
        let mut got = String::new();
        while let Next::Item(_, item) = self.with(|pipe, ctx| pipe.next(key, ctx)) {
            match item {
                Item::Chunk { payload, .. } => got += std::str::from_utf8(&payload).unwrap(),
                Item::Ended(Ended { before: 1.., .. }) => got += "~",
                Item::Ended(Ended {
                    how: How::End | How::Eof(_),
                    ..
                }) => got += ".",
                Item::Ended(_) => got += "!",
                Item::Done { .. } => got += "$",
            }
        }
        got
    }

    fn confirm(&mut self, key: ListenerKey, next_seq: u64) {
        self.with(|pipe, ctx| pipe.confirm(key, next_seq, u64::MAX, ctx))
            .unwrap();
    }

    fn confirm_all(&mut self, key: ListenerKey) {
        let listener = &self.pipe.listeners[&key];
        let next_seq = listener.next_seq();
        self.confirm(key, next_seq);
    }

    /// Gets and confirms everything.
    fn take(&mut self, key: ListenerKey) -> String {
        let got = self.get(key);
        self.confirm_all(key);
        got
    }
}

#[test]
fn rule_1_a_pipe_that_nobody_uses_is_gone() {
    let mut story = Story::new();
    story.stored("x\n");
    assert!(!story.pipe.is_unused());
    let reader = story.join(Mode::Default);
    assert_eq!(story.take(reader), "x\n.$");
    assert!(story.pipe.is_unused());
    assert_eq!(story.freed(), cost(2));
}

#[test]
fn rule_2_two_writers_at_once_never_mix_in_what_waits() {
    let mut story = Story::new();
    let (a, b) = (story.open(), story.open());
    story.write(a, "a1\n");
    story.write(b, "b1\n");
    story.write(a, "a2\n");
    story.end(b);
    story.end(a);
    let first = story.join(Mode::Default);
    let second = story.join(Mode::Default);
    assert_eq!(story.get(first), "a1\na2\n.$");
    assert_eq!(story.get(second), "b1\n.$");
}

#[test]
fn rule_3_a_listener_begins_where_nobody_has_confirmed() {
    let mut story = Story::new();
    let stream = story.open();
    story.write(stream, "1\n");
    story.write(stream, "2\n");
    let first = story.join(Mode::Default);
    assert_eq!(story.get(first), "1\n2\n");
    story.confirm(first, 1);
    let second = story.join(Mode::Default);
    assert_eq!(story.get(second), "2\n", "2 is not confirmed yet");
    story.end(stream);
    assert_eq!(
        story.get(second),
        ".$",
        "not a remainder of a finished stream"
    );
}

#[test]
fn rule_3_a_stream_of_which_nothing_waits_is_passed_over() {
    let mut story = Story::new();
    let quiet = story.open();
    story.stored("file\n");
    let reader = story.join(Mode::Default);
    assert_eq!(story.take(reader), "file\n.$");
    let live = story.join(Mode::Default);
    assert_eq!(story.get(live), "");
    story.end(quiet);
    assert_eq!(story.get(live), ".$");
}

#[test]
fn rule_4_live_is_broadcast_and_the_slowest_keeps_what_it_lacks() {
    let mut story = Story::new();
    let (quick, slow) = (story.join(Mode::Default), story.join(Mode::Default));
    let stream = story.open();
    story.write(stream, "x\n");
    assert_eq!(story.take(quick), "x\n");
    assert_eq!(story.freed(), 0, "the slow one lacks it");
    assert_eq!(story.take(slow), "x\n");
    assert_eq!(story.freed(), cost(2));
}

#[test]
fn rule_5_the_last_finish_ends_a_listener_and_what_opens_later_waits() {
    let mut story = Story::new();
    let reader = story.join(Mode::Default);
    let (a, b) = (story.open(), story.open());
    story.write(a, "a\n");
    story.end(a);
    assert_eq!(story.get(reader), "a\n.", "one of two writers has stopped");
    story.end(b);
    let late = story.stored("late\n");
    assert_eq!(story.get(reader), ".$");
    assert!(story.pipe.free.contains(&late));
}

#[test]
fn rule_6_eof_ends_listeners_and_open_streams_go_on_and_wait() {
    let mut story = Story::new();
    let (reader, follower) = (story.join(Mode::Default), story.join(Mode::Follow));
    let stream = story.open();
    story.write(stream, "before\n");
    let marker = StreamKey(story.key());
    story.with(|pipe, ctx| pipe.eof(marker, &Bytes::new(), ctx));
    story.write(stream, "after\n");
    assert_eq!(story.take(reader), "before\n$");
    assert_eq!(story.take(follower), "before\n$");
    let next = story.join(Mode::Default);
    assert_eq!(story.get(next), "after\n");
}

#[test]
fn rule_6_what_finishes_after_an_eof_is_not_for_a_follower_that_still_drains() {
    let mut story = Story::new();
    let stream = story.open();
    let follower = story.join(Mode::Follow);
    let marker = StreamKey(story.key());
    story.with(|pipe, ctx| pipe.eof(marker, &Bytes::new(), ctx));
    story.write(stream, "after\n");
    story.end(stream);
    assert_eq!(story.take(follower), "$");
    let next = story.join(Mode::Default);
    assert_eq!(story.get(next), "after\n.$");
}

#[test]
fn rule_6_eof_lets_a_follower_take_its_backlog() {
    let mut story = Story::new();
    story.stored("a\n");
    story.stored("b\n");
    let follower = story.join(Mode::Follow);
    let marker = StreamKey(story.key());
    story.with(|pipe, ctx| pipe.eof(marker, &Bytes::new(), ctx));
    assert_eq!(story.take(follower), "a\n.b\n.$");
}

#[test]
fn rule_6_eof_without_a_listener_waits_as_an_empty_stream_but_not_for_one() {
    let mut story = Story::new();
    let worker = story.join(Mode::One);
    let marker = StreamKey(story.key());
    story.with(|pipe, ctx| pipe.eof(marker, &Bytes::new(), ctx));
    assert_eq!(story.get(worker), "", "a --one is untouched");
    let reader = story.join(Mode::Default);
    assert_eq!(story.get(reader), ".$");
}

#[test]
fn rule_7_one_listeners_share_the_streams_out_before_live_ones() {
    let mut story = Story::new();
    let live = story.join(Mode::Follow);
    let (first, second) = (story.join(Mode::One), story.join(Mode::One));
    story.stored("a\n");
    story.stored("b\n");
    story.stored("c\n");
    assert_eq!(story.get(first), "a\n.$");
    assert_eq!(story.get(second), "b\n.$");
    assert_eq!(story.get(live), "c\n.");
}

#[test]
fn rule_7_one_never_gets_a_remainder() {
    let mut story = Story::new();
    let stream = story.open();
    story.write(stream, "1\n");
    let reader = story.join(Mode::Default);
    story.take(reader);
    story.write(stream, "2\n");
    story.leave(reader);
    let worker = story.join(Mode::One);
    assert_eq!(story.get(worker), "");
    story.end(stream);
    assert_eq!(story.get(worker), "");
    let rest = story.join(Mode::Default);
    assert_eq!(story.get(rest), "2\n~$");
}

#[test]
fn rule_8_follow_takes_the_backlog_oldest_first_then_goes_on() {
    let mut story = Story::new();
    let open = story.open();
    story.write(open, "o1\n");
    story.stored("f\n");
    let follower = story.join(Mode::Follow);
    let late = story.open();
    story.write(late, "late\n");
    story.write(open, "o2\n");
    assert_eq!(story.take(follower), "o1\nf\n.late\no2\n");
    story.end(open);
    story.end(late);
    assert_eq!(story.take(follower), "..", "it never ends by itself");
}

#[test]
fn rule_9_a_tap_watches_without_taking() {
    let mut story = Story::new();
    story.stored("there before\n");
    let tap = story.join(Mode::Tap);
    let stream = story.stored("seen\n");
    assert_eq!(story.take(tap), "seen\n.$");
    assert!(story.pipe.free.contains(&stream), "it still waits");
}

#[test]
fn rule_9_what_a_tap_holds_is_counted_along() {
    let mut story = Story::new();
    let tap = story.join(Mode::Tap);
    let [first, second] = [story.open(), story.open()];
    let price = cost(5);
    for _ in 0..10 {
        story.write(first, "five\n");
        story.write(second, "five\n");
    }
    assert_eq!(story.pipe.listeners[&tap].held, 20 * price, "not sent yet");
    while !story.get(tap).is_empty() {}
    assert_eq!(
        story.pipe.listeners[&tap].held,
        20 * price,
        "not confirmed yet"
    );
    story.end(first);
    story.confirm_all(tap);
    assert_eq!(story.pipe.listeners[&tap].held, 0);
    story.write(second, "five\n");
    assert_eq!(story.totals.taps, price);
    story.leave(tap);
    assert_eq!(story.totals.taps, 0);
}

#[test]
fn rule_9_a_slow_tap_skips_whole_chunks_and_says_so() {
    let mut story = Story::new();
    story.totals.taps_limit = cost(2);
    let tap = story.join(Mode::Tap);
    let stream = story.open();
    for text in ["1\n", "2\n", "3\n"] {
        story.write(stream, text);
    }
    story.end(stream);
    assert_eq!(story.get(tap), "1\n.$");
    let told = &story.pipe.listeners[&tap].unconfirmed[1].what;
    assert!(matches!(
        told,
        SentWhat::Ended {
            ended: Ended { missed: 4, .. },
            ..
        }
    ));
    story.confirm_all(tap);
    assert_eq!(story.totals.taps, 0);
}

#[test]
fn rule_10_a_claimed_stream_is_back_whole_if_its_listener_goes() {
    let mut story = Story::new();
    story.stored("a\n");
    story.stored("b\n");
    let reader = story.join(Mode::Default);
    story.get(reader);
    story.confirm(reader, 1);
    story.leave(reader);
    let next = story.join(Mode::Default);
    assert_eq!(story.get(next), "a\n.$");
}

#[test]
fn rule_10_what_comes_back_is_offered_at_once() {
    let mut story = Story::new();
    let worker = story.join(Mode::One);
    story.stored("job\n");
    let (live, idle) = (story.join(Mode::Default), story.join(Mode::One));
    story.leave(worker);
    assert_eq!(story.get(idle), "job\n.$");
    story.leave(idle);
    assert_eq!(
        story.get(live),
        "job\n.$",
        "no --one waits, so it is for all who are live"
    );
}

#[test]
fn rule_10_a_dead_live_listener_swallows_nothing() {
    let mut story = Story::new();
    let reader = story.join(Mode::Default);
    let stream = story.open();
    story.write(stream, "1\n");
    story.write(stream, "2\n");
    story.get(reader);
    story.confirm(reader, 1);
    story.end(stream);
    story.leave(reader);
    let next = story.join(Mode::Default);
    assert_eq!(story.get(next), "2\n~$");
}

#[test]
fn rule_12_a_stream_under_one_lets_go_what_was_confirmed() {
    let mut story = Story::new();
    let worker = story.join(Mode::One);
    let stream = story.open();
    story.write(stream, "1\n");
    story.write(stream, "2\n");
    story.get(worker);
    story.confirm(worker, 1);
    assert_eq!(story.freed(), 0);
    story.with(|pipe, ctx| pipe.let_go(stream, ctx));
    assert_eq!(story.freed(), cost(2));
    story.leave(worker);
    let live = story.join(Mode::Default);
    assert_eq!(story.get(live), "2\n");
}

#[test]
fn rule_13_no_other_writer_falls_inside_a_line_for_a_second() {
    let mut story = Story::new();
    let reader = story.join(Mode::Follow);
    let (a, b) = (story.open(), story.open());
    story.write(a, "half ");
    story.write(b, "other\n");
    assert_eq!(story.get(reader), "half ");
    story.write(a, "line\n");
    assert_eq!(story.get(reader), "line\nother\n");
    story.write(a, "again ");
    story.write(b, "late\n");
    assert_eq!(story.get(reader), "again ");
    story.now += Now::from_secs(1);
    assert_eq!(story.get(reader), "late\n");
}

#[test]
fn rule_13_the_rest_of_a_cut_stream_may_begin_inside_a_line_and_stays_whole() {
    let mut story = Story::new();
    let listener = story.join(Mode::Default);
    let other = story.open();
    story.now = Now::from_secs(60);
    let rest = story.open_at(5);
    let half = Bytes::from_static(b" half");
    story.with(|pipe, ctx| pipe.append(rest, half, 10, ctx));
    assert_eq!(story.get(listener), " half");
    story.write(other, "other\n");
    story.now += Now::from_millis(999);
    assert_eq!(story.get(listener), "");
    story.write(rest, " line\n");
    assert_eq!(story.get(listener), " line\nother\n");
}

#[test]
fn rule_16_a_listener_goes_on_from_the_turn_it_has() {
    let mut story = Story::new();
    story.stored("a\n");
    let reader = story.join(Mode::Default);
    assert_eq!(story.get(reader), "a\n.$");
    story.with(|pipe, _| pipe.resume(reader, 1)).unwrap();
    assert_eq!(story.get(reader), ".$");
    assert_eq!(
        story.with(|pipe, _| pipe.resume(reader, 4)),
        Err(UnknownSeq)
    );
}

#[test]
fn discard_drops_what_waits_and_leaves_what_is_taken() {
    let mut story = Story::new();
    let taken = story.stored("taken\n");
    let open = story.open();
    story.write(open, "open\n");
    story.stored("stored\n");
    let reader = story.join(Mode::One);
    assert_eq!(story.with(Pipe::discard), (2, 12));
    assert_eq!(story.take(reader), "taken\n.$");
    assert_eq!(story.last_gone(), Some((taken, Outcome::Taken)));
    story.end(open);
    assert_eq!(story.last_gone(), Some((open, Outcome::Discarded)));
    assert!(story.pipe.is_unused());
}
