//! The address of a satellite for other machines, as invitations and `--public` write it.
//!
//! This module owns the format of an address and the transport of a connection. It never resolves a name.
//!
//! ```text
//! [skypipe://]HOST:PORT                  a TCP connection
//! skypipe+tls://HOST[:PORT]              inside the TLS of something in front of the satellite
//! skypipe+wss://HOST[:PORT][/PATH]       inside a WebSocket, inside TLS
//! ```
//!
//! `HOST` is a name, an IPv4 address or an IPv6 address in brackets. Inside all three transports, the client
//! speaks the same TLS 1.3 with the satellite itself, so nothing on the way has to be trusted.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The maximum length of a host, which is the limit of DNS, in bytes.
const MAX_HOST: usize = 253;

/// The maximum length of a WebSocket's path, in bytes.
const MAX_PATH: usize = 255;

/// The port of HTTPS, the default for TLS and WebSockets.
const HTTPS: u16 = 443;

/// The transport of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// TCP alone.
    Tcp,
    /// TLS that a proxy in front of the satellite terminates.
    Tls,
    /// A WebSocket in TLS that a proxy in front of the satellite terminates.
    WebSocket {
        /// The path in the request. It begins with a slash and does not end in one, unless it is a single
        /// slash.
        path: String,
    },
}

impl Transport {
    /// The scheme of an address, including `://`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp => "skypipe://",
            Self::Tls => "skypipe+tls://",
            Self::WebSocket { .. } => "skypipe+wss://",
        }
    }

    /// The part after the port.
    fn path(&self) -> &str {
        match self {
            Self::Tcp | Self::Tls => "",
            Self::WebSocket { path } if path == "/" => "",
            Self::WebSocket { path } => path,
        }
    }
}

/// The address of a satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The transport of a connection to the satellite.
    pub transport: Transport,
    /// The host, as in a URL. [`is_host`] holds.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

/// The text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAddress;

impl Address {
    /// An address for plain TCP.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self {
            transport: Transport::Tcp,
            host: host.into(),
            port,
        }
    }

    /// The address with its scheme.
    #[must_use]
    pub fn url(&self) -> String {
        match self.transport {
            Transport::Tcp => format!("{}{self}", self.transport.scheme()),
            Transport::Tls | Transport::WebSocket { .. } => self.to_string(),
        }
    }

    /// Parses an address. If the port is missing, it is `default`, or [`HTTPS`] for a scheme with TLS.
    ///
    /// # Errors
    ///
    /// If the text is not an address, or lacks its port and there is no default.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, NoAddress> {
        let kinds = [
            Transport::Tls,
            Transport::WebSocket {
                path: "/".to_owned(),
            },
            Transport::Tcp,
        ];
        let schemed = kinds.into_iter().find_map(|transport| {
            let rest = text.strip_prefix(transport.scheme())?;
            Some((transport, rest))
        });
        let (mut transport, mut rest) = schemed.unwrap_or((Transport::Tcp, text));
        if let Transport::WebSocket { path } = &mut transport
            && let Some(slash) = rest.find('/')
        {
            if !is_path(&rest[slash..]) {
                return Err(NoAddress);
            }
            // A trailing slash makes no difference: in an invitation, the secret follows a slash.
            *path = format!("/{}", rest[slash..].trim_matches('/'));
            rest = &rest[..slash];
        }
        let default = match transport {
            Transport::Tcp => default,
            Transport::Tls | Transport::WebSocket { .. } => Some(HTTPS),
        };
        let (host, port) = split(rest, default)?;
        if !is_host(host) {
            return Err(NoAddress);
        }
        Ok(Self {
            transport,
            host: host.to_owned(),
            port,
        })
    }
}

/// Splits a text into host and port.
fn split(text: &str, default: Option<u16>) -> Result<(&str, u16), NoAddress> {
    match text.rsplit_once(':').filter(|_| !text.ends_with(']')) {
        None => default.map(|port| (text, port)).ok_or(NoAddress),
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0);
            port.map(|port| (host, port)).ok_or(NoAddress)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self::tcp(host, address.port())
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        Self::parse(text, None)
    }
}

impl fmt::Display for Address {
    /// Writes the address. Plain TCP is written without a scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, path) = (&self.host, self.port, self.transport.path());
        let scheme = match &self.transport {
            Transport::Tcp => "",
            other => other.scheme(),
        };
        write!(f, "{scheme}{host}:{port}{path}")
    }
}

/// Whether `text` can be the host of an invitation: a name, an IPv4 address, or an IPv6 address in brackets.
#[must_use]
pub fn is_host(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('[') {
        let address = inside.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return matches!(address, Some(Ok(_)));
    }
    let in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let good = |label: &str| !label.is_empty() && label.bytes().all(in_names);
    let labels = text.strip_suffix('.').unwrap_or(text);
    let of_digits = labels
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.len() <= MAX_HOST
        && labels.split('.').all(good)
        && (!of_digits || text.parse::<Ipv4Addr>().is_ok())
}

/// Whether a text can be the path of a request without any encoding.
fn is_path(text: &str) -> bool {
    let in_paths = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
    text.len() <= MAX_PATH && text.bytes().all(in_paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("sky:9000", "sky:9000"),
            ("skypipe://[::1]:443", "[::1]:443"),
            (
                "skypipe+tls://sky.example.org",
                "skypipe+tls://sky.example.org:443",
            ),
            ("skypipe+tls://10.0.0.1:8443", "skypipe+tls://10.0.0.1:8443"),
            ("skypipe+wss://sky", "skypipe+wss://sky:443"),
            ("skypipe+wss://sky/", "skypipe+wss://sky:443"),
            ("skypipe+wss://[::1]/a/b", "skypipe+wss://[::1]:443/a/b"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
        let path = |text: &str| text.parse::<Address>().map(|address| address.transport);
        let at = |path: &str| {
            Ok(Transport::WebSocket {
                path: path.to_owned(),
            })
        };
        assert_eq!(path("skypipe+wss://sky"), at("/"));
        assert_eq!(path("skypipe+wss://sky/a/"), at("/a"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "sky",
            ":9000",
            "sky:0",
            "sky:+1",
            "sky:65536",
            "::1:9000",
            "a b:1",
            "sky:9000/path",
            "tcp://sky:9000",
            "skypipe+tls://",
            "skypipe+tls://sky/path",
            "skypipe+wss://sky/a b",
            "skypipe+wss://sky/?a",
            "skypipe+ws://sky",
            "skypipe://sky",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NoAddress), "{text}");
        }
        assert!(is_host(&"a".repeat(MAX_HOST)));
        assert!(!is_host(&"a".repeat(MAX_HOST + 1)));
        assert_eq!(Address::parse("sky", Some(9)), Ok(Address::tcp("sky", 9)));
        assert_eq!(
            Address::parse("[::1]", Some(9)),
            Ok(Address::tcp("[::1]", 9))
        );
    }
}
