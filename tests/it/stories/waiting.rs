//! Unread data in a pipe, and who gets it (rules 1, 2, 3, 10 and 11).

use rustix::process::Signal;

use crate::common::Environment;
use crate::stories::text;

/// Rule 16's timeout for lost listeners, shortened.
const QUICK: [&str; 2] = ["--lost-listener", "2s"];

#[test]
fn rule_1_a_pipe_is_made_by_its_first_use_and_gone_after_its_last() {
    let sky = Environment::sky(&[]);
    let list = || {
        let table = sky.skypipe(&["--list"]).done().success();
        String::from_utf8(table).expect("it is text")
    };
    let head = "PIPE  WAITING  BYTES  WRITERS  LISTENERS\n";
    assert_eq!(list(), head);
    for name in ["größe/日本 x", "-"] {
        sky.skypipe(&["-w", name]).fed("text").printed("");
        assert!(list().contains(name), "{}", list());
        sky.skypipe(&["-r", "--", name]).done().printed("text");
        assert_eq!(list(), head);
    }
}

#[test]
fn rule_2_two_writers_at_once_never_mix_in_what_waits() {
    let sky = Environment::sky(&[]);
    let first = sky.skypipe(&["f"]).piped().start();
    first.say("1\n");
    sky.until_waiting("f", 1);
    let second = sky.skypipe(&["f"]).piped().start();
    for line in ["1\n", "2\n", "3\n"] {
        second.say(line);
        first.say(line);
        let length = 2 * line.len() as u64;
        sky.until_listed("f", "more bytes wait", |pipe| pipe.bytes >= length);
    }
    second.close_stdin();
    second.outcome().printed("");
    first.close_stdin();
    first.outcome().printed("");
    sky.skypipe(&["f"]).done().printed("1\n1\n2\n3\n");
    sky.skypipe(&["f"]).done().printed("1\n2\n3\n");
}

#[test]
fn rule_3_a_listener_takes_the_oldest_that_has_finished_and_leaves_the_rest() {
    let sky = Environment::sky(&[]);
    for text in ["a", "b", "c"] {
        sky.skypipe(&["x"]).fed(text).printed("");
    }
    sky.skypipe(&["x"]).done().printed("a");
    assert_eq!((sky.listed("x").waiting, sky.listed("x").bytes), (2, 2));
    sky.skypipe(&["x"]).done().printed("b");
    sky.skypipe(&["x"]).done().printed("c");
}

#[test]
fn rule_3_a_listener_goes_live_where_the_last_one_left() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("waits\n");
    sky.until_waiting("x", 1);
    let first = sky.skypipe(&["x"]).start();
    first.shows("waits\n");
    sky.until_taken("x");
    first.signal(Signal::TERM);
    assert_eq!(first.outcome().code, Some(143));
    writer.say("again\n");
    sky.until_waiting("x", 1);
    let second = sky.skypipe(&["x"]).start();
    second.shows("again\n");
    writer.say("live\n");
    second.shows("live\n");
    writer.close_stdin();
    writer.outcome().printed("");
    second.outcome().printed("again\nlive\n");
}

#[test]
fn rule_15_a_finished_remainder_is_told_as_one() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("first\n");
    let first = sky.skypipe(&["x"]).start();
    first.shows("first\n");
    sky.until_taken("x");
    first.signal(Signal::INT);
    assert_eq!(first.outcome().code, Some(130));
    writer.say("second\n");
    writer.close_stdin();
    writer.outcome().printed("");
    let second = sky.skypipe(&["x"]).done();
    assert_eq!(second.told(3, "its first 6 bytes"), b"second\n");
}

#[test]
fn rule_3_a_remainder_with_only_its_finish_left_is_forgotten() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("all\n");
    let listener = sky.skypipe(&["x"]).start();
    listener.shows("all\n");
    sky.until_taken("x");
    listener.signal(Signal::TERM);
    assert_eq!(listener.outcome().code, Some(143));
    writer.close_stdin();
    writer.outcome().printed("");
    assert!(sky.is_gone("x"));
}

#[test]
fn rule_10_what_a_dead_listener_had_claimed_is_back_in_its_place() {
    let sky = Environment::sky(&QUICK);
    let (a, b) = (text(4_000_000), text(1000));
    sky.skypipe(&["x"]).fed(&a).printed("");
    sky.skypipe(&["x"]).fed(&b).printed("");
    for mode in ["-r", "--one"] {
        let dead = sky.skypipe(&[mode, "x"]).held().start();
        sky.until_listeners("x", 1);
        dead.signal(Signal::KILL);
        sky.until_listeners("x", 0);
        assert_eq!(sky.listed("x").waiting, 2, "{mode}");
    }
    sky.skypipe(&["x"]).done().printed(&a);
    sky.skypipe(&["x"]).done().printed(&b);
}

#[test]
fn rule_10_what_comes_back_goes_at_once_to_who_listens() {
    let sky = Environment::sky(&QUICK);
    let job = text(4_000_000);
    sky.skypipe(&["x"]).fed(&job).printed("");
    let dead = sky.skypipe(&["--one", "x"]).held().start();
    sky.until_listeners("x", 1);
    let next = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 2);
    dead.signal(Signal::KILL);
    next.outcome().printed(&job);
}

#[test]
fn rule_11_a_writer_that_waits_succeeds_when_all_was_read() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["--wait", "x"]).piped().start();
    writer.say("to be read\n");
    writer.close_stdin();
    sky.until_listed("x", "it has finished and waits", |pipe| {
        (pipe.waiting, pipe.writers) == (1, 0)
    });
    assert!(writer.runs());
    sky.skypipe(&["x"]).done().printed("to be read\n");
    writer.outcome().printed("");
}

#[test]
fn rule_11_a_writer_that_waits_is_told_when_it_was_discarded() {
    let sky = Environment::sky(&[]);
    let waiting = sky.skypipe(&["--wait", "x"]).piped().start();
    waiting.say("in vain\n");
    waiting.close_stdin();
    sky.until_waiting("x", 1);
    sky.skypipe(&["x"]).fed("as well").printed("");
    let discard = sky.skypipe(&["--discard", "x"]).done();
    discard.told(0, "deleted 2 streams (15 bytes) from \"x\"");
    waiting
        .outcome()
        .told(3, "the unread data of this stream was deleted");
    let discard = sky.skypipe(&["--discard", "x"]).done();
    discard.told(0, "\"x\" has no unread data");
    assert!(sky.is_gone("x"));
}
