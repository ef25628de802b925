//! Many clients in a process of their own. This program starts that process as a copy of itself.
//!
//! The process takes one command per line from stdin, and answers with a word and a number. It says
//! `ready` once all clients listen. `ask` makes each client send a ping; the answer is how many
//! were answered. `age` makes each client send as many pings as in some minutes; the answer is how
//! often a client had to reconnect so far. `watch a line` and `watch the end` report when that has
//! reached the last client. Throughout, each client sends its signs of life.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Door};
use super::now;

/// The environment variable that makes the program a crowd. Its value is the number of clients.
const SIZE: &str = "SKYPIPE_BENCH_CROWD";

/// The pipe that all clients share. Without it, each client listens to its own pipe.
const PIPE: &str = "SKYPIPE_BENCH_PIPE";

/// How often each client sends a sign of life. The satellite requires one within 2.5 s.
const BEAT: Duration = Duration::from_secs(2);

/// The number of sockets in a libzmq context, whose default limit is 1023.
const SOCKETS: usize = 1000;

/// How many messages each client sends in its first six minutes.
const AGE: usize = 140;

/// How many clients connect at once.
const WAVE: usize = 100;

/// The time limit of each step.
const PATIENCE: Duration = Duration::from_secs(60);

/// A crowd, as the program that started it sees it.
pub struct Crowd {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Crowd {
    pub fn start(satellite: &str, size: usize, pipe: Option<&str>) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.env(SIZE, size.to_string());
        command.env("SATELLITE", satellite);
        command.envs(pipe.map(|pipe| (PIPE, pipe)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a crowd starts");
        let stdin = process.stdin.take().expect("its stdin is piped");
        let stdout = process.stdout.take().expect("its stdout is piped");
        Self {
            process,
            stdin,
            stdout: BufReader::new(stdout),
        }
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").expect("the crowd listens");
    }

    /// The number after this word, once the crowd says it.
    pub fn hear(&mut self, word: &str) -> u64 {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the crowd speaks");
        let number = line.strip_prefix(word).map(|rest| rest.trim().parse());
        let number = number.unwrap_or_else(|| panic!("{word} was expected, not: {line}"));
        number.expect("there is a number")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether this process is to be a crowd.
pub fn is_asked_for() -> bool {
    env::var_os(SIZE).is_some()
}

/// Runs as a crowd until stdin ends.
pub fn run() {
    let size = env::var(SIZE).ok().and_then(|size| size.parse().ok());
    let satellite = env::var("SATELLITE").expect("it is text");
    let mut clients = Clients::new();
    clients.connect(&Door::of(&satellite), size.expect("it is a number"));
    say("ready", 0);
    let commands = commands();
    loop {
        match commands.recv_timeout(Duration::from_millis(20)) {
            Ok(command) => match command.as_str() {
                "ask" => clients.ask(),
                "age" => clients.age(),
                "watch a line" => clients.watch(|client| client.has_line),
                "watch the end" => clients.watch(|client| client.is_done),
                other => panic!("unknown: {other}"),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        clients.beat();
    }
}

fn commands() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(word: &str, number: u64) {
    println!("{word} {number}");
    io::stdout().flush().expect("somebody listens");
}

struct Clients {
    /// Dropped before their contexts, which end only once their clients are gone.
    all: Vec<Client>,
    contexts: Vec<zmq::Context>,
    beaten: Instant,
}

impl Clients {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            contexts: Vec::new(),
            beaten: Instant::now(),
        }
    }

    fn connect(&mut self, door: &Door, size: usize) {
        let common = env::var(PIPE).ok();
        while self.all.len() < size {
            let first = self.all.len();
            for number in first..size.min(first + WAVE) {
                if number.is_multiple_of(SOCKETS) {
                    self.contexts.push(zmq::Context::new());
                }
                let context = self.contexts.last().expect("the first client has one");
                let mut client = Client::new(door, context);
                client.hello();
                let own = || format!("idle {} {number}", std::process::id());
                client.listen(&common.clone().unwrap_or_else(own));
                self.all.push(client);
            }
            let is_there = |client: &Client| client.is_listening;
            let missing = self.wait(first, is_there);
            assert_eq!(missing, 0, "clients that nobody answers");
        }
    }

    /// Waits until a condition holds for all clients from `first` on. Returns for how many it does
    /// not hold when the time is up.
    fn wait(&mut self, first: usize, is_so: impl Fn(&Client) -> bool) -> usize {
        let begin = Instant::now();
        let mut waiting: Vec<usize> = (first..self.all.len()).collect();
        while !waiting.is_empty() && begin.elapsed() < PATIENCE {
            let before = waiting.len();
            waiting.retain(|index| {
                let client = &mut self.all[*index];
                client.hear();
                !is_so(client)
            });
            if waiting.len() == before {
                thread::sleep(Duration::from_micros(200));
            }
            self.beat();
        }
        waiting.len()
    }

    /// Sends the signs of life of all clients when they are due.
    fn beat(&mut self) {
        if self.beaten.elapsed() < BEAT {
            return;
        }
        self.beaten = Instant::now();
        for client in self.all.iter_mut().filter(|client| client.is_listening) {
            client.hear();
            client.ping();
        }
    }

    fn ask(&mut self) {
        for client in &mut self.all {
            client.ping();
        }
        let missing = self.wait(0, |client| client.pongs >= client.pings);
        say("answered", (self.all.len() - missing) as u64);
    }

    /// libzmq's queues have memory in parts that are used one after the other, with up to 256
    /// frames in each. So many pings use every part once.
    fn age(&mut self) {
        for _ in 0..AGE {
            for client in &mut self.all {
                client.ping();
            }
            let missing = self.wait(0, |client| client.pongs >= client.pings);
            assert_eq!(missing, 0, "clients that nobody answers");
        }
        let returns = self.all.iter().map(|client| client.returns as u64);
        say("aged", returns.sum());
    }

    fn watch(&mut self, is_so: impl Fn(&Client) -> bool) {
        say("watching", 0);
        let missing = self.wait(0, is_so);
        assert_eq!(missing, 0, "clients whom it did not reach");
        say("at", u64::try_from(now().as_nanos()).unwrap_or_default());
    }
}
