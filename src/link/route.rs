//! Routes to a satellite.
//!
//! This module defines how a connection learns where to go, and the routes through the network. Names are
//! looked up for each connection anew, since a satellite may have moved. This module never connects: only
//! the handshake shows which of several addresses is the satellite's.

use std::fs::File;
use std::net::SocketAddr;

use skypipe_protocol::address::Transport;
use skypipe_protocol::seed::SigningPair;

use super::tunnel::{Target, Tunnel};
use crate::config::{Endpoint, Host, Proxy};

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 32;

/// The keys for a connection to a satellite with keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The satellite's public key. A peer without it is not talked to.
    pub satellite: [u8; 32],
    /// The key by which the satellite knows this machine.
    pub identity: SigningPair,
}

/// The destination of one connection attempt.
#[derive(Debug)]
pub struct Way {
    /// The endpoint in ZeroMQ's notation.
    pub endpoint: String,
    /// The satellite's endpoint as the user wrote it, for messages.
    pub name: String,
    /// The keys. `None` for a satellite without keys.
    pub keys: Option<Keys>,
    /// Whether the socket must allow IPv6.
    pub ipv6: bool,
    /// A directory that must stay open as long as the endpoint is used.
    pub directory: Option<File>,
    /// How the connection is made, if libzmq cannot make it by itself.
    pub tunnel: Option<Tunnel>,
}

/// How to reach a satellite.
pub trait Route: Send + Sync {
    /// The only destination, if it is known without a search.
    fn known(&self) -> Option<Way>;

    /// Finds the possible destinations: at least one, best first. It may block, so it is called on its own
    /// thread. Each destination is the satellite or harmless: a peer without the satellite's key gets
    /// nothing.
    ///
    /// # Errors
    ///
    /// When there is none. The text is the reason, for the user.
    fn find(&self) -> Result<Vec<Way>, String>;

    /// The satellite has answered at the destination of this name. If it has a key, it has proved it.
    fn proved(&self, _name: &str) {}
}

/// The route through the network.
#[derive(Debug)]
pub struct Tcp {
    endpoint: Endpoint,
    proxy: Option<Proxy>,
    keys: Option<Keys>,
}

impl Tcp {
    /// The route to `endpoint`, through a proxy if there is one. `keys` are for a satellite with keys.
    #[must_use]
    pub fn new(endpoint: Endpoint, proxy: Option<Proxy>, keys: Option<Keys>) -> Self {
        Self {
            endpoint,
            proxy,
            keys,
        }
    }

    /// The destination for one address. ZeroMQ wants an IPv6 address in brackets.
    fn way(&self, address: SocketAddr) -> Way {
        let is_plain = self.proxy.is_none() && self.endpoint.transport == Transport::Tcp;
        Way {
            endpoint: format!("tcp://{address}"),
            name: self.endpoint.to_string(),
            keys: self.keys.clone(),
            ipv6: address.is_ipv6(),
            directory: None,
            tunnel: (!is_plain).then(|| self.tunnel(Target::Address(address))),
        }
    }

    fn tunnel(&self, target: Target) -> Tunnel {
        Tunnel {
            proxy: self.proxy.clone(),
            target,
            host: self.endpoint.host.to_string(),
            transport: self.endpoint.transport.clone(),
        }
    }

    /// The destination for a name that the proxy looks up.
    fn named(&self, name: &str) -> Way {
        Way {
            endpoint: format!("tcp://{name}:{}", self.endpoint.port),
            name: self.endpoint.to_string(),
            keys: self.keys.clone(),
            ipv6: false,
            directory: None,
            tunnel: Some(self.tunnel(Target::Name(name.to_owned(), self.endpoint.port))),
        }
    }
}

impl Route for Tcp {
    fn known(&self) -> Option<Way> {
        match &self.endpoint.host {
            Host::Address(ip) => Some(self.way(SocketAddr::new(*ip, self.endpoint.port))),
            Host::Name(name) if self.proxy.is_some() => Some(self.named(name)),
            Host::Name(_) | Host::Scoped(..) => None,
        }
    }

    fn find(&self) -> Result<Vec<Way>, String> {
        let found = self.endpoint.addresses()?;
        if found.is_empty() {
            return Err("its host has no address".to_owned());
        }
        let found = found.into_iter().take(MAX_ADDRESSES);
        Ok(found.map(|address| self.way(address)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;

    fn tcp(text: &str) -> Tcp {
        Tcp::new(text.parse().expect("it is an endpoint"), None, None)
    }

    #[test]
    fn an_address_is_known() {
        let way = tcp("tcp://[::1]:9000").known().expect("it is an address");
        assert_eq!(
            (way.endpoint.as_str(), way.ipv6),
            ("tcp://[::1]:9000", true)
        );
        let ways = tcp("tcp://127.0.0.1:9000")
            .find()
            .expect("it is an address");
        assert_eq!(
            (ways[0].endpoint.as_str(), ways[0].ipv6, ways.len()),
            ("tcp://127.0.0.1:9000", false, 1)
        );
    }

    #[test]
    fn a_proxy_looks_names_up() {
        let proxy = Proxy {
            protocol: Protocol::Socks5,
            host: "socks".to_owned(),
            port: 1080,
            login: None,
        };
        let endpoint = "tcp://no.such.name:9000"
            .parse()
            .expect("it is an endpoint");
        let way = Tcp::new(endpoint, Some(proxy), None).known();
        let tunnel = way
            .and_then(|way| way.tunnel)
            .expect("nothing is looked up");
        assert_eq!(tunnel.target, Target::Name("no.such.name".to_owned(), 9000));
        assert!(
            tcp("tcp://127.0.0.1:9000")
                .known()
                .is_some_and(|way| way.tunnel.is_none())
        );
    }

    #[test]
    fn an_interface_is_looked_up_for_each_connection() {
        let scoped = tcp("tcp://[fe80::1%7]:9000");
        assert!(scoped.known().is_none());
        let ways = scoped.find().expect("it is a number");
        assert_eq!(ways[0].endpoint, "tcp://[fe80::1%7]:9000");
        let error = tcp("tcp://[fe80::1%gone]:9000")
            .find()
            .expect_err("no such");
        assert_eq!(error, "this machine has no network interface gone");
    }
}
