//! The examples of the first README, as written there, with either side starting first.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::stories::text;

/// Which side of an example starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Reader,
    Writer,
    Neither,
}

/// Runs the two sides of an example, which meet in `pipe`, in every order and against both kinds of
/// satellite. Both must succeed silently. Then `check` checks the result.
fn in_every_order(
    pipe: &str,
    reading: &str,
    writing: &str,
    prepare: impl Fn(&Environment),
    check: impl Fn(&Environment, &[u8]),
) {
    let terminal = Terminal::open();
    for first in [First::Reader, First::Writer, First::Neither] {
        for environment in [Environment::here(), Environment::sky(&[])] {
            prepare(&environment);
            let read = || environment.shell(reading).stdin(terminal.side()).start();
            let write = || environment.shell(writing).start();
            let (reader, writer) = match first {
                First::Reader => {
                    let reader = read();
                    environment.until_listeners(pipe, 1);
                    (reader, write().outcome())
                }
                First::Writer => {
                    let writer = write().outcome();
                    (read(), writer)
                }
                First::Neither => {
                    let (writer, reader) = (write(), read());
                    (reader, writer.outcome())
                }
            };
            writer.printed("");
            let shown = reader.outcome().success();
            check(&environment, &shown);
        }
    }
}

#[test]
fn hello_sky_in_a_new_home() {
    let home = Environment::here();
    let hello = home.shell("printf 'hello sky\\n' | skypipe && skypipe -r");
    hello.done().printed("hello sky\n");
}

#[test]
fn a_file_is_zipped_across_shells() {
    let file = text(300_000);
    in_every_order(
        "(default)",
        "skypipe | gzip -9 -c > out.gz",
        "cat file | skypipe",
        |environment| environment.put("file", &file),
        |environment, _| {
            let unzipped = environment.shell("gzip -dc out.gz").done().success();
            assert!(
                unzipped == file,
                "{} bytes of {}",
                unzipped.len(),
                file.len()
            );
        },
    );
}

#[test]
fn rule_2_two_files_are_stored_and_pulled_in_order() {
    let (a, b) = (text(10_000), text(200_000));
    in_every_order(
        "files",
        "skypipe files > new_file_a\nskypipe files > new_file_b",
        "cat file_a | skypipe files\ncat file_b | skypipe files",
        |environment| {
            environment.put("file_a", &a);
            environment.put("file_b", &b);
        },
        |environment, _| {
            assert!(environment.get("new_file_a") == a);
            assert!(environment.get("new_file_b") == b);
        },
    );
}

#[test]
fn rule_5_a_script_waits_until_it_is_triggered() {
    let script = "#!/bin/bash\n\
                  echo \"I'm going to wait until triggered\"\n\
                  skypipe trigger\n\
                  echo \"I was triggered!\"\n";
    in_every_order(
        "trigger",
        script,
        "echo | skypipe trigger",
        |_| {},
        |_, shown| {
            let expected = "I'm going to wait until triggered\n\nI was triggered!\n";
            assert_eq!(String::from_utf8_lossy(shown), expected);
        },
    );
}

#[test]
fn rule_5_a_trigger_releases_everyone_who_waits_with_nothing_as_stdin() {
    let sky = Environment::sky(&[]);
    let waiting: Vec<_> = (0..3)
        .map(|_| sky.shell("skypipe trigger </dev/null").start())
        .collect();
    sky.until_listeners("trigger", 3);
    assert!(waiting.iter().all(Process::runs));
    sky.shell("echo | skypipe trigger").done().printed("");
    for script in waiting {
        script.outcome().printed("\n");
    }
}

#[test]
fn rule_5_a_trigger_is_never_fired_by_an_empty_stdin() {
    let sky = Environment::sky(&[]);
    let waiting = sky.skypipe(&["trigger"]).start();
    sky.until_listeners("trigger", 1);
    let cron = sky.skypipe(&["trigger"]).fed("");
    cron.told(
        2,
        "nothing on stdin: use -r to read, or -w to send an empty stream",
    );
    assert_eq!(sky.listed("trigger").listeners, 1);
    assert!(waiting.runs());
    sky.skypipe(&["-w", "trigger"]).fed("").printed("");
    waiting.outcome().printed("");
}

/// A host with a log: `tail -f LOG | skypipe logs`.
struct Host<'e> {
    home: &'e Environment,
    log: String,
    tail: Process,
    skypipe: Process,
}

impl<'e> Host<'e> {
    fn start(home: &'e Environment, number: usize) -> Self {
        let log = format!("somefile_{number}");
        home.put(&log, format!("host {number} starts\n"));
        let mut command = Command::new("tail");
        command.args(["-f", &log]);
        let tail = home.run(command, "tail -f").held().start();
        let skypipe = home.skypipe(&["logs"]).stdin(tail.take_stdout()).start();
        Self {
            home,
            log,
            tail,
            skypipe,
        }
    }

    fn logs(&self, line: &str) {
        let mut log = OpenOptions::new()
            .append(true)
            .open(self.home.home().join(&self.log))
            .expect("the log is there");
        log.write_all(line.as_bytes()).expect("there is room");
    }

    fn ends(self) {
        self.tail.signal(Signal::TERM);
        self.skypipe.outcome().printed("");
    }
}

#[test]
fn rule_5_logs_are_aggregated_and_listened_in_to() {
    for (listener_first, home) in [(true, Environment::here()), (false, Environment::sky(&[]))] {
        let start_listener = || {
            let script = "skypipe logs > aggregate";
            let listener = home.shell(script).start();
            home.until_listeners("logs", 1);
            listener
        };
        let early = listener_first.then(start_listener);
        let hosts: Vec<_> = (1..=3).map(|number| Host::start(&home, number)).collect();
        home.until_listed("logs", "three writers", |line| line.writers == 3);
        let aggregation = early.unwrap_or_else(start_listener);
        home.until_taken("logs");

        let listening_in = home.skypipe(&["logs"]).start();
        home.until_listeners("logs", 2);
        for (number, host) in hosts.iter().enumerate() {
            host.logs(&format!("host {} goes on\n", number + 1));
        }
        for number in 1..=3 {
            listening_in.shows(&format!("host {number} goes on\n"));
        }

        let mut hosts = hosts.into_iter();
        hosts.next().expect("there are three").ends();
        let second = hosts.next().expect("there are three");
        second.logs("host 2 is still there\n");
        listening_in.shows("host 2 is still there\n");
        assert!(aggregation.runs() && listening_in.runs());
        second.ends();
        hosts.next().expect("there are three").ends();

        let heard = listening_in.outcome().success();
        assert_eq!(String::from_utf8_lossy(&heard).lines().count(), 4);
        aggregation.outcome().printed("");
        let aggregate = String::from_utf8(home.get("aggregate")).expect("it is text");
        let mut lines: Vec<_> = aggregate.lines().collect();
        lines.sort_unstable();
        let expected = [
            "host 1 goes on",
            "host 1 starts",
            "host 2 goes on",
            "host 2 is still there",
            "host 2 starts",
            "host 3 goes on",
            "host 3 starts",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn rule_4_all_who_listen_get_what_comes_live() {
    let sky = Environment::sky(&[]);
    let listeners: Vec<_> = (0..3).map(|_| sky.skypipe(&["logs"]).start()).collect();
    sky.until_listeners("logs", 3);
    let file = text(3_000_000);
    sky.skypipe(&["logs"]).fed(&file).printed("");
    for listener in listeners {
        listener.outcome().printed(&file);
    }
    wait::until("the pipe is gone", || sky.is_gone("logs"));
}
