//! Programs that are suspended and networks that are down for longer than rule 16's timeouts: a lost client
//! may come back.
//!
//! `SKYPIPE_ROUNDS` sets the number of rounds, `SKYPIPE_SEED` the seed.

use std::env;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::relay::{Relay, Weather};
use crate::common::wait;
use crate::faults::hosts::{Host, are_possible};
use crate::faults::lines::content;
use crate::faults::rng::Rng;

/// The default number of rounds, and how many run in parallel.
const ROUNDS: u64 = 6;
const AT_ONCE: u64 = 6;

const DEADLINE: Duration = Duration::from_secs(240);
const PATIENCE: Duration = Duration::from_secs(90);

/// Rule 16's timeouts, and how long somebody is away.
const TIMES: [&str; 6] = [
    "--data",
    "data",
    "--lost-writer",
    "2s",
    "--lost-listener",
    "2s",
];
const ABSENCE: Duration = Duration::from_secs(4);

/// The kinds of clients. Each but the last three has a pipe of its own with a writer.
const READERS: [(&str, &str); 4] = [
    ("-r", "live"),
    ("--one", "one"),
    ("--follow", "follow"),
    ("--tap", "tap"),
];
const IDLE: [(&str, &str); 3] = [("-r", "trigger"), ("--one", "queue"), ("--follow", "quiet")];

/// Who is away in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// One listener, by its pipe.
    Listener(usize),
    /// The clients that wait for a stream.
    Idle,
    /// One writer, by its pipe.
    Writer(usize),
    /// The writer without a listener.
    Unheard,
    /// Every client.
    All,
    /// The satellite.
    Satellite,
}

impl Away {
    fn draw(round: u64, rng: &mut Rng) -> Self {
        match round % 6 {
            0 => Self::Listener(rng.index(READERS.len())),
            1 => Self::Idle,
            2 => Self::Writer(rng.index(READERS.len())),
            3 => Self::Unheard,
            4 => Self::All,
            _ => Self::Satellite,
        }
    }
}

/// A writer that gets one half of its input before somebody is away, and the other half afterwards.
struct Writer {
    process: Process,
    bytes: Vec<u8>,
}

impl Writer {
    fn start(sky: &Environment, number: usize, pipe: &str, flags: &[&str]) -> Self {
        let process = sky.skypipe(&[&["-w", pipe], flags].concat());
        let process = process.patient(PATIENCE).piped().start();
        let bytes = content(number, 2_000);
        process.say(&bytes[..bytes.len() / 2]);
        Self { process, bytes }
    }

    fn go_on(&self) {
        self.process.say(&self.bytes[self.bytes.len() / 2..]);
        self.process.close_stdin();
    }
}

/// One client of each kind, in the middle of its work.
struct Everybody {
    listeners: Vec<Process>,
    writers: Vec<Writer>,
    idle: Vec<Process>,
    unheard: Writer,
}

impl Everybody {
    fn start(sky: &Environment) -> Self {
        let listen = |(mode, pipe): (&str, &str)| {
            let listener = sky.skypipe(&[mode, pipe]).stdin(Stdio::null());
            let listener = listener.patient(PATIENCE).start();
            sky.until_listeners(pipe, 1);
            listener
        };
        let listeners: Vec<_> = READERS.map(listen).into();
        let idle = IDLE.map(listen).into();
        let pipes = READERS.iter().enumerate();
        let writers: Vec<_> = pipes
            .map(|(number, (_, pipe))| Writer::start(sky, number, pipe, &[]))
            .collect();
        let unheard = Writer::start(sky, READERS.len(), "unheard", &[]);
        for (listener, writer) in listeners.iter().zip(&writers) {
            let half = writer.bytes.len() / 2;
            wait::until("what was written is printed", || {
                listener.shown().len() >= half
            });
        }
        sky.until_waiting("unheard", 1);
        Self {
            listeners,
            writers,
            idle,
            unheard,
        }
    }

    fn those(&self, away: Away) -> Vec<&Process> {
        let writers = self.writers.iter().map(|writer| &writer.process);
        match away {
            Away::Listener(place) => vec![&self.listeners[place]],
            Away::Idle => self.idle.iter().collect(),
            Away::Writer(place) => vec![&self.writers[place].process],
            Away::Unheard => vec![&self.unheard.process],
            Away::All => {
                let all = self.listeners.iter().chain(&self.idle).chain(writers);
                all.chain([&self.unheard.process]).collect()
            }
            Away::Satellite => Vec::new(),
        }
    }

    /// Checks that every byte was read exactly once, and that every program reports the truth.
    fn end(self, sky: &Environment, away: Away) {
        self.idle_go_on(sky);
        let Self {
            listeners,
            writers,
            unheard,
            ..
        } = self;
        for ((place, listener), writer) in listeners.into_iter().enumerate().zip(writers) {
            end_pair(sky, away, place, listener, writer);
        }
        unheard.go_on();
        unheard.process.outcome().printed("");
        let whole = sky.skypipe(&["-r", "unheard"]).done();
        whole.printed(unheard.bytes);
    }

    /// Checks that clients that waited for a stream continue to wait, and get one.
    fn idle_go_on(&self, sky: &Environment) {
        for ((mode, pipe), listener) in IDLE.iter().zip(&self.idle) {
            let writer = sky.skypipe(&["-w", pipe]).patient(PATIENCE);
            writer.fed("at last\n").printed("");
            listener.shows("at last\n");
            if *mode == "--follow" {
                sky.until_taken(pipe);
                sky.skypipe(&["--eof", pipe]).done().printed("");
            }
            let is_over = || !listener.runs();
            assert!(
                wait::holds_within(PATIENCE, is_over),
                "{mode} comes to its end"
            );
            let said = match *mode {
                "--follow" => format!("skypipe: an --eof ended this reader of \"{pipe}\"\n"),
                _ => String::new(),
            };
            assert_eq!(listener.said(), said, "{mode} has nothing else to say");
        }
    }
}

/// Ends a listener and its writer, and checks how they end.
fn end_pair(sky: &Environment, away: Away, place: usize, listener: Process, writer: Writer) {
    let (mode, pipe) = READERS[place];
    writer.go_on();
    let half = writer.bytes.len() / 2;
    let wrote = writer.process.outcome();
    assert_eq!(wrote.code, Some(0), "{away:?}: {wrote}");
    // The cut was reported if the writer was away and its listener was not.
    let may_be_cut = matches!(away, Away::Writer(at) if at == place) || away == Away::All;
    if mode == "--follow" {
        let all = || listener.shown().len() >= writer.bytes.len();
        assert!(
            wait::holds_within(PATIENCE, all),
            "{away:?}: all of it is printed"
        );
        sky.until_taken(pipe);
        sky.skypipe(&["--eof", pipe]).done().printed("");
    }
    let heard = listener.outcome();
    let is_cut = heard.code == Some(3) && mode != "--follow";
    assert!(
        heard.code == Some(0) || may_be_cut || mode == "--tap",
        "{away:?}: {heard}"
    );
    let mut all = heard.stdout.clone();
    if mode == "--tap" {
        assert!(writer.bytes.starts_with(&all[..half]), "{away:?}: {heard}");
        let whole = drain(sky, pipe);
        return assert!(whole == writer.bytes, "a tap takes nothing");
    }
    if is_cut {
        all.extend(drain(sky, pipe));
    }
    assert!(all == writer.bytes, "{away:?}, {mode}: {heard}");
    assert!(sky.is_gone(pipe), "{away:?}, {mode}");
    if !may_be_cut {
        let heard = heard.whatever_ended_it();
        assert_eq!(heard.stderr, "", "{away:?}: {heard}");
        assert_eq!(wrote.stderr, "", "{away:?}: {wrote}");
    }
}

/// Reads the unread data of a pipe.
fn drain(sky: &Environment, pipe: &str) -> Vec<u8> {
    let mut all = Vec::new();
    while !sky.is_gone(pipe) {
        let read = sky.skypipe(&["-r", pipe]).stdin(Stdio::null());
        let read = read.patient(PATIENCE).done();
        assert!(matches!(read.code, Some(0 | 3)), "{read}");
        all.extend(read.stdout);
    }
    all
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// One round: somebody is suspended, or disconnected, for longer than the timeout.
fn round(round: u64, seed: u64) {
    let mut rng = Rng::new(seed + round);
    let (away, is_stopped) = (Away::draw(round, &mut rng), rng.chance(50));
    let mut sky = Environment::sky_within(&TIMES, DEADLINE);
    let wire = Relay::to(sky.on_port().endpoint());
    let direct = sky.on_port().endpoint().to_owned();
    sky.leads_to(&wire.endpoint());
    let everybody = Everybody::start(&sky);
    println!("round {round}: {away:?}, stopped: {is_stopped}");
    let is_there = || everybody.writers.iter().all(|writer| writer.process.runs());
    if away == Away::All && !is_stopped {
        let still = Weather {
            no_way_up: true,
            no_way_down: true,
            ..Weather::default()
        };
        wire.weather(still);
        wait::while_passes(ABSENCE, "all wait for the network", is_there);
        wire.cut();
        wire.weather(Weather::default());
    } else {
        let stopped = match away {
            Away::Satellite => vec![sky.on_port().process()],
            _ => everybody.those(away),
        };
        for it in &stopped {
            it.signal(Signal::STOP);
        }
        wait::while_passes(ABSENCE, "nobody is sent away", is_there);
        for it in &stopped {
            it.signal(Signal::CONT);
        }
    }
    sky.leads_to(&direct);
    everybody.end(&sky, away);
}

#[test]
fn rule_16_who_stands_still_or_is_cut_off_for_longer_than_the_times_goes_on() {
    let rounds = number("SKYPIPE_ROUNDS").unwrap_or(ROUNDS);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let by_chance = u64::from(now.expect("it is later than 1970").subsec_nanos());
    let seed = number("SKYPIPE_SEED").unwrap_or(by_chance);
    println!("SKYPIPE_SEED={seed}");
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_ONCE.min(rounds))
            .map(|lane| {
                let mine = (lane..rounds).step_by(usize::try_from(AT_ONCE).expect("they are few"));
                scope.spawn(move || mine.for_each(|number| round(number, seed)))
            })
            .collect();
        for lane in lanes {
            lane.join().expect("all is well");
        }
    });
}

/// The addresses of the satellite's host and of the clients' host.
const SATELLITE: &str = "10.78.0.1";
const CLIENTS: &str = "10.78.0.2";

#[test]
fn rule_16_a_network_that_is_gone_for_longer_than_the_times_sends_nobody_away() {
    let mut sky = Environment::here_within(DEADLINE);
    if !are_possible(&sky) {
        return;
    }
    let (satellite, clients) = (Host::new(&sky), Host::new(&sky));
    satellite.join(&sky, SATELLITE, &clients, CLIENTS);
    sky.enter(satellite.entrance());
    let flags = [&["--insecure"], &TIMES[..]].concat();
    let listening = sky.satellite_at(&format!("{SATELLITE}:0"), &flags);
    sky.lead(listening);
    sky.enter(clients.entrance());
    let everybody = Everybody::start(&sky);
    let is_there = || everybody.writers.iter().all(|writer| writer.process.runs());
    sky.enter(Vec::new());
    satellite.does(&sky, "ip link set wire down");
    wait::while_passes(ABSENCE, "all wait for the network", is_there);
    satellite.does(&sky, "ip link set wire up");
    sky.enter(clients.entrance());
    everybody.end(&sky, Away::All);
}

/// How many readers of one stream are killed.
const READERS_KILLED: usize = 50;

#[test]
fn rule_10_a_stream_stays_whole_though_each_next_reader_is_there_as_the_one_before_dies() {
    let sky = Environment::here_within(DEADLINE);
    let file = content(1, 2_000_000);
    sky.skypipe(&["-w", "x"]).fed(&file).printed("");
    let read = || {
        sky.skypipe(&["-r", "x"])
            .stdin(Stdio::null())
            .held()
            .start()
    };
    let mut reader = read();
    for _ in 0..READERS_KILLED {
        sky.until_listed("x", "somebody listens", |pipe| pipe.listeners > 0);
        reader.signal(Signal::KILL);
        // Within a millisecond, if the machine is not busy.
        reader = read();
    }
    reader.signal(Signal::KILL);
    let last = sky.skypipe(&["-r", "x"]).stdin(Stdio::null());
    last.patient(PATIENCE).done().printed(&file);
    // A killed client counts for a moment more.
    wait::until("nobody is there any more", || sky.is_gone("x"));
}
