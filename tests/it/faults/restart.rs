//! A satellite with a data directory ends and restarts: unread data is still there, and every client
//! continues where it was (rule 16).

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::wait;
use crate::faults::lines::{assert_same, content};

const DATA: [&str; 2] = ["--data", "data"];

/// Much more than programs and pipes can hold in transit, in bytes.
const MUCH: usize = 40_000_000;

/// Ends the satellite with this signal, and starts it again.
fn restart(sky: &mut Environment, signal: Signal) {
    let satellite = sky.take_sky();
    satellite.process().signal(signal);
    satellite.end();
    sky.restart_sky(&DATA);
}

#[test]
fn rule_16_what_waits_outlives_its_satellite() {
    let mut sky = Environment::sky(&DATA);
    let streams = [content(1, 300), content(2, 5_000_000), content(3, 70_000)];
    for stream in &streams {
        sky.skypipe(&["-w", "x"]).fed(stream).printed("");
    }
    sky.skypipe(&["-w", "empty"]).fed("").printed("");
    let listed = (sky.listed("x"), sky.listed("empty"));
    assert_eq!((listed.0.waiting, listed.1.waiting), (3, 1));
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        restart(&mut sky, signal);
        assert_eq!((sky.listed("x"), sky.listed("empty")), listed);
    }
    for stream in &streams {
        assert_same(&sky.skypipe(&["x"]).done().success(), stream);
        restart(&mut sky, Signal::KILL);
    }
    sky.skypipe(&["empty"]).done().printed("");
    assert!(sky.is_gone("x") && sky.is_gone("empty"));
    restart(&mut sky, Signal::KILL);
    assert!(
        sky.is_gone("x") && sky.is_gone("empty"),
        "what was taken does not come again"
    );
}

#[test]
fn rule_11_exit_0_holds_though_the_satellite_is_killed_at_that_instant() {
    let mut sky = Environment::sky(&DATA);
    for round in 0..20 {
        let stream = content(round, 10 << round.min(16));
        sky.skypipe(&["-w", "x"]).fed(&stream).printed("");
        sky.kill_and_restart_sky(&DATA);
        assert_same(&sky.skypipe(&["x"]).done().success(), &stream);
    }
}

#[test]
fn rule_16_a_big_stream_goes_on_through_restarts_without_a_gap_or_a_repeat() {
    for mode in ["-r", "--follow", "--one", ""] {
        let mut sky = Environment::sky(&DATA);
        let stream = content(1, MUCH);
        sky.put("file", &stream);
        let listener = (!mode.is_empty()).then(|| {
            let listener = sky.skypipe(&[mode, "x"]).held().start();
            sky.until_listeners("x", 1);
            listener
        });
        let reader = listener.as_ref().map(|it| {
            let (got, mut stdout) = (Arc::new(AtomicUsize::new(0)), it.take_stdout());
            let count = Arc::clone(&got);
            let read = thread::spawn(move || {
                let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
                while let count @ 1.. = stdout.read(&mut buffer).expect("it is a pipe") {
                    all.extend_from_slice(&buffer[..count]);
                    got.store(all.len(), Ordering::Relaxed);
                }
                all
            });
            (read, count)
        });
        let writer = sky.shell("cat file | skypipe -w x").start();
        for part in 1..=6 {
            wait::until("some of it is there", || {
                let there = match &reader {
                    Some((_, count)) => count.load(Ordering::Relaxed),
                    None => usize::try_from(sky.listed("x").bytes).expect("it is small"),
                };
                there >= stream.len() / 8 * part || !writer.runs()
            });
            assert!(part > 1 || writer.runs(), "there was nothing to disturb");
            sky.kill_and_restart_sky(&DATA);
        }
        writer.outcome().printed("");
        if mode == "--follow" {
            sky.until_taken("x");
            sky.skypipe(&["--eof", "x"]).done().printed("");
        }
        match (listener, reader) {
            (Some(listener), Some((read, _))) => {
                assert_same(&read.join().expect("it is a pipe"), &stream);
                listener.outcome().whatever_ended_it().printed("");
            }
            _ => assert_same(&sky.skypipe(&["x"]).done().success(), &stream),
        }
        assert!(sky.is_gone("x"));
    }
}

#[test]
fn rule_12_a_writer_without_a_satellite_reads_no_further_and_goes_on_later() {
    let mut sky = Environment::sky(&DATA);
    let stream = content(1, MUCH);
    let writer = sky.skypipe(&["x"]).piped().start();
    let mut stdin = writer.take_stdin();
    stdin.write_all(&stream[..1000]).expect("it reads");
    sky.until_listed("x", "it has begun", |pipe| pipe.bytes == 1000);
    sky.take_sky().kill();
    let told = Arc::new(AtomicUsize::new(0));
    let (count, bytes) = (Arc::clone(&told), stream.clone());
    let tail = thread::spawn(move || {
        for piece in bytes[1000..].chunks(4096) {
            stdin.write_all(piece).expect("it reads");
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    wait::until("it reads what it may keep", || {
        told.load(Ordering::Relaxed) > 1_000_000
    });
    let mut last = 0;
    let is_still = || {
        let now = told.load(Ordering::Relaxed);
        let before = std::mem::replace(&mut last, now);
        // Nothing more may arrive for a good while.
        let calm = Duration::from_millis(500);
        now == before && !wait::holds_within(calm, || told.load(Ordering::Relaxed) > now)
    };
    wait::until("its stdin is full", is_still);
    let read = told.load(Ordering::Relaxed);
    assert!(read < MUCH / 2 && writer.runs(), "it has read {read} bytes");
    sky.restart_sky(&DATA);
    tail.join().expect("all is read");
    writer.outcome().printed("");
    assert_same(&sky.skypipe(&["x"]).done().success(), &stream);
}

#[test]
fn rule_6_an_eof_that_waits_outlives_its_satellite() {
    let mut sky = Environment::sky(&DATA);
    sky.skypipe(&["--eof", "x"]).done().printed("");
    sky.kill_and_restart_sky(&DATA);
    sky.until_waiting("x", 1);
    sky.skypipe(&["x"]).done().ended_by_eof("");
    assert!(sky.is_gone("x"));
}

#[test]
fn what_was_discarded_does_not_come_back() {
    let mut sky = Environment::sky(&DATA);
    let stream = content(1, 2_000_000);
    sky.skypipe(&["x"]).fed(&stream).printed("");
    sky.skypipe(&["--discard", "x"]).done().told(0, "");
    sky.kill_and_restart_sky(&DATA);
    assert!(sky.is_gone("x"));
}

#[test]
fn a_directory_has_one_satellite() {
    let mut sky = Environment::sky(&DATA);
    sky.skypipe(&["x"]).fed("kept\n").printed("");
    let second = sky
        .skypipe(&["--satellite", "127.0.0.1:0", "--data", "data"])
        .done();
    assert!(second.took < Duration::from_secs(2), "{second}");
    second.told(1, "data");
    sky.kill_and_restart_sky(&DATA);
    sky.skypipe(&["x"]).done().printed("kept\n");
}

#[test]
fn check_says_whether_what_waits_outlives_the_satellite() {
    let there = Environment::sky(&DATA);
    let check = there.skypipe(&["--check"]).done().success();
    let check = String::from_utf8(check).expect("it is text");
    assert!(
        check.contains("\nkept ") && check.contains("data"),
        "{check}"
    );
    assert!(check.contains("\ndisk "), "{check}");
    let not_there = Environment::sky(&[]);
    let check = not_there.skypipe(&["--check"]).done().success();
    let check = String::from_utf8(check).expect("it is text");
    let warning = "in memory only: unread data is lost when the satellite stops";
    assert!(check.contains(warning), "{check}");
}
