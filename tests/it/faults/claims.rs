//! A killed satellite with listeners that hold a stream exclusively, and with writers that wait for them
//! (rules 10, 11, 15 and 16).

use std::io::Read;
use std::process::ChildStdout;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait;
use crate::faults::lines::{assert_same, content};

const DATA: [&str; 2] = ["--data", "data"];

/// Reads a listener's stdout to its end.
fn rest(mut stdout: ChildStdout) -> Vec<u8> {
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).expect("it is a pipe");
    got
}

/// A listener that has printed a little and is blocked by its reader.
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
fn rule_16_what_was_confirmed_of_an_open_stream_is_not_for_the_next() {
    let mut sky = Environment::sky(&DATA);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("taken\n");
    let first = sky.skypipe(&["x"]).start();
    first.shows("taken\n");
    sky.until_taken("x");
    first.signal(Signal::TERM);
    assert_eq!(first.outcome().code, Some(143));
    sky.kill_and_restart_sky(&DATA);
    let next = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    writer.say("rest\n");
    writer.close_stdin();
    writer.outcome().printed("");
    next.outcome().printed("rest\n");
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
