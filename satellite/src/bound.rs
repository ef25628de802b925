//! Where a satellite listens: all its addresses, and what it takes at each.
//!
//! Owns the order in which they are bound: a satellite listens everywhere or nowhere.

use std::io::{self, ErrorKind, PipeReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use anyhow::Context as _;
use skypipe_broker::keys::seed::SigningPair;
use skypipe_broker::server::Server;

use crate::listen::Listen;
use crate::settings::Settings;
use crate::websocket::listener;

/// The most WebSockets at once, and how many clients there must be room for with each. A WebSocket takes
/// three descriptors, of which the limit of clients counts one; that limit leaves as many again, and
/// running out is fatal.
const MAX_WEBSOCKETS: usize = 1000;
const CLIENTS_FOR_EACH: usize = 4;

/// The ports that the system keeps for privileged programs lie below this one.
const FIRST_PORT: u16 = 1024;

/// A server that listens.
pub(crate) struct Bound {
    /// The server.
    pub(crate) server: Server,
    /// Where clients can connect, as it is told to people.
    pub(crate) announced: Vec<String>,
}

impl Bound {
    /// Listens at `listen` first, and wherever else the settings say, for so many clients.
    ///
    /// # Errors
    ///
    /// When one of the addresses cannot be had.
    pub(crate) fn new(
        listen: &Listen,
        settings: &Settings,
        clients: usize,
        identity: Option<&SigningPair>,
    ) -> anyhow::Result<Self> {
        let endpoint = listen
            .endpoint()
            .context("a satellite listens on a TCP port, or at a path of UTF-8, first")?;
        let server = Server::bind(&endpoint, identity).map_err(|error| refused(listen, &error))?;
        let announced = vec![server.endpoint().to_owned()];
        let mut bound = Self { server, announced };
        for also in &settings.listen {
            let shown = match also {
                Listen::WebSocket(address) => {
                    let limit = (clients / CLIENTS_FOR_EACH).clamp(1, MAX_WEBSOCKETS);
                    bound.take_websockets(*address, limit)
                }
                other => bound
                    .server
                    .bind_also(&other.endpoint().unwrap_or_default()),
            };
            bound
                .announced
                .push(shown.map_err(|error| refused(also, &error))?);
        }
        Ok(bound)
    }

    /// Lets a byte in this pipe tell that a sync of the store has come to its end.
    pub(crate) fn woken_by(self, synced: PipeReader) -> Self {
        Self {
            server: self.server.woken_by(synced),
            ..self
        }
    }

    /// Takes up to `limit` WebSockets there, and relays each to a socket of the server's own.
    fn take_websockets(&mut self, address: SocketAddr, limit: usize) -> io::Result<String> {
        let listener = TcpListener::bind(address)?;
        let shown = format!("ws://{}", listener.local_addr()?);
        let connect = self.socket_for_relays()?;
        listener::start(listener, limit, connect)?;
        Ok(shown)
    }

    /// A socket that has no place in any directory, so that nothing of it is left behind.
    #[cfg(target_os = "linux")]
    fn socket_for_relays(&mut self) -> io::Result<listener::Connect> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr as Place;

        use crate::randomness;

        let name = format!("skypipe-{}", randomness::uuid());
        self.server.bind_also(&format!("ipc://@{name}"))?;
        let place = Place::from_abstract_name(&name)?;
        Ok(Box::new(move || UnixStream::connect_addr(&place)))
    }

    /// A socket in a directory of its own, which libzmq makes and removes.
    #[cfg(not(target_os = "linux"))]
    fn socket_for_relays(&mut self) -> io::Result<listener::Connect> {
        let endpoint = self.server.bind_also("ipc://*")?;
        let path = endpoint.trim_start_matches("ipc://").to_owned();
        Ok(Box::new(move || UnixStream::connect(&path)))
    }
}

/// Says where it was that the system refused, and what would help.
fn refused(listen: &Listen, error: &io::Error) -> anyhow::Error {
    let port = match listen {
        Listen::Tcp(address) | Listen::WebSocket(address) => address.port(),
        Listen::Ipc(_) => 0,
    };
    let is_privileged =
        error.kind() == ErrorKind::PermissionDenied && (1..FIRST_PORT).contains(&port);
    let advice = if is_privileged {
        format!(
            ": a port below {FIRST_PORT} takes a privilege (as root, sysctl \
             net.ipv4.ip_unprivileged_port_start={port} gives it to everybody)"
        )
    } else {
        String::new()
    };
    let place = listen.endpoint().unwrap_or_else(|| listen.to_string());
    anyhow::anyhow!("cannot listen on {place}: {error}{advice}")
}
