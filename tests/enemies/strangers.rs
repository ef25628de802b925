//! Thousands of connections that send garbage, half a greeting or nothing at all. The members do not
//! notice, and no resources stay in use.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arena::Arena;
use crate::common::Environment;
use crate::common::process::Process;
use crate::common::satellite::Satellite;
use crate::common::wait;

const DEADLINE: Duration = Duration::from_secs(120);

/// How many come, where the system allows so many descriptors.
const STRANGERS: u64 = 5000;

/// Descriptors that the tests of this program need beside.
const OWN: u64 = 500;

/// What is carried meanwhile, in bytes: half of it while strangers come, half while they are there.
const MUCH: usize = 100_000_000;

/// What a stranger costs at most, in bytes: the buffers in which libzmq reads a greeting and writes its
/// own, and what it knows of a connection. (5 KiB were seen. Once they have gone, some of it is free
/// but still the process's: the allocator keeps it for those who come next.)
const EACH: u64 = 16 << 10;

/// What a stranger that has gone may leave behind, in bytes: less than anything that libzmq would
/// forget to free. It is what the allocator cannot fill again at once.
const LEAK: u64 = 1 << 10;

/// How often they come again before that is looked at.
const ROUNDS: u32 = 3;

/// How long strangers may stay: the time for handshakes is 5 s, from when each was taken in.
const LEAVING: Duration = Duration::from_secs(15);

/// A private satellite whose limit of descriptors is set so before it starts.
fn arena(limit: &str) -> Arena {
    let environment = Environment::here_within(DEADLINE);
    let script = format!("{limit} && exec skypipe --satellite 127.0.0.1:0 --data data --private");
    let satellite = Satellite::listening(environment.shell(&script).start());
    Arena::of(environment, satellite)
}

/// Lets this process open as many files as it may; returns how many strangers it can be.
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

/// How many descriptors the satellite may have open.
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

/// One after the other says nothing, some of a greeting, or nonsense.
fn stranger(address: SocketAddr, number: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the satellite listens");
    // A record of TLS that is as long as a first one may be.
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
    // Whoever has been turned away meanwhile has said it all the same.
    let _ = stream.write_all(said);
    stream
}

fn strangers(arena: &Arena, count: u64) -> Vec<TcpStream> {
    let address = arena.satellite().endpoint().trim_start_matches("tcp://");
    let address = address.parse().expect("it is an endpoint on loopback");
    (0..count).map(|number| stranger(address, number)).collect()
}

/// A stream on its way through the satellite, of which the second half is held back until told.
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

    /// Waits until so much has come out.
    fn until(&self, arena: &Arena, length: usize) {
        let path = arena.environment.home().join(&self.file);
        wait::until("it goes on", || {
            let found = fs::metadata(&path).map_or(0, |found| found.len());
            found >= length as u64
        });
    }

    /// Lets the second half go, and waits until all has come out. Returns how long that took.
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

/// Waits until no more is open than before strangers came.
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
    // Those that say nothing wrong are turned away when their time is over.
    all_leave(&arena, files);
    drop(there);

    // What the allocator keeps is used again: it is the same, however many come.
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
    // What it writes fills a file of the satellite's log, which needs the next one.
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
