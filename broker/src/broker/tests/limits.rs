//! Limits: streams, listeners, waiting ends and the length of messages.

use std::time::Duration;

use super::story::{LISTENER_LOST, Story, id, opening};
use super::words::returning;
use crate::broker::budget::upkeep::{MAX_CURSORS, MAX_LISTENERS, MAX_STREAMS};
use crate::protocol::{Code, Mode, Open, Reply, Request};
use crate::v01::MAX_PIPES;
use bytes::Bytes;

/// The last of many replies to a peer.
fn last(story: &mut Story, who: &str) -> Reply {
    story.hear(who).pop().expect("it was told something").0
}

#[track_caller]
fn assert_limit(reply: &Reply) {
    assert!(
        matches!(
            reply,
            Reply::Error {
                code: Code::Limit,
                ..
            }
        ),
        "{reply:?}"
    );
}

/// A satellite whose budget is large enough for the maximum of everything.
fn roomy() -> Story {
    Story::with(|settings| settings.memory = 1 << 30)
}

#[test]
fn streams_without_a_byte_are_bounded_in_number() {
    let mut story = roomy();
    let writers = ["w0", "w1", "w2", "w3"];
    story.meet(&writers);
    story.meet(&["x"]);
    for stream in 0..MAX_STREAMS {
        story.open(writers[stream % 4], &format!("s{stream}"), "p");
    }
    assert!(matches!(last(&mut story, "w3"), Reply::Opened { .. }));
    story.open("x", "one more", "q");
    assert_limit(&last(&mut story, "x"));
    story.say("w3", &Request::Close { stream: id("s7") });
    story.say(
        "x",
        &Request::Discard {
            pipe: "p".to_owned(),
        },
    );
    story.say("x", &opening("one more", "q"));
    assert!(matches!(last(&mut story, "x"), Reply::Opened { .. }));
}

#[test]
fn stored_streams_without_a_byte_are_bounded_in_number() {
    let mut story = roomy();
    story.meet(&["w"]);
    for _ in 0..MAX_STREAMS {
        story.open("w", "s", "p");
        story.finish("w", "s", 0);
        story.say("w", &Request::Close { stream: id("s") });
    }
    story.told("w");
    story.open("w", "s", "p");
    assert_limit(&last(&mut story, "w"));
}

#[test]
fn listeners_are_bounded_in_number() {
    let mut story = roomy();
    let readers = ["r0", "r1", "r2", "r3"];
    story.meet(&readers);
    story.meet(&["x"]);
    for listener in 0..MAX_LISTENERS {
        story.listen(
            readers[listener % 4],
            &format!("l{listener}"),
            &format!("{listener}"),
            Mode::Default,
        );
    }
    assert!(matches!(last(&mut story, "r3"), Reply::Listening { .. }));
    story.listen("x", "one more", "q", Mode::Default);
    assert_limit(&last(&mut story, "x"));
    story.say("r3", &Request::Leave { listener: id("l7") });
    story.listen("x", "one more", "q", Mode::Default);
    assert!(matches!(last(&mut story, "x"), Reply::Listening { .. }));
}

/// Who is absent goes when there is no room for others. A request that is refused anyway needs none.
#[test]
fn rule_16_a_refused_request_costs_nobody_their_place() {
    let mut story = roomy();
    story.meet(&["away"]);
    story.listen("away", "l", "p", Mode::Default);
    story.disconnect("away");
    story.pass(LISTENER_LOST);
    let readers = ["r0", "r1", "r2", "r3"];
    story.meet(&readers);
    story.meet(&["x"]);
    for listener in 1..MAX_LISTENERS {
        let name = format!("l{listener}");
        story.listen(
            readers[listener % 4],
            &name,
            &format!("{listener}"),
            Mode::Default,
        );
    }
    let unknown = returning("nobody's", "p", Mode::Default, 1, &[]);
    story.say("x", &unknown);
    story.listen("x", "m", "a\u{7}b", Mode::Default);
    assert!(matches!(
        last(&mut story, "x"),
        Reply::Error {
            code: Code::Name,
            ..
        }
    ));
    story.hello("away2", "away");
    story.say("away2", &returning("l", "p", Mode::Default, 0, &[]));
    assert_eq!(story.told("away2"), "goes on");
}

/// The same for a writer whose own rest needs room: it is not the one who goes.
#[test]
fn rule_16_a_writer_that_comes_back_does_not_make_room_for_itself() {
    let mut story = roomy();
    story.meet(&["w", "r"]);
    story.listen("r", "l", "p", Mode::Default);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"half");
    story.disconnect("w");
    for _ in 0..7 {
        story.pass(Duration::from_secs(9));
        story.say("r", &Request::Ping);
    }
    let told = story.told("r");
    assert!(told.contains("cut"), "{told}");
    let writers = ["w0", "w1", "w2", "w3"];
    story.meet(&writers);
    for stream in 1..MAX_STREAMS {
        story.open(writers[stream % 4], &format!("s{stream}"), "q");
    }
    story.hello("w-again", "w");
    let Request::Open(open) = opening("s", "p") else {
        unreachable!("it opens a stream");
    };
    let again = Request::Open(Open {
        from: 4,
        resume: true,
        ..open
    });
    story.say("w-again", &again);
    let (code, _) = story.refusal("w-again");
    assert_eq!(code, Code::Limit);
    let discard = Request::Discard {
        pipe: "q".to_owned(),
    };
    story.say("r", &discard);
    story.say("w1", &Request::Close { stream: id("s1") });
    story.say("r", &discard);
    story.say("w-again", &again);
    let told = story.told("w-again");
    assert!(told.starts_with("the rest from 4"), "{told}");
}

#[test]
fn ends_that_wait_are_bounded_in_number() {
    let mut story = roomy();
    story.meet(&["q"]);
    for pipe in 0..MAX_STREAMS {
        story.say(
            "q",
            &Request::Eof {
                pipe: format!("{pipe}"),
                order: Bytes::new(),
            },
        );
    }
    assert_eq!(last(&mut story, "q"), Reply::EofTaken);
    story.say(
        "q",
        &Request::Eof {
            pipe: "p".to_owned(),
            order: Bytes::new(),
        },
    );
    assert_limit(&last(&mut story, "q"));
    story.listen("q", "l", "p", Mode::Default);
    story.say(
        "q",
        &Request::Eof {
            pipe: "p".to_owned(),
            order: Bytes::new(),
        },
    );
    assert_eq!(
        story.drain("q", "l"),
        "listening, EofTaken, done, closed",
        "one that waits for it"
    );
    story.say(
        "q",
        &Request::Discard {
            pipe: "7".to_owned(),
        },
    );
    story.say(
        "q",
        &Request::Eof {
            pipe: "p".to_owned(),
            order: Bytes::new(),
        },
    );
    assert_eq!(last(&mut story, "q"), Reply::EofTaken);
}

#[test]
fn a_0_1_peer_listens_to_a_bounded_number_of_pipes() {
    let mut story = Story::new();
    for pipe in 0..=MAX_PIPES {
        story.send(
            "x",
            &[b"SKYPIPE/0.1", b"LISTEN", format!("{pipe}").as_bytes()],
        );
    }
    assert_eq!(pipes(&mut story), MAX_PIPES);
    story.send("x", &[b"SKYPIPE/0.1", b"UNLISTEN", b"0"]);
    story.send("x", &[b"SKYPIPE/0.1", b"LISTEN", b"another"]);
    assert_eq!(pipes(&mut story), MAX_PIPES);
}

#[test]
fn a_0_1_peer_writes_to_a_bounded_number_of_pipes() {
    let mut story = Story::new();
    for pipe in 0..=MAX_PIPES {
        story.send(
            "x",
            &[b"SKYPIPE/0.1", b"DATA", format!("{pipe}").as_bytes(), b"x"],
        );
    }
    assert_eq!(pipes(&mut story), MAX_PIPES);
}

#[test]
fn streams_of_0_1_peers_are_bounded_in_number() {
    let mut story = roomy();
    for _ in 0..MAX_STREAMS {
        story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"p", b""]);
    }
    story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"p", b"one more"]);
    assert_eq!(
        story.log,
        ["a 0.1 writer was cut: this satellite has reached its limit of streams"]
    );
    story.meet(&["q"]);
    story.say(
        "q",
        &Request::Discard {
            pipe: "p".to_owned(),
        },
    );
    let streams = MAX_STREAMS as u64;
    assert_eq!(story.reply("q"), Reply::Discarded { streams, bytes: 0 });
    story.send(
        "x",
        &[b"SKYPIPE/0.1", b"DATA", b"p", b"the rest of what was cut"],
    );
    story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"p", b""]);
    story.send("x", &[b"SKYPIPE/0.1", b"DATA", b"p", b"anew"]);
    story.listen("q", "l", "p", Mode::Default);
    assert_eq!(story.told("q"), "listening, anew");
}

fn pipes(story: &mut Story) -> usize {
    story.hello("q", "q");
    story.say("q", &Request::List { after: None });
    match story.reply("q") {
        Reply::Pipes { pipes, .. } => pipes.len(),
        other => panic!("no list: {other:?}"),
    }
}

/// Limits the cursors of listeners.
#[test]
fn rule_4_a_pipe_of_many_listeners_and_writers_is_bounded_in_both() {
    let mut story = roomy();
    story.meet(&["r", "w"]);
    for listener in 0..1000 {
        story.listen("r", &format!("l{listener}"), "p", Mode::Follow);
    }
    for stream in 0..MAX_CURSORS / 1000 {
        story.open("w", &format!("s{stream}"), "p");
    }
    assert!(matches!(last(&mut story, "w"), Reply::Opened { .. }));
    story.open("w", "one more", "p");
    assert_limit(&last(&mut story, "w"));
    story.listen("r", "one more", "p", Mode::Tap);
    assert_limit(&last(&mut story, "r"));
    story.open("w", "elsewhere", "q");
    assert!(matches!(last(&mut story, "w"), Reply::Opened { .. }));
    story.say("r", &Request::Bye);
    story.open("w", "one more", "p");
    assert!(matches!(last(&mut story, "w"), Reply::Opened { .. }));
    story.say("w", &Request::Bye);
    assert_eq!(story.broker.base.pipes.cursors(), 0);
}

/// Memory that is not for payloads is limited by the budget, for all kinds of things together.
#[test]
fn a_small_budget_has_room_for_fewer_streams_and_listeners() {
    let mut story = Story::with(|settings| settings.memory = 8 << 20);
    story.meet(&["w", "v", "u", "t", "r"]);
    let mut opened = 0;
    'all: for writer in ["w", "v", "u", "t"] {
        for _ in 0..10_000 {
            story.open(writer, &format!("s{opened}"), "p");
            let told = last(&mut story, writer);
            if !matches!(told, Reply::Opened { .. }) {
                continue 'all;
            }
            opened += 1;
        }
    }
    // Eight megabytes do not count against the budget, and six are part of it.
    assert!((8_000..9_600).contains(&opened), "{opened}");
    let of_budget = story.broker.upkeep_of_budget();
    assert!((5 << 20..=6 << 20).contains(&of_budget), "{of_budget}");
    assert!(story.broker.used() <= 8 << 20);
    story.listen("r", "l", "p", Mode::Default);
    assert_limit(&last(&mut story, "r"));
    story.say("w", &Request::Bye);
    let discard = Request::Discard {
        pipe: "p".to_owned(),
    };
    story.say("r", &discard);
    story.told("r");
    assert!(story.broker.upkeep_of_budget() < 3 << 20);
    story.listen("r", "l", "p", Mode::Default);
    assert!(matches!(last(&mut story, "r"), Reply::Listening { .. }));
}
