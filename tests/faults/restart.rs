//! Satellites with a data directory that end and come back: what waited is there, and everybody goes
//! on where they were (rule 16).

use std::io::{Read, Write};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait;
use crate::lines::content;

const DATA: [&str; 2] = ["--data", "data"];

/// Much more than programs and pipes between them hold on the way.
const MUCH: usize = 40_000_000;

/// Ends the satellite, by force or not, and starts it again.
fn restart(sky: &mut Environment, signal: Signal) {
    let satellite = sky.take_sky();
    satellite.process().signal(signal);
    satellite.end();
    sky.restart_sky(&DATA);
}

/// Reads a listener's stdout to its end.
fn rest(mut stdout: ChildStdout) -> Vec<u8> {
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).expect("it is a pipe");
    got
}

fn assert_same(got: &[u8], expected: &[u8]) {
    let place = got
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    let (have, want) = (got.len(), expected.len());
    assert!(
        got == expected,
        "{have} bytes of {want}, another one at {place:?}"
    );
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
                listener.outcome().printed("");
            }
            _ => assert_same(&sky.skypipe(&["x"]).done().success(), &stream),
        }
        assert!(sky.is_gone("x"));
    }
}

/// A listener that has printed a little and waits for its reader.
fn stuck(sky: &Environment, mode: &str) -> (Process, ChildStdout, Vec<u8>) {
    let listener = sky.skypipe(&[mode, "x"]).held().start();
    let mut stdout = listener.take_stdout();
    let mut got = vec![0; 10];
    stdout.read_exact(&mut got).expect("it prints");
    (listener, stdout, got)
}

#[test]
fn rule_16_a_claim_is_kept_for_its_listener() {
    let mut sky = Environment::sky(&DATA);
    let (job, next) = (content(1, 9_000_000), content(2, 100));
    sky.skypipe(&["-w", "x"]).fed(&job).printed("");
    let (worker, stdout, mut got) = stuck(&sky, "--one");
    let other = sky.skypipe(&["--one", "x"]).start();
    sky.until_listeners("x", 2);
    sky.kill_and_restart_sky(&DATA);
    sky.skypipe(&["-w", "x"]).fed(&next).printed("");
    assert_same(&other.outcome().success(), &next);
    got.extend(rest(stdout));
    assert_same(&got, &job);
    worker.outcome().printed("");
    assert!(sky.is_gone("x"));
}

#[test]
fn rule_10_the_claim_of_a_listener_that_died_with_its_satellite_goes_whole_to_the_next() {
    let flags = [DATA[0], DATA[1], "--lost-listener", "1s"];
    for mode in ["--one", "-r", "--follow"] {
        let mut sky = Environment::sky(&flags);
        let job = content(1, 9_000_000);
        sky.skypipe(&["-w", "x"]).fed(&job).printed("");
        let (worker, _stdout, _) = stuck(&sky, mode);
        let satellite = sky.take_sky();
        worker.signal(Signal::KILL);
        satellite.kill();
        sky.restart_sky(&flags);
        let next = sky.skypipe(&["--one", "x"]).start();
        assert_same(&next.outcome().success(), &job);
        wait::until("the dead one is forgotten", || sky.is_gone("x"));
    }
}

#[test]
fn rule_15_a_remainder_is_still_one_after_a_restart() {
    let mut sky = Environment::sky(&DATA);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("taken\n");
    let listener = sky.skypipe(&["x"]).start();
    listener.shows("taken\n");
    sky.until_taken("x");
    listener.signal(Signal::TERM);
    assert_eq!(listener.outcome().code, Some(143));
    writer.say("rest\n");
    writer.close_stdin();
    writer.outcome().printed("");
    sky.kill_and_restart_sky(&DATA);
    let rest = sky.skypipe(&["x"]).done();
    assert_eq!(rest.told(3, "its first 6 bytes"), b"rest\n");
}

#[test]
fn rule_11_a_writer_that_waits_for_listeners_waits_on() {
    let mut sky = Environment::sky(&DATA);
    let stream = content(1, 3_000_000);
    sky.put("file", &stream);
    let writer = sky.shell("cat file | skypipe --wait x").start();
    sky.until_listed("x", "all of it waits", |pipe| {
        pipe.bytes == stream.len() as u64
    });
    sky.kill_and_restart_sky(&DATA);
    assert!(writer.runs());
    assert_eq!(sky.listed("x").bytes, stream.len() as u64);
    let (listener, stdout, mut got) = stuck(&sky, "-r");
    sky.kill_and_restart_sky(&DATA);
    let time = Duration::from_millis(300);
    wait::while_passes(time, "it waits for all of it", || writer.runs());
    got.extend(rest(stdout));
    assert_same(&got, &stream);
    listener.outcome().printed("");
    writer.outcome().printed("");
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
        // Nothing more within a good while.
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
    sky.skypipe(&["x"]).done().printed("");
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
    let warning = "in memory only: what waits is lost when the satellite stops";
    assert!(check.contains(warning), "{check}");
}
