//! The tools that are measured, each behind the same two commands: one that writes its stdin into a channel,
//! and one that prints what is written there.

mod mosquitto;
pub mod nats;
mod ncat;
mod piping;
mod skypipe;
mod socat;
mod ssh;

use std::any::Any;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::free_port;
use crate::shaper::Line;
use crate::sockets;

/// As much as is ever left waiting.
const MUCH: u64 = 200_000_000;

/// What a tool can do, beside taking bytes from one to one.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of one another"
)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    /// It has a reader that ends by what a writer did.
    pub triggers: bool,
    /// How many bytes it keeps that are written when nobody reads.
    pub keeps: u64,
    /// Many writers can write to one reader.
    pub merges: bool,
    /// Many readers get what one writer writes.
    pub broadcasts: bool,
    /// It takes any bytes, and not lines alone.
    pub takes_bytes: bool,
}

/// A tool that is there, with its server running if it has one.
pub trait Peer {
    /// What it is called in the table.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn abilities(&self) -> Abilities;
    /// A new channel.
    fn channel(&self) -> Channel;
    /// A new channel whose writer is at the other end of a long line.
    fn far_channel(&self, line: Line) -> Option<Channel>;
}

/// Where bytes go from writers to readers.
pub struct Channel {
    /// Makes a writer.
    pub writer: Box<dyn Fn() -> Command>,
    /// Makes a reader.
    pub reader: Box<dyn Fn() -> Command>,
    /// Makes a reader that does not end between two writers.
    pub follower: Box<dyn Fn() -> Command>,
    /// Makes a reader that ends after what one writer writes, or after its first line.
    pub once: Box<dyn Fn() -> Command>,
    /// How many readers are there: what is written from now on reaches them.
    pub readers: Box<dyn Fn() -> usize>,
    /// The processes between both; their children count along.
    pub servers: Vec<u32>,
    /// What is for this channel alone, and ends with it.
    pub own: Vec<Box<dyn Any>>,
}

impl Channel {
    /// One through servers that are there anyway, whose readers are all alike.
    pub fn new(
        servers: &[u32],
        writer: impl Fn() -> Command + 'static,
        reader: impl Fn() -> Command + Clone + 'static,
        readers: impl Fn() -> usize + 'static,
    ) -> Self {
        Self {
            writer: Box::new(writer),
            follower: Box::new(reader.clone()),
            once: Box::new(reader.clone()),
            reader: Box::new(reader),
            readers: Box::new(readers),
            servers: servers.to_vec(),
            own: Vec::new(),
        }
    }

    /// Waits until so many readers are there.
    pub fn until_readers(&self, count: usize) -> Result<(), String> {
        until("the readers are there", || (self.readers)() >= count)
    }
}

/// Asks again and again, for as long as it may take.
fn until(what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        if Instant::now() > end {
            return Err(format!("in vain: {what}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A process that ends with this value.
pub struct Server(Child);

impl Server {
    /// Starts it, without a word from it.
    pub fn start(command: &mut Command) -> Self {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(
            quiet
                .stdin(Stdio::null())
                .spawn()
                .expect("it was found on PATH"),
        )
    }

    /// The same, and waits until it listens at a port of loopback.
    pub fn listening(command: &mut Command, port: u16) -> Self {
        Self::start(command).at(port)
    }

    /// The same, with all that it says in a file.
    pub fn logging(command: &mut Command, port: u16, log: &Path) -> Self {
        let file = File::create(log).expect("there is room");
        let both = file.try_clone().expect("a descriptor");
        let logged = command.stdin(Stdio::null()).stdout(both).stderr(file);
        Self(logged.spawn().expect("it was found on PATH")).at(port)
    }

    fn at(self, port: u16) -> Self {
        let name = format!("a server listens at port {port}");
        until(&name, || sockets::is_listening(port)).expect("it starts");
        self
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Finds a tool, in each of its ways; none if it is not on PATH.
pub type Find = fn(&Path) -> Vec<Box<dyn Peer>>;

/// All of them, with how their names begin.
pub const ALL: [(&str, Find); 7] = [
    ("skypipe", skypipe::all),
    ("socat", socat::all),
    ("ncat", ncat::all),
    ("ssh", ssh::all),
    ("piping-server", piping::all),
    ("NATS", nats::all),
    ("mosquitto", mosquitto::all),
];

/// The program of this name; servers may be where only root looks for them.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|place| place.join(name))
        .find(|place| place.is_file())
}

/// Whether there is a program of this name.
fn is_on_path(name: &str) -> bool {
    program(name).is_some()
}

/// How many lines of a server's log have this text.
fn lines_with(log: &Path, text: &str) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(text)).count()
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
