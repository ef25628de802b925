//! Rule 16: who times out, when, and what happens then.

use std::time::Duration;

use super::story::{
    LISTENER_LOST, Story, WRITER_LOST, id, just_before, listening, opening, reopening,
};
use super::words::returning;
use crate::broker::{Input, Now};
use crate::protocol::{Mode, Open, OpenLine, Request};

const MILLI: Duration = Duration::from_millis(1);

/// A writer in the middle of a line, and a listener that has received it and has not confirmed it.
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

/// Sends a heartbeat every two seconds for `time`.
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
    assert_eq!(
        told,
        "cut (nothing was heard from it for 60 s), done, closed"
    );
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
fn rule_16_a_listener_that_was_lost_goes_on_if_nobody_took_what_it_lacks() {
    let mut story = story_with_both();
    story.disconnect("r");
    story.pass(LISTENER_LOST);
    story.hello("r2", "r");
    story.say("r2", &returning("l", "p", Mode::Default, 1, &[("s", 4)]));
    assert_eq!(story.told("r2"), "goes on", "and nothing comes twice");
    story.write("w", "s", 4, b" line\n");
    assert_eq!(story.told("r2"), " line/");
    story.confirm("r2", "l", 2);
    story.finish("w", "s", 10);
    assert_eq!(story.drain_from("r2", "l", 2), "end, done, closed");
}

#[test]
fn rule_16_a_listener_that_was_lost_is_sent_what_it_has_not_printed() {
    let mut story = story_with_both();
    story.pass(LISTENER_LOST);
    story.hello("r2", "r");
    story.say("r2", &returning("l", "p", Mode::Default, 0, &[]));
    assert_eq!(story.told("r2"), "goes on, half");
}

#[test]
fn rule_13_a_line_that_had_arrived_in_part_stays_whole_after_a_loss() {
    let mut story = Story::new();
    story.meet(&["v", "w", "r"]);
    story.listen("r", "l", "p", Mode::Default);
    story.open("v", "older", "p");
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"one\n");
    story.write("w", "s", 4, b"half ");
    assert_eq!(story.told("r"), "listening, one/, half ");
    story.pass(LISTENER_LOST);
    story.hello("v2", "v");
    story.say("v2", &reopening("older", "p", 0));
    story.write("v2", "older", 0, b"other\n");
    story.hello("r2", "r");
    // All of it had arrived, and stdout had taken none of it.
    let mut listen = returning("l", "p", Mode::Default, 2, &[]);
    if let Request::Listen(listen) = &mut listen {
        let line = OpenLine {
            stream: id("s"),
            at: 9,
        };
        listen.resume.as_mut().expect("it resumes").line = Some(line);
    }
    story.say("r2", &listen);
    assert_eq!(story.told("r2"), "goes on, one/, half , other/");
}

#[test]
fn rule_16_a_listener_that_was_lost_says_so_when_others_took_what_it_lacks() {
    for (mode, told) in [
        (Mode::Default, "refused: Lost"),
        (Mode::Follow, "goes on"),
        (Mode::Tap, "goes on"),
    ] {
        let mut story = Story::new();
        story.meet(&["w", "r", "next"]);
        story.listen("r", "l", "p", mode);
        story.open("w", "s", "p");
        story.write("w", "s", 0, b"half");
        story.pass(LISTENER_LOST);
        story.hello("next2", "next");
        story.listen("next2", "m", "p", Mode::Default);
        assert_eq!(story.told("next2"), "listening, half");
        story.confirm("next2", "m", 1);
        story.hello("r2", "r");
        story.say("r2", &returning("l", "p", mode, 0, &[]));
        assert_eq!(story.told("r2"), told, "{mode:?}");
    }
}

#[test]
fn rule_16_a_follower_says_what_it_missed_also_while_others_still_read_it() {
    for (arrived, printed, told) in [
        (0, &[][..], "goes on, but missed some"),
        // It lacks only the end, which is still there.
        (1, &[("s", 4)][..], "goes on, end"),
    ] {
        let mut story = Story::new();
        story.meet(&["w", "r"]);
        story.listen("r", "l", "p", Mode::Follow);
        story.open("w", "s", "p");
        story.write("w", "s", 0, b"all\n");
        story.pass(LISTENER_LOST);
        story.meet(&["quick", "slow"]);
        story.listen("quick", "m", "p", Mode::Default);
        story.listen("slow", "n", "p", Mode::Default);
        story.finish("w", "s", 4);
        let all = "listening, all/, end, done, closed";
        assert_eq!(story.drain("quick", "m"), all);
        story.hello("r2", "r");
        story.say("r2", &returning("l", "p", Mode::Follow, arrived, printed));
        assert_eq!(story.told("r2"), told);
        assert_eq!(story.drain("slow", "n"), all);
    }
}

#[test]
fn rule_16_idle_listeners_go_on_whatever_happened() {
    for mode in [Mode::Default, Mode::One, Mode::Follow, Mode::Tap] {
        let mut story = Story::new();
        story.meet(&["r"]);
        story.listen("r", "l", "p", mode);
        story.pass(LISTENER_LOST);
        story.meet(&["w"]);
        story.store("w", "s", "p", "meanwhile\n");
        story.hello("r2", "r");
        story.say("r2", &returning("l", "p", mode, 0, &[]));
        let told = match mode {
            Mode::Tap => "goes on",
            Mode::Follow | Mode::One | Mode::Default => "goes on, meanwhile/, end",
        };
        assert!(story.told("r2").starts_with(told), "{mode:?}");
    }
}

#[test]
fn rule_16_a_one_whose_stream_went_to_another_is_told_so() {
    let mut story = Story::new();
    story.meet(&["w", "a", "b"]);
    story.listen("a", "l", "p", Mode::One);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"half");
    assert_eq!(story.told("a"), "listening, half");
    story.pass(LISTENER_LOST);
    story.hello("b2", "b");
    story.listen("b2", "m", "p", Mode::One);
    assert_eq!(story.told("b2"), "listening, half", "from the first byte");
    story.hello("a2", "a");
    story.say("a2", &returning("l", "p", Mode::One, 1, &[("s", 4)]));
    assert_eq!(story.told("a2"), "refused: Lost");
}

#[test]
fn rule_16_a_writer_that_was_lost_goes_on_if_nobody_was_told() {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"half");
    story.pass(WRITER_LOST);
    story.hello("w2", "w");
    story.say("w2", &reopening("s", "p", 4));
    story.write("w2", "s", 4, b" line\n");
    story.finish("w2", "s", 10);
    assert_eq!(story.told("w2"), "opened 4, ack 10, kept");
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::One);
    assert_eq!(
        story.drain("r", "l"),
        "listening, half, line/, end, done, closed".replace("half, line", "half,  line")
    );
}

#[test]
fn rule_16_what_a_lost_writer_still_has_follows_as_the_rest() {
    let mut story = story_with_both();
    keep_alive(&mut story, "r", just_before(WRITER_LOST));
    story.pass(MILLI);
    story.confirm("r", "l", 1);
    let told = story.drain("r", "l");
    assert_eq!(
        told,
        "cut (nothing was heard from it for 60 s), done, closed"
    );
    story.hello("w2", "w");
    story.say("w2", &reopening("s", "p", 4));
    story.write("w2", "s", 4, b" line\n");
    story.finish("w2", "s", 10);
    assert_eq!(story.told("w2"), "the rest from 4, ack 10, kept");
    story.meet(&["next", "worker"]);
    story.listen("worker", "n", "p", Mode::One);
    assert_eq!(
        story.told("worker"),
        "listening",
        "a rest is no whole stream"
    );
    story.listen("next", "m", "p", Mode::Default);
    assert_eq!(
        story.drain("next", "m"),
        "listening,  line/, rest, done, closed"
    );
}

#[test]
fn rule_16_a_program_of_this_machine_that_is_killed_is_known_at_once() {
    let mut story = Story::with(|settings| settings.is_local = true);
    story.meet(&["w", "r", "next"]);
    story.listen("r", "l", "p", Mode::Default);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"half");
    assert_eq!(story.told("r"), "listening, half");
    story.disconnect("w");
    story.disconnect("r");
    story.pass(Duration::from_millis(250));
    story.listen("next", "m", "p", Mode::Default);
    assert_eq!(
        story.drain("next", "m"),
        "listening, half, cut (its program has ended), done, closed"
    );
}

#[test]
fn rule_15_a_writer_that_goes_before_its_first_byte_leaves_nothing() {
    let mut story = Story::new();
    story.meet(&["w", "r", "worker"]);
    story.listen("r", "l", "p", Mode::Default);
    story.listen("worker", "m", "q", Mode::One);
    for pipe in ["p", "q"] {
        story.hello("w", "w");
        story.open("w", pipe, pipe);
        story.say("w", &Request::Bye);
    }
    assert_eq!(story.told("r"), "listening", "the trigger has not fired");
    story.hello("w", "w");
    story.store("w", "s", "p", "x\n");
    story.store("w", "t", "q", "y\n");
    assert_eq!(story.drain("r", "l"), "x/, end, done, closed");
    assert_eq!(
        story.drain("worker", "m"),
        "listening, y/, end, done, closed"
    );
}

/// A `--whole` stream.
fn whole(stream: &str, pipe: &str) -> Request {
    let mut request = opening(stream, pipe);
    if let Request::Open(Open { whole, .. }) = &mut request {
        *whole = true;
    }
    request
}

#[test]
fn a_stream_that_comes_whole_is_nobodys_before_its_end() {
    let mut story = Story::new();
    story.meet(&["w", "live", "worker", "tap"]);
    story.listen("live", "l", "p", Mode::Default);
    story.listen("worker", "m", "q", Mode::One);
    story.listen("tap", "t", "p", Mode::Tap);
    for pipe in ["p", "q"] {
        story.say("w", &whole(pipe, pipe));
        story.write("w", pipe, 0, b"all of it\n");
    }
    assert_eq!(story.told("live"), "listening");
    assert_eq!(story.told("worker"), "listening");
    story.finish("w", "p", 10);
    story.finish("w", "q", 10);
    assert_eq!(story.drain("live", "l"), "all of it/, end, done, closed");
    assert_eq!(story.drain("worker", "m"), "all of it/, end, done, closed");
    assert_eq!(story.told("tap"), "listening", "it was never live");
}

#[test]
fn a_stream_that_comes_whole_leaves_nothing_behind_when_it_is_cut() {
    let mut story = Story::new();
    story.meet(&["w", "lost", "live"]);
    story.listen("live", "l", "p", Mode::Default);
    for who in ["w", "lost"] {
        story.say(who, &whole(who, "p"));
        story.write(who, who, 0, b"half\n");
    }
    story.say("w", &Request::Bye);
    story.pass(WRITER_LOST);
    assert_eq!(story.told("live"), "listening");
    assert_eq!(story.broker.used(), 0);
    story.hello("lost2", "lost");
    let mut again = reopening("lost", "p", 5);
    if let Request::Open(Open { whole, .. }) = &mut again {
        *whole = true;
    }
    story.say("lost2", &again);
    assert_eq!(story.told("lost2"), "refused: Unknown");
}

#[test]
fn rule_7_a_one_takes_what_has_ended_before_what_was_cut_or_goes_on() {
    let mut story = Story::new();
    story.meet(&["slow", "cut", "w", "a", "b", "c"]);
    story.open("slow", "s", "p");
    story.write("slow", "s", 0, b"slow\n");
    story.open("cut", "t", "p");
    story.write("cut", "t", 0, b"cut\n");
    story.say("cut", &Request::Bye);
    story.store("w", "u", "p", "whole\n");
    for (worker, told) in [("a", "whole/, end"), ("b", "cut/, cut"), ("c", "slow/")] {
        story.listen(worker, worker, "p", Mode::One);
        let heard = story.told(worker);
        assert!(
            heard.starts_with(&format!("listening, {told}")),
            "{worker}: {heard}"
        );
    }
}

#[test]
fn rule_7_a_worker_to_which_nothing_has_come_gets_what_ends_first() {
    let mut story = Story::new();
    story.meet(&["dead", "w", "worker"]);
    story.listen("worker", "l", "p", Mode::One);
    story.open("dead", "s", "p");
    story.store("w", "t", "p", "job\n");
    assert_eq!(
        story.drain("worker", "l"),
        "listening, job/, end, done, closed"
    );
}

#[test]
fn rule_10_a_finished_stream_stays_whole_however_many_readers_die() {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "s", "p");
    story.write("w", "s", 0, b"one\n");
    story.write("w", "s", 4, b"two\n");
    story.finish("w", "s", 8);
    // Each listener joins while the previous one still counts as live, and dies with half of the stream.
    let readers: Vec<_> = (0..10).map(|number| format!("r{number}")).collect();
    for reader in &readers {
        story.meet(&[reader]);
        story.listen(reader, reader, "p", Mode::Default);
        story.pass(LISTENER_LOST / 2);
        if story.told(reader).contains("one/") {
            story.confirm(reader, reader, 1);
        }
        story.disconnect(reader);
    }
    story.pass(LISTENER_LOST);
    story.meet(&["last"]);
    story.listen("last", "m", "p", Mode::Default);
    let told = story.drain("last", "m");
    assert_eq!(told, "listening, one/, two/, end, done, closed");
}

#[test]
fn rule_15_a_goodbye_is_heard_at_once() {
    let mut story = story_with_both();
    story.say("w", &Request::Bye);
    assert_eq!(
        story.drain_from("r", "l", 1),
        "cut (the writer left before the end), done, closed"
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
    story.write("both", "s", 0, b"still here\n");
    assert_eq!(story.told("both"), "opened 0, listening, refused: Stranger");
    story.hello("both2", "both");
    story.say("both2", &reopening("s", "p", 0));
    story.write("both2", "s", 0, b"still here\n");
    assert_eq!(story.told("both2"), "opened 0, ack 11");
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
    story.write("w", "s", 0, b"x");
    story.pass(Duration::from_millis(1500));
    let told = story.drain("r", "l");
    assert_eq!(
        told,
        "listening, x, cut (nothing was heard from it for 1500 ms), done, closed"
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
