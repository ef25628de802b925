//! The tools that are measured, each behind the same two commands: one that writes its stdin into a channel,
//! and one that prints what is written there.

mod mosquitto;
mod ncat;
mod piping;
mod skypipe;
mod socat;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::free_port;
use crate::shaper::Line;

/// What a tool can do, beside taking bytes from one to one.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of one another"
)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Abilities {
    /// Its reader ends when the writer does.
    pub ends: bool,
    /// It keeps what is written when nobody reads.
    pub keeps: bool,
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
    /// The processes between both.
    pub servers: Vec<u32>,
    /// Those of them that are for this channel alone, and end with it.
    pub own: Vec<Server>,
}

impl Channel {
    /// One through servers that are there anyway, whose readers are all alike.
    pub fn new(
        servers: &[u32],
        writer: impl Fn() -> Command + 'static,
        reader: impl Fn() -> Command + Clone + 'static,
    ) -> Self {
        let follower = reader.clone();
        Self {
            writer: Box::new(writer),
            reader: Box::new(reader),
            follower: Box::new(follower),
            servers: servers.to_vec(),
            own: Vec::new(),
        }
    }
}

/// A process that ends with this value.
pub struct Server(Child);

impl Server {
    /// Starts it, without a word from it.
    pub fn start(command: &mut Command) -> Self {
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(quiet.spawn().expect("it was found on PATH"))
    }

    /// The same, and waits until somebody listens at a port of loopback.
    pub fn listening(command: &mut Command, port: u16) -> Self {
        let server = Self::start(command);
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "nobody listens at port {port}");
            thread::sleep(Duration::from_millis(20));
        }
        server
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

/// All tools that are on PATH, and skypipe in its ways.
pub fn all(directory: &Path) -> Vec<Box<dyn Peer>> {
    let mut peers = skypipe::all(directory);
    peers.extend(socat::all(directory));
    peers.extend(ncat::find());
    peers.extend(piping::find());
    peers.extend(mosquitto::find(directory));
    peers
}

/// Whether there is a program of this name.
fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|place| place.join(name).is_file())
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
