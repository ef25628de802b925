//! Writers: the order of chunks, answers, and resuming.

use super::story::{Story, id, opening, reopening};
use crate::protocol::{
    BASE_CREDIT, Code, Finish, How, MAX_CHUNK, MAX_LABEL, MAX_NAME, Mode, Open, Reply, Request,
};
use bytes::Bytes;

fn story_with_writer() -> Story {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "s", "p");
    assert_eq!(story.told("w"), "opened 0");
    story
}

fn waiting(stream: &str, pipe: &str) -> Request {
    let Request::Open(Open {
        stream,
        pipe,
        from,
        resume,
        label,
        ..
    }) = opening(stream, pipe)
    else {
        unreachable!("an opening is an Open");
    };
    Request::Open(Open {
        stream,
        pipe,
        from,
        resume,
        wait: true,
        whole: false,
        label,
    })
}

#[test]
fn chunks_that_came_at_once_are_acknowledged_at_once() {
    let mut story = story_with_writer();
    for line in 0..3 {
        story.write("w", "s", 5 * line, b"line\n");
    }
    assert_eq!(story.told("w"), "ack 5, ack 10, ack 15");
    story.say_at_once(
        "w",
        &[
            Request::Ping,
            Request::Credit {
                stream: id("s"),
                requested: 9000,
            },
        ],
    );
    assert_eq!(
        story.told("w"),
        "Pong, ack 15",
        "credit comes in an acknowledgement"
    );
}

#[test]
fn rule_16_what_comes_twice_is_dropped() {
    let mut story = story_with_writer();
    story.write("w", "s", 0, b"once\n");
    story.write("w", "s", 0, b"once\n");
    story.write("w", "s", 5, b"twice\n");
    story.finish("w", "s", 11);
    story.write("w", "s", 5, b"twice\n");
    assert_eq!(story.told("w"), "ack 5, ack 5, ack 11, kept");
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(
        story.drain("r", "l"),
        "listening, once/, twice/, end, done, closed"
    );
}

#[test]
fn a_chunk_or_a_finish_out_of_its_order_is_refused_and_the_stream_goes_on() {
    let mut story = story_with_writer();
    story.write("w", "s", 1, b"too early\n");
    story.finish("w", "s", 7);
    story.write("w", "s", u64::MAX, b"never\n");
    assert_eq!(
        story.told("w"),
        "refused: Order, refused: Order, refused: Order"
    );
    story.write("w", "s", 0, b"in order\n");
    story.finish("w", "s", 1);
    story.finish("w", "s", 9);
    assert_eq!(story.told("w"), "ack 9, refused: Order, kept");
}

#[test]
fn a_chunk_has_a_byte_and_at_most_a_mebibyte() {
    let mut story = story_with_writer();
    story.write("w", "s", 0, b"");
    story.write("w", "s", 0, &vec![b'x'; MAX_CHUNK + 1]);
    assert_eq!(story.told("w"), "refused: Malformed, refused: Malformed");
}

#[test]
fn rule_16_a_stream_goes_on_over_another_connection() {
    let mut story = story_with_writer();
    story.write("w", "s", 0, b"first\n");
    story.disconnect("w");
    story.hello("again", "w");
    story.say("again", &reopening("s", "p", 0));
    story.write("again", "s", 0, b"first\n");
    story.write("again", "s", 2, b"rs");
    story.write("again", "s", 6, b"second\n");
    story.finish("again", "s", 13);
    assert_eq!(
        story.told("again"),
        "opened 6, ack 6, ack 6, ack 6, ack 13, kept"
    );
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(
        story.drain("r", "l"),
        "listening, first/, second/, end, done, closed"
    );
}

#[test]
fn rule_16_a_writer_that_never_heard_opened_opens_again_and_gets_the_same_stream() {
    let mut story = story_with_writer();
    story.write("w", "s", 0, b"first\n");
    story.disconnect("w");
    story.hello("again", "w");
    story.open("again", "s", "p");
    assert_eq!(story.told("again"), "opened 6, ack 6");
}

#[test]
fn rule_16_an_unknown_position_is_refused_never_begun_anew() {
    let mut story = story_with_writer();
    story.say("w", &reopening("unheard-of", "p", 0));
    let (code, message) = story.refusal("w");
    assert_eq!(code, Code::Unknown);
    assert!(message.contains("restarted"), "{message}");
    story.say("w", &reopening("unheard-of", "p", 5));
    assert_eq!(story.refusal("w").0, Code::Unknown);
    story.say("w", &reopening("s", "p", 1));
    assert_eq!(
        story.refusal("w").0,
        Code::Unknown,
        "byte 0 is gone at the writer"
    );
    story.write("w", "unheard-of", 0, b"x");
    story.finish("w", "unheard-of", 0);
    assert_eq!(story.told("w"), "refused: Unknown, refused: Unknown");
}

#[test]
fn a_stream_is_its_clients_alone() {
    let mut story = story_with_writer();
    story.meet(&["x"]);
    story.open("x", "s", "p");
    story.write("x", "s", 0, b"a stranger's\n");
    story.finish("x", "s", 0);
    story.say(
        "x",
        &Request::Credit {
            stream: id("s"),
            requested: u64::MAX,
        },
    );
    story.say("x", &Request::Close { stream: id("s") });
    assert_eq!(
        story.told("x"),
        "refused: Denied, refused: Denied, refused: Denied"
    );
    story.write("w", "s", 0, b"its own\n");
    assert_eq!(story.told("w"), "ack 8");
}

#[test]
fn names_and_labels_that_break_the_rules_are_refused() {
    let mut story = story_with_writer();
    for name in ["a\nb", "\u{7f}", "cafe\u{301}", &"n".repeat(MAX_NAME + 1)] {
        story.open("w", "t", name);
        story.listen("w", "l", name, Mode::Default);
        story.say(
            "w",
            &Request::Eof {
                pipe: name.to_owned(),
                order: Bytes::new(),
            },
        );
        story.say(
            "w",
            &Request::Discard {
                pipe: name.to_owned(),
            },
        );
        assert_eq!(story.told("w"), ["refused: Name"; 4].join(", "), "{name:?}");
    }
    story.open("w", "t", "");
    assert_eq!(story.told("w"), "opened 0", "the default pipe has no name");
    let label = "l".repeat(MAX_LABEL + 1);
    let pipe = "p".to_owned();
    let stream = id("u");
    story.say(
        "w",
        &Request::Open(Open {
            stream,
            pipe,
            from: 0,
            resume: false,
            wait: false,
            whole: false,
            label,
        }),
    );
    assert_eq!(story.told("w"), "refused: Malformed");
}

#[test]
fn the_answer_is_kept_until_the_writer_closes() {
    let mut story = story_with_writer();
    story.finish("w", "s", 0);
    story.disconnect("w");
    story.hello("again", "w");
    story.say("again", &reopening("s", "p", 0));
    story.finish("again", "s", 0);
    story.say("again", &Request::Close { stream: id("s") });
    story.finish("again", "s", 0);
    assert_eq!(
        story.told("w") + ", " + &story.told("again"),
        "kept, opened 0, kept, refused: Unknown"
    );
}

#[test]
fn rule_15_a_stream_that_is_closed_before_its_end_is_cut() {
    let mut story = story_with_writer();
    story.write("w", "s", 0, b"half");
    story.say("w", &Request::Close { stream: id("s") });
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Default);
    let expected = "listening, half, cut (the writer left before the end), done, closed";
    assert_eq!(story.drain("r", "l"), expected);
}

#[test]
fn rule_11_wait_answers_when_listeners_have_all() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.say("w", &waiting("s", "p"));
    story.write("w", "s", 0, b"text\n");
    story.finish("w", "s", 5);
    assert_eq!(story.told("w"), "opened 0, ack 5");
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(story.told("r"), "listening, text/, end, done");
    story.confirm("r", "l", 1);
    assert_eq!(
        story.told("w"),
        "",
        "the bytes are confirmed, the finish is not"
    );
    story.confirm("r", "l", 2);
    assert_eq!(story.told("w"), "taken");
}

#[test]
fn rule_11_wait_is_not_for_taps_and_says_so_if_the_stream_was_discarded() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.listen("r", "tap", "p", Mode::Tap);
    story.say("w", &waiting("s", "p"));
    story.write("w", "s", 0, b"text\n");
    story.finish("w", "s", 5);
    assert_eq!(
        story.drain("r", "tap"),
        "listening, text/, end, done, closed"
    );
    assert_eq!(story.told("w"), "opened 0, ack 5");
    story.say(
        "r",
        &Request::Discard {
            pipe: "p".to_owned(),
        },
    );
    assert_eq!(story.told("w"), "discarded");
}

#[test]
fn rule_11_a_writer_that_waits_and_was_away_gets_its_answer_when_it_asks() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.say("w", &waiting("s", "p"));
    story.finish("w", "s", 0);
    story.disconnect("w");
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(story.drain("r", "l"), "listening, end, done, closed");
    story.hello("again", "w");
    story.say("again", &reopening("s", "p", 0));
    story.finish("again", "s", 0);
    assert_eq!(story.told("again"), "opened 0, taken");
}

#[test]
fn an_answered_stream_has_no_credit_to_come_back_to() {
    let mut story = story_with_writer();
    story.finish("w", "s", 0);
    story.told("w");
    story.say("w", &reopening("s", "p", 0));
    assert!(matches!(
        story.reply("w"),
        Reply::Opened {
            next: 0,
            limit: 0,
            ..
        }
    ));
    assert_eq!(story.broker.used(), 0);
    story.say(
        "w",
        &Request::Credit {
            stream: id("s"),
            requested: BASE_CREDIT,
        },
    );
    assert_eq!(story.told("w"), "");
}

#[test]
fn the_reason_of_a_cut_is_as_short_as_a_label() {
    let mut story = story_with_writer();
    let cut = |len| {
        Request::Finish(Finish {
            stream: id("s"),
            len: 0,
            how: How::Cut("y".repeat(len)),
        })
    };
    story.say("w", &cut(MAX_LABEL + 1));
    assert_eq!(story.told("w"), "refused: Malformed");
    story.say("w", &cut(MAX_LABEL));
    assert_eq!(story.told("w"), "kept");
}
