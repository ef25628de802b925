//! SKYPIPE/0.1 peers: how much of the rules their protocol supports.

use std::time::Duration;

use bytes::Bytes;

use super::story::{MEMORY, Story, peer};
use crate::broker::{FREE_FRAME, Input};
use crate::protocol::{Mode, Request};
use crate::v01::MAX_PIECE;

const RETRY: Duration = Duration::from_millis(5);

impl Story {
    fn old(&mut self, from: &str, frames: &[&[u8]]) {
        let frames: Vec<_> = std::iter::once(&b"SKYPIPE/0.1"[..])
            .chain(frames.iter().copied())
            .collect();
        self.send(from, &frames);
    }

    fn old_data(&mut self, from: &str, pipe: &str, bytes: &[u8]) {
        // A peer may not send this much before it is known to be a v0.1 peer.
        if bytes.len() > FREE_FRAME {
            self.old(from, &[b"HELLO"]);
        }
        self.old(from, &[b"DATA", pipe.as_bytes(), bytes]);
    }

    fn old_listen(&mut self, from: &str, pipe: &str) {
        self.old(from, &[b"LISTEN", pipe.as_bytes()]);
    }

    fn old_unlisten(&mut self, from: &str, pipe: &str) {
        self.old(from, &[b"UNLISTEN", pipe.as_bytes()]);
    }
}

/// This many bytes, each different from its neighbours.
fn text(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

#[test]
fn a_hello_is_answered() {
    let mut story = Story::new();
    story.old("x", &[b"HELLO"]);
    story.old("x", &[b"HELLO"]);
    assert_eq!(story.old_told("x"), "hellohello");
}

#[test]
fn what_waits_comes_with_its_end_and_each_stream_by_itself() {
    let mut story = Story::new();
    story.old_data("a", "p", b"a1\n");
    story.old_data("b", "p", b"b1\n");
    story.old_data("a", "p", b"a2\n");
    story.old_data("b", "p", b"");
    story.old_data("a", "p", b"");
    story.old_data("a", "p", b"again\n");
    story.old_data("a", "p", b"");
    for expected in ["a1\na2\n.", "b1\n.", "again\n."] {
        story.old_listen("r", "p");
        assert_eq!(story.old_told("r"), expected);
    }
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn an_empty_first_message_is_an_empty_stream() {
    let mut story = Story::new();
    story.old_data("w", "p", b"");
    story.old_listen("r", "p");
    assert_eq!(story.old_told("r"), ".");
}

#[test]
fn messages_that_the_protocol_does_not_have_are_ignored() {
    let mut story = Story::new();
    let strange: [&[&[u8]]; 9] = [
        &[],
        &[b""],
        &[b"DATA"],
        &[b"DATA", b"p"],
        &[b"DATA", b"p", b"x", b"y"],
        &[b"LISTEN"],
        &[b"LISTEN", b"\xff\xfe"],
        &[b"DATA", b"a\nb", b"x"],
        &[b"data", b"p", b"x"],
    ];
    for frames in strange {
        story.old("x", frames);
    }
    assert_eq!(story.old_told("x"), "");
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn unlisten_is_heard_at_once_and_what_was_not_taken_waits() {
    let mut story = Story::new();
    story.old_listen("r", "p");
    story.old_listen("r", "p");
    story.old_data("w", "p", b"first\n");
    story.old_unlisten("r", "p");
    story.old_unlisten("r", "p");
    story.old_data("w", "p", b"second\n");
    assert_eq!(story.old_told("r"), "first\n");
    story.old_listen("next", "p");
    assert_eq!(story.old_told("next"), "second\n");
}

#[test]
fn a_vanished_listener_swallows_nothing() {
    let mut story = Story::new();
    story.old_listen("r", "p");
    story.congested.insert(peer("r"));
    story.old_data("w", "p", b"first\n");
    story.old_data("w", "p", b"second\n");
    story.old_data("w", "p", b"");
    story.disconnect("r");
    story.old_listen("next", "p");
    assert_eq!(story.old_told("next"), "first\nsecond\n.");
}

#[test]
fn a_vanished_writer_has_its_stream_cut() {
    let mut story = Story::new();
    story.meet(&["new"]);
    story.listen("new", "l", "p", Mode::Default);
    story.old_listen("old", "p");
    story.old_data("w", "p", b"half");
    story.disconnect("w");
    assert_eq!(
        story.old_told("old"),
        "half.",
        "to such a listener a cut is an end"
    );
    let told = story.drain("new", "l");
    assert_eq!(
        told,
        "listening, half, cut (its connection was lost), done, closed"
    );
}

#[test]
fn a_writer_at_used_up_room_is_cut_and_may_begin_anew_after_its_end() {
    let mut story = Story::new();
    let line = text(MAX_PIECE);
    for _ in 0..=MEMORY / MAX_PIECE as u64 {
        story.old_data("w", "p", &line);
    }
    assert_eq!(story.log, ["a 0.1 writer was cut: no room is left"]);
    story.old_data("w", "p", b"more of it");
    story.old_data("w", "p", b"");
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Default);
    let told = story.drain("r", "l");
    assert!(
        told.ends_with("cut (no room was left, and its protocol (0.1) cannot wait), done, closed")
    );
    story.old_data("w", "p", b"anew\n");
    story.old_data("w", "p", b"");
    story.listen("r", "m", "p", Mode::Default);
    assert_eq!(story.drain("r", "m"), "listening, anew/, end, done, closed");
}

#[test]
fn a_stranger_whose_first_line_is_very_long_is_cut_and_the_log_says_so() {
    let mut story = Story::new();
    story.old("w", &[b"DATA", b"p", &text(FREE_FRAME + 1)]);
    story.old("w", &[b"DATA", b"p", b"more of it"]);
    story.old("w", &[b"DATA", b"p", b""]);
    assert_eq!(
        story.log,
        ["a 0.1 writer was cut: its first line was too long"]
    );
    story.old_data("w", "p", &text(FREE_FRAME + 1));
    story.old_listen("r", "p");
    assert_eq!(story.old_told("r").as_bytes(), text(FREE_FRAME + 1));
}

#[test]
fn a_large_chunk_comes_in_pieces_that_are_taken_one_by_one() {
    let mut story = Story::new();
    let bytes = text(5 * MAX_PIECE + 17);
    story.old_listen("r", "p");
    story.old_data("w", "p", &bytes);
    assert_eq!(story.old_told("r").as_bytes(), bytes);
    assert_eq!(
        story.broker.used(),
        0,
        "what its connection took is confirmed"
    );
}

#[test]
fn a_full_connection_is_tried_again_until_it_takes_more() {
    let mut story = Story::new();
    let bytes = text(3 * MAX_PIECE);
    story.old_listen("r", "p");
    story.congested.insert(peer("r"));
    story.old_data("w", "p", &bytes);
    story.pass(100 * RETRY);
    assert_eq!(story.old_told("r"), "");
    story.congested.clear();
    story.pass(RETRY);
    assert_eq!(story.old_told("r").as_bytes(), bytes);
}

#[test]
fn a_hello_from_a_listener_whose_queue_is_full_does_not_double_what_it_gets() {
    let mut story = Story::new();
    let bytes = text(3 * MAX_PIECE);
    story.old_listen("r", "p");
    story.congested.insert(peer("r"));
    story.old_data("w", "p", &bytes);
    for _ in 0..3 {
        story.now += Duration::from_millis(1);
        story.old("r", &[b"HELLO"]);
    }
    story.congested.clear();
    story.now += 2 * RETRY;
    story.happen(Input::Timeout);
    story.old_data("w", "p", b"");
    let told = story.old_told("r");
    assert!(
        told.as_bytes() == [&bytes[..], b"."].concat(),
        "{} bytes came",
        told.len()
    );
}

#[test]
fn listening_and_unlistening_in_one_breath_loses_and_doubles_nothing() {
    let mut story = Story::new();
    let contents = ["p1", "p2", "p3"].map(|pipe| [pipe.as_bytes(), &text(3 * MAX_PIECE)].concat());
    for (pipe, bytes) in ["p1", "p2", "p3"].iter().zip(&contents) {
        story.old_data("w", pipe, bytes);
        story.old_data("w", pipe, b"");
    }
    story.congested.insert(peer("r"));
    for pipe in ["p1", "p2", "p3"] {
        story.old_listen("r", pipe);
    }
    // Both messages arrive before the broker is polled.
    for pipe in ["p1", "p2"] {
        let frames = ["SKYPIPE/0.1", "UNLISTEN", pipe]
            .map(|frame| frame.as_bytes().into())
            .to_vec();
        story.broker.handle(
            story.now,
            Input::Received {
                key: None,
                peer: peer("r"),
                frames,
            },
        );
    }
    story.congested.clear();
    story.now += RETRY;
    story.happen(Input::Timeout);
    let told = story.old_told("r");
    let told = told.trim_end_matches('.').as_bytes();
    assert!(
        told == contents[2],
        "{} of {} bytes",
        told.len(),
        contents[2].len()
    );
    for (pipe, bytes) in ["p1", "p2"].iter().zip(&contents) {
        story.old_listen("s", pipe);
        let told = story.old_told("s");
        assert!(
            told.as_bytes() == [bytes, &b"."[..]].concat(),
            "{pipe}: {} bytes",
            told.len()
        );
    }
}

#[test]
fn a_0_1_peer_may_be_silent_for_ever() {
    let mut story = Story::new();
    story.old_listen("r", "p");
    story.old_data("w", "p", b"first\n");
    story.pass(Duration::from_secs(24 * 3600));
    story.old_data("w", "p", b"second\n");
    assert_eq!(story.old_told("r"), "first\nsecond\n");
    assert_eq!(story.broker.deadline(), None);
}

#[test]
fn one_peer_writes_and_listens_to_several_pipes() {
    let mut story = Story::new();
    for pipe in ["", "a", "b"] {
        story.old_listen("x", pipe);
        story.old_data("x", pipe, format!("<{pipe}>").as_bytes());
    }
    assert_eq!(story.old_told("x"), "<><a><b>");
    story.disconnect("x");
    story.meet(&["q"]);
    story.say("q", &Request::List { after: None });
    assert_eq!(story.told("q"), "Pipes { pipes: [], more: false }");
}

#[test]
fn a_peer_that_takes_nothing_keeps_what_one_of_its_listeners_gets_and_no_more() {
    let mut story = Story::new();
    for pipe in ["p1", "p2", "p3"] {
        story.old_data("w", pipe, format!("<{pipe}>").as_bytes());
        story.old_data("w", pipe, b"");
    }
    story.congested.insert(peer("r"));
    for pipe in ["p1", "p2", "p3"] {
        story.old_listen("r", pipe);
    }
    assert_eq!(story.broker.v01.listeners_under_way(&peer("r")), 1);
    story.congested.clear();
    story.pass(RETRY);
    assert_eq!(story.old_told("r"), "<p1>.<p2>.<p3>.");
}

#[test]
fn a_word_in_two_spellings_is_one_pipe_and_its_listener_is_answered_in_its_own() {
    let mut story = Story::new();
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    story.old_data("w", two, b"a\n");
    story.old_data("w", one, b"b\n");
    story.old_data("w", two, b"");
    let spelled = story.old_listen_for_name("r", two);
    assert_eq!(spelled, [two]);
    story.old_data("w", two, b"c\n");
    story.old_data("w", one, b"");
    let spelled = story.old_listen_for_name("r", one);
    assert_eq!(spelled, [one]);
    story.old_listen("r", two);
    story.old_unlisten("r", one);
    story.old_data("w", one, b"for the next\n");
    assert_eq!(story.old_told("r"), "");
}

impl Story {
    /// Listens, and returns the pipe names that came with the answers.
    fn old_listen_for_name(&mut self, from: &str, pipe: &str) -> Vec<String> {
        self.old_listen(from, pipe);
        let heard = std::mem::take(self.old_heard.entry(peer(from)).or_default());
        let name = |frames: &Vec<Bytes>| String::from_utf8_lossy(&frames[1]).into_owned();
        let mut names: Vec<_> = heard.iter().map(name).collect();
        names.dedup();
        names
    }
}
