//! The addresses at which a satellite listens, and their syntax.
//!
//! Owns the parsing of `[ADDRESS:]PORT`. It never asks the system or a name server, so that an
//! address can be refused before anything is opened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address at which a satellite listens.
///
/// ```
/// use skypipe_satellite::Listen;
/// let listen: Listen = "9000".parse().unwrap();
/// assert_eq!(listen, Listen::Tcp(([127, 0, 0, 1], 9000).into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address of this machine. For port 0 the system chooses a port.
    Tcp(SocketAddr),
    /// A TCP address of this machine for WebSockets, which a web server in front of the satellite
    /// passes on.
    WebSocket(SocketAddr),
    /// A path of a Unix socket, for this user alone. An existing socket is replaced. The new socket
    /// stays behind when the satellite exits.
    Ipc(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::WebSocket(address) => {
                address.ip().to_canonical().is_loopback()
            }
            Self::Ipc(_) => true,
        }
    }

    /// The endpoint in `ZeroMQ`'s syntax. `None` for a path that is not UTF-8, which that syntax
    /// cannot express, and for WebSockets, which `ZeroMQ` never sees.
    pub(crate) fn endpoint(&self) -> Option<String> {
        match self {
            Self::Tcp(address) => Some(format!("tcp://{address}")),
            Self::WebSocket(_) => None,
            Self::Ipc(path) => Some(format!("ipc://{}", path.to_str()?)),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::WebSocket(address) => write!(f, "{WEBSOCKET}{address}"),
            Self::Ipc(path) => path.display().fmt(f),
        }
    }
}

/// The prefix of an address for WebSockets.
const WEBSOCKET: &str = "ws://";

/// Parses a [`Listen`], or `ws://` with an address and a port.
///
/// # Errors
///
/// When the text is invalid. The error is a sentence.
pub(crate) fn with_websockets(text: &str) -> Result<Listen, String> {
    let Some(rest) = text.strip_prefix(WEBSOCKET) else {
        return text.parse();
    };
    match rest.trim_end_matches('/').parse()? {
        Listen::Tcp(address) => Ok(Listen::WebSocket(address)),
        other => Ok(other),
    }
}

impl FromStr for Listen {
    type Err = String;

    /// Parses `PORT`, `A.B.C.D:PORT`, `[IPV6]:PORT` or `localhost:PORT`. The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, port) = match text.rsplit_once(':') {
            Some((address, port)) => (read_address(address)?, port),
            None => (Ipv4Addr::LOCALHOST.into(), text),
        };
        Ok(Self::Tcp(SocketAddr::new(address, read_port(port)?)))
    }
}

fn read_port(text: &str) -> Result<u16, String> {
    // Rust would accept "+9000", which no other program does.
    let port = text.parse().ok().filter(|_| !text.starts_with('+'));
    port.ok_or_else(|| format!("'{text}' is not a port: give a number from 0 to 65535"))
}

fn read_address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address = inner.parse().map(|address: Ipv6Addr| address.into());
        return address.map_err(|_| format!("'{inner}' is not an IPv6 address"));
    }
    if text.contains(':') {
        return Err("an IPv6 address goes in brackets, as in [::1]:9000".to_owned());
    }
    let address = text.parse().map(|address: Ipv4Addr| address.into());
    address.map_err(|_| {
        format!("'{text}' is not an address: give one of this machine's, such as 127.0.0.1:9000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Listen {
        Listen::Tcp(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_read() {
        for (text, meant) in [
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("0.0.0.0:9000", "0.0.0.0:9000"),
            ("10.1.2.3:65535", "10.1.2.3:65535"),
            ("[::1]:9000", "[::1]:9000"),
            ("[fe80::1:2]:9000", "[fe80::1:2]:9000"),
        ] {
            assert_eq!(text.parse(), Ok(tcp(meant)), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "port"),
            ("http", "port"),
            ("65536", "port"),
            ("-1", "port"),
            ("+9000", "port"),
            ("127.0.0.1:", "port"),
            ("127.0.0.1", "port"),
            (":9000", "not an address"),
            ("*:9000", "not an address"),
            ("example.org:9000", "not an address"),
            ("127.0.1:9000", "not an address"),
            ("::1:9000", "brackets"),
            ("[::1]", "brackets"),
            ("[127.0.0.1]:9000", "not an IPv6 address"),
            ("tcp://127.0.0.1:9000", "brackets"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_only_this_machine_can_reach_is_local() {
        for local in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(tcp(local).is_local(), "{local}");
        }
        for open in ["0.0.0.0:1", "192.168.0.1:1", "[::]:1", "[fe80::1]:1"] {
            assert!(!tcp(open).is_local(), "{open}");
        }
        assert!(Listen::Ipc("/tmp/satellite".into()).is_local());
    }

    #[test]
    fn endpoints_are_written_as_zeromq_reads_them() {
        assert_eq!(tcp("[::1]:9").endpoint().as_deref(), Some("tcp://[::1]:9"));
        let ipc = Listen::Ipc("/run/satellite".into());
        assert_eq!(ipc.endpoint().as_deref(), Some("ipc:///run/satellite"));
    }
}
