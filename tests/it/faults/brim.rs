//! Full disks and full pipes: writers wait, nothing fails, and everything can be read out (rule 12).

use std::fs::File;
use std::time::Duration;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::satellite::Satellite;
use crate::common::wait;
use crate::faults::hosts::{Host, are_possible};
use crate::faults::ledger::{self, End, Listener, Mode, Writer, Writers};
use crate::faults::lines::content;

const DEADLINE: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(60);

/// The size of the disk that is filled.
const DISK_MIB: u64 = 64;

/// The number of writers. Together they write twice as much as the disk holds.
const WRITERS: usize = 8;
const SIZE: usize = 16 << 20;

/// A satellite on a disk of its own.
struct Brim {
    sky: Environment,
    host: Host,
    flags: Vec<String>,
}

impl Brim {
    fn new(flags: &[&str]) -> Option<Self> {
        let sky = Environment::here_within(DEADLINE);
        if !are_possible(&sky) {
            return None;
        }
        let host = Host::with_disks(&sky);
        let path = sky.home().join("data");
        host.mount(&sky, &path, DISK_MIB);
        let data = path.to_str().expect("it is plain");
        let flags = [&["--data", data], flags].concat();
        let flags = flags.into_iter().map(str::to_owned).collect();
        let mut brim = Self { sky, host, flags };
        let satellite = brim.start("127.0.0.1:0");
        brim.sky.lead(satellite);
        Some(brim)
    }

    fn start(&mut self, address: &str) -> Satellite {
        self.sky.enter(self.host.entrance());
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let satellite = self.sky.satellite_at(address, &flags);
        self.sky.enter(Vec::new());
        satellite
    }

    /// Kills the satellite and restarts it at the same endpoint.
    fn restart(&mut self) {
        let satellite = self.sky.take_sky();
        let address = satellite.endpoint().trim_start_matches("tcp://").to_owned();
        satellite.kill();
        let satellite = self.start(&address);
        self.sky.lead(satellite);
    }
}

/// Starts the writers to the pipe `x`, in order.
fn write_much(sky: &Environment) -> Vec<Process> {
    let start = |number: usize| {
        let name = format!("in-{number}");
        sky.put(&name, content(number, SIZE));
        let file = File::open(sky.home().join(name)).expect("it is there");
        let writer = sky
            .skypipe(&["-w", "x"])
            .stdin(file)
            .patient(PATIENCE)
            .start();
        sky.until_listed("x", "its stream is open", |pipe| {
            pipe.waiting > number as u64 || pipe.full
        });
        writer
    };
    (0..WRITERS).map(start).collect()
}

/// Waits until the pipe is full and no longer changes.
fn until_full(sky: &Environment) {
    let mut last = 0;
    sky.until_listed("x", "it is full", |pipe| pipe.full);
    wait::until("it is full to the brim", || {
        let now = sky.listed("x").bytes;
        let before = std::mem::replace(&mut last, now);
        let calm = Duration::from_millis(700);
        now == before && !wait::holds_within(calm, || sky.listed("x").bytes != now)
    });
}

/// Reads everything, and checks that it is what was written.
fn drain(sky: &Environment, mode: Mode, writers: Vec<Process>) {
    let flag = if mode == Mode::One { "--one" } else { "-r" };
    let mut listeners: Vec<Listener> = Vec::new();
    let mut clock = 0;
    while writers.iter().any(Process::runs) || sky.listed("x").waiting > 0 {
        assert!(listeners.len() <= 2 * WRITERS, "it does not become empty");
        clock += 2;
        let path = sky.home().join(format!("out-{clock}"));
        let file = File::create(&path).expect("there is room");
        let outcome = sky
            .skypipe(&[flag, "x"])
            .stdout(file)
            .patient(PATIENCE)
            .done();
        assert_eq!(outcome.code, Some(0), "{outcome}");
        listeners.push(Listener {
            mode,
            printed: std::fs::read(path).expect("it is there"),
            end: End::Exited(0, outcome.stderr),
            started: clock,
            ended: clock + 1,
        });
        // A writer that has its answer ends a moment later.
        wait::until("more waits, or all are gone", || {
            !writers.iter().any(Process::runs) || sky.listed("x").waiting > 0
        });
    }
    let mut given = Writers::new();
    for (number, writer) in writers.into_iter().enumerate() {
        let outcome = writer.outcome().whatever_it_waited_for();
        let end = End::Exited(outcome.code.unwrap_or(-1), outcome.stderr);
        let content = content(number, SIZE);
        given.insert(number, Writer { content, end });
    }
    let summary = ledger::check(&given, &listeners).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(summary.kept, WRITERS);
    assert!(sky.is_gone("x"));
}

/// Fills the disk, and drains it.
fn to_the_brim(flags: &[&str], mode: Mode, is_killed: bool) {
    let Some(mut brim) = Brim::new(flags) else {
        return;
    };
    let writers = write_much(&brim.sky);
    until_full(&brim.sky);
    if is_killed {
        brim.restart();
        until_full(&brim.sky);
    }
    assert!(writers.iter().any(Process::runs), "nobody waits");
    drain(&brim.sky, mode, writers);
    brim.sky.skypipe(&["-w", "y"]).fed("after\n").printed("");
    brim.restart();
    brim.sky.skypipe(&["y"]).done().printed("after\n");
}

/// A budget above the disk's size, so that the disk itself fills up first.
const TOO_MUCH: [&str; 2] = ["--disk", "1GiB"];

#[test]
fn rule_12_a_full_disk_makes_writers_wait_and_can_be_drained() {
    to_the_brim(&TOO_MUCH, Mode::Default, false);
}

#[test]
fn rule_12_a_full_disk_can_be_drained_stream_by_stream() {
    to_the_brim(&TOO_MUCH, Mode::One, false);
}

#[test]
fn rule_12_a_satellite_that_was_killed_with_a_full_disk_can_be_drained() {
    to_the_brim(&TOO_MUCH, Mode::Default, true);
}

#[test]
fn rule_12_what_may_be_used_of_a_disk_can_be_used_up_and_drained() {
    to_the_brim(&[], Mode::Default, true);
    to_the_brim(&["--disk", "24MiB"], Mode::One, true);
}

#[test]
fn rule_12_check_says_why_writers_wait() {
    let Some(brim) = Brim::new(&TOO_MUCH) else {
        return;
    };
    let _writers = write_much(&brim.sky);
    until_full(&brim.sky);
    let check = brim.sky.skypipe(&["--check"]).done().success();
    let check = String::from_utf8(check).expect("it is text");
    assert!(
        check.contains("\nwaits ") && check.contains("no space is left"),
        "{check}"
    );
}

#[test]
fn rule_12_a_disk_that_others_filled_is_used_again_when_they_have_left() {
    let Some(brim) = Brim::new(&[]) else {
        return;
    };
    let sky = &brim.sky;
    let data = sky.home().join("data").display().to_string();
    let does = |script: &str| brim.host.does(sky, &format!("cd {data}; {script}"));
    does("fallocate -l 54M others");
    let stream = content(1, 4 << 20);
    sky.put("file", &stream);
    let file = File::open(sky.home().join("file")).expect("it is there");
    let writer = sky.skypipe(&["-w", "x"]).stdin(file).start();
    writer.complains("\"x\" is paused until there is room: the satellite's disk is full\n");
    // The satellite has stopped while the reserve for urgent records is intact.
    does("test -s reserve");
    // A finish needs no room.
    sky.skypipe(&["-w", "other"]).fed("").printed("");
    assert!(writer.runs());
    does("rm others");
    let outcome = writer.outcome();
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(
        outcome.stderr.ends_with("\"x\" has room again: resuming\n"),
        "{outcome}"
    );
    sky.skypipe(&["x"]).done().printed(&stream);
}

const LIMITED: [&str; 4] = ["--data", "data", "--pipe-limit", "4MiB"];

#[test]
fn rule_12_a_pipe_at_its_limit_makes_its_writers_wait_and_nobody_else() {
    for mode in [Mode::Default, Mode::One] {
        let sky = Environment::sky_within(&LIMITED, DEADLINE);
        let writers = write_much(&sky);
        until_full(&sky);
        assert!(sky.listed("x").bytes <= 5 << 20, "{:?}", sky.listed("x"));
        sky.skypipe(&["-w", "y"]).fed("for another\n").printed("");
        sky.skypipe(&["y"]).done().printed("for another\n");
        drain(&sky, mode, writers);
    }
}

#[test]
fn rule_12_a_pipe_at_its_limit_is_drained_past_a_writer_that_says_nothing() {
    for mode in ["-r", "--one", "--follow"] {
        let mut sky = Environment::sky_within(&LIMITED, DEADLINE);
        let idle = sky.skypipe(&["-w", "x"]).piped().start();
        idle.say("idle\n");
        sky.until_listed("x", "it has begun", |pipe| pipe.bytes == 5);
        let stream = content(1, SIZE);
        sky.put("file", &stream);
        let file = File::open(sky.home().join("file")).expect("it is there");
        let writer = sky
            .skypipe(&["-w", "x"])
            .stdin(file)
            .patient(PATIENCE)
            .start();
        until_full(&sky);
        sky.kill_and_restart_sky(&LIMITED);
        let first = sky.skypipe(&[mode, "x"]).patient(PATIENCE).start();
        first.shows("idle\n");
        let second = (mode == "--one").then(|| {
            let second = sky.skypipe(&["--one", "x"]).patient(PATIENCE);
            second.done().printed(&stream);
        });
        writer.outcome().whatever_it_waited_for().printed("");
        idle.say("and ends\n");
        idle.close_stdin();
        idle.outcome().printed("");
        if mode == "--follow" {
            sky.until_taken("x");
            sky.skypipe(&["--eof", "x"]).done().printed("");
        }
        let got = first.outcome().whatever_ended_it().success();
        if second.is_some() {
            assert_eq!(got, b"idle\nand ends\n");
        } else {
            assert!(got.starts_with(b"idle\n") && got.ends_with(b"and ends\n"));
            assert!(got[5..got.len() - 9] == stream);
        }
        assert!(sky.is_gone("x"));
    }
}

#[test]
fn rule_12_what_does_not_fit_into_memory_goes_to_disk() {
    let flags = ["--data", "data", "--memory", "4MiB"];
    let sky = Environment::sky_within(&flags, DEADLINE);
    let stream = content(1, 200 << 20);
    sky.put("file", &stream);
    let slow = sky.skypipe(&["-r", "x"]).held().patient(PATIENCE).start();
    sky.until_listeners("x", 1);
    let file = File::open(sky.home().join("file")).expect("it is there");
    let writer = sky
        .skypipe(&["-w", "x"])
        .stdin(file)
        .patient(PATIENCE)
        .start();
    // Nobody has read anything.
    writer.outcome().whatever_it_waited_for().printed("");
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut slow.take_stdout(), &mut got).expect("it is a pipe");
    assert!(got == stream, "{} bytes of {}", got.len(), stream.len());
    slow.outcome().printed("");
    let peak = sky.on_port().peak_memory() >> 20;
    assert!(peak < 4 + 64, "the satellite needed {peak} MiB");
}
