//! Programs that are killed or suspended without notice (rule 16).

use rustix::process::Signal;

use crate::common::Environment;
use crate::stories::text;

/// Short timeouts for silent writers and listeners.
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
fn rule_16_what_a_writer_that_halted_still_has_follows_if_somebody_was_told() {
    let sky = Environment::sky(&QUICK);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    writer.signal(Signal::STOP);
    assert_eq!(listener.outcome().told(3, "was cut"), b"before\n");
    writer.signal(Signal::CONT);
    writer.complains("the rest follows separately");
    writer.say("after\n");
    writer.close_stdin();
    assert_eq!(writer.outcome().told(0, "after 7 bytes"), b"");
    let next = sky.skypipe(&["x"]).done();
    assert_eq!(next.told(3, "its first 7 bytes went to others"), b"after\n");
}

#[test]
fn rule_16_a_writer_that_halted_goes_on_if_nobody_was_told() {
    let sky = Environment::sky(&QUICK);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("before\n");
    sky.until_waiting("x", 1);
    writer.signal(Signal::STOP);
    sky.until_listed("x", "it is given up", |pipe| pipe.writers == 0);
    writer.signal(Signal::CONT);
    sky.until_listed("x", "it is back", |pipe| pipe.writers == 1);
    writer.say("after\n");
    writer.close_stdin();
    writer.outcome().printed("");
    sky.skypipe(&["x"]).done().printed("before\nafter\n");
}

#[test]
fn rule_10_a_finished_stream_stays_whole_through_ten_readers_that_die() {
    let sky = Environment::sky(&QUICK);
    let file = text(4_000_000);
    sky.skypipe(&["x"]).fed(&file).printed("");
    for _ in 0..10 {
        // Each arrives before the previous one is missed.
        let reader = sky.skypipe(&["-r", "x"]).held().start();
        sky.until_listed("x", "it listens", |pipe| pipe.listeners > 0);
        reader.signal(Signal::KILL);
    }
    let last = sky.skypipe(&["-r", "x"]).stdin(std::process::Stdio::null());
    last.done().printed(&file);
    sky.until_listeners("x", 0);
    assert!(sky.is_gone("x"));
}

#[test]
fn rule_16_a_listener_that_halted_says_so_if_another_got_its_part() {
    let sky = Environment::sky(&QUICK);
    // More than a listener is sent before it has printed some.
    let file = text(20_000_000);
    sky.skypipe(&["x"])
        .fed(&file)
        .whatever_it_waited_for()
        .printed("");
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
