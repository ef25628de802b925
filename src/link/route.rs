//! Ways to a satellite.
//!
//! Owns the interface through which a connection learns where to go, and the way through the
//! network: names are looked up for each connection anew, since a satellite may have moved.

use std::fmt;
use std::fs::File;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::{Endpoint, Host};
use crate::tell::words;

/// How long one of several addresses may take to answer before the next one is tried. A network
/// that gives out IPv6 addresses and carries none must not cost more than a moment.
const ANSWER: Duration = Duration::from_secs(1);

/// The most addresses tried, so that all of them have their turn within the ten seconds after
/// which a client says that it reached nobody.
const MAX_ADDRESSES: usize = 6;

/// The keys of a connection to a satellite that others can reach.
#[derive(Clone)]
pub struct Curve {
    /// The satellite's public key: nothing else is spoken to.
    pub satellite: [u8; 32],
    /// The public half of this machine's key.
    pub public: [u8; 32],
    /// The secret half.
    pub secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Curve {
    /// Without the secret, which shall not get into any output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Curve")
            .field("satellite", &self.satellite)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// Where one connection goes.
#[derive(Debug)]
pub struct Way {
    /// In the words of `ZeroMQ`.
    pub endpoint: String,
    /// In the words of whoever named the satellite.
    pub name: String,
    /// The keys, if the satellite is known to have one.
    pub curve: Option<Curve>,
    /// Whether it takes IPv6.
    pub ipv6: bool,
    /// A directory that the endpoint needs to be open.
    pub directory: Option<File>,
}

/// How to get to a satellite.
pub trait Route: Send + Sync {
    /// The way, if it can be told at once.
    fn known(&self) -> Option<Way>;

    /// Finds the way, which may take its time: it is called on a thread of its own.
    ///
    /// # Errors
    ///
    /// When there is none; with the reason for people.
    fn find(&self) -> Result<Way, String>;
}

/// The route through the network.
#[derive(Debug)]
pub struct Tcp {
    endpoint: Endpoint,
    curve: Option<Curve>,
    /// Counts the findings that had to guess, so that each guesses another address.
    turn: AtomicUsize,
}

impl Tcp {
    /// The route to `endpoint`, with these keys if the satellite there has one.
    #[must_use]
    pub fn new(endpoint: Endpoint, curve: Option<Curve>) -> Self {
        Self {
            endpoint,
            curve,
            turn: AtomicUsize::new(0),
        }
    }

    /// The first address that answers. If none does in the time there is for it, they are guessed
    /// in turn, and the connection itself finds out with more patience.
    fn choose(&self, addresses: &[SocketAddr]) -> SocketAddr {
        let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, ANSWER).is_ok();
        let guess = || addresses[self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len()];
        addresses
            .iter()
            .find(answers)
            .copied()
            .unwrap_or_else(guess)
    }

    /// A socket address is written as `ZeroMQ` has it: an IPv6 address in brackets.
    fn way(&self, address: SocketAddr) -> Way {
        Way {
            endpoint: format!("tcp://{address}"),
            name: self.endpoint.to_string(),
            curve: self.curve.clone(),
            ipv6: address.is_ipv6(),
            directory: None,
        }
    }
}

impl Route for Tcp {
    fn known(&self) -> Option<Way> {
        match self.endpoint.host {
            Host::Address(ip) => Some(self.way(SocketAddr::new(ip, self.endpoint.port))),
            Host::Name(_) => None,
        }
    }

    fn find(&self) -> Result<Way, String> {
        let port = self.endpoint.port;
        let found = match &self.endpoint.host {
            Host::Address(ip) => vec![SocketAddr::new(*ip, port)],
            Host::Name(name) => (name.as_str(), port)
                .to_socket_addrs()
                .map_err(|error| format!("{name} cannot be looked up: {}", words(&error)))?
                .take(MAX_ADDRESSES)
                .collect(),
        };
        match found[..] {
            [] => Err("its host has no address".to_owned()),
            [address] => Ok(self.way(address)),
            _ => Ok(self.way(self.choose(&found))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn tcp(text: &str) -> Tcp {
        Tcp::new(text.parse().expect("it is an endpoint"), None)
    }

    #[test]
    fn an_address_is_known() {
        let way = tcp("tcp://[::1]:9000").known().expect("it is an address");
        assert_eq!(
            (way.endpoint.as_str(), way.ipv6),
            ("tcp://[::1]:9000", true)
        );
        let way = tcp("tcp://127.0.0.1:9000")
            .find()
            .expect("it is an address");
        assert_eq!(
            (way.endpoint.as_str(), way.ipv6),
            ("tcp://127.0.0.1:9000", false)
        );
    }

    #[test]
    fn the_address_that_answers_is_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let good = listener.local_addr().expect("it is bound");
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
        let bad = closed.expect("loopback is there");
        assert_eq!(tcp("tcp://sky:9000").choose(&[bad, good]), good);
    }

    #[test]
    fn if_none_answers_each_has_its_turn() {
        let closed = || TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
        let addresses = [
            closed().expect("loopback is there"),
            closed().expect("it still is"),
        ];
        let tcp = tcp("tcp://sky:9000");
        assert_eq!(
            [0, 1, 2].map(|_| tcp.choose(&addresses)),
            [addresses[0], addresses[1], addresses[0]]
        );
    }
}
