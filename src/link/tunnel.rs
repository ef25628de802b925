//! Connections that libzmq cannot make by itself: through a proxy, or inside TLS or a WebSocket.
//!
//! Owns how such a connection is made, and the thread that relays it if it is more than a socket. What goes
//! through is the same as over a plain connection: a satellite with keys is known by its own key, so
//! that neither a proxy nor whoever ends the outer TLS is trusted with anything.
//!
//! ```text
//! libzmq -- socket pair -- relay -- WebSocket -- TLS -- proxy -- something in front -- satellite
//! libzmq -------------------------------------------- proxy ------------------------- satellite
//! ```

mod http;
mod setup;
mod socks;
mod tls;
mod websocket;

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, poll};
use skypipe_broker::keys::address::Transport;
use skypipe_satellite::relay::{Outer, Progress, Relay};

use self::setup::Setup;
use crate::config::{Protocol, Proxy};
use crate::names;
use crate::tell::words;

/// How long all of it may take. A proxy looks names up and connects before it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a connection leads in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A name, which a proxy looks up.
    Name(String, u16),
    /// An address.
    Address(SocketAddr),
}

/// A connection that is to be made.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// The proxy that it goes through.
    pub proxy: Option<Proxy>,
    /// Where it leads.
    pub target: Target,
    /// The host in the person's words, which outer TLS and HTTP are told.
    pub host: String,
    /// What it runs in.
    pub transport: Transport,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Tunnel {
    /// Makes the connection. It may take its time: this is for a thread of its own.
    ///
    /// # Errors
    ///
    /// Why there is none, in a few words that name what refused.
    pub fn open(&self) -> Result<OwnedFd, String> {
        let setup = Setup::until(Instant::now() + PATIENCE);
        let socket = self.connect()?;
        let cannot = |error| words(&error);
        socket.set_nodelay(true).map_err(cannot)?;
        let mut outer: Box<dyn Outer> = Box::new(setup.stream(socket.try_clone().map_err(cannot)?));
        if let Some(proxy) = &self.proxy {
            outer = self.through(proxy, outer)?;
        }
        let is_bare = self
            .proxy
            .as_ref()
            .is_none_or(|it| it.protocol != Protocol::Https);
        let outer = match &self.transport {
            Transport::Tcp if is_bare => {
                setup.finish();
                return Ok(socket.into());
            }
            Transport::Tcp => outer,
            Transport::Tls => tls::unverified(outer, &self.host, &[])?,
            Transport::WebSocket { path } => {
                let outer = tls::unverified(outer, &self.host, &[b"http/1.1"])?;
                websocket::shake(outer, &self.host, self.target.port(), path)?
            }
        };
        socket.set_nonblocking(true).map_err(cannot)?;
        setup.finish();
        relay(outer).map_err(cannot)
    }

    /// A TCP connection to the proxy, or else to the target.
    fn connect(&self) -> Result<TcpStream, String> {
        let Some(proxy) = &self.proxy else {
            let Target::Address(address) = self.target else {
                return Err("its name was not looked up".to_owned());
            };
            return TcpStream::connect_timeout(&address, CONNECT).map_err(|error| words(&error));
        };
        let failed = |why: &str| format!("the proxy at {proxy} cannot be reached: {why}");
        let addresses = names::addresses(&proxy.host, proxy.port).map_err(|why| failed(&why))?;
        let mut last = failed("it has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = failed(&words(&error)),
            }
        }
        Err(last)
    }

    /// Has the proxy, to which `outer` leads, connect to the target.
    fn through(&self, proxy: &Proxy, mut outer: Box<dyn Outer>) -> Result<Box<dyn Outer>, String> {
        if proxy.protocol == Protocol::Https {
            outer = tls::verified(outer, &proxy.host)
                .map_err(|why| format!("the proxy at {proxy}: {why}"))?;
        }
        let login = proxy.login.as_ref();
        let asked = match proxy.protocol {
            Protocol::Http | Protocol::Https => http::connect(&mut outer, &self.target, login),
            Protocol::Socks5 => socks::connect(&mut outer, &self.target, login),
        };
        asked.map_err(|why| format!("the proxy at {proxy} {why}"))?;
        Ok(outer)
    }
}

impl Target {
    fn port(&self) -> u16 {
        match self {
            Self::Name(_, port) => *port,
            Self::Address(address) => address.port(),
        }
    }
}

/// Relays between `outer` and the socket that is returned, until one of them is closed.
fn relay(outer: Box<dyn Outer>) -> std::io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let relay = Relay::new(ours, outer);
    let thread = thread::Builder::new().name("tunnel".to_owned());
    thread.spawn(move || run(relay))?;
    Ok(theirs.into())
}

fn run(mut relay: Relay) {
    loop {
        match relay.run() {
            Progress::Over => return,
            Progress::More => {}
            Progress::Waiting => {
                let mut ends: Vec<PollFd<'_>> = relay.interest().collect();
                match poll(&mut ends, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
            }
        }
    }
}
