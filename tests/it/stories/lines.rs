//! Lines stay whole, and bytes travel at once (rules 13 and 14).

use std::time::{Duration, Instant};

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait;

/// A listener and two writers that are live in the pipe `x`.
fn meeting(sky: &Environment) -> (Process, Process, Process) {
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writers = [(); 2].map(|()| sky.skypipe(&["x"]).piped().start());
    let [a, b] = writers;
    (listener, a, b)
}

#[test]
fn rule_13_no_other_writer_gets_into_an_unfinished_line() {
    let sky = Environment::sky(&[]);
    let (listener, a, b) = meeting(&sky);
    a.say("a begins, ");
    listener.shows("a begins, ");
    b.say("b\n");
    sky.until_listed("x", "what b wrote has arrived", |pipe| pipe.bytes >= 2);
    a.say("a ends\n");
    listener.shows("b\n");
    for writer in [a, b] {
        writer.close_stdin();
        writer.outcome().printed("");
    }
    listener.outcome().printed("a begins, a ends\nb\n");
}

#[test]
fn rule_13_an_unfinished_line_holds_others_up_for_a_second_at_most() {
    let sky = Environment::sky(&[]);
    let (listener, a, b) = meeting(&sky);
    a.say("a begins, ");
    listener.shows("a begins, ");
    let began = Instant::now();
    b.say("b\n");
    listener.shows("b\n");
    let held = began.elapsed();
    assert!(held < Duration::from_secs(3), "{held:?}");
    a.say("a ends\n");
    for writer in [b, a] {
        writer.close_stdin();
        writer.outcome().printed("");
    }
    listener.outcome().printed("a begins, \nb\na ends\n");
}

#[test]
fn rule_13_a_newline_is_added_between_streams_and_nowhere_else() {
    let sky = Environment::sky(&[]);
    for text in ["no newline", "one newline\n", "none at the end"] {
        sky.skypipe(&["x"]).fed(text).printed("");
    }
    let follow = sky.skypipe(&["--follow", "x"]).start();
    follow.shows("none at the end");
    sky.until_taken("x");
    sky.skypipe(&["--eof", "x"]).done().printed("");
    follow
        .outcome()
        .ended_by_eof("no newline\none newline\nnone at the end");
}

#[test]
fn rule_13_a_stream_alone_is_passed_on_byte_for_byte() {
    let sky = Environment::sky(&[]);
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["x"]).fed(&bytes).printed("");
    listener.outcome().printed(&bytes);
    sky.skypipe(&["x"]).fed(&bytes).printed("");
    sky.skypipe(&["x"]).done().printed(&bytes);
}

#[test]
fn rule_13_a_line_that_is_longer_than_a_chunk_arrives() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let line = "long ".repeat(700_000);
    sky.skypipe(&["x"]).fed(&line).printed("");
    listener.outcome().printed(&line);
}

#[test]
fn rule_13_lines_of_many_writers_come_whole() {
    let sky = Environment::sky(&[]);
    let follow = sky.skypipe(&["-f", "x"]).start();
    sky.until_listeners("x", 1);
    let line =
        |writer: usize, number: usize| format!("{writer} {number} {}\n", "x".repeat(number % 200));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let process = sky.skypipe(&["x"]).piped().start();
            let mut stdin = process.take_stdin();
            let lines: Vec<_> = (0..2000).map(|number| line(writer, number)).collect();
            // The pieces end anywhere except at line ends.
            let feed = move || {
                let text = lines.concat();
                let mut pieces = text.as_bytes().chunks(777);
                pieces.try_for_each(|piece| std::io::Write::write_all(&mut stdin, piece))
            };
            (process, std::thread::spawn(feed))
        })
        .collect();
    for (process, feed) in writers {
        feed.join().expect("no panic").expect("it reads all");
        process.outcome().printed("");
    }
    sky.until_taken("x");
    sky.skypipe(&["--eof", "x"]).done().printed("");
    let text = String::from_utf8(follow.outcome().told(0, "an --eof")).expect("it is text");
    let mut next = [0; 8];
    for got in text.split_inclusive('\n') {
        let writer: usize = got
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .expect(got);
        assert_eq!(got, line(writer, next[writer]));
        next[writer] += 1;
    }
    assert_eq!(next, [2000; 8]);
}

/// The fastest of some attempts, because a busy machine slows down any single one.
fn shortest(mut once: impl FnMut(usize) -> Duration) -> Duration {
    (0..10).map(&mut once).min().expect("there are some")
}

#[test]
fn rule_14_whole_lines_travel_at_once_and_partial_ones_in_a_tenth_of_a_second() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("begin\n");
    listener.shows("begin\n");
    let travel = |text: &str| {
        let began = Instant::now();
        writer.say(text);
        listener.shows(text);
        began.elapsed()
    };
    let whole = shortest(|number| travel(&format!("whole {number}\n")));
    assert!(whole < Duration::from_millis(30), "{whole:?}");
    let partial = shortest(|number| {
        let took = travel(&format!("partial {number}"));
        travel(&format!(" and its rest {number}\n"));
        took
    });
    assert!(partial < Duration::from_millis(200), "{partial:?}");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().success();
}

#[test]
fn rule_14_a_slow_trickle_is_not_held_until_its_newline() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    let mut dots = 0;
    wait::until("dots arrive while more of them come", || {
        writer.say(".");
        dots += 1;
        !listener.shown().is_empty()
    });
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed(".".repeat(dots));
}
