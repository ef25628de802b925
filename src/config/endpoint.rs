//! Endpoints: `tcp://host:port` as users write it, or the address in an invitation.
//!
//! This module owns their form. [`names`] looks names up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use skypipe_protocol::address::{Address, Transport};

use crate::names;

/// The longest host name that DNS can express, in bytes.
const MAX_HOST: usize = 253;

/// The longest name of a network interface, in bytes.
const MAX_INTERFACE: usize = 15;

/// `tcp://host:port`, or the same with another transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
    /// The transport around the connection.
    pub transport: Transport,
}

/// The host of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, which is looked up for each connection anew.
    Name(String),
    /// An IP address.
    Address(IpAddr),
    /// A link-local address with the name or number of its network interface. The address means nothing
    /// without it.
    Scoped(Ipv6Addr, String),
}

impl Endpoint {
    /// Converts an address.
    ///
    /// # Errors
    ///
    /// When its host is invalid.
    pub fn of(address: &Address) -> Result<Self, &'static str> {
        Ok(Self {
            host: parse_host(&address.host)?,
            port: address.port,
            transport: address.transport.clone(),
        })
    }

    /// The socket addresses. A name is looked up now.
    ///
    /// # Errors
    ///
    /// When it has none at the moment. The text is the reason.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        match &self.host {
            Host::Address(ip) => Ok(vec![SocketAddr::new(*ip, self.port)]),
            Host::Scoped(ip, zone) => {
                let scope = names::interface(zone)
                    .ok_or_else(|| format!("this machine has no network interface {zone}"))?;
                Ok(vec![SocketAddrV6::new(*ip, self.port, 0, scope).into()])
            }
            Host::Name(name) => names::addresses(name, self.port)
                .map_err(|why| format!("{name} cannot be looked up: {why}")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        match &self.transport {
            Transport::Tcp => write!(f, "tcp://{host}:{port}"),
            transport => {
                let address = Address {
                    transport: transport.clone(),
                    host: host.to_string(),
                    port,
                };
                address.fmt(f)
            }
        }
    }
}

impl fmt::Display for Host {
    /// Writes the host as in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Scoped(address, zone) => write!(f, "[{address}%{zone}]"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix("tcp://")
            .ok_or("it does not begin with tcp://")?;
        let (host, port) = rest.rsplit_once(':').ok_or("it has no port")?;
        Ok(Self {
            host: parse_host(host)?,
            port: parse_port(port)?,
            transport: Transport::Tcp,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Some(inside) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return parse_ipv6(inside);
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if text.contains(':') {
        return Err("an IPv6 address goes in brackets: tcp://[::1]:9000");
    }
    if is_host_name(text) {
        Ok(Host::Name(text.to_owned()))
    } else {
        Err("its host is not a name or an address")
    }
}

/// Parses the text between brackets: an IPv6 address, and a `%` and an interface if it is link-local. In a
/// URL the `%` would be written `%25`.
fn parse_ipv6<'a>(text: &'a str) -> Result<Host, &'static str> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: Ipv6Addr = address
        .parse()
        .map_err(|_| "the part in brackets is not an IPv6 address")?;
    let encoded = |zone: &'a str| zone.strip_prefix("25").filter(|rest| !is_number(rest));
    match zone.map(|zone| encoded(zone).unwrap_or(zone)) {
        None if address.is_unicast_link_local() => {
            Err("a link-local address needs its interface: tcp://[fe80::1%eth0]:9000")
        }
        None => Ok(Host::Address(address.into())),
        Some(zone) if is_interface(zone) => Ok(Host::Scoped(address, zone.to_owned())),
        Some(_) => Err("the part after % is not a network interface"),
    }
}

/// Whether the text consists of digits only.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text is a valid name of a network interface.
fn is_interface(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"/:[]%".contains(&byte);
    (1..=MAX_INTERFACE).contains(&text.len()) && text.bytes().all(good)
}

fn is_host_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let of_digits = labels
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let good = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= MAX_HOST && !of_digits && labels.split('.').all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str) -> Endpoint {
        text.parse().expect("it is an endpoint")
    }

    #[test]
    fn endpoints_are_read_and_printed() {
        for text in [
            "tcp://sky.example.org:9000",
            "tcp://10.0.0.1:1",
            "tcp://[::1]:65535",
            "tcp://[fe80::1%eth0]:9000",
            "tcp://[fe80::1%2]:9000",
            "tcp://[fe80::1%25]:9000",
            "tcp://[fe80::1%256]:9000",
        ] {
            assert_eq!(good(text).to_string(), text);
        }
        assert_eq!(
            good("tcp://my_host:9000").host,
            Host::Name("my_host".into())
        );
        assert_eq!(
            good("tcp://127.0.0.1:9").host,
            Host::Address(Ipv4Addr::LOCALHOST.into())
        );
        assert_eq!(
            good("tcp://[fe80::1%25eth0.7]:9").host,
            Host::Scoped("fe80::1".parse().expect("it is one"), "eth0.7".into())
        );
        assert_eq!(
            good("tcp://example.org.:9").host,
            Host::Name("example.org.".into())
        );
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let bad = [
            "sky:9000",
            "tcp://",
            "tcp://sky",
            "tcp://sky:",
            "tcp://sky:0",
            "tcp://sky:65536",
            "tcp://sky:+9",
            "tcp://:9000",
            "tcp://::1:9000",
            "tcp://[::1:9000",
            "tcp://[sky]:9000",
            "tcp://[fe80::1]:9000",
            "tcp://[fe80::1%]:9000",
            "tcp://[fe80::1%a/b]:9000",
            "tcp://[fe80::1%a-name-too-long-for-one]:9000",
            "tcp://999.1.1.1:9000",
            "tcp://*:9000",
            "tcp://a..b:9000",
            "tcp://a b:9000",
            "tcp://sky:9000/path",
            "TCP://sky:9000",
            "ipc:///tmp/sky",
        ];
        for text in bad {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
