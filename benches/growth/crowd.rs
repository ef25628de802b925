//! Many clients in a process of their own, which this program starts with itself.
//!
//! The process takes commands from stdin, a line each, and answers with a word and a number: it says `ready`
//! once all clients listen; `ask` has each client send a ping, and the answer is how many were answered;
//! `age` has each send as many as it would in some minutes, and the answer is how often a client had to come
//! back since it came;
//! `watch a line` and `watch the end` tell when that has come to the last client. All the while each client
//! sends its signs of life.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, Door};
use super::now;

/// Says that the program is to be a crowd, and of how many.
const SIZE: &str = "SKYPIPE_BENCH_CROWD";

/// The pipe of all; without it each client listens to one of its own.
const PIPE: &str = "SKYPIPE_BENCH_PIPE";

/// How often each client says that it is there. The satellite wants it within 2.5 s.
const BEAT: Duration = Duration::from_secs(2);

/// The most sockets of a context of libzmq's, unless told otherwise, are 1023.
const SOCKETS: usize = 1000;

/// What each says in its first six minutes.
const AGE: usize = 140;

/// So many connect at once.
const WAVE: usize = 100;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A crowd, as this program sees it.
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

    /// The number behind a word, once the crowd says it.
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

/// Is a crowd until stdin ends.
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
    /// Before their contexts, which end only once they are gone.
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

    /// Waits until all clients from this one on are so; returns how many are not, if it takes too long.
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

    /// Says that all are there, if it is time.
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

    /// libzmq's queues hold their memory in parts that are used one after the other, up to 256 frames in
    /// each: so many pings come round once.
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
