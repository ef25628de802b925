//! SKYPIPE/0.1 clients and new ones on one pipe.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::Environment;
use crate::peers::lines;
use crate::peers::old::Old;

/// Eight mebibytes of lines.
fn much() -> Vec<Vec<u8>> {
    let line = |number| format!("{number:0>63}\n").into_bytes();
    (0..8 << 20 >> 6).map(line).collect()
}

#[test]
fn what_an_old_client_stored_a_new_one_reads() {
    let environment = Environment::sky(&[]);
    let writer = Old::new(&environment);
    writer.write("p", &lines("old", 100));
    environment.until_waiting("p", 1);
    environment
        .skypipe(&["-r", "p"])
        .done()
        .printed(lines("old", 100).concat());
}

#[test]
fn what_a_new_client_stored_an_old_one_reads() {
    let environment = Environment::sky(&[]);
    let file = lines("new", 100).concat();
    environment.skypipe(&["-w", "p"]).fed(&file).printed("");
    assert_eq!(Old::new(&environment).take("p"), file);
}

#[test]
fn eight_mebibytes_go_from_old_to_new_live() {
    let environment = Environment::sky(&[]);
    let reader = environment.skypipe(&["-r", "p"]).start();
    environment.until_listeners("p", 1);
    let much = much();
    Old::new(&environment).write("p", &much);
    reader.outcome().printed(much.concat());
}

/// Far more than ZeroMQ's queues hold. Chunks for such a reader are split small.
#[test]
fn eight_mebibytes_go_from_new_to_an_old_reader_that_pauses() {
    let environment = Environment::sky(&["--memory", "4MiB"]);
    let mut reader = Old::new(&environment);
    reader.listen("p");
    reader.settle();
    let much = much().concat();
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| environment.skypipe(&["-w", "p"]).fed(&much));
        let (_, mut read) = reader.next();
        let until = Instant::now() + Duration::from_secs(1);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        read.extend(reader.read("p"));
        assert!(read == much, "{} bytes came", read.len());
        writer.join().expect("the writer is run")
    });
    written.printed("");
}

#[test]
fn fifty_thousand_lines_go_from_new_to_an_old_reader_that_pauses_two_seconds() {
    let environment = Environment::sky(&[]);
    let mut reader = Old::new(&environment);
    reader.listen("p");
    reader.settle();
    let file = lines("log line", 50_000).concat();
    environment.skypipe(&["-w", "p"]).fed(&file).printed("");
    let until = Instant::now() + Duration::from_secs(2);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
    assert!(reader.read("p") == file);
}

#[test]
fn old_and_new_listeners_get_the_same() {
    let environment = Environment::sky(&[]);
    let mut old = Old::new(&environment);
    old.listen("p");
    old.settle();
    let new = environment.skypipe(&["-r", "p"]).start();
    environment.until_listeners("p", 2);
    let file = lines("both", 10_000).concat();
    environment.skypipe(&["-w", "p"]).fed(&file).printed("");
    assert!(old.read("p") == file);
    new.outcome().printed(file);
}

#[test]
fn old_and_new_writers_into_one_follower_do_not_break_each_others_lines() {
    let environment = Environment::sky(&[]);
    let reader = environment.skypipe(&["-r", "-f", "p"]).start();
    environment.until_listeners("p", 1);
    let (old_lines, new_lines) = (lines("old", 5000), lines("new", 5000));
    thread::scope(|scope| {
        scope.spawn(|| Old::new(&environment).write("p", &old_lines));
        let file = new_lines.concat();
        scope.spawn(|| environment.skypipe(&["-w", "p"]).fed(file).printed(""));
    });
    environment.until_listed("p", "both have finished", |line| line.writers == 0);
    environment.skypipe(&["--eof", "p"]).done().printed("");
    let read = reader.outcome().whatever_ended_it().success();
    for (name, expected) in [(&b"old "[..], old_lines), (&b"new "[..], new_lines)] {
        let own = read.split_inclusive(|byte| *byte == b'\n');
        let own: Vec<_> = own.filter(|line| line.starts_with(name)).collect();
        assert!(own == expected, "{} lines", own.len());
    }
}

#[test]
fn an_empty_stream_of_either_releases_a_listener_of_the_other() {
    let environment = Environment::sky(&[]);
    let new = environment.skypipe(&["-r", "trigger"]).start();
    environment.until_listeners("trigger", 1);
    Old::new(&environment).end("trigger");
    new.outcome().printed("");
    let mut old = Old::new(&environment);
    old.listen("trigger");
    old.settle();
    environment.skypipe(&["-w", "trigger"]).fed("").printed("");
    assert_eq!(old.read("trigger"), b"");
}
