//! A fake satellite, and clients that trust it, in the open and inside TLS, where it has the key of the
//! invitation. It starts with valid messages, so that clients get far, and mutates some of them.
//!
//! # What a round is
//!
//! A round is one message, or ZMTP command, that a client has processed while its connection stood. A ZMTP
//! PING follows each message, which counts when the PONG arrives: then the client's libzmq has passed the
//! message on. Only then is the next message sent. So on each connection everything that was sent counts,
//! except the last message if the client broke the connection or ended because of it. Deliberately broken
//! connections are counted apart and are no rounds: mutated greetings and handshakes, bytes mutated after
//! framing, endless messages, and nonsense below TLS. After each of these the connection is closed, and the
//! client has to close it, too.
//!
//! Each command of [`COMMANDS`] has this number of rounds, with [`LANES`] processes of it at a time. A lane
//! has one listening socket and one client after the other; a client reconnects by itself when its
//! connection broke. The seed determines the rounds of a lane, except when requests of the client fall
//! between them.
//!
//! # What must hold
//!
//! Every client ends as documented ([`EXIT_CODES`]), has at most [`MEMORY`] bytes in memory, and never
//! stalls. None exits 0 without the answer that this requires. stdout has nothing but data. Inside TLS,
//! moreover: a listener prints whole lines that were written, in order, and exits 0 only after whole
//! streams or an `--eof` of a member; and nothing of a writer's plaintext is ever visible.

mod client;
mod replies;
mod streams;

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use rustls::ServerConfig;
use skypipe::crypto::Keyring;
use skypipe_protocol::MAX_CHUNK;
use skypipe_protocol::address::Address;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::{Seed, SigningPair};
use skypipe_protocol::token::{Kind, Token};

use self::client::{Client, SECRET};
use self::replies::{Said, Satellite, Told};
use self::streams::Streams;
use super::change::change;
use super::line::satellite_tls_with;
use super::words::{COMMAND, MORE, Version, frame, greeting, handshake, message};
use super::{AT_CLIENTS, rounds};
use crate::common::Environment;
use crate::common::chance::Chance;
use crate::common::outcome::Outcome;
use crate::common::process::Process;
use crate::common::wait::{PATIENCE, holds_within};
use crate::common::watchdog::number;
use crate::peers::hostile::most_memory;

/// The number of simultaneous clients of each command.
const LANES: u64 = 3;

/// The most rounds of a process.
const LIFE: u64 = 2000;

/// The most messages on one connection.
const MESSAGES: usize = 300;

/// The most memory that a client may use, in bytes.
const MEMORY: u64 = 96 << 20;

/// The timeout of the test: a fixed part, and a part for each thousand rounds of each command.
const BASE: Duration = Duration::from_secs(240);
const PER_THOUSAND: Duration = Duration::from_secs(30);

/// The kind of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Write,
    /// A writer with `--wait`.
    Await,
    /// A writer of a command's output.
    Run,
    Read,
    One,
    Follow,
    Tap,
    List,
    Check,
    Eof,
    Discard,
    Keys,
    Invite,
    Revoke,
}

use Task::{
    Await, Check, Discard, Eof, Follow, Invite, Keys, List, One, Read, Revoke, Run, Tap, Write,
};

const COMMANDS: [(Task, &[&str]); 12] = [
    (Write, &["-w", "p"]),
    (Write, &["-w", "--whole", "p"]),
    (Await, &["-w", "--wait", "p"]),
    (Run, &["p", "--", "echo", "not for the satellite"]),
    (Read, &["-r", "p"]),
    (One, &["--one", "p"]),
    (Follow, &["--follow", "p"]),
    (Tap, &["--tap", "p"]),
    (List, &["--list"]),
    (Check, &["--check"]),
    (Eof, &["--eof", "p"]),
    (Discard, &["--discard", "p"]),
];

/// Additional commands at a satellite with keys.
const PRIVATE: [(Task, &[&str]); 3] = [
    (Keys, &["--keys"]),
    (Invite, &["--invite", "guest", "--read"]),
    (Revoke, &["--revoke", "guest", "--yes"]),
];

/// The documented exit codes, and that of a SIGTERM.
const EXIT_CODES: [i32; 5] = [0, 1, 3, 4, 143];

#[test]
fn whatever_a_satellite_says_clients_end_as_documented_or_try_again() {
    attack(false, &COMMANDS);
}

#[test]
fn whatever_a_satellite_says_inside_tls_clients_end_as_documented_or_try_again() {
    attack(true, &[&COMMANDS[..], &PRIVATE].concat());
}

/// In a queue, each message takes thirty times its two bytes.
#[test]
fn empty_messages_without_end_fill_no_client() {
    let lane = Lane::new(None, PATIENCE * 3);
    let client = lane.client(&["-r", "p"]).start();
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream = lane.next_connection(&client).expect("it comes");
            let mut peer = Client::of(stream, None);
            let handshake = handshake(&mut Chance::new(0), Version::V31, b"ROUTER");
            peer.say(&[greeting(Version::V31), handshake].concat());
            assert!(peer.take(64).is_some() && peer.takes(Vec::new()));
            let empty = vec![0; 1 << 16];
            while peer.say(&empty) {}
        });
        holds_within(Duration::from_secs(3), || !client.runs());
        client.signal(Signal::TERM);
        assert!(most_memory(client.pid()) < MEMORY);
        assert!(holds_within(PATIENCE, || !client.runs()));
    });
}

/// The state that all lanes share.
struct Attack {
    seed: u64,
    /// The number of rounds for each command.
    rounds: u64,
    keys: Option<KeySet>,
    streams: Streams,
    sums: Sums,
    patience: Duration,
}

/// The keys of a fake satellite, and of the client that trusts it.
#[derive(Clone)]
struct KeySet {
    tls: Arc<ServerConfig>,
    satellite: [u8; 32],
    seed: Seed,
}

/// The sums over all lanes.
#[derive(Default)]
struct Sums {
    rounds: AtomicU64,
    /// The number of deliberately broken connections.
    breaks: AtomicU64,
    connections: AtomicU64,
    processes: AtomicU64,
    /// The number of clients that exited 0.
    content: AtomicU64,
    /// The greatest memory use of any client, in bytes.
    memory: AtomicU64,
}

fn add(sum: &AtomicU64, number: u64) {
    sum.fetch_add(number, Ordering::Relaxed);
}

fn attack(is_private: bool, commands: &[(Task, &'static [&'static str])]) {
    let (seed, rounds) = rounds(AT_CLIENTS);
    let thousands = u32::try_from(rounds.div_ceil(1000)).expect("nobody is so patient");
    let start = Instant::now();
    let keys = is_private.then(KeySet::new);
    let keyring = keys.as_ref().map(|keys| Keyring::owner(&keys.seed));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall = wall.expect("it is later than 1970").as_secs();
    let attack = Attack {
        seed,
        rounds,
        streams: Streams::new(&mut Chance::of(seed, u64::MAX), keyring.as_ref(), wall),
        keys,
        sums: Sums::default(),
        patience: BASE + PER_THOUSAND * thousands,
    };
    thread::scope(|scope| {
        for (place, (task, arguments)) in (0..).zip(commands) {
            let attack = &attack;
            scope.spawn(move || attack.at_command(place, *task, arguments));
        }
    });
    let sums = attack.sums;
    println!(
        "{} rounds in {:?} at {} commands: {} connections of {} processes, {} of which exited with 0; \
         {} things that break connections; at most {} bytes of memory",
        sums.rounds.into_inner(),
        start.elapsed(),
        commands.len(),
        sums.connections.into_inner(),
        sums.processes.into_inner(),
        sums.content.into_inner(),
        sums.breaks.into_inner(),
        sums.memory.into_inner(),
    );
}

impl KeySet {
    fn new() -> Self {
        let secret = |byte| Secret::new([byte; 32]);
        let identity = SigningPair::derive(&secret(1), b"a satellite");
        Self {
            tls: satellite_tls_with(&identity),
            satellite: identity.public,
            seed: Seed::new(secret(2)),
        }
    }
}

impl Attack {
    fn at_command(&self, place: u64, task: Task, arguments: &[&str]) {
        let start = Instant::now();
        thread::scope(|scope| {
            for number in 0..LANES {
                scope.spawn(move || {
                    let lane = Lane::new(self.keys.as_ref(), self.patience);
                    let rounds = self.rounds / LANES + u64::from(number < self.rounds % LANES);
                    let mut process = 0;
                    let mut left = rounds;
                    while left > 0 {
                        let number = (place << 48) | (number << 40) | process;
                        let chance = Chance::of(self.seed, number);
                        left -= self.at_process(&lane, task, arguments, chance, left);
                        process += 1;
                    }
                });
            }
        });
        println!("skypipe {}: {:?}", arguments.join(" "), start.elapsed());
    }

    /// Runs a client until it ends or has had `most` rounds. Returns the number of rounds.
    fn at_process(
        &self,
        lane: &Lane,
        task: Task,
        arguments: &[&str],
        mut chance: Chance,
        most: u64,
    ) -> u64 {
        let run = lane.client(arguments);
        let ends = chance.below(2) == 0;
        let run = match task {
            Write | Await if ends => run.stdin(File::open(lane.text()).expect("it is there")),
            Write | Await => run.piped(),
            _ => run,
        };
        let process = run.start();
        if matches!(task, Write | Await) && !ends {
            // The client may have ended already.
            let _ = process.take_stdin().write_all(&some_text(20));
        }
        let mut satellite = Satellite::new(chance, &self.streams, self.keys.is_some());
        let (mut rounds, mut memory) = (0, 0);
        let most = most.min(LIFE);
        while rounds < most
            && let Some(stream) = lane.next_connection(&process)
        {
            let mut client = Client::of(stream, self.keys.as_ref().map(|keys| &keys.tls));
            satellite.begins();
            let is_break = if satellite.chance.below(12) == 0 {
                client.say_last(&changed_welcome(&mut satellite.chance));
                true
            } else {
                rounds += talk(&mut client, &mut satellite, most - rounds);
                memory = memory.max(most_memory(process.pid()));
                finish(client, &mut satellite)
            };
            memory = memory.max(most_memory(process.pid()));
            add(&self.sums.connections, 1);
            add(&self.sums.breaks, u64::from(is_break));
        }
        if process.runs() {
            process.signal(Signal::TERM);
        }
        let outcome = process.outcome();
        assert!(memory < MEMORY, "{memory} bytes in memory: {outcome}");
        self.check(task, &satellite.told, &outcome);
        add(&self.sums.rounds, rounds);
        add(&self.sums.processes, 1);
        add(&self.sums.content, u64::from(outcome.code == Some(0)));
        self.sums.memory.fetch_max(memory, Ordering::Relaxed);
        rounds
    }

    /// Checks how a client ended.
    #[track_caller]
    fn check(&self, task: Task, told: &Told, outcome: &Outcome) {
        let code = outcome.code.expect("it has one");
        assert!(EXIT_CODES.contains(&code), "{outcome}");
        let shows = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
        assert!(shows(&outcome.stderr), "{outcome}");
        let stdout = std::str::from_utf8(&outcome.stdout).ok();
        match task {
            Write | Await | Run | Eof | Discard | Revoke => {
                assert_eq!(stdout, Some(""), "{outcome}");
            }
            List | Check | Keys | Invite => {
                assert!(stdout.is_some_and(shows), "{outcome}");
            }
            Read | One | Follow | Tap => {}
        }
        let is_listener = matches!(task, Read | One | Follow | Tap);
        let printed = (is_listener && self.keys.is_some())
            .then(|| self.streams.check(outcome, matches!(task, Follow | Tap)));
        if code != 0 {
            return;
        }
        let is_due = match task {
            Write | Run => told.finished,
            Await => told.taken,
            Read | Tap => told.done,
            One => told.done && told.ended,
            Follow => told.done && told.eof,
            List => told.pipes,
            Check => told.status,
            Eof => told.eof_taken,
            Discard => told.discarded,
            Keys => told.keys,
            Invite => told.invited,
            Revoke => told.revoked,
        };
        assert!(is_due, "nobody said so: {told:?}, {outcome}");
        let is_whole = printed.is_none_or(|printed| match task {
            Read => printed.is_whole && (printed.streams > 0 || told.eof),
            One => printed.is_whole && printed.streams == 1,
            _ => true,
        });
        assert!(is_whole, "not to the end: {told:?}, {outcome}");
    }
}

/// A listening socket, and the clients that connect to it.
struct Lane {
    environment: Environment,
    listener: TcpListener,
}

impl Lane {
    fn new(keys: Option<&KeySet>, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let endpoint = match keys {
            None => format!("tcp://{address}"),
            Some(keys) => {
                let token = Token {
                    address: Address::from(address),
                    kind: Kind::Owner,
                    satellite: keys.satellite,
                    seed: keys.seed.clone(),
                    expires: None,
                };
                token.encode().to_string()
            }
        };
        let mut environment = Environment::here_within(patience);
        environment.leads_to(&endpoint);
        environment.put("text", some_text(20_000));
        Self {
            environment,
            listener,
        }
    }

    fn client(&self, arguments: &[&str]) -> crate::common::process::Run {
        self.environment.skypipe(arguments)
    }

    /// The file with the complete input of writers.
    fn text(&self) -> std::path::PathBuf {
        self.environment.home().join("text")
    }

    /// Waits for the client's next connection. `None` if the client ends.
    fn next_connection(&self, client: &Process) -> Option<TcpStream> {
        let end = end_of(client)?;
        let patience = PATIENCE.try_into().expect("it is short");
        let mut ready = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&end, PollFlags::IN),
        ];
        let count = rustix::event::poll(&mut ready, Some(&patience)).expect("they are good");
        assert!(count > 0, "the client neither comes again nor ends");
        let has_come = ready[1].revents().is_empty();
        // Connections of an ended client are ignored.
        has_come.then(|| self.listener.accept().expect("one is there").0)
    }
}

/// A descriptor that becomes readable when the client ends. `None` if it has been reaped.
fn end_of(client: &Process) -> Option<OwnedFd> {
    client
        .runs()
        .then(|| pidfd_open(number(client.pid()), PidfdFlags::empty()).expect("it was not reaped"))
}

fn some_text(lines: usize) -> Vec<u8> {
    let secret = std::str::from_utf8(SECRET).expect("it is text");
    let lines = (0..lines).map(|line| format!("{secret} {line}\n"));
    lines.collect::<String>().into_bytes()
}

/// Talks to a client over a new connection. Returns the number of rounds, at most `most`.
fn talk(client: &mut Client, satellite: &mut Satellite<'_>, most: u64) -> u64 {
    let handshake = handshake(&mut satellite.chance, Version::V31, b"ROUTER");
    let mut welcome = greeting(Version::V31);
    welcome.extend(handshake);
    if !client.say(&welcome) || client.take(64).is_none() {
        return 0;
    }
    let most = most.min(1 + satellite.chance.below(MESSAGES) as u64);
    let mut rounds = 0;
    // After this, the client's first requests have arrived.
    let mut stands = client.takes(Vec::new());
    while stands && rounds < most {
        while let Some(frames) = client.message() {
            satellite.hears(&frames);
        }
        let said = satellite.says();
        stands = client.takes(framed(&said));
        rounds += u64::from(stands);
    }
    rounds
}

/// A greeting and a handshake, one of them mutated.
fn changed_welcome(chance: &mut Chance) -> Vec<u8> {
    let mut handshake = handshake(chance, Version::V31, b"ROUTER");
    let mut greeting = greeting(Version::V31);
    if chance.below(2) == 0 {
        change(chance, &mut greeting);
    } else {
        change(chance, &mut handshake);
    }
    [greeting, handshake].concat()
}

fn framed(said: &Said) -> Vec<u8> {
    match said {
        Said::Message(frames) => message(Version::V31, frames),
        Said::Command(command) => frame(Version::V31, COMMAND, command),
    }
}

/// Ends the connection in one of several ways. Returns whether the way was to break it.
fn finish(client: Client, satellite: &mut Satellite<'_>) -> bool {
    match satellite.chance.below(8) {
        0 => client.say_last(&satellite.nonsense(framed)),
        1 => client.say_last(&without_end(&mut satellite.chance)),
        2 => {
            let length = 1 + satellite.chance.below(300);
            let mut nonsense = satellite.chance.bytes(length);
            if satellite.chance.below(2) == 0 {
                // An invalid TLS record.
                nonsense[0] = 23;
            }
            client.say_last_below(&nonsense);
        }
        3 => {
            client.break_off();
            return false;
        }
        _ => {
            client.say_last(&[]);
            return false;
        }
    }
    true
}

/// The beginning of an endless message.
fn without_end(chance: &mut Chance) -> Vec<u8> {
    let payload = chance.of_these(&[0, 1, 1000, MAX_CHUNK]);
    let part = frame(Version::V31, MORE, &vec![0; payload]);
    part.repeat(6)
}
