//! Answers and confirmations that are lost because the satellite that sent or awaited them is killed (rules
//! 11 and 16).

use std::fs::File;
use std::io::Read;
use std::thread;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::relay::{Relay, Weather};
use crate::common::wait;
use crate::faults::lines::content;

const DATA: [&str; 2] = ["--data", "data"];

#[test]
fn rule_16_what_only_a_listener_had_comes_again_from_its_writer() {
    for mode in ["-r", "--one", "--follow"] {
        let mut sky = Environment::sky(&DATA);
        // More than a pipe holds, and less than a listener's window.
        let stream = content(1, 3_000_000);
        sky.put("file", &stream);
        let listener = sky.skypipe(&[mode, "x"]).held().start();
        sky.until_listeners("x", 1);
        let file = File::open(sky.home().join("file")).expect("it is there");
        let writer = sky.skypipe(&["-w", "x"]).stdin(file).start();
        let mut stdout = listener.take_stdout();
        let mut got = vec![0];
        stdout.read_exact(&mut got).expect("it prints");
        // Live data is saved after half a second, and sooner at the end of a stream. This kill comes before
        // that.
        sky.take_sky().kill();
        assert!(writer.runs());
        writer.signal(Signal::STOP);
        sky.restart_sky(&DATA);
        let reader = thread::spawn(move || {
            stdout.read_to_end(&mut got).expect("it is a pipe");
            got
        });
        sky.until_listeners("x", 1);
        writer.signal(Signal::CONT);
        writer.outcome().printed("");
        if mode == "--follow" {
            sky.until_taken("x");
            sky.skypipe(&["--eof", "x"]).done().printed("");
        }
        assert!(reader.join().expect("it is a pipe") == stream);
        listener.outcome().whatever_ended_it().printed("");
        assert!(sky.is_gone("x"));
    }
}

#[test]
fn rule_11_an_answer_that_was_lost_with_its_satellite_is_given_again() {
    for (size, is_taken) in [
        (100, false),
        (100, true),
        (9_000_000, false),
        (9_000_000, true),
    ] {
        let mut sky = Environment::sky(&DATA);
        let wire = Relay::to(sky.on_port().endpoint());
        let stream = content(1, size);
        let writer = sky.skypipe(&["-w", "x"]).var("SATELLITE", wire.endpoint());
        let writer = writer.piped().start();
        let (first, last) = stream.split_at(stream.len() - 50);
        writer.say(first);
        let there = first.len() as u64;
        sky.until_listed("x", "all but the last of it is there", |pipe| {
            pipe.bytes == there
        });
        wire.weather(Weather {
            no_way_down: true,
            ..Weather::default()
        });
        writer.say(last);
        writer.close_stdin();
        sky.until_listed("x", "it has finished", |pipe| {
            (pipe.waiting, pipe.writers) == (1, 0)
        });
        if is_taken {
            assert!(sky.skypipe(&["x"]).done().success() == stream);
        }
        assert!(writer.runs());
        sky.kill_and_restart_sky(&DATA);
        wire.cut();
        wire.weather(Weather::default());
        writer.outcome().printed("");
        if !is_taken {
            assert!(sky.skypipe(&["x"]).done().success() == stream);
        }
        assert!(sky.is_gone("x"));
    }
}

#[test]
fn rule_16_a_confirmation_that_was_lost_with_its_satellite_is_given_again() {
    for mode in ["-r", "--one", "--follow"] {
        let mut sky = Environment::sky(&DATA);
        let wire = Relay::to(sky.on_port().endpoint());
        let stream = content(1, 300_000);
        let listener = sky.skypipe(&[mode, "x"]).var("SATELLITE", wire.endpoint());
        let listener = listener.start();
        sky.until_listeners("x", 1);
        wire.weather(Weather {
            no_way_up: true,
            ..Weather::default()
        });
        sky.skypipe(&["-w", "x"]).fed(&stream).printed("");
        wait::until("all is printed", || listener.shown().len() == stream.len());
        assert_eq!(sky.listed("x").waiting, 1);
        sky.kill_and_restart_sky(&DATA);
        wire.cut();
        wire.weather(Weather::default());
        sky.until_taken("x");
        if mode == "--follow" {
            sky.skypipe(&["--eof", "x"]).done().printed("");
        }
        listener.outcome().whatever_ended_it().printed(&stream);
        assert!(sky.is_gone("x"));
    }
}
