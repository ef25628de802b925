//! How a listener's own output ends, and `--timeout` (rule 15 and its details).

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::Environment;
use crate::stories::text;

#[test]
fn rule_15_a_closed_stdout_is_success_and_a_claimed_stream_stays() {
    let sky = Environment::sky(&[]);
    let file = text(3_000_000);
    sky.skypipe(&["x"]).fed(&file).printed("");
    for mode in ["-r", "--one", "--follow"] {
        let listener = sky.skypipe(&[mode, "x"]).held().start();
        let mut line = String::new();
        let mut head = BufReader::with_capacity(100, listener.take_stdout());
        head.read_line(&mut line).expect("it is a pipe");
        assert_eq!(line.as_bytes(), &file[..line.len()]);
        drop(head);
        listener.outcome().printed("");
        sky.until_listeners("x", 0);
        assert_eq!(
            (sky.listed("x").waiting, sky.listed("x").bytes),
            (1, file.len() as u64),
            "{mode}"
        );
    }
    sky.skypipe(&["x"]).done().printed(&file);
}

#[test]
fn rule_15_head_ends_a_listener_in_the_shell() {
    let sky = Environment::sky(&[]);
    sky.put("file", text(300_000));
    let script = "cat file | skypipe x; { skypipe -r x; echo $? >code; } | head -n 1";
    let first = sky.shell(script).done().success();
    assert_eq!(first, b"0 5851f42d4c957f2e\n");
    assert_eq!(sky.get("code"), b"0\n");
}

#[test]
fn rule_15_a_reader_that_goes_before_anything_came_ends_the_listener() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).held().start();
    sky.until_listeners("x", 1);
    drop(listener.take_stdout());
    listener.outcome().printed("");
    sky.skypipe(&["x"]).fed("not lost").printed("");
    sky.skypipe(&["x"]).done().printed("not lost");
}

#[test]
fn a_stdout_that_fails_is_a_failure_and_loses_nothing() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["x"]).fed("kept\n").printed("");
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let listener = sky.skypipe(&["x"]).stdout(full).done();
    listener.told(1, "stdout");
    sky.skypipe(&["x"]).done().printed("kept\n");
}

#[test]
fn a_stdin_that_fails_before_its_first_byte_leaves_nothing() {
    let sky = Environment::sky(&[]);
    let directory = std::fs::File::open(sky.home()).expect("it is there");
    let writer = sky.skypipe(&["-w", "x"]).stdin(directory).done();
    writer.told(1, "stdin");
    assert!(sky.is_gone("x"));
}

#[test]
fn timeout_ends_whoever_sees_nothing_move() {
    let sky = Environment::sky(&[]);
    for mode in ["-r", "--one", "--follow", "--tap"] {
        let listener = sky.skypipe(&[mode, "--timeout", "200ms", "x"]).done();
        let told = "timed out: no data on \"x\" for 200ms";
        assert_eq!(listener.told(124, told), b"");
    }
    sky.skypipe(&["x"]).fed("still whole").printed("");
    sky.skypipe(&["--timeout", "20", "x"])
        .done()
        .printed("still whole");
    let writer = sky
        .skypipe(&["--wait", "--timeout", "200ms", "x"])
        .fed("unread");
    writer.told(124, "timed out: nobody read all of \"x\" for 200ms");
}

#[test]
fn timeout_counts_anew_with_each_byte() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["--timeout", "2s", "x"]).start();
    let writer = sky.skypipe(&["x"]).piped().start();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        let so_far = listener.shown().len();
        writer.say("more\n");
        crate::common::wait::until("more arrives", || listener.shown().len() > so_far);
        let moving = || listener.runs();
        crate::common::wait::while_passes(Duration::from_millis(200), "it goes on", moving);
    }
    let outcome = listener.outcome();
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4), "{waited:?}");
    outcome.told(124, "timed out: no data on \"x\" for 2s");
    writer.close_stdin();
    writer.outcome().printed("");
}

#[test]
fn whole_keeps_a_stream_from_readers_until_it_has_ended() {
    let sky = Environment::sky(&[]);
    let reader = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["--whole", "x"]).piped().start();
    writer.say("half");
    sky.until_listed("x", "it writes", |pipe| pipe.writers == 1);
    assert_eq!(sky.listed("x").waiting, 0, "nothing of it can be read");
    assert_eq!(reader.shown(), b"");
    writer.say(" and half\n");
    writer.close_stdin();
    writer.outcome().printed("");
    reader.outcome().printed("half and half\n");
}

#[test]
fn whole_leaves_nothing_of_an_upload_that_was_interrupted() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["--whole", "x"]).piped().start();
    writer.say("half");
    sky.until_listed("x", "it writes", |pipe| pipe.writers == 1);
    writer.signal(Signal::INT);
    assert_eq!(writer.outcome().code, Some(130));
    assert!(sky.is_gone("x"));
}
