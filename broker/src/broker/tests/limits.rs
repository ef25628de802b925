//! What nobody can have without end: streams, listeners, waiting ends, sentences.

use super::story::{Story, id, opening};
use crate::broker::{MAX_STREAMS, OLD_LISTENERS};
use crate::protocol::{Code, Mode, Reply, Request};

/// The last reply to a peer that was told a lot.
fn last(story: &mut Story, who: &str) -> Reply {
    story.hear(who).pop().expect("it was told something").0
}

#[track_caller]
fn assert_limit(reply: &Reply) {
    assert!(matches!(reply, Reply::Error { code: Code::Limit, .. }), "{reply:?}");
}

#[test]
fn streams_without_a_byte_are_bounded_in_number() {
    let mut story = Story::new();
    story.meet(&["w", "x"]);
    for stream in 0..MAX_STREAMS {
        story.open("w", &format!("s{stream}"), "p");
    }
    assert!(matches!(last(&mut story, "w"), Reply::Opened { .. }));
    story.open("x", "one more", "q");
    assert_limit(&last(&mut story, "x"));
    story.say("w", &Request::Close { stream: id("s7") });
    story.say("x", &Request::Discard { pipe: "p".to_owned() });
    story.say("x", &opening("one more", "q"));
    assert!(matches!(last(&mut story, "x"), Reply::Opened { .. }));
}

#[test]
fn stored_streams_without_a_byte_are_bounded_in_number() {
    let mut story = Story::new();
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
    let mut story = Story::new();
    story.meet(&["r", "x"]);
    for listener in 0..MAX_STREAMS {
        story.listen("r", &format!("l{listener}"), &format!("{listener}"), Mode::Default);
    }
    assert!(matches!(last(&mut story, "r"), Reply::Listening { .. }));
    story.listen("x", "one more", "q", Mode::Default);
    assert_limit(&last(&mut story, "x"));
    story.say("r", &Request::Leave { listener: id("l7") });
    story.listen("x", "one more", "q", Mode::Default);
    assert!(matches!(last(&mut story, "x"), Reply::Listening { .. }));
}

#[test]
fn ends_that_wait_are_bounded_in_number() {
    let mut story = Story::new();
    story.meet(&["q"]);
    for pipe in 0..MAX_STREAMS {
        story.say("q", &Request::Eof { pipe: format!("{pipe}") });
    }
    assert_eq!(last(&mut story, "q"), Reply::EofTaken);
    story.say("q", &Request::Eof { pipe: "p".to_owned() });
    assert_limit(&last(&mut story, "q"));
    story.listen("q", "l", "p", Mode::Default);
    story.say("q", &Request::Eof { pipe: "p".to_owned() });
    assert_eq!(story.drain("q", "l"), "listening, EofTaken, done, closed", "one that waits for it");
    story.say("q", &Request::Discard { pipe: "7".to_owned() });
    story.say("q", &Request::Eof { pipe: "p".to_owned() });
    assert_eq!(last(&mut story, "q"), Reply::EofTaken);
}

#[test]
fn a_0_1_peer_listens_to_a_bounded_number_of_pipes() {
    let mut story = Story::new();
    for pipe in 0..=OLD_LISTENERS {
        story.send("x", &[b"SKYPIPE/0.1", b"LISTEN", format!("{pipe:03}").as_bytes()]);
    }
    story.meet(&["q"]);
    story.say("q", &Request::List { after: None });
    let Reply::Pipes { pipes, .. } = story.reply("q") else { panic!("no list") };
    assert_eq!(pipes.len(), OLD_LISTENERS);
}
