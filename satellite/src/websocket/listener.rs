//! Accepts WebSockets from a front, such as a web server, that terminates TLS and speaks HTTP.
//!
//! Owns the listening socket, the handshakes and one relay for each connection. The relay ends at
//! the satellite's own socket, where the client is like any other, with the same TLS inside. One
//! thread serves all connections. It never looks into what is relayed. Each round of its loop:
//!
//! 1. Wait for a new connection, for a connection that can continue, or for the time limit of a
//!    handshake.
//! 2. Let each ready connection move a bounded number of bytes, and close those that have ended or
//!    are late.
//! 3. Accept new connections, up to the limit. When the system has no descriptor left, pause
//!    accepting.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::server::{ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::{HandshakeError, WebSocket, accept_hdr_with_config};

use super::{Messages, PROTOCOL, limits};
use crate::relay::{Outer, Progress, Relay};

/// The time limit of a handshake, the same as ZeroMQ's.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long nothing is accepted after the system refused a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// The header that names the subprotocol of a WebSocket.
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// Connects to the satellite's own socket.
pub(crate) type Connect = Box<dyn Fn() -> io::Result<UnixStream> + Send>;

/// Accepts WebSockets on another thread for as long as the process lives, at most `limit` at once.
/// `connect` connects to the satellite.
///
/// # Errors
///
/// When the system refuses the thread.
pub(crate) fn start(listener: TcpListener, limit: usize, connect: Connect) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut gate = Gate {
        listener,
        limit,
        connect,
        paused: None,
        connections: Vec::new(),
    };
    let thread = thread::Builder::new().name("websocket".to_owned());
    thread.spawn(move || gate.serve())?;
    Ok(())
}

struct Gate {
    listener: TcpListener,
    limit: usize,
    connect: Connect,
    /// The time until which nothing is accepted.
    paused: Option<Instant>,
    connections: Vec<Connection>,
}

type Check = fn(&Request, Response) -> Result<Response, ErrorResponse>;
type Handshake = MidHandshake<ServerHandshake<TcpStream, Check>>;

enum Connection {
    /// The handshake is not finished. It has to be by this time.
    New(Box<Handshake>, Instant),
    /// The handshake is finished, and the bytes are relayed.
    Relayed(Relay),
}

/// Whether to keep a connection after a step.
enum Next {
    Keep(Connection, Progress),
    Close,
}

impl Gate {
    fn serve(&mut self) {
        let mut is_ready = Vec::new();
        let mut more = false;
        loop {
            let Ok(comes) = self.wait(more, &mut is_ready) else {
                // All our descriptors are valid, so the system lacks memory, which is temporary.
                thread::sleep(PAUSE);
                continue;
            };
            more = self.go_on(&is_ready);
            if comes {
                self.accept();
            }
        }
    }

    /// Waits, notes which connections are ready, and returns whether there is a new one. `more`
    /// means not to wait.
    fn wait(&mut self, more: bool, is_ready: &mut Vec<bool>) -> io::Result<bool> {
        let now = Instant::now();
        self.paused = self.paused.filter(|until| *until > now);
        let is_open = self.paused.is_none() && self.connections.len() < self.limit;
        let timeout = if more {
            Some(Duration::ZERO)
        } else {
            self.due(now)
        };
        let timeout = timeout.map(|left| Timespec::try_from(left).unwrap_or(Timespec::default()));
        let mut owners = Vec::new();
        let mut watched = Vec::new();
        if is_open {
            watched.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        for (at, connection) in self.connections.iter().enumerate() {
            connection.watch(&mut watched);
            owners.resize(watched.len() - usize::from(is_open), at);
        }
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        is_ready.clear();
        is_ready.resize(self.connections.len(), more);
        let (first, others) = watched.split_at(usize::from(is_open));
        for (watched, at) in others.iter().zip(owners) {
            is_ready[at] |= !watched.revents().is_empty();
        }
        Ok(first.iter().any(|listener| !listener.revents().is_empty()))
    }

    /// The time until the next handshake is late or a pause ends; `None` if there is nothing to
    /// wait for.
    fn due(&self, now: Instant) -> Option<Duration> {
        let handshakes = self.connections.iter().filter_map(|it| match it {
            Connection::New(_, until) => Some(*until),
            Connection::Relayed(_) => None,
        });
        let first = handshakes.chain(self.paused).min();
        first.map(|due| due.saturating_duration_since(now))
    }

    /// Serves the ready connections, and closes those that have ended or are late. Returns whether
    /// one of them could continue at once.
    fn go_on(&mut self, is_ready: &[bool]) -> bool {
        let now = Instant::now();
        let mut more = false;
        let connections = std::mem::take(&mut self.connections);
        for (connection, is_ready) in connections.into_iter().zip(is_ready) {
            let next = match connection {
                Connection::New(_, until) if until <= now => Next::Close,
                connection if !is_ready => Next::Keep(connection, Progress::Waiting),
                Connection::New(handshake, until) => self.settle(handshake.handshake(), until),
                Connection::Relayed(relay) => relayed(relay),
            };
            if let Next::Keep(connection, progress) = next {
                more |= progress == Progress::More;
                self.connections.push(connection);
            }
        }
        more
    }

    fn accept(&mut self) {
        while self.connections.len() < self.limit {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let prepared = stream
                        .set_nonblocking(true)
                        .and_then(|()| stream.set_nodelay(true));
                    if prepared.is_err() {
                        continue;
                    }
                    let shaken = accept_hdr_with_config(stream, check as Check, Some(limits()));
                    let next = self.settle(shaken, Instant::now() + HANDSHAKE);
                    if let Next::Keep(connection, _) = next {
                        self.connections.push(connection);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The new connection is gone already, or there is no descriptor for it.
                Err(_) => {
                    self.paused = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    fn settle(
        &self,
        shaken: Result<WebSocket<TcpStream>, HandshakeError<ServerHandshake<TcpStream, Check>>>,
        until: Instant,
    ) -> Next {
        match shaken {
            Ok(socket) => {
                let inner = (self.connect)().and_then(|inner| {
                    inner.set_nonblocking(true)?;
                    Ok(inner)
                });
                match inner {
                    Ok(inner) => relayed(Relay::new(inner, Box::new(Messages::new(socket)))),
                    Err(_) => Next::Close,
                }
            }
            Err(HandshakeError::Interrupted(handshake)) => {
                let waiting = Connection::New(Box::new(handshake), until);
                Next::Keep(waiting, Progress::Waiting)
            }
            Err(HandshakeError::Failure(_)) => Next::Close,
        }
    }
}

fn relayed(mut relay: Relay) -> Next {
    match relay.run() {
        Progress::Over => Next::Close,
        progress => Next::Keep(Connection::Relayed(relay), progress),
    }
}

impl Connection {
    fn watch<'a>(&'a self, watched: &mut Vec<PollFd<'a>>) {
        match self {
            Self::New(handshake, _) => {
                let stream = handshake.get_ref().get_ref();
                watched.push(PollFd::from_borrowed_fd(stream.descriptor(), PollFlags::IN));
            }
            Self::Relayed(relay) => watched.extend(relay.interest()),
        }
    }
}

/// Refuses a request for another subprotocol.
#[expect(clippy::result_large_err, reason = "the library wants it so")]
fn check(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked = request.headers().get(PROTOCOL_HEADER);
    let asked = asked.and_then(|asked| asked.to_str().ok()).unwrap_or("");
    if asked.split(',').any(|name| name.trim() == PROTOCOL) {
        let name = HeaderValue::from_static(PROTOCOL);
        response.headers_mut().insert(PROTOCOL_HEADER, name);
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("a satellite of skypipe is here".to_owned()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

#[cfg(test)]
mod tests;
