//! Connections that libzmq cannot make by itself: through a proxy, or inside TLS or a WebSocket.
//!
//! This module makes such a connection, and owns the thread that relays it if it is more than a socket. The
//! content is the same as on a plain connection. A satellite with keys is verified by its own key, so
//! neither a proxy nor the end of the outer TLS has to be trusted.
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
use skypipe_protocol::address::Transport;
use skypipe_satellite::relay::{Outer, Progress, Relay};

use self::setup::Setup;
use crate::config::{Protocol, Proxy};
use crate::names;
use crate::report::words;

/// The timeout for all of it. A proxy looks names up and connects before it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The final destination of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host name, which a proxy looks up, and a port.
    Name(String, u16),
    /// A socket address.
    Address(SocketAddr),
}

/// A connection to make.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// The proxy to connect through.
    pub proxy: Option<Proxy>,
    /// The destination.
    pub target: Target,
    /// The host as the user wrote it. The outer TLS and HTTP name it.
    pub host: String,
    /// The transport around the connection.
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
    /// Makes the connection. It may block, so call it on its own thread.
    ///
    /// # Errors
    ///
    /// A short phrase that names what refused.
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

    /// A TCP connection to the proxy if there is one, and to the target otherwise.
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

    /// Asks the proxy, to which `outer` is connected, to connect to the target.
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

/// Relays between `outer` and the returned socket until one of them closes.
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
