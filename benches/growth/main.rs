//! How a satellite's memory grows with its users: `cargo bench --bench growth`.
//!
//! Each measure is taken with a satellite without keys (*plain*), which keeps everything in memory,
//! and with a private one, which stores data on disk and speaks TLS.
//!
//! - *Idle clients*: 10,000 connections, each with a listener on its own pipe, to which nobody
//!   writes. The result is the satellite's memory for each client, when all have just connected and
//!   when each has sent as much as in six minutes; and whether each client still gets an answer.
//! - *Pipes*: 100,000 pipes with an unread line. The result is the satellite's memory for each.
//! - *Trigger*: 5,000 listeners wait at one pipe. The result is the time until a line has reached
//!   the last of them, and then the time until the pipe's end has.
//!
//! `CLIENTS`, `PIPES` and `LISTENERS` in the environment set other numbers, and `ONLY=idle,trigger`
//! takes only these measures. A satellite serves one client for every two descriptors that it may
//! open, so with a hard limit below 20,064 there are fewer clients. The clients are bare sockets in
//! processes of their own; the satellite and the clients share the processors.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to three digits"
)]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod pipes;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use skypipe_protocol::How;
use uuid::Uuid;

use self::client::{Client, Door};
use self::common::{Satellite, setting};
use self::crowd::Crowd;

/// The most memory that an idle client may cost the satellite, in bytes.
const WANTED: f64 = 100.0 * 1024.0;

/// Descriptors that a satellite uses itself.
const OWN_DESCRIPTORS: u64 = 64;

/// Enough memory for all clients and streams.
const ROOMY: [&str; 2] = ["--memory", "1GiB"];

/// How long the satellite rests before its memory is read.
const PAUSE: Duration = Duration::from_secs(5);

fn main() {
    if crowd::is_asked_for() {
        return crowd::run();
    }
    let clients = setting("CLIENTS", 10_000.0) as usize;
    let pipes = setting("PIPES", 100_000.0) as usize;
    let listeners = setting("LISTENERS", 5_000.0) as usize;
    let clients = clients.min(most_clients());
    println!("| | plain | private |");
    println!("|---|---:|---:|");
    if is_wanted("idle") {
        tell_idle(clients);
    }
    if is_wanted("pipes") {
        let memory = [false, true].map(|is_private| waiting(is_private, pipes) / 1024.0);
        row("pipes in which a line waits", [pipes as f64; 2]);
        row("KiB for each pipe", memory);
    }
    if is_wanted("trigger") {
        let times = [false, true].map(|is_private| trigger(is_private, listeners));
        row("listeners of one pipe", [listeners as f64; 2]);
        row("a line has reached all, ms", times.map(|it| millis(it[0])));
        row("the end has reached all, ms", times.map(|it| millis(it[1])));
    }
}

fn is_wanted(measure: &str) -> bool {
    let only = std::env::var("ONLY");
    only.map_or(true, |only| only.split(',').any(|name| name == measure))
}

fn tell_idle(clients: usize) {
    let both = [false, true].map(|is_private| idle(is_private, clients));
    row("idle clients", both.map(|it| it.clients as f64));
    row("KiB for each at first", both.map(|it| it.young / 1024.0));
    row("KiB for each later", both.map(|it| it.memory / 1024.0));
    row(
        "clients that get an answer",
        both.map(|it| it.answered as f64),
    );
    row("connections made again", both.map(|it| it.returns as f64));
    row(
        "all connected, s",
        both.map(|it| it.connected.as_secs_f64()),
    );
    row("all answered, ms", both.map(|it| millis(it.time)));
    for (idle, kind) in both.iter().zip(["plain", "private"]) {
        if idle.memory > WANTED || idle.answered < idle.clients {
            println!("{kind}: wanted are 100 KiB or less for each client, and an answer to each");
        }
    }
}

fn row(name: &str, values: [f64; 2]) {
    let show = |value: f64| match value {
        whole if whole.fract() == 0.0 => format!("{whole:.0}"),
        large if large >= 100.0 => format!("{large:.0}"),
        small => format!("{small:.2}"),
    };
    println!("| {name} | {} | {} |", show(values[0]), show(values[1]));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The most clients that a satellite serves with the descriptors that the system allows.
fn most_clients() -> usize {
    let descriptors = getrlimit(Resource::Nofile).maximum;
    let most = descriptors.map_or(u64::MAX, |all| all.saturating_sub(OWN_DESCRIPTORS) / 2);
    // One is reserved for the clients that send queries.
    usize::try_from(most)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}

/// A satellite, and its directory.
struct Place {
    satellite: Satellite,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new(is_private: bool) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let satellite = if is_private {
            Satellite::private(&directory.path().join("data"), &ROOMY)
        } else {
            Satellite::start(&ROOMY)
        };
        Self {
            satellite,
            _directory: directory,
        }
    }

    /// The memory of the satellite's process, in bytes.
    fn memory(&self) -> f64 {
        std::thread::sleep(PAUSE);
        let status = Path::new("/proc").join(self.satellite.pid().to_string());
        let status = fs::read_to_string(status.join("status")).expect("it runs");
        let kib = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?.strip_suffix("kB")?;
            value.trim().parse::<f64>().ok()
        });
        kib.expect("Linux tells its memory") * 1024.0
    }
}

#[derive(Debug, Clone, Copy)]
struct Idle {
    clients: usize,
    /// The memory for each client when all have just connected, in bytes.
    young: f64,
    /// The memory for each client when each has sent as much as in six minutes, in bytes.
    memory: f64,
    /// How often a client had to reconnect.
    returns: u64,
    connected: Duration,
    answered: usize,
    /// The time until the last answer.
    time: Duration,
}

fn idle(is_private: bool, clients: usize) -> Idle {
    let place = Place::new(is_private);
    let before = place.memory();
    let begin = Instant::now();
    let public_keys = [clients / 2, clients - clients / 2];
    let mut crowds = public_keys.map(|size| Crowd::start(place.satellite.endpoint(), size, None));
    for crowd in &mut crowds {
        crowd.hear("ready");
    }
    let connected = begin.elapsed();
    let young = (place.memory() - before) / clients as f64;
    for crowd in &mut crowds {
        crowd.say("age");
    }
    let mut returns = 0;
    for crowd in &mut crowds {
        returns += crowd.hear("aged");
    }
    let memory = (place.memory() - before) / clients as f64;
    let begin = Instant::now();
    for crowd in &mut crowds {
        crowd.say("ask");
    }
    let mut answered = 0;
    for crowd in &mut crowds {
        answered += crowd.hear("answered") as usize;
    }
    Idle {
        clients,
        young,
        memory,
        returns,
        connected,
        answered,
        time: begin.elapsed(),
    }
}

fn waiting(is_private: bool, pipes: usize) -> f64 {
    let place = Place::new(is_private);
    let before = place.memory();
    pipes::fill(place.satellite.endpoint(), pipes);
    (place.memory() - before) / pipes as f64
}

/// The time from the line, and from the end, until the last listener has it.
fn trigger(is_private: bool, listeners: usize) -> [Duration; 2] {
    let place = Place::new(is_private);
    let pipe = "trigger";
    let mut crowd = Crowd::start(place.satellite.endpoint(), listeners, Some(pipe));
    crowd.hear("ready");
    let mut writer = Client::new(&Door::of(place.satellite.endpoint()), &zmq::Context::new());
    let stream = Uuid::new_v4();
    writer.hello();
    writer.open(stream, pipe);
    writer.hear_until(|writer| writer.opened > 0);
    crowd.say("watch a line");
    crowd.hear("watching");
    let begin = now();
    writer.data(stream, 0, b"line\n");
    let line = Duration::from_nanos(crowd.hear("at")).saturating_sub(begin);
    crowd.say("watch the end");
    crowd.hear("watching");
    let begin = now();
    writer.finish(stream, 5, How::End);
    let end = Duration::from_nanos(crowd.hear("at")).saturating_sub(begin);
    [line, end]
}

/// A clock that all processes of this machine share.
fn now() -> Duration {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.expect("it is after 1970")
}
