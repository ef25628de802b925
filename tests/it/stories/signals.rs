//! Signals (rule 15).

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::terminal::Terminal;
use crate::stories::text;

/// The signals that end a program, the resulting exit code, and what a listener is told.
const SIGNALS: [(Signal, i32, &str); 3] = [
    (Signal::HUP, 129, "SIGHUP"),
    (Signal::INT, 130, "SIGINT"),
    (Signal::TERM, 143, "SIGTERM"),
];

#[test]
fn rule_15_a_writer_that_is_interrupted_cuts_its_stream_after_what_it_had_read() {
    let sky = Environment::sky(&[]);
    for (signal, code, name) in SIGNALS {
        let listener = sky.skypipe(&["x"]).start();
        sky.until_listeners("x", 1);
        let writer = sky.skypipe(&["x"]).piped().start();
        writer.say("whole\npart");
        listener.shows("whole\n");
        writer.signal(signal);
        let outcome = writer.outcome();
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(code), ""),
            "{outcome}"
        );
        assert!(outcome.took < Duration::from_secs(5), "{outcome}");
        let outcome = listener.outcome();
        assert!(outcome.stderr.contains(name), "{outcome}");
        assert_eq!(outcome.told(3, "was cut"), b"whole\npart");
    }
}

#[test]
fn rule_15_a_cut_stream_that_waits_says_so_to_who_reads_it() {
    let sky = Environment::sky(&[]);
    let writer = sky.skypipe(&["x"]).piped().var("USER", "somebody").start();
    writer.say("half of it\n");
    sky.until_listed("x", "it waits", |pipe| pipe.bytes == 11);
    writer.signal(Signal::INT);
    let pid = writer.pid();
    assert_eq!(writer.outcome().code, Some(130));
    let listener = sky.skypipe(&["x"]).done();
    assert!(listener.stderr.contains("somebody@"), "{listener}");
    assert_eq!(
        listener.told(3, &format!("pid {pid} was cut")),
        b"half of it\n"
    );
}

#[test]
fn rule_15_the_interrupt_key_does_not_make_half_a_file_look_whole() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    sky.put("file", "half\n");
    let terminal = Terminal::open();
    let shell = sky.shell("tail -f file | skypipe x").on(&terminal).start();
    listener.shows("half\n");
    terminal.types("\u{3}");
    let outcome = listener.outcome();
    assert_eq!(outcome.told(3, "SIGINT"), b"half\n");
    assert!(shell.outcome().code.is_some());
}

#[test]
fn rule_15_a_listener_goes_at_once_and_what_it_had_not_confirmed_stays() {
    let sky = Environment::sky(&[]);
    let file = text(4_000_000);
    sky.skypipe(&["x"]).fed(&file).printed("");
    for (signal, code, _) in SIGNALS {
        let listener = sky.skypipe(&["x"]).held().start();
        sky.until_listeners("x", 1);
        listener.signal(signal);
        let outcome = listener.outcome();
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(code), ""),
            "{outcome}"
        );
        assert!(outcome.took < Duration::from_secs(5), "{outcome}");
        sky.until_listeners("x", 0);
    }
    sky.skypipe(&["x"]).done().printed(&file);
}

#[test]
fn rule_15_who_has_nothing_to_do_yet_goes_at_once() {
    let sky = Environment::sky(&[]);
    for (signal, code, _) in SIGNALS {
        let idle = sky.skypipe(&["-w", "x"]).piped().start();
        sky.until_listed("x", "it writes", |pipe| pipe.writers == 1);
        idle.signal(signal);
        let outcome = idle.outcome();
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(code), ""),
            "{outcome}"
        );
        assert!(sky.is_gone("x"), "and leaves nothing behind");
    }
}

#[test]
fn rule_15_a_writer_that_waits_for_room_is_interrupted_within_a_moment() {
    let sky = Environment::sky(&["--memory", "4MiB"]);
    let file = text(20_000_000);
    sky.put("file", &file);
    let stdin = File::open(sky.home().join("file")).expect("it is there");
    let writer = sky.skypipe(&["x"]).stdin(stdin).start();
    sky.until_listed("x", "it is full", |pipe| pipe.full);
    let began = Instant::now();
    writer.signal(Signal::INT);
    assert_eq!(writer.outcome().code, Some(130));
    assert!(began.elapsed() < Duration::from_secs(5));
    let part = sky.skypipe(&["x"]).done().told(3, "was cut");
    assert!(file.starts_with(&part) && part.len() > 1_000_000);
}

#[test]
fn signals_that_were_to_be_ignored_stay_ignored() {
    let sky = Environment::sky(&[]);
    let listener = sky.shell("trap '' HUP INT; exec skypipe x").start();
    sky.until_listeners("x", 1);
    listener.signal(Signal::HUP);
    listener.signal(Signal::INT);
    sky.skypipe(&["x"]).fed("after the hangup\n").printed("");
    listener.outcome().printed("after the hangup\n");
}
