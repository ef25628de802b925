//! Strangers at a satellite without keys, each of whom takes what it can get or gives nothing back: one
//! with many streams, listeners or questions, and hundreds with a few. An ordinary client finishes a
//! transfer meanwhile, and a new one works afterwards.
//!
//! Each attack reports the peak memory of its satellite: never more than the default budget and 64 MiB.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use skypipe_protocol::{
    Data, Hello, Listen, MAGIC, MAX_CHUNK, Mode, Open, REVISION, Request, encode,
};
use uuid::Uuid;

use super::fuzz::words::{COMMAND, LONG, MORE, Version, frame, greeting, message};
use super::watch::Watch;
use super::{DEADLINE, sky};
use crate::common::Environment;
use crate::common::satellite::PEAK;
use crate::common::wait::until;

/// The number of connections of a crowd. With those of the test itself it is below the limit of one
/// process.
const HUNDREDS: usize = 300;

/// More than one client may have of anything.
const MANY: usize = 30_000;

/// What an ordinary client writes and reads meanwhile, in bytes.
const ORDINARY: usize = 4 << 20;

/// The handshake of a DEALER without a name.
const READY: &[u8] = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER";

/// What each stranger of an attack does.
struct Attack {
    name: &'static str,
    connections: usize,
    /// Whether it completes the handshake and sends `Hello`.
    greets: bool,
    /// Whether it reads its answers.
    reads: bool,
    /// What it sends, by its number, and how often; [`usize::MAX`] means as long as the satellite accepts
    /// it.
    says: fn(usize) -> Vec<u8>,
    times: usize,
}

const ATTACKS: [Attack; 13] = [
    Attack {
        name: "streams, to a share and beyond",
        connections: 1,
        greets: true,
        reads: true,
        says: open,
        times: MANY,
    },
    Attack {
        name: "listeners, to a share and beyond",
        connections: 1,
        greets: true,
        reads: true,
        says: listen,
        times: MANY,
    },
    Attack {
        name: "questions without end",
        connections: 4,
        greets: true,
        reads: true,
        says: ask,
        times: usize::MAX,
    },
    Attack {
        name: "questions without end by one who reads no answer",
        connections: 1,
        greets: true,
        reads: false,
        says: ask,
        times: usize::MAX,
    },
    Attack {
        name: "questions without end by hundreds",
        connections: HUNDREDS,
        greets: true,
        reads: true,
        says: ask,
        times: usize::MAX,
    },
    Attack {
        name: "questions without end by hundreds who read no answer",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: ask,
        times: usize::MAX,
    },
    Attack {
        name: "streams of hundreds who read no answer",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: open,
        // Fewer than there are in all: a crowd of strangers is limited by no share of its own
        // (docs/security.md).
        times: 100,
    },
    Attack {
        name: "listeners of hundreds who read no answer",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: listen,
        times: 50,
    },
    Attack {
        name: "messages as long as any, from hundreds",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: long,
        times: 4,
    },
    Attack {
        name: "half messages",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: |number| half(number, 64 << 10),
        times: 1,
    },
    Attack {
        name: "messages without their last byte",
        connections: HUNDREDS,
        greets: true,
        reads: false,
        says: |number| half(number, MAX_CHUNK - 1),
        times: 1,
    },
    Attack {
        name: "half greetings",
        connections: HUNDREDS,
        greets: false,
        reads: false,
        says: |number| greeting(Version::V31)[..number % 60].to_vec(),
        times: 1,
    },
    Attack {
        name: "greetings and nothing more",
        connections: HUNDREDS,
        greets: false,
        reads: false,
        says: |_| greeting(Version::V31),
        times: 1,
    },
];

fn request(request: &Request) -> Vec<u8> {
    message(Version::V31, &[MAGIC.to_vec(), encode(request)])
}

fn open(number: usize) -> Vec<u8> {
    request(&Request::Open(Open {
        stream: Uuid::new_v4(),
        pipe: format!("hoard {}", number % 1000),
        from: 0,
        resume: false,
        wait: false,
        whole: false,
        label: "a stranger".to_owned(),
    }))
}

fn listen(number: usize) -> Vec<u8> {
    request(&Request::Listen(Listen {
        listener: Uuid::new_v4(),
        pipe: format!("hoard {}", number % 1000),
        mode: Mode::Tap,
        window: 1 << 20,
        resume: None,
    }))
}

fn ask(number: usize) -> Vec<u8> {
    let questions = [Request::List { after: None }, Request::Status];
    request(&questions[number % 2])
}

/// A chunk of a stream that nobody has opened.
fn long(_: usize) -> Vec<u8> {
    let data = Request::Data(Data {
        stream: Uuid::nil(),
        at: 0,
        tail: 0,
        requested: 0,
    });
    let frames = [MAGIC.to_vec(), encode(&data), vec![b'x'; MAX_CHUNK]];
    message(Version::V31, &frames)
}

/// The same, with this many of its bytes.
fn half(_: usize, bytes: usize) -> Vec<u8> {
    let head = [LONG];
    let length = (MAX_CHUNK as u64).to_be_bytes();
    let magic = frame(Version::V31, MORE, MAGIC);
    [&magic[..], &head, &length, &vec![b'x'; bytes]].concat()
}

/// One connection of the attack.
struct Stranger {
    stream: TcpStream,
    /// The message being sent, and how much of it was accepted.
    saying: Vec<u8>,
    taken: usize,
    /// How many messages it has sent.
    times: usize,
    /// How many bytes it has received.
    heard: usize,
    /// Whether the satellite has closed the connection.
    is_over: bool,
}

impl Stranger {
    fn new(address: &str, attack: &Attack) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let mut saying = Vec::new();
        if attack.greets {
            let ready = frame(Version::V31, COMMAND, READY);
            let welcome = [greeting(Version::V31), ready].concat();
            stream.write_all(&welcome).expect("it listens");
            // The satellite's handshake has the same length.
            let mut answer = vec![0; welcome.len()];
            stream.read_exact(&mut answer).expect("it answers");
            saying.extend(request(&Request::Hello(Hello {
                client: Uuid::new_v4(),
                revision: REVISION,
                program: "a stranger".to_owned(),
            })));
        }
        stream.set_nonblocking(true).expect("an option");
        Self {
            stream,
            saying,
            taken: 0,
            times: 0,
            heard: 0,
            is_over: false,
        }
    }

    /// Sends and reads as much as possible, up to a limit. Returns whether anything moved.
    fn goes_on(&mut self, attack: &Attack) -> bool {
        let mut moves = false;
        for _ in 0..100 {
            if self.taken == self.saying.len() {
                if self.times == attack.times {
                    break;
                }
                self.saying = (attack.says)(self.times);
                self.taken = 0;
                self.times += 1;
                continue;
            }
            match self.stream.write(&self.saying[self.taken..]) {
                Ok(count) => {
                    self.taken += count;
                    moves = true;
                }
                Err(error) => {
                    self.is_over |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        moves | (attack.reads && self.reads())
    }

    /// Reads what is available. Returns whether that is anything.
    fn reads(&mut self) -> bool {
        let (mut bytes, before) = ([0; 16 << 10], self.heard);
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    self.heard += count;
                    continue;
                }
                Err(error) => self.is_over |= error.kind() != io::ErrorKind::WouldBlock,
            }
            return self.heard > before;
        }
    }

    /// Whether it has sent everything.
    fn has_said(&self, attack: &Attack) -> bool {
        self.is_over || (self.times == attack.times && self.taken == self.saying.len())
    }
}

/// Attacks until `is_over`. Sets `is_high` at the peak: when everything is sent, or the satellite accepts
/// no more at once.
fn strangers(address: &str, attack: &Attack, is_high: &AtomicBool, is_over: &AtomicBool) {
    let new = |_| Stranger::new(address, attack);
    let mut strangers: Vec<_> = (0..attack.connections).map(new).collect();
    let begun = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let mut moves = false;
        for stranger in &mut strangers {
            moves |= !stranger.is_over && stranger.goes_on(attack);
        }
        let is_endless = attack.times == usize::MAX && begun.elapsed() > Duration::from_secs(1);
        let has_said = strangers.iter().all(|it| it.has_said(attack));
        if has_said || is_endless || (!moves && !attack.reads) {
            is_high.store(true, Ordering::Relaxed);
        }
        if !moves {
            // Lets the satellite run.
            thread::yield_now();
        }
    }
    let sum = |number: fn(&Stranger) -> usize| strangers.iter().map(number).sum::<usize>();
    println!(
        "{}: {} connections said {} things and heard {} bytes; {} were ended",
        attack.name,
        attack.connections,
        sum(|it| it.times),
        sum(|it| it.heard),
        sum(|it| usize::from(it.is_over)),
    );
}

/// Our own program writes and reads data of many chunks.
fn transfer(environment: &Environment) {
    let text = vec![b'x'; ORDINARY];
    let listener = environment.skypipe(&["--one", "ordinary"]).start();
    environment
        .skypipe(&["-w", "ordinary"])
        .fed(&text)
        .whatever_it_waited_for()
        .printed("");
    listener.outcome().printed(&text);
}

fn withstands(attack: &Attack) {
    let environment = sky();
    let satellite = environment.on_port();
    let address = satellite.endpoint().trim_start_matches("tcp://").to_owned();
    let watch = Watch::by_itself_over(&environment);
    let (is_high, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let took = thread::scope(|scope| {
        scope.spawn(|| strangers(&address, attack, &is_high, &is_over));
        // The strangers stop even if an assertion fails.
        let over = Over(&is_over);
        until("the attack is at its height", || {
            is_high.load(Ordering::Relaxed)
        });
        let start = Instant::now();
        transfer(&environment);
        let took = start.elapsed();
        drop(over);
        took
    });
    let memory = satellite.peak_memory();
    println!(
        "{}: at most {} MiB; a transfer took {took:?} meanwhile",
        attack.name,
        memory >> 20
    );
    assert!(memory <= PEAK, "{memory} bytes");
    transfer(&environment);
    drop(watch);
}

/// Ends an attack when it is dropped, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whatever_strangers_take_or_leave_ordinary_clients_are_served() {
    let _deadline = Environment::here_within(DEADLINE * 3);
    for attack in &ATTACKS {
        withstands(attack);
    }
}
