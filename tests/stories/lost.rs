//! Programs that die, or halt, without a word (rule 16).

use rustix::process::Signal;

use crate::common::Environment;
use crate::text;

/// The times after which a silent writer or listener is lost, made short.
const QUICK: [&str; 4] = ["--lost-writer", "1s", "--lost-listener", "1s"];

#[test]
fn rule_16_a_writer_that_died_is_lost_and_its_stream_cut() {
    let sky = Environment::sky(&QUICK);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("half\n");
    listener.shows("half\n");
    writer.signal(Signal::KILL);
    assert_eq!(listener.outcome().told(3, "was cut"), b"half\n");
}

#[test]
fn rule_16_a_writer_that_halted_says_so_if_somebody_was_told() {
    let sky = Environment::sky(&QUICK);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    writer.signal(Signal::STOP);
    assert_eq!(listener.outcome().told(3, "was cut"), b"before\n");
    writer.signal(Signal::CONT);
    let outcome = writer.outcome();
    assert_eq!(outcome.code, Some(3), "{outcome}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
}

#[test]
fn rule_16_a_listener_that_halted_says_so_if_another_got_its_part() {
    let sky = Environment::sky(&QUICK);
    let file = text(4_000_000);
    sky.skypipe(&["x"]).fed(&file).printed("");
    let halted = sky.skypipe(&["x"]).held().start();
    sky.until_listeners("x", 1);
    halted.signal(Signal::STOP);
    sky.until_listeners("x", 0);
    sky.skypipe(&["x"]).done().printed(&file);
    halted.signal(Signal::CONT);
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut halted.take_stdout(), &mut got).expect("it is a pipe");
    assert!(file.starts_with(&got));
    let outcome = halted.outcome();
    assert_eq!(outcome.code, Some(3), "{outcome}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
}
