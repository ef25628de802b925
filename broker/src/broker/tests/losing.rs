//! Rule 16: who is lost, when, and what then.

use std::time::Duration;

use super::story::{LISTENER_LOST, Story, WRITER_LOST, id, just_before, listening, reopening};
use crate::broker::{Input, Now};
use crate::protocol::{Mode, Request};

const MILLI: Duration = Duration::from_millis(1);

/// A writer in the middle of a line, and a listener that has it and has not confirmed it.
fn story_with_both() -> Story {
    let mut story = Story::new();
    story.meet(&["w", "r"]);
    story.listen("r", "l", "p", Mode::Default);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"half");
    assert_eq!(
        (story.told("w").as_str(), story.told("r").as_str()),
        ("opened 0, ack 4", "listening, half")
    );
    story
}

/// Says that it is there, every two seconds for `time`.
fn keep_alive(story: &mut Story, who: &str, time: Duration) {
    let end = story.now + time;
    while story.now < end {
        story.pass(Duration::from_secs(2).min(end.saturating_sub(story.now)));
        story.say(who, &Request::Ping);
    }
    let told = story.told(who);
    assert!(told.starts_with("Pong"), "{told}");
}

#[test]
fn rule_16_a_silent_writer_is_lost_after_its_time_and_not_before() {
    let mut story = story_with_both();
    keep_alive(&mut story, "r", just_before(WRITER_LOST));
    story.pass(MILLI);
    story.confirm("r", "l", 1);
    let told = story.drain("r", "l");
    assert_eq!(told, "cut (it was not heard of for 60 s), done, closed");
}

#[test]
fn rule_16_a_silent_listener_is_lost_after_its_time_and_not_before() {
    let mut story = story_with_both();
    story.pass(just_before(LISTENER_LOST));
    story.confirm("r", "l", 0);
    assert_eq!(story.told("r"), "", "it is there");
    story.pass(just_before(LISTENER_LOST));
    story.meet(&["next"]);
    story.listen("next", "m", "p", Mode::One);
    assert_eq!(
        story.told("next"),
        "listening",
        "the stream is still the first one's"
    );
    story.pass(MILLI);
    assert_eq!(story.told("next"), "half");
    story.confirm("r", "l", 0);
    assert_eq!(
        story.told("r"),
        "refused: Stranger",
        "a client that has nothing here is forgotten"
    );
}

#[test]
fn rule_16_nobody_is_lost_before_all_that_had_arrived_was_read() {
    let mut story = story_with_both();
    story.now += 10 * WRITER_LOST;
    story.meet(&["late"]);
    story.confirm("r", "l", 1);
    story.write("w", "s", 4, b" line\n");
    story.happen(Input::Timeout);
    assert_eq!(story.told("w"), "ack 10");
    assert_eq!(story.told("r"), " line/");
    assert_eq!(story.log, [""; 0]);
}

#[test]
fn rule_16_a_broken_connection_is_not_yet_a_loss() {
    let mut story = story_with_both();
    story.disconnect("w");
    story.disconnect("r");
    story.pass(just_before(LISTENER_LOST));
    story.hello("r2", "r");
    story.say("r2", &listening("l", "p", Mode::Default, Some(1)));
    assert_eq!(story.told("r2"), "listening");
    keep_alive(&mut story, "r2", WRITER_LOST.saturating_sub(LISTENER_LOST));
    story.hello("w2", "w");
    story.say("w2", &reopening("s", "p", 0));
    story.write("w2", "s", 4, b" line\n");
    assert_eq!(
        (story.told("w2").as_str(), story.told("r2").as_str()),
        ("opened 4, ack 4, ack 10", " line/")
    );
}

#[test]
fn rule_16_who_comes_back_too_late_is_told_so() {
    let mut story = story_with_both();
    story.pass(WRITER_LOST);
    story.hello("w2", "w");
    story.say("w2", &reopening("s", "p", 0));
    story.open("w2", "s", "p");
    story.write("w2", "s", 4, b"more\n");
    assert_eq!(
        story.told("w2"),
        "refused: Lost, refused: Lost, refused: Lost"
    );
    story.hello("r2", "r");
    story.say("r2", &listening("l", "p", Mode::Default, Some(1)));
    story.listen("r2", "l", "p", Mode::Default);
    story.confirm("r2", "l", 1);
    assert_eq!(
        story.told("r2"),
        "refused: Lost, refused: Lost, refused: Lost"
    );
}

#[test]
fn rule_15_a_goodbye_is_heard_at_once() {
    let mut story = story_with_both();
    story.say("w", &Request::Bye);
    assert_eq!(
        story.drain_from("r", "l", 1),
        "cut (it left before its end), done, closed"
    );

    let mut story = story_with_both();
    story.say("r", &Request::Bye);
    story.meet(&["next"]);
    story.listen("next", "m", "p", Mode::Default);
    assert_eq!(story.told("next"), "listening, half");
}

#[test]
fn a_client_with_both_keeps_its_stream_when_its_listener_is_lost() {
    let mut story = Story::new();
    story.meet(&["both"]);
    story.open("both", "s", "p");
    story.listen("both", "l", "q", Mode::Default);
    story.pass(LISTENER_LOST);
    story.confirm("both", "l", 0);
    story.write("both", "s", 0, b"still here\n");
    assert_eq!(
        story.told("both"),
        "opened 0, listening, refused: Lost, ack 11"
    );
}

#[test]
fn times_are_settings() {
    let mut story = Story::with(|settings| {
        settings.writer_lost = Duration::from_millis(1500);
        settings.listener_lost = Duration::from_secs(40);
    });
    story.meet(&["w", "r"]);
    story.listen("r", "l", "p", Mode::Default);
    story.open("w", "s", "p");
    story.pass(Duration::from_millis(1500));
    let told = story.drain("r", "l");
    assert_eq!(
        told,
        "listening, cut (it was not heard of for 1500 ms), done, closed"
    );
}

#[test]
fn a_client_that_says_nothing_more_is_forgotten() {
    let mut story = Story::with(|settings| settings.clients = 1);
    story.meet(&["a"]);
    story.pass(LISTENER_LOST);
    story.meet(&["b"]);
    story.disconnect("b");
    story.meet(&["c"]);
}

#[test]
fn when_nothing_is_there_nothing_is_due() {
    let mut story = story_with_both();
    story.say("w", &Request::Bye);
    story.drain_from("r", "l", 1);
    story.say("r", &Request::Bye);
    assert_eq!(story.broker.deadline(), None::<Now>);
    assert_eq!(story.broker.used(), 0);
    story.say("r", &Request::Close { stream: id("s") });
    assert_eq!(story.told("r"), "refused: Stranger");
}
