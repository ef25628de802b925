//! The addresses at which a satellite listens, and the transport at each of them.
//!
//! Owns the order in which the addresses are bound. A satellite listens at all of them or at none.

use std::io::{self, ErrorKind, PipeReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use anyhow::Context as _;
use skypipe_broker::server::Server;
use skypipe_protocol::seed::SigningPair;

use crate::listen::Listen;
use crate::settings::Settings;
use crate::websocket::listener;

/// The most WebSockets at once, and the number of clients that there must be room for with each. A
/// WebSocket takes three descriptors. The limit of clients counts one of them and leaves as many
/// again. Running out of descriptors is fatal.
const MAX_WEBSOCKETS: usize = 1000;
const CLIENTS_FOR_EACH: usize = 4;

/// The lowest port that needs no privilege.
const FIRST_PORT: u16 = 1024;

/// A server that listens.
pub(crate) struct Bound {
    pub(crate) server: Server,
    /// The endpoints for clients, as text for people.
    pub(crate) announced: Vec<String>,
}

impl Bound {
    /// Listens at `listen` first, then at the other addresses of the settings. `clients` is the
    /// most clients at once; it limits the number of WebSockets.
    ///
    /// # Errors
    ///
    /// When one of the addresses cannot be bound.
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

    /// Makes the server wake up when a byte arrives in this pipe: a sync of the store has finished.
    pub(crate) fn woken_by(self, synced: PipeReader) -> Self {
        Self {
            server: self.server.woken_by(synced),
            ..self
        }
    }

    /// Accepts up to `limit` WebSockets at this address, and relays each to a local socket of the
    /// server.
    fn take_websockets(&mut self, address: SocketAddr, limit: usize) -> io::Result<String> {
        let listener = TcpListener::bind(address)?;
        let shown = format!("ws://{}", listener.local_addr()?);
        let connect = self.socket_for_relays()?;
        listener::start(listener, limit, connect)?;
        Ok(shown)
    }

    /// Binds an abstract socket. It has no path, so that no file is left behind.
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

    /// Binds a socket in a directory of its own. libzmq makes and removes that directory.
    #[cfg(not(target_os = "linux"))]
    fn socket_for_relays(&mut self) -> io::Result<listener::Connect> {
        let endpoint = self.server.bind_also("ipc://*")?;
        let path = endpoint.trim_start_matches("ipc://").to_owned();
        Ok(Box::new(move || UnixStream::connect(&path)))
    }
}

/// The error that names the address which the system refused, with advice.
fn refused(listen: &Listen, error: &io::Error) -> anyhow::Error {
    let port = match listen {
        Listen::Tcp(address) | Listen::WebSocket(address) => address.port(),
        Listen::Ipc(_) => 0,
    };
    let is_privileged =
        error.kind() == ErrorKind::PermissionDenied && (1..FIRST_PORT).contains(&port);
    let advice = if is_privileged {
        format!(
            ": a port below {FIRST_PORT} needs a privilege; to give it to everybody, as root: \
             sysctl net.ipv4.ip_unprivileged_port_start={port}"
        )
    } else {
        String::new()
    };
    let place = listen.endpoint().unwrap_or_else(|| listen.to_string());
    anyhow::anyhow!("cannot listen on {place}: {error}{advice}")
}
