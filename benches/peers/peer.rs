//! The tools that are measured. Each has the same two commands: one writes its stdin into a
//! channel, and one prints what is written there.

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

/// The most bytes that are ever left unread.
const MUCH: u64 = 200_000_000;

/// The abilities of a tool, besides carrying bytes from one writer to one reader.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of one another"
)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    /// Whether a writer can make the tool's reader end.
    pub triggers: bool,
    /// How many bytes the tool keeps while nobody reads.
    pub keeps: u64,
    /// Whether many writers can write to one reader.
    pub merges: bool,
    /// Whether many readers get what one writer writes.
    pub broadcasts: bool,
    /// Whether the tool accepts any bytes, and not only lines.
    pub takes_bytes: bool,
}

/// An installed tool. Its server runs, if it has one.
pub trait Peer {
    /// The tool's name in the table.
    fn name(&self) -> &'static str;
    /// The tool's abilities.
    fn abilities(&self) -> Abilities;
    /// Makes a channel.
    fn channel(&self) -> Channel;
    /// Makes a channel whose writer is at the other end of a long line.
    fn far_channel(&self, line: Line) -> Option<Channel>;
}

/// A channel from writers to readers.
pub struct Channel {
    /// Makes the command of a writer.
    pub writer: Box<dyn Fn() -> Command>,
    /// Makes the command of a reader.
    pub reader: Box<dyn Fn() -> Command>,
    /// Makes the command of a reader that does not end between two writers.
    pub follower: Box<dyn Fn() -> Command>,
    /// Makes the command of a reader that ends after the data of one writer, or after its first
    /// line.
    pub once: Box<dyn Fn() -> Command>,
    /// The number of readers that will receive what is written from now on.
    pub readers: Box<dyn Fn() -> usize>,
    /// The processes between the two. Their children count, too.
    pub servers: Vec<u32>,
    /// Objects for this channel alone, which are dropped with it.
    pub own: Vec<Box<dyn Any>>,
}

impl Channel {
    /// A channel through servers that run already. All its readers are the same.
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

    /// Waits until this many readers are there.
    pub fn until_readers(&self, count: usize) -> Result<(), String> {
        until("the readers are there", || (self.readers)() >= count)
    }
}

/// Checks a condition repeatedly, up to a time limit.
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

/// A process that is killed when this is dropped.
pub struct Server(Child);

impl Server {
    /// Starts a process without its output.
    pub fn start(command: &mut Command) -> Self {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(
            quiet
                .stdin(Stdio::null())
                .spawn()
                .expect("it was found on PATH"),
        )
    }

    /// Like `start`, and waits until the process listens on a loopback port.
    pub fn listening(command: &mut Command, port: u16) -> Self {
        Self::start(command).at(port)
    }

    /// Like `listening`, with all output of the process in a file.
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

    /// The process id.
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

/// Finds a tool, in each of its variants. The list is empty if the tool is not on PATH.
pub type Find = fn(&Path) -> Vec<Box<dyn Peer>>;

/// All tools, with the beginning of their names.
pub const ALL: [(&str, Find); 7] = [
    ("skypipe", skypipe::all),
    ("socat", socat::all),
    ("ncat", ncat::all),
    ("ssh", ssh::all),
    ("piping-server", piping::all),
    ("NATS", nats::all),
    ("mosquitto", mosquitto::all),
];

/// The program with this name. Servers may be in directories that are on the path only for root.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|place| place.join(name))
        .find(|place| place.is_file())
}

/// Whether there is a program with this name.
fn is_on_path(name: &str) -> bool {
    program(name).is_some()
}

/// How many lines of a server's log contain this text.
fn lines_with(log: &Path, text: &str) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(text)).count()
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
