//! Much at once: the sizes that the project promises to carry, with the satellite's memory watched.
//!
//! What goes through is made from a seed on one side and compared with the same on the other, so that
//! nothing large is held by the test.

mod common;

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use common::Environment;
use common::process::Process;
use common::wait;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// How long one of these tests may take on a busy machine with two cores.
const DEADLINE: Duration = Duration::from_secs(240);

/// What a satellite may need beside its budget, in bytes.
const BESIDE: u64 = 64 * MIB;

/// Bytes that look like nothing in particular, the same for the same seed (xorshift64).
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for bytes in block.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
        }
    }
}

/// Writes the noise of a seed and closes.
fn write_noise(mut to: ChildStdin, seed: u64, bytes: u64) {
    let (mut noise, mut block) = (Noise(seed), vec![0; 64 << 10]);
    for _ in 0..bytes / block.len() as u64 {
        noise.fill(&mut block);
        to.write_all(&block).expect("the writer reads");
    }
}

/// Reads to the end what must be the noise of a seed, no byte less and none more. Pauses once, for
/// so long, after the first block.
fn read_noise(mut from: ChildStdout, seed: u64, bytes: u64, pause: Duration) {
    let (mut noise, mut expected, mut got) = (Noise(seed), vec![0; 64 << 10], vec![0; 64 << 10]);
    for index in 0..bytes / got.len() as u64 {
        from.read_exact(&mut got).unwrap_or_else(|error| panic!("block {index}: {error}"));
        noise.fill(&mut expected);
        assert!(got == expected, "block {index} is another");
        if index == 0 && !pause.is_zero() {
            wait::while_passes(pause, "the reader only pauses", || true);
        }
    }
    assert_eq!(from.read(&mut got).expect("an end"), 0, "nothing follows");
}

/// A process's side of the noise, in a thread of its own.
fn send_noise(writer: &Process, seed: u64, bytes: u64) -> thread::JoinHandle<()> {
    let stdin = writer.take_stdin();
    thread::spawn(move || write_noise(stdin, seed, bytes))
}

#[test]
fn a_gibibyte_through_a_live_pipe_arrives_byte_for_byte_within_the_budget() {
    let sky = Environment::sky_within(&["--memory", "64MiB"], DEADLINE);
    let reader = sky.skypipe(&["-r", "live"]).held().patient(DEADLINE).start();
    sky.until_listeners("live", 1);
    let writer = sky.skypipe(&["-w", "live"]).piped().patient(DEADLINE).start();
    let sent = send_noise(&writer, 7, GIB);
    read_noise(reader.take_stdout(), 7, GIB, Duration::ZERO);
    sent.join().expect("all was written");
    writer.outcome().printed("");
    reader.outcome().success();
    assert!(sky.on_port().peak_memory() < 64 * MIB + BESIDE);
}

#[test]
fn a_gibibyte_that_waits_arrives_byte_for_byte_within_the_budget() {
    let sky = Environment::sky_within(&["--memory", "1100MiB"], DEADLINE);
    let writer = sky.skypipe(&["-w", "wait"]).piped().patient(DEADLINE).start();
    let sent = send_noise(&writer, 8, GIB);
    sent.join().expect("all was written");
    writer.outcome().printed("");
    assert_eq!(sky.listed("wait").bytes, GIB);
    let reader = sky.skypipe(&["-r", "wait"]).held().patient(DEADLINE).start();
    read_noise(reader.take_stdout(), 8, GIB, Duration::ZERO);
    reader.outcome().success();
    assert!(sky.on_port().peak_memory() < 1100 * MIB + BESIDE);
}

#[test]
fn a_reader_that_pauses_ten_seconds_gets_all_and_costs_no_more_than_the_budget() {
    let sky = Environment::sky_within(&["--memory", "64MiB"], DEADLINE);
    let reader = sky.skypipe(&["-r", "slow"]).held().patient(DEADLINE).start();
    sky.until_listeners("slow", 1);
    let writer = sky.skypipe(&["-w", "slow"]).piped().patient(DEADLINE).start();
    let sent = send_noise(&writer, 9, GIB / 2);
    read_noise(reader.take_stdout(), 9, GIB / 2, Duration::from_secs(10));
    sent.join().expect("all was written");
    writer.outcome().printed("");
    reader.outcome().success();
    assert!(sky.on_port().peak_memory() < 64 * MIB + BESIDE);
}

#[test]
fn fifty_writers_of_twenty_thousand_lines_are_merged_line_by_line() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let follower = sky.shell("skypipe --follow logs > aggregate").patient(DEADLINE).start();
    sky.until_listeners("logs", 1);
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let lines = format!("seq -f 'writer {writer} line %.0f' 20000 | skypipe logs");
            sky.shell(&lines).patient(DEADLINE).start()
        })
        .collect();
    for writer in writers {
        writer.outcome().printed("");
    }
    sky.skypipe(&["--eof", "logs"]).done().success();
    follower.outcome().success();
    let aggregate = String::from_utf8(sky.get("aggregate")).expect("text");
    let mut next = [1_u32; 50];
    for line in aggregate.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let ["writer", writer, "line", number] = words[..] else { panic!("a torn line: {line}") };
        let writer: usize = writer.parse().expect("a number");
        assert_eq!(number.parse(), Ok(next[writer]), "writer {writer}, in order");
        next[writer] += 1;
    }
    assert_eq!(next, [20_001; 50]);
}

#[test]
fn ten_listeners_all_get_a_large_stream() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let listen = || sky.skypipe(&["-r", "fan"]).held().patient(DEADLINE).start();
    let listeners: Vec<_> = (0..10).map(|_| listen()).collect();
    sky.until_listeners("fan", 10);
    let writer = sky.skypipe(&["-w", "fan"]).piped().patient(DEADLINE).start();
    let sent = send_noise(&writer, 10, 256 * MIB);
    let readers: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let stdout = listener.take_stdout();
            thread::spawn(move || read_noise(stdout, 10, 256 * MIB, Duration::ZERO))
        })
        .collect();
    for reader in readers {
        reader.join().expect("it got all");
    }
    sent.join().expect("all was written");
    writer.outcome().printed("");
    for listener in listeners {
        listener.outcome().success();
    }
    assert!(sky.on_port().peak_memory() < 64 * MIB + BESIDE);
}

/// Rule 16 gives a listener ten seconds; here it is two.
#[test]
fn a_listener_that_is_killed_half_way_holds_the_others_up_for_its_time_and_no_longer() {
    const LOST: Duration = Duration::from_secs(2);
    let sky = Environment::sky_within(&["--lost-listener", "2s"], DEADLINE);
    let victim = sky.skypipe(&["-r", "fan"]).held().start();
    let listener = sky.skypipe(&["-r", "fan"]).held().patient(DEADLINE).start();
    sky.until_listeners("fan", 2);
    let writer = sky.skypipe(&["-w", "fan"]).piped().patient(DEADLINE).start();
    let sent = send_noise(&writer, 11, 256 * MIB);
    // It has got something and takes no more, so that it would hold up the other.
    let mut some = vec![0; 1 << 20];
    victim.take_stdout().read_exact(&mut some).expect("it gets its part");
    victim.signal(Signal::KILL);
    let killed = Instant::now();
    read_noise(listener.take_stdout(), 11, 256 * MIB, Duration::ZERO);
    // What it takes to move the rest is little beside the time; a busy machine gets three times it.
    assert!(killed.elapsed() < 4 * LOST, "{:?}", killed.elapsed());
    sent.join().expect("all was written");
    writer.outcome().printed("");
    listener.outcome().success();
}
