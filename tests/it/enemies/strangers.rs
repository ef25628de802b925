//! Thousands of connections that send garbage, half a greeting or nothing at all. The members do not
//! notice, and no resources stay in use.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::satellite::Satellite;
use crate::common::wait;
use crate::enemies::arena::Arena;

const DEADLINE: Duration = Duration::from_secs(120);

/// The number of strangers, if the system allows so many descriptors.
const STRANGERS: u64 = 5000;

/// The descriptors that this test program needs for itself.
const OWN: u64 = 500;

/// The bytes transferred meanwhile: one half while strangers arrive, the other while they stay.
const MUCH: usize = 100_000_000;

/// The most memory of a stranger, in bytes: libzmq's buffers for both greetings, and its connection state.
/// (5 KiB were observed. When strangers have left, some of it is free and still belongs to the process: the
/// allocator keeps it for the next ones.)
const EACH: u64 = 16 << 10;

/// What a stranger that has left may leave behind, in bytes: less than any object that libzmq could forget
/// to free. It is memory that the allocator cannot reuse at once.
const LEAK: u64 = 1 << 10;

/// How often strangers come again before the memory is checked.
const ROUNDS: u32 = 3;

/// How long strangers may stay: the handshake timeout is 5 s, counted from when each was accepted.
const LEAVING: Duration = Duration::from_secs(15);

/// A satellite with keys and this limit of descriptors.
fn arena(limit: &str) -> Arena {
    let environment = Environment::here_within(DEADLINE);
    let script = format!("{limit} && exec skypipe --satellite 127.0.0.1:0 --data data --private");
    let satellite = Satellite::listening(environment.shell(&script).start());
    Arena::of(environment, satellite)
}

/// Raises this process's limit of open files. Returns how many strangers it can play.
fn strangers_possible() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit is allowed");
    let possible = maximum.map_or(STRANGERS, |maximum| maximum.saturating_sub(OWN));
    let count = possible.min(STRANGERS);
    println!("{count} strangers");
    count
}

/// The satellite's limit of open descriptors.
fn limit(arena: &Arena) -> u64 {
    let path = format!("/proc/{}/limits", arena.process().pid());
    let limits = fs::read_to_string(path).expect("the process runs");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.expect("Linux tells").split_whitespace().next();
    let soft = soft.and_then(|limit| limit.parse().ok());
    soft.expect("there is a number")
}

/// A connection that sends nothing, a part of a greeting, or nonsense, depending on `number`.
fn stranger(address: SocketAddr, number: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the satellite listens");
    // A TLS record of the greatest length that a first one may have.
    let mut greeting = [0; 64];
    greeting[..6].copy_from_slice(&[0x16, 3, 1, 0x40, 0, 1]);
    let mut nonsense = [0; 200];
    getrandom::fill(&mut nonsense).expect("the system gives randomness");
    let said: &[u8] = match number % 6 {
        0 | 1 => &[],
        2 => &greeting[..11],
        3 => &greeting,
        _ => &nonsense,
    };
    // The satellite may have closed the connection already, which is fine.
    let _ = stream.write_all(said);
    stream
}

fn strangers(arena: &Arena, count: u64) -> Vec<TcpStream> {
    let address = arena.satellite().endpoint().trim_start_matches("tcp://");
    let address = address.parse().expect("it is an endpoint on loopback");
    (0..count).map(|number| stranger(address, number)).collect()
}

/// A stream in transit through the satellite. Its second half is held back.
struct Transfer {
    text: Vec<u8>,
    listener: Process,
    writer: Process,
    go_on: Sender<()>,
    feeder: JoinHandle<()>,
    file: String,
}

impl Transfer {
    fn begin(arena: &Arena, pipe: &str) -> Self {
        let numbers = (0..MUCH as u64 / 8).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        let file = format!("{pipe}.received");
        let stdout = File::create(arena.environment.home().join(&file));
        let listener = arena
            .skypipe(&["-r", pipe])
            .stdout(stdout.expect("there is room for a file"))
            .patient(DEADLINE)
            .start();
        arena.environment.until_listeners(pipe, 1);
        let writer = arena.skypipe(&["-w", pipe]).patient(DEADLINE);
        let writer = writer.piped().start();
        let (go_on, told) = channel();
        let (stdin, bytes) = (writer.take_stdin(), text.clone());
        let feeder = thread::spawn(move || feed(stdin, &bytes, &told));
        Self {
            text,
            listener,
            writer,
            go_on,
            feeder,
            file,
        }
    }

    /// Waits until this many bytes have come out.
    fn until(&self, arena: &Arena, length: usize) {
        let path = arena.environment.home().join(&self.file);
        wait::until("it goes on", || {
            let found = fs::metadata(&path).map_or(0, |found| found.len());
            found >= length as u64
        });
    }

    /// Releases the second half, and waits until everything has come out. Returns how long that took.
    fn end(self, arena: &Arena) -> Duration {
        let start = Instant::now();
        self.go_on.send(()).expect("the feeder waits");
        self.feeder.join().expect("the writer reads");
        self.writer.outcome().printed("");
        self.listener.outcome().printed("");
        let took = start.elapsed();
        assert!(
            arena.environment.get(&self.file) == self.text,
            "other bytes"
        );
        took
    }
}

fn feed(mut stdin: impl Write, bytes: &[u8], told: &Receiver<()>) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    stdin.write_all(first).expect("the writer reads");
    told.recv().expect("it is told to go on");
    stdin.write_all(second).expect("the writer reads");
}

/// Waits until no more descriptors are open than before the strangers came.
#[track_caller]
fn all_leave(arena: &Arena, files: usize) {
    let mut open = 0;
    let gone = wait::holds_within(LEAVING, || {
        open = arena.satellite().open_files();
        open <= files
    });
    assert!(gone, "{open} are open, and {files} were");
}

#[test]
fn thousands_of_strangers_disturb_nobody_and_leave_nothing_behind() {
    let arena = arena("ulimit -Sn 1024");
    let limit = limit(&arena);
    assert!(limit > 1024, "the satellite has raised its limit: {limit}");
    let count = strangers_possible();
    let transfer = Transfer::begin(&arena, "p");
    transfer.until(&arena, MUCH / 2);
    let memory = || arena.satellite().memory();
    let (before, files) = (memory(), arena.satellite().open_files());

    let there = strangers(&arena, count);
    let mut open = 0;
    wait::until("a good part of them has been taken in", || {
        open = arena.satellite().open_files().saturating_sub(files);
        open as u64 > count / 4
    });
    let most = memory();
    let took = transfer.end(&arena);
    println!("{open} of {count} there at once; half a transfer took {took:?}");
    println!("memory: {before} bytes before, {most} with them");
    assert!(
        most < before + count * EACH,
        "{before} bytes before, now {most}"
    );
    // Strangers that send nothing wrong are closed at their timeout.
    all_leave(&arena, files);
    drop(there);

    // The allocator reuses the memory that it keeps, so the amount stays the same however many come.
    let mut kept = memory();
    let mut more = 0;
    for _ in 0..ROUNDS {
        drop(strangers(&arena, count));
        all_leave(&arena, files);
        more = memory().saturating_sub(kept);
        kept += more;
    }
    println!("memory: {kept} bytes in the end, {more} of them since the last round");
    assert!(
        kept < before + count * EACH,
        "{before} bytes before, now {kept}"
    );
    assert!(more < count * LEAK, "{more} bytes more with each round");
}

#[test]
fn where_descriptors_run_out_who_is_there_stays_and_others_come_later() {
    let arena = arena("ulimit -n 256");
    let transfer = Transfer::begin(&arena, "p");
    transfer.until(&arena, MUCH / 2);
    // This stream fills a segment of the satellite's log, so that a new segment, and a descriptor, is
    // needed.
    let writer = arena.skypipe(&["-w", "kept"]).patient(DEADLINE);
    let writer = writer.piped().start();
    writer.say("begun\n");
    arena.environment.until_waiting("kept", 1);
    let files = arena.satellite().open_files();
    let there = strangers(&arena, 400);
    wait::until("descriptors have run out", || {
        arena.satellite().open_files() == 256
    });
    let took = transfer.end(&arena);
    println!("half a transfer took {took:?}");
    let rest = vec![b'x'; MUCH];
    writer.say(&rest);
    writer.close_stdin();
    drop(there);
    writer.outcome().whatever_it_waited_for().printed("");
    all_leave(&arena, files);
    arena.skypipe(&["-w", "later"]).fed("hello\n").printed("");
    arena.skypipe(&["-r", "later"]).done().printed("hello\n");
    let kept = arena.skypipe(&["-r", "kept"]).done().success();
    assert!(kept.starts_with(b"begun\n") && kept[6..] == rest);
}
