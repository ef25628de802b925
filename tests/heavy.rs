//! Large amounts, many at once, and what they cost a satellite in memory (rules 4, 8, 12, 13, 16).
//!
//! Nothing large is held here: random bytes are made anew from their seed to be compared.

mod common;

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ChildStdin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use common::Environment;
use common::process::Process;
use common::wait;

const MIB: u64 = 1 << 20;

/// How long one of these tests may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// What a satellite may use beside its budget.
const BESIDE: u64 = 64 * MIB;

/// The budget that a satellite has unless told otherwise.
const BUDGET: u64 = 64 * MIB;

/// Bytes without a pattern, the same ones for the same seed.
struct Random(u64);

impl Random {
    /// Sebastiano Vigna's `SplitMix64`, which is fast and passes the usual tests.
    fn fill(&mut self, block: &mut [u8]) {
        for bytes in block.chunks_exact_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
    }
}

/// A block of which all random streams here are multiples.
fn block() -> Vec<u8> {
    vec![0; 1 << 20]
}

/// Writes so many random bytes to `stdin` in a thread of its own, then closes it.
fn pour(mut stdin: ChildStdin, seed: u64, length: u64) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        let (mut random, mut block) = (Random(seed), block());
        for _ in 0..length / MIB {
            random.fill(&mut block);
            stdin.write_all(&block)?;
        }
        Ok(())
    })
}

/// The reader's side of [`pour`].
struct Comparison<R> {
    source: R,
    random: Random,
    got: Vec<u8>,
    expected: Vec<u8>,
    position: u64,
    /// When the last block was whole, and the longest time that another one took.
    last: Option<Instant>,
    longest: Duration,
}

impl<R: Read> Comparison<R> {
    fn new(source: R, seed: u64) -> Self {
        Self {
            source,
            random: Random(seed),
            got: block(),
            expected: block(),
            position: 0,
            last: None,
            longest: Duration::ZERO,
        }
    }

    /// Reads on up to this position.
    fn up_to(&mut self, position: u64) {
        while self.position < position {
            let read = self.source.read_exact(&mut self.got);
            read.unwrap_or_else(|error| panic!("after {} bytes: {error}", self.position));
            self.random.fill(&mut self.expected);
            assert!(
                self.got == self.expected,
                "another byte after {}",
                self.position
            );
            self.position += MIB;
            let now = Instant::now();
            let took = self.last.replace(now).map(|last| now - last);
            self.longest = self.longest.max(took.unwrap_or_default());
        }
    }

    /// Reads to the end, which is to come at this position.
    fn whole(&mut self, length: u64) {
        self.up_to(length);
        let more = self.source.read(&mut self.got).expect("it is a pipe");
        assert_eq!(more, 0, "more bytes than were written");
    }
}

#[track_caller]
fn assert_memory(sky: &Environment, budget: u64) {
    let peak = sky.on_port().peak_memory();
    let (mib, budget_mib) = (peak / MIB, budget / MIB);
    println!("the satellite needed {mib} MiB with a budget of {budget_mib} MiB");
    assert!(peak < budget + BESIDE, "it needed {mib} MiB");
}

#[test]
fn rule_12_a_gibibyte_arrives_live_though_its_reader_pauses_for_ten_seconds() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let length = 1024 * MIB;
    let listener = sky.skypipe(&["x"]).held().start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    let poured = pour(writer.take_stdin(), 1, length);
    let mut comparison = Comparison::new(listener.take_stdout(), 1);
    comparison.up_to(length / 2);
    let both = || listener.runs() && writer.runs();
    wait::while_passes(Duration::from_secs(10), "all wait for the reader", both);
    assert!(sky.listed("x").full);
    comparison.whole(length);
    poured.join().expect("no panic").expect("all is read");
    writer.outcome().printed("");
    listener.outcome().printed("");
    assert_memory(&sky, BUDGET);
}

#[test]
fn rule_11_a_gibibyte_waits_for_its_reader() {
    let sky = Environment::sky_within(&["--memory", "1100MiB"], DEADLINE);
    let length = 1024 * MIB;
    let writer = sky.skypipe(&["x"]).piped().patient(DEADLINE).start();
    let poured = pour(writer.take_stdin(), 2, length);
    writer.outcome().printed("");
    poured.join().expect("no panic").expect("all is read");
    assert_eq!(
        (sky.listed("x").waiting, sky.listed("x").bytes),
        (1, length)
    );
    let listener = sky.skypipe(&["x"]).held().start();
    Comparison::new(listener.take_stdout(), 2).whole(length);
    listener.outcome().printed("");
    assert_eq!(sky.listed("x").waiting, 0);
    assert_memory(&sky, 1100 * MIB);
}

const WRITERS: usize = 50;
const LINES: usize = 20_000;

/// A line of about a hundred bytes that says whose it is.
fn line(writer: usize, number: usize) -> String {
    format!(
        "{writer} {number} {:.<1$}\n",
        "",
        60 + (writer + number) % 60
    )
}

/// Writes all lines of a writer to its stdin, in pieces that end anywhere but at line ends.
fn tell(writer: usize, stdin: ChildStdin) -> io::Result<()> {
    let mut stdin = BufWriter::with_capacity(10_007, stdin);
    for number in 0..LINES {
        stdin.write_all(line(writer, number).as_bytes())?;
    }
    stdin.flush()
}

/// Reads lines to the end, and returns how many came of each writer, in their order and whole.
fn count(source: impl Read) -> Vec<usize> {
    let mut next = vec![0; WRITERS];
    for got in BufReader::with_capacity(1 << 20, source).lines() {
        let got = got.expect("it is text") + "\n";
        let writer: usize = got
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .expect(&got);
        assert_eq!(got, line(writer, next[writer]));
        next[writer] += 1;
    }
    next
}

#[test]
fn rule_13_a_million_lines_of_fifty_writers_arrive_whole() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let follow = sky
        .skypipe(&["--follow", "logs"])
        .held()
        .patient(DEADLINE)
        .start();
    sky.until_listeners("logs", 1);
    let stdout = follow.take_stdout();
    let counted = thread::spawn(|| count(stdout));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let process = sky.skypipe(&["logs"]).piped().patient(DEADLINE).start();
            let stdin = process.take_stdin();
            (process, thread::spawn(move || tell(writer, stdin)))
        })
        .collect();
    for (writer, told) in writers {
        told.join().expect("no panic").expect("all is read");
        writer.outcome().printed("");
    }
    sky.skypipe(&["--eof", "logs"]).done().printed("");
    follow.outcome().printed("");
    assert_eq!(
        counted.join().expect("lines are whole"),
        vec![LINES; WRITERS]
    );
    assert_memory(&sky, BUDGET);
}

#[test]
fn rule_4_ten_listeners_get_it_all_and_a_dead_one_holds_them_up_no_longer_than_it_is_lost() {
    let lost = Duration::from_secs(3);
    let sky = Environment::sky_within(&["--lost-listener", "3s"], DEADLINE);
    let length = 256 * MIB;
    let start = || sky.skypipe(&["x"]).held().patient(DEADLINE).start();
    let (listeners, dead): (Vec<Process>, _) = ((0..10).map(|_| start()).collect(), start());
    sky.until_listeners("x", 11);
    let readers: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let mut comparison = Comparison::new(listener.take_stdout(), 3);
            thread::spawn(move || {
                comparison.whole(length);
                comparison.longest
            })
        })
        .collect();
    let writer = sky.skypipe(&["x"]).piped().patient(DEADLINE).start();
    let poured = pour(writer.take_stdin(), 3, length);
    let mut halves = Comparison::new(dead.take_stdout(), 3);
    halves.up_to(length / 2);
    dead.signal(Signal::KILL);
    for reader in readers {
        let longest = reader.join().expect("all is there");
        println!("a listener was held up for {longest:?}");
        assert!(longest < lost + Duration::from_secs(2), "{longest:?}");
    }
    poured.join().expect("no panic").expect("all is read");
    writer.outcome().printed("");
    for listener in listeners {
        listener.outcome().printed("");
    }
    sky.until_listeners("x", 0);
    assert_memory(&sky, BUDGET);
}
