//! A satellite that is none, and clients that believe it. It says what makes sense to begin with, so that they
//! come far, and changes some of it. Each connection is a round: a client whose connection broke comes again
//! by itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use skypipe_broker::protocol::{
    Code, How, Limits, MAGIC, MAX_CHUNK, Outcome as Fate, PipeInfo, REVISION, Reply, Request,
    Status, decode, encode,
};
use uuid::Uuid;

use super::change::change;
use super::words::{COMMAND, LONG, MORE, Version, command, frame, greeting, handshake, message};
use super::{AT_CLIENTS, rounds};
use crate::common::Environment;
use crate::common::chance::Chance;
use crate::common::wait::{PATIENCE, holds_within};

/// How many clients there are at a time.
const CLIENTS: usize = 8;

/// How long a client is left to itself before it is asked to end.
const LEFT: Duration = Duration::from_secs(3);

/// How long a connection may be quiet before it is broken off.
const QUIET: Duration = Duration::from_millis(200);

/// The most that a client may have had in memory, in bytes.
const MEMORY: u64 = 96 << 20;

/// How long the test may take at least, and for each round.
const BASE: Duration = Duration::from_secs(120);
const PER_ROUND: Duration = Duration::from_millis(500);

/// What users may do, and what is fed to it.
const COMMANDS: [(&[&str], &str); 8] = [
    (&["-w", "p"], "some lines\nof text\n"),
    (&["-r", "p"], ""),
    (&["--list"], ""),
    (&["-r", "p"], ""),
    (&["--check"], ""),
    (&["-w", "p"], ""),
    (&["--eof", "p"], ""),
    (&["--discard", "p"], ""),
];

/// Those that the documentation has, and that of a SIGTERM.
const EXIT_CODES: [i32; 5] = [0, 1, 3, 4, 143];

#[test]
fn whatever_a_satellite_says_clients_end_as_documented_or_try_again() {
    let (seed, rounds) = rounds(AT_CLIENTS);
    let start = Instant::now();
    let patience = BASE + PER_ROUND * u32::try_from(rounds).expect("nobody is so patient");
    let mut environment = Environment::here_within(patience);
    let impostor = Impostor::new(seed, rounds);
    environment.leads_to(&impostor.endpoint());
    let (commands, most) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| impostor.serve());
        for first in 0..CLIENTS {
            let (environment, impostor, commands, most) =
                (&environment, &impostor, &commands, &most);
            scope.spawn(move || {
                for place in first.. {
                    if impostor.is_done() {
                        break;
                    }
                    let peak = use_once(environment, COMMANDS[place % COMMANDS.len()]);
                    most.fetch_max(peak, Ordering::Relaxed);
                    commands.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (took, commands) = (start.elapsed(), commands.into_inner());
    let most = most.into_inner();
    println!("{rounds} rounds in {took:?}, with {commands} commands; at most {most} bytes");
}

/// Each takes thirty times its two bytes in a queue.
#[test]
fn empty_messages_without_end_fill_no_client() {
    let mut environment = Environment::here();
    let impostor = Impostor::new(0, 1);
    environment.leads_to(&impostor.endpoint());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::of(impostor.accept());
            let handshake = handshake(&mut Chance::new(0), Version::V31, b"ROUTER");
            client.say(&[greeting(Version::V31), handshake].concat());
            assert!(client.take(64).is_some() && client.message().is_some());
            let empty = vec![0; 1 << 16];
            while client.say(&empty) {}
        });
        use_once(&environment, (&["-r", "p"], ""));
    });
}

/// Runs a client until it ends by itself or has had its time; how much memory it had at most.
fn use_once(environment: &Environment, (arguments, stdin): (&[&str], &str)) -> u64 {
    let client = environment.skypipe(arguments).piped().start();
    // It may have ended already.
    let _ = client.take_stdin().write_all(stdin.as_bytes());
    let mut peak = 0;
    let has_ended = holds_within(LEFT, || {
        peak = peak.max(most_memory(client.pid()));
        !client.runs()
    });
    if !has_ended {
        client.signal(Signal::TERM);
    }
    let outcome = client.outcome();
    let code = outcome.code.expect("it has one");
    assert!(EXIT_CODES.contains(&code), "{outcome}");
    assert!(peak < MEMORY, "it had {peak} bytes in memory: {outcome}");
    peak
}

/// The most memory that a process has had, in bytes; of one that has ended there is nothing to be known.
fn most_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: Option<u64> = line.and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0) << 10
}

struct Impostor {
    listener: TcpListener,
    seed: u64,
    rounds: u64,
    begun: AtomicU64,
}

impl Impostor {
    fn new(seed: u64, rounds: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let begun = AtomicU64::new(0);
        Self {
            listener,
            seed,
            rounds,
            begun,
        }
    }

    fn endpoint(&self) -> String {
        let address = self.listener.local_addr().expect("it is bound");
        format!("tcp://{address}")
    }

    fn is_done(&self) -> bool {
        self.begun.load(Ordering::Relaxed) >= self.rounds
    }

    /// The next client's connection.
    fn accept(&self) -> TcpStream {
        let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
        let patience = PATIENCE.try_into().expect("it is short");
        let count = rustix::event::poll(&mut ready, Some(&patience));
        assert_eq!(count, Ok(1), "clients come");
        self.listener.accept().expect("one is there").0
    }

    fn serve(&self) {
        thread::scope(|scope| {
            for round in 0..self.rounds {
                let stream = self.accept();
                self.begun.fetch_add(1, Ordering::Relaxed);
                scope.spawn(move || talk(stream, &mut Chance::of(self.seed, round)));
            }
        });
    }
}

/// Says what this chance has, until that is all or nothing comes any more.
fn talk(stream: TcpStream, chance: &mut Chance) {
    let mut client = Client::of(stream);
    let mut greeting = greeting(Version::V31);
    let mut handshake = handshake(chance, Version::V31, b"ROUTER");
    match chance.below(6) {
        0 => change(chance, &mut greeting),
        1 => change(chance, &mut handshake),
        _ => {}
    }
    let welcome = [greeting, handshake].concat();
    let is_whole = client.say(&welcome) && client.take(64).is_some();
    let most = 1 + chance.below(8);
    let talks = is_whole && (0..most).all(|_| client.answer_one(chance));
    if talks && chance.below(8) == 0 {
        client.never_end(chance);
    }
}

struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Client {
    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(QUIET)).expect("a time");
        stream.set_write_timeout(Some(QUIET)).expect("a time");
        stream.set_nodelay(true).expect("an option of TCP");
        let heard = Vec::new();
        Self { stream, heard }
    }

    fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next bytes, if so many come.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = [0; 4096];
        while self.heard.len() < len {
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.heard.extend(&bytes[..count]),
            }
        }
        Some(self.heard.drain(..len).collect())
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let flags = self.take(1)?[0];
        let len = if flags & LONG == 0 {
            usize::from(self.take(1)?[0])
        } else {
            let len = self.take(8)?.try_into().expect("they are eight");
            usize::try_from(u64::from_be_bytes(len)).expect("it fits")
        };
        assert!(len <= MAX_CHUNK + (4 << 10), "our own client sends no more");
        Some((flags, self.take(len)?))
    }

    fn message(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        loop {
            let (flags, payload) = self.frame()?;
            if flags & COMMAND != 0 {
                continue;
            }
            frames.push(payload);
            if flags & MORE == 0 {
                return Some(frames);
            }
        }
    }

    /// Answers what is said next, more or less. Whether the client can hear more.
    fn answer_one(&mut self, chance: &mut Chance) -> bool {
        let Some(frames) = self.message() else {
            return false;
        };
        let [_, request, ..] = &frames[..] else {
            return false;
        };
        let request = decode(request).expect("our own client makes sense");
        let len = frames.get(2).map_or(0, Vec::len) as u64;
        let mut bytes = Vec::new();
        for (reply, payload) in answers(chance, &request, len) {
            let mut frames = vec![MAGIC.to_vec(), encode(&reply)];
            frames.extend(payload);
            if chance.below(4) == 0 {
                let place = chance.below(frames.len());
                change(chance, &mut frames[place]);
            }
            if chance.below(6) == 0 {
                bytes.extend(frame(Version::V31, COMMAND, &command(chance)));
            }
            bytes.extend(message(Version::V31, &frames));
        }
        if chance.below(8) == 0 {
            change(chance, &mut bytes);
        }
        self.say(&bytes)
    }

    /// A message of which there is always more.
    fn never_end(&mut self, chance: &mut Chance) {
        let payload = chance.of_these(&[0, 1, 1000, MAX_CHUNK]);
        let part = frame(Version::V31, MORE, &vec![0; payload]);
        for _ in 0..64 {
            if !self.say(&part) {
                return;
            }
        }
    }
}

type Said = (Reply, Option<Vec<u8>>);

/// What a satellite says to this request, whose payload has this length.
fn answers(chance: &mut Chance, request: &Request, len: u64) -> Vec<Said> {
    let one = |reply| vec![(reply, None)];
    match *request {
        Request::Hello { .. } => one(welcome()),
        Request::Ping => one(Reply::Pong),
        Request::Open { stream, from, .. } => one(Reply::Opened {
            stream,
            next: from,
            limit: 1 << 20,
            rest: chance.below(8) == 0,
        }),
        Request::Data { stream, at, .. } => one(Reply::Ack {
            stream,
            next: at + len,
            limit: 1 << 21,
            full: None,
        }),
        Request::Finish { stream, .. } => one(Reply::Finished {
            stream,
            outcome: Fate::Kept,
        }),
        Request::Listen { listener, .. } => turns(chance, listener),
        Request::Confirm { listener, .. } => one(Reply::Closed { listener }),
        Request::Eof { .. } => one(Reply::EofTaken),
        Request::List { .. } => one(Reply::Pipes {
            pipes: vec![pipe()],
            more: chance.below(4) == 0,
        }),
        Request::Discard { .. } => one(Reply::Discarded {
            streams: 1,
            bytes: 2,
        }),
        Request::Status => one(Reply::Status(status())),
        _ => one(Reply::Error {
            code: Code::Limit,
            message: "\u{1b}[2Jno".to_owned(),
            about: None,
        }),
    }
}

/// A stream for a listener, of some chunks.
fn turns(chance: &mut Chance, listener: Uuid) -> Vec<Said> {
    let (lost, missed) = (chance.below(8) == 0, 0);
    let listening = Reply::Listening {
        listener,
        lost,
        missed,
    };
    let mut said = vec![(listening, None)];
    let (stream, mut at, mut turn) = (chance.uuid(), 0, 0);
    for _ in 0..chance.below(4) {
        let length = 1 + chance.below(3000);
        let payload = chance.bytes(length);
        let chunk = Reply::Chunk {
            listener,
            turn,
            stream,
            at,
            missed,
        };
        at += payload.len() as u64;
        turn += 1;
        said.push((chunk, Some(payload)));
    }
    let ended = Reply::Ended {
        listener,
        turn,
        stream,
        at,
        how: How::End,
        label: "somebody".to_owned(),
        before: 0,
        missed,
    };
    said.push((ended, None));
    turn += 1;
    let done = Reply::Done {
        listener,
        turn,
        missed,
        eof: None,
    };
    said.push((done, None));
    said
}

fn welcome() -> Reply {
    Reply::Welcome {
        satellite: Uuid::from_u128(1),
        revision: REVISION,
        program: "skypipe 99.0.0".to_owned(),
        limits: Limits {
            chunk: MAX_CHUNK as u64,
            heartbeat_ms: 5000,
            writer_lost_ms: 60_000,
            listener_lost_ms: 60_000,
        },
        key: None,
    }
}

fn pipe() -> PipeInfo {
    PipeInfo {
        name: "a pipe".to_owned(),
        waiting: 1,
        bytes: 2,
        writers: 3,
        listeners: 4,
        full: true,
    }
}

fn status() -> Status {
    Status {
        program: "skypipe 99.0.0".to_owned(),
        since: 1,
        pid: 1,
        kept: "memory".to_owned(),
        memory: 1 << 30,
        used: 1,
        disk: None,
        trouble: None,
        inherited: Vec::new(),
        pipes: 1,
        waiting: 1,
        bytes: 1,
        clients: 1,
    }
}
