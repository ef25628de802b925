//! Pipes and satellites whose room is used up (rule 12).

use crate::common::Environment;
use crate::stories::text;

/// The smallest budget. The tests write several times as much.
const SMALL: [&str; 2] = ["--memory", "4MiB"];
const MUCH: usize = 15_000_000;

#[test]
fn rule_12_a_full_pipe_makes_writers_wait_and_can_be_drained() {
    let sky = Environment::sky(&SMALL);
    let file = text(MUCH);
    sky.put("file", &file);
    let writer = sky.shell("cat file | skypipe x").start();
    sky.until_listed("x", "it is full", |pipe| pipe.full);
    assert!(writer.runs());
    sky.skypipe(&["x"]).done().printed(&file);
    writer.outcome().whatever_it_waited_for().printed("");
    assert!(sky.is_gone("x"));
}

#[test]
fn rule_12_other_pipes_can_be_drained_while_one_is_full() {
    let sky = Environment::sky(&SMALL);
    sky.skypipe(&["small"]).fed("small\n").printed("");
    let file = text(MUCH);
    sky.put("file", &file);
    let writer = sky.shell("cat file | skypipe large").start();
    sky.until_listed("large", "it is full", |pipe| pipe.full);
    sky.skypipe(&["small"]).done().printed("small\n");
    sky.skypipe(&["new"]).fed("new\n").printed("");
    sky.skypipe(&["new"]).done().printed("new\n");
    assert!(writer.runs());
    sky.skypipe(&["large"]).done().printed(&file);
    writer.outcome().whatever_it_waited_for().printed("");
}

#[test]
fn rule_12_several_writers_share_what_room_there_is() {
    let sky = Environment::sky(&SMALL);
    let file = text(MUCH / 3);
    sky.put("file", &file);
    let writers: Vec<_> = (0..3)
        .map(|_| sky.shell("cat file | skypipe x").start())
        .collect();
    sky.until_listed("x", "it is full", |pipe| pipe.full && pipe.writers == 3);
    for _ in 0..3 {
        sky.skypipe(&["--one", "x"]).done().printed(&file);
    }
    for writer in writers {
        writer.outcome().whatever_it_waited_for().printed("");
    }
}

#[test]
fn rule_12_a_writer_says_why_it_waits_and_that_it_goes_on_once_each() {
    let sky = Environment::sky(&["--pipe-limit", "4MiB"]);
    let file = text(MUCH);
    sky.put("file", &file);
    // Stderr is no terminal here.
    let writer = sky.shell("cat file | skypipe full").start();
    let paused =
        "skypipe: \"full\" has reached its limit of 4 MiB: paused until someone reads from it\n";
    writer.complains(paused);
    let slow = sky.skypipe(&["full"]).held().start();
    let mut got = Vec::new();
    let mut stdout = slow.take_stdout();
    let mut buffer = vec![0; 100_000];
    loop {
        match std::io::Read::read(&mut stdout, &mut buffer).expect("it is a pipe") {
            0 => break,
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(got == file, "{} bytes of {}", got.len(), file.len());
    slow.outcome().printed("");
    let outcome = writer.outcome();
    assert_eq!(outcome.code, Some(0));
    let going_on = "skypipe: \"full\" has room again: resuming\n";
    assert_eq!(outcome.stderr, format!("{paused}{going_on}"));
}

#[test]
fn rule_12_a_slow_listener_stops_writers_and_loses_nothing() {
    let sky = Environment::sky(&SMALL);
    let file = text(MUCH);
    sky.put("file", &file);
    let slow = sky.skypipe(&["x"]).held().start();
    sky.until_listeners("x", 1);
    let writer = sky.shell("cat file | skypipe x").start();
    sky.until_listed("x", "it is full", |pipe| pipe.full);
    assert!(writer.runs());
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut slow.take_stdout(), &mut got).expect("it is a pipe");
    assert!(got == file, "{} bytes of {}", got.len(), file.len());
    slow.outcome().printed("");
    writer.outcome().whatever_it_waited_for().printed("");
}

#[test]
fn rule_12_a_writer_that_waits_for_room_gives_up_when_told_so() {
    let sky = Environment::sky(&SMALL);
    sky.put("file", text(MUCH));
    let writer = sky.shell("cat file | skypipe --timeout 500ms x").start();
    let outcome = writer.outcome();
    outcome.whatever_it_waited_for().told(
        124,
        "timed out: no room for \"x\" (the satellite's memory of 4 MiB is used up) for 500ms",
    );
}
