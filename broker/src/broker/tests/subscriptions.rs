//! Listeners: what they are sent and when, and how they come back.

use super::story::{Story, id, listening, peer};
use crate::protocol::{Code, Confirm, Hello, Listen, MAX_UNCONFIRMED, Mode, Reply, Request, cost};

/// A listener that was sent two chunks and the end of a stored stream, and has confirmed nothing.
fn story_with_listener() -> Story {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"a\n");
    story.write("w", "s", 2, b"b\n");
    story.finish("w", "s", 4);
    story.told("w");
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(story.told("r"), "listening, a/, b/, end, done");
    story
}

fn resume(story: &mut Story, arrived: u64) -> String {
    story.hello("again", "r");
    story.say("again", &listening("l", "p", Mode::Default, Some(arrived)));
    story.told("again")
}

#[test]
fn rule_16_a_listener_goes_on_over_another_connection_where_it_was() {
    let mut story = story_with_listener();
    story.disconnect("r");
    assert_eq!(resume(&mut story, 1), "listening, b/, end, done");
    story.confirm("again", "l", 4);
    assert_eq!(story.told("again"), "closed");
}

#[test]
fn rule_16_nothing_goes_to_a_new_connection_before_the_listener_has_said_what_it_has() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.open("w", "s", "p");
    story.listen("r", "l", "p", Mode::Default);
    story.disconnect("r");
    story.write("w", "s", 0, b"a\n");
    story.hello("again", "r");
    story.write("w", "s", 2, b"b\n");
    assert_eq!(story.told("again"), "");
    story.say("again", &listening("l", "p", Mode::Default, Some(0)));
    assert_eq!(story.told("again"), "listening, a/, b/");
}

#[test]
fn rule_16_it_may_have_everything_already() {
    let mut story = story_with_listener();
    assert_eq!(resume(&mut story, 4), "listening");
    story.confirm("again", "l", 4);
    assert_eq!(story.told("again"), "closed");
}

#[test]
fn rule_16_a_listener_that_never_heard_listening_listens_again() {
    let mut story = story_with_listener();
    story.hello("again", "r");
    story.listen("again", "l", "p", Mode::Default);
    assert_eq!(story.told("again"), "listening, a/, b/, end, done");
}

#[test]
fn rule_16_an_unknown_listener_or_position_is_refused() {
    let mut story = story_with_listener();
    story.confirm("r", "l", 1);
    for arrived in [0, 5, u64::MAX] {
        assert_eq!(resume(&mut story, arrived), "refused: Unknown", "{arrived}");
    }
    story.say("again", &listening("m", "p", Mode::Default, Some(0)));
    assert_eq!(story.refusal("again").0, Code::Unknown);
    assert_eq!(
        resume(&mut story, 1),
        "listening, b/, end, done",
        "it goes on all the same"
    );
}

#[test]
fn a_confirmation_of_what_was_not_sent_is_refused_and_changes_nothing() {
    let mut story = story_with_listener();
    for next_seq in [5, u64::MAX] {
        story.confirm("r", "l", next_seq);
        assert_eq!(story.told("r"), "refused: Order");
    }
    story.confirm("r", "l", 2);
    story.confirm("r", "l", 1);
    story.confirm("r", "l", 0);
    assert_eq!(story.told("r"), "", "an old confirmation is no news");
    story.say("r", &Request::Leave { listener: id("l") });
    story.listen("r", "m", "p", Mode::Default);
    assert_eq!(
        story.told("r"),
        "listening, a/, b/, end, done",
        "rule 10: whole"
    );
}

#[test]
fn after_a_new_connection_only_what_was_sent_on_it_can_be_confirmed() {
    let mut story = story_with_listener();
    story.congested.insert(peer("again"));
    assert_eq!(resume_unheard(&mut story), "");
    story.congested.clear();
    story.hello("third", "r");
    story.say("third", &listening("l", "p", Mode::Default, Some(2)));
    story.confirm("third", "l", 4);
    assert_eq!(story.told("third"), "listening, end, done, closed");
}

/// A new connection whose queue is full at once, so that nothing arrives through it.
fn resume_unheard(story: &mut Story) -> String {
    let program = String::new();
    let hello = Request::Hello(Hello {
        client: id("r"),
        revision: 1,
        program,
    });
    story.say("again", &hello);
    story.say("again", &listening("l", "p", Mode::Default, Some(1)));
    story.told("again")
}

#[test]
fn a_listener_is_its_clients_alone() {
    let mut story = story_with_listener();
    story.meet(&["x"]);
    story.confirm("x", "l", 1);
    story.say("x", &listening("l", "p", Mode::Default, Some(0)));
    story.say("x", &Request::Leave { listener: id("l") });
    assert_eq!(story.told("x"), "refused: Denied, refused: Denied");
    story.confirm("x", "nobody", 1);
    assert_eq!(story.told("x"), "refused: Unknown");
    story.confirm("r", "l", 4);
    assert_eq!(story.told("r"), "closed");
}

#[test]
fn a_listener_is_sent_no_more_than_its_window() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    let window = 2 * cost(2);
    let listener = id("l");
    let (pipe, mode) = ("p".to_owned(), Mode::Follow);
    story.say(
        "r",
        &Request::Listen(Listen {
            listener,
            pipe,
            mode,
            window,
            resume: None,
        }),
    );
    story.open("w", "s", "p");
    for line in 0..4 {
        story.write("w", "s", 2 * line, b"x\n");
    }
    assert_eq!(story.told("r"), "listening, x/, x/");
    story.say(
        "r",
        &Request::Confirm(Confirm {
            listener,
            next_seq: 2,
            window,
        }),
    );
    assert_eq!(story.told("r"), "", "the window is counted from item 0 on");
    story.say(
        "r",
        &Request::Confirm(Confirm {
            listener,
            next_seq: 2,
            window: 3 * cost(2),
        }),
    );
    assert_eq!(story.told("r"), "x/");
    story.finish("w", "s", 8);
    story.say(
        "r",
        &Request::Confirm(Confirm {
            listener,
            next_seq: 3,
            window: 4 * cost(2),
        }),
    );
    assert_eq!(story.told("r"), "x/, end", "a finish costs nothing");
}

#[test]
fn a_listener_has_a_bounded_number_of_turns_open() {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.listen("r", "l", "p", Mode::Follow);
    for stream in 0..MAX_UNCONFIRMED {
        story.store("w", &format!("s{stream}"), "p", "x");
    }
    assert_eq!(
        story.hear("r").len(),
        1 + MAX_UNCONFIRMED,
        "half of the chunks and ends"
    );
    story.confirm("r", "l", 10);
    assert_eq!(story.hear("r").len(), 10);
}

#[test]
fn a_listener_that_leaves_is_gone() {
    let mut story = story_with_listener();
    story.say("r", &Request::Leave { listener: id("l") });
    story.say("r", &Request::Leave { listener: id("l") });
    story.confirm("r", "l", 1);
    assert_eq!(story.told("r"), "refused: Unknown");
}

#[test]
fn rule_16_a_client_that_does_not_read_has_lost_its_connection() {
    let mut story = story_with_listener();
    story.congested.insert(peer("r"));
    story.say("r", &Request::Ping);
    story.congested.clear();
    story.say("r", &Request::Ping);
    assert_eq!(story.told("r"), "refused: Stranger");
    assert_eq!(
        resume(&mut story, 4),
        "listening",
        "and comes back on another"
    );
}

#[test]
fn rule_13_others_wait_a_second_for_the_rest_of_a_line_and_the_loop_is_told_when() {
    let mut story = Story::new();
    story.meet(&["v", "w", "r"]);
    story.listen("r", "l", "p", Mode::Follow);
    story.open("v", "s", "p");
    story.open("w", "t", "p");
    story.write("v", "s", 0, b"half ");
    story.write("w", "t", 0, b"other\n");
    assert_eq!(story.told("r"), "listening, half ");
    assert_eq!(
        story.broker.deadline(),
        Some(story.now + crate::broker::Now::from_secs(1))
    );
    story.pass(crate::broker::Now::from_millis(999));
    assert_eq!(story.told("r"), "");
    story.pass(crate::broker::Now::from_millis(1));
    assert_eq!(story.told("r"), "other/");
}

#[test]
fn what_a_listener_is_told_names_its_streams_and_turns() {
    let mut story = story_with_listener();
    story.hello("again", "r");
    story.say("again", &listening("l", "p", Mode::Default, Some(0)));
    let heard = story.hear("again");
    let (listener, stream) = (id("l"), id("s"));
    let chunk = |seq, at| Reply::Chunk {
        listener,
        seq,
        stream,
        at,
        missed: 0,
    };
    assert_eq!(heard[1].0, chunk(0, 0));
    assert_eq!(heard[2].0, chunk(1, 2));
    assert!(matches!(&heard[3].0, Reply::Ended { seq: 2, label, .. } if label == "writer s"));
    assert_eq!(
        heard[4].0,
        Reply::Done {
            listener,
            seq: 3,
            missed: 0,
            eof: None,
        }
    );
}
