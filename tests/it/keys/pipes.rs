//! With a key, pipes of a satellite with keys work like any others.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::wait;
use crate::keys::arena::{Sky, holding, invite};

/// Lines of text, about this many bytes.
fn text(bytes: usize) -> Vec<u8> {
    let line = |number: usize| {
        format!(
            "{number:x} {:x}\n",
            number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        )
    };
    let mut text: Vec<u8> = (0..)
        .flat_map(|number| line(number).into_bytes())
        .take(bytes)
        .collect();
    text.push(b'\n');
    text
}

/// A satellite, and two machines that use it.
fn both() -> (Sky, Environment, Environment) {
    let sky = Sky::new();
    let laptop = sky.manager();
    let phone = holding(&invite(&laptop, &["phone"]));
    (sky, laptop, phone)
}

#[track_caller]
fn gone(machine: &Environment, pipe: &str) {
    wait::until("the pipe is gone", || machine.is_gone(pipe));
}

#[test]
fn what_is_compressed_takes_less_room_and_arrives_as_it_was() {
    let (_sky, laptop, phone) = both();
    let text = text(2_000_000);
    for (how, most) in [("off", u64::MAX), ("9", 1_400_000)] {
        let writer = laptop.skypipe(&["-w", "--compress", how, "logs"]);
        writer.fed(&text).success();
        let bytes = laptop.listed("logs").bytes;
        assert!(bytes < most, "{bytes} wait with --compress {how}");
        phone.skypipe(&["-r", "logs"]).done().printed(&text);
    }
}

#[test]
fn two_terminals() {
    let (_sky, laptop, phone) = both();
    let listener = phone
        .skypipe(&[])
        .stdin(std::process::Stdio::null())
        .start();
    laptop.until_listeners("(default)", 1);
    let writer = laptop.skypipe(&[]).piped().start();
    for line in ["hello\n", "there\n"] {
        writer.say(line);
        listener.shows(line);
    }
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("hello\nthere\n");
    gone(&laptop, "(default)");
}

#[test]
fn what_waits_has_the_bytes_that_were_written() {
    let (_sky, laptop, phone) = both();
    for length in [1, 3_775, 3_776, 3_777, 7_552, 1 << 20, 3_000_000] {
        let bytes = &text(length)[..length];
        laptop.skypipe(&["x"]).fed(bytes).printed("");
        phone.skypipe(&["x"]).done().printed(bytes);
    }
    laptop.skypipe(&["x"]).fed("").told(2, "nothing on stdin");
    laptop.skypipe(&["-w", "x"]).fed("").printed("");
    phone.skypipe(&["x"]).done().printed("");
    gone(&laptop, "x");
}

#[test]
fn workers_share_the_jobs_out() {
    let (_sky, laptop, phone) = both();
    for job in 0..6 {
        laptop
            .skypipe(&["jobs"])
            .fed(format!("{job}\n"))
            .printed("");
    }
    let workers = (0..6).map(|number| {
        [&laptop, &phone][number % 2]
            .skypipe(&["--one", "jobs"])
            .start()
    });
    let workers: Vec<_> = workers.collect();
    let done = workers.into_iter().map(|worker| worker.outcome().success());
    let mut done: Vec<_> = done.collect();
    done.sort();
    let expected: Vec<_> = (0..6).map(|job| format!("{job}\n").into_bytes()).collect();
    assert_eq!(done, expected);
    gone(&laptop, "jobs");
}

#[test]
fn one_listener_gathers_the_whole_lines_of_many_writers() {
    let (_sky, laptop, phone) = both();
    let follow = laptop.skypipe(&["--follow", "logs"]).start();
    laptop.until_listeners("logs", 1);
    let count = 2_000;
    let lines = |name: usize| -> Vec<u8> {
        let line = |number: usize| format!("{name} {number} {}\n", "x".repeat(number % 90));
        (0..count)
            .flat_map(|number| line(number).into_bytes())
            .collect()
    };
    let writers = (0..3).map(|name| {
        let writer = [&laptop, &phone][name % 2]
            .skypipe(&["logs"])
            .piped()
            .start();
        let (mut stdin, lines) = (writer.take_stdin(), lines(name));
        let feed = std::thread::spawn(move || {
            // The pieces end in the middle of lines.
            lines
                .chunks(777)
                .try_for_each(|piece| std::io::Write::write_all(&mut stdin, piece))
        });
        (writer, feed)
    });
    let writers: Vec<_> = writers.collect();
    for (writer, feed) in writers {
        feed.join()
            .expect("it does not panic")
            .expect("all is read");
        writer.outcome().printed("");
    }
    laptop.until_taken("logs");
    phone.skypipe(&["--eof", "logs"]).done().printed("");
    let all = follow.outcome().told(0, "an --eof by phone at 20");
    for name in 0..3 {
        let begin = format!("{name} ");
        let mine = all
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(begin.as_bytes()));
        let mine: Vec<u8> = mine.flatten().copied().collect();
        assert!(mine == lines(name), "the lines of {name}");
    }
    assert_eq!(
        all.len(),
        (0..3).map(|name| lines(name).len()).sum::<usize>()
    );
}

#[test]
fn a_tap_watches_and_takes_nothing() {
    let (_sky, laptop, phone) = both();
    let tap = phone.skypipe(&["--tap", "x"]).start();
    laptop.until_listeners("x", 1);
    let writer = laptop.skypipe(&["x"]).piped().start();
    writer.say("one\n");
    tap.shows("one\n");
    // A tap that joins in the middle begins there.
    let late = phone.skypipe(&["--tap", "x"]).start();
    laptop.until_listeners("x", 2);
    writer.say("two\n");
    late.shows("two\n");
    writer.close_stdin();
    writer.outcome().printed("");
    phone.skypipe(&["x"]).done().printed("one\ntwo\n");
    laptop.skypipe(&["--eof", "x"]).done().printed("");
    tap.outcome().printed("one\ntwo\n");
    late.outcome().printed("two\n");
}

#[test]
fn eof_is_a_signal() {
    let (_sky, laptop, phone) = both();
    let script = phone.shell("skypipe go && echo gone").start();
    laptop.until_listeners("go", 1);
    laptop.skypipe(&["--eof", "go"]).done().printed("");
    assert_eq!(
        script.outcome().told(0, "an --eof by first at 20"),
        b"gone\n"
    );
    laptop.skypipe(&["--eof", "go"]).done().printed("");
    let waited = phone.skypipe(&["go"]).done();
    assert_eq!(waited.told(0, ", given earlier, ended this reader"), b"");
}

#[test]
fn a_writer_that_is_interrupted_cuts_its_stream() {
    let (_sky, laptop, phone) = both();
    let listener = phone.skypipe(&["x"]).start();
    laptop.until_listeners("x", 1);
    let writer = laptop.skypipe(&["x"]).piped().start();
    writer.say("half\n");
    listener.shows("half\n");
    writer.signal(Signal::INT);
    assert_eq!(writer.outcome().code, Some(130));
    assert_eq!(
        listener.outcome().told(3, "was cut: interrupted by SIGINT"),
        b"half\n"
    );
}

#[test]
fn a_satellite_that_is_killed_in_the_middle_changes_nothing() {
    let (mut sky, laptop, phone) = both();
    let bytes = text(20_000_000);
    laptop.put("file", &bytes);
    let file = File::open(laptop.home().join("file")).expect("it is there");
    let listener = phone.skypipe(&["-r", "x"]).held().start();
    laptop.until_listeners("x", 1);
    let writer = laptop.skypipe(&["-w", "x"]).stdin(file).start();
    let (mut stdout, mut got) = (listener.take_stdout(), vec![0; 6_000_000]);
    for part in 1..=2 {
        let begin = (part - 1) * 3_000_000;
        stdout
            .read_exact(&mut got[begin..begin + 3_000_000])
            .expect("it comes");
        assert!(writer.runs() || part > 1, "there was nothing to disturb");
        sky.kill();
        sky.restart();
    }
    stdout.read_to_end(&mut got).expect("it is a pipe");
    listener.outcome().printed("");
    writer.outcome().printed("");
    assert!(got == bytes, "{} bytes of {}", got.len(), bytes.len());
    gone(&laptop, "x");
}

#[test]
fn where_a_listener_dies_the_next_one_takes_over() {
    let sky = Sky::at(
        "127.0.0.1:0",
        &["--data", "data", "--private", "--lost-listener", "1s"],
    );
    let laptop = sky.manager();
    let bytes = text(4_000_000);
    laptop.skypipe(&["jobs"]).fed(&bytes).printed("");
    let dead = laptop.skypipe(&["--one", "jobs"]).held().start();
    let mut stdout = dead.take_stdout();
    stdout.read_exact(&mut vec![0; 100_000]).expect("it comes");
    let next = laptop.skypipe(&["--one", "jobs"]).start();
    laptop.until_listeners("jobs", 2);
    dead.signal(Signal::KILL);
    next.outcome().printed(&bytes);
}

#[test]
fn a_listener_that_comes_later_has_the_rest_of_a_live_stream() {
    let (_sky, laptop, phone) = both();
    let writer = laptop.skypipe(&["x"]).piped().start();
    let first = phone.skypipe(&["x"]).start();
    laptop.until_listeners("x", 1);
    writer.say("first\n");
    first.shows("first\n");
    laptop.until_taken("x");
    first.signal(Signal::TERM);
    assert_eq!(first.outcome().code, Some(143));
    writer.say("rest\n");
    writer.close_stdin();
    writer.outcome().printed("");
    let rest = laptop.skypipe(&["x"]).done();
    assert_eq!(rest.told(3, "its first 6 bytes"), b"rest\n");
}

#[test]
fn patience_ends_when_it_was_said_to() {
    let (_sky, laptop, _phone) = both();
    let outcome = laptop.skypipe(&["--timeout", "500ms", "-r", "x"]).done();
    assert_eq!(outcome.code, Some(124), "{outcome}");
    let outcome = laptop
        .skypipe(&["--timeout", "500ms", "--wait", "x"])
        .fed("x\n");
    assert_eq!(outcome.code, Some(124), "{outcome}");
}

#[test]
fn a_writer_can_wait_until_all_is_read() {
    let (_sky, laptop, phone) = both();
    let writer = laptop.skypipe(&["--wait", "x"]).piped().start();
    writer.say("a line\n");
    writer.close_stdin();
    laptop.until_waiting("x", 1);
    let still = || writer.runs();
    wait::while_passes(Duration::from_millis(200), "it waits to be read", still);
    phone.skypipe(&["x"]).done().printed("a line\n");
    writer.outcome().printed("");
}

#[test]
fn what_head_left_waits_for_the_next() {
    let (_sky, laptop, phone) = both();
    let bytes = text(3_000_000);
    laptop.skypipe(&["x"]).fed(&bytes).printed("");
    let first = phone.shell("skypipe x | head -c 1500000").done().success();
    assert!(bytes[..1_500_000] == first);
    laptop.until_listed("x", "its listener is gone", |pipe| pipe.listeners == 0);
    laptop.skypipe(&["x"]).done().printed(&bytes);
}

#[test]
fn nothing_that_ran_is_left_behind() {
    let (sky, laptop, phone) = both();
    let listeners: Vec<Process> = ["-r", "--follow", "--tap"]
        .into_iter()
        .map(|mode| phone.skypipe(&[mode, "x"]).start())
        .collect();
    laptop.until_listeners("x", 3);
    let before = sky.satellite().open_files();
    drop(listeners);
    wait::until("their connections are closed", || {
        sky.satellite().open_files() < before
    });
}
