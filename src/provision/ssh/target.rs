//! A host: `ssh://[user@]host[:port]`.
//!
//! Owns which characters are allowed there. The parts become arguments of ssh, and of the programs
//! that ssh's configuration names. So none of them may look like an option or like shell.

use std::fmt;
use std::net::Ipv6Addr;

use crate::exit::Failure;
use crate::provision::bracketed;

/// The longest text that is read, in bytes: a host name has at most 253, and a user name in
/// practice 32.
const MAX_LENGTH: usize = 512;

/// A host that is reached by ssh. It can also be a name that ssh's configuration defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Target {
    /// Parses `ssh://[user@]host[:port]`, an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// A usage failure when the text is something else.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        read(text).map_err(|why| {
            // The part before the `@` may contain a password.
            let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
            let shown = shown.escape_debug();
            Failure::usage(format!("'{shown}' names no host for ssh: {why}"))
        })
    }

    /// The user; `None` leaves it to ssh's configuration.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of ssh; `None` leaves it to ssh's configuration.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&bracketed(&self.host))?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn read(text: &str) -> Result<Target, &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("it is too long");
    }
    let rest = text
        .strip_prefix("ssh://")
        .ok_or("write ssh://[user@]host[:port]")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(read_user(user)?), place),
        None => (None, rest),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => read_bracketed(rest)?,
        None => read_plain(place)?,
    };
    let port = port.map(read_port).transpose()?;
    Ok(Target { user, host, port })
}

/// Accepts what ssh itself accepts (`valid_ruser` in OpenSSH's ssh.c).
fn read_user(user: &str) -> Result<String, &'static str> {
    if user.is_empty() || user.starts_with('-') {
        return Err("a user's name is not empty and does not begin with '-'");
    }
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || "'`\"$;&<>|(){}:/".contains(c);
    if user.contains(is_bad) || user.ends_with('\\') {
        return Err("there is a character in the user's name that is not allowed");
    }
    Ok(user.to_owned())
}

fn read_bracketed(rest: &str) -> Result<(String, Option<&str>), &'static str> {
    let (inner, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
    let (address, zone) = match inner.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (inner, None),
    };
    let address: Ipv6Addr = address
        .parse()
        .map_err(|_| "only an IPv6 address goes in brackets")?;
    let is_plain = |zone: &str| {
        zone.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let host = match zone {
        Some(zone) if zone.is_empty() || !is_plain(zone) => return Err("its zone is none"),
        Some(zone) => format!("{address}%{zone}"),
        None => address.to_string(),
    };
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err("after the bracket only a port can follow"),
    }
}

fn read_plain(place: &str) -> Result<(String, Option<&str>), &'static str> {
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err("an IPv6 address goes in brackets, as in ssh://[::1]");
    }
    if host.is_empty() || host.starts_with('-') {
        return Err("a host is not empty and does not begin with '-'");
    }
    if host.contains(|c: char| !c.is_alphanumeric() && !"._-+".contains(c)) {
        return Err("there is a character in the host that is not allowed");
    }
    Ok((host.to_owned(), port))
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port != 0);
    port.ok_or("a port is a number from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "ssh://host",
            "ssh://me@host.example:2222",
            "ssh://DOM\\me@10.0.0.1",
            "ssh://a@b@host",
            "ssh://[::1]:22",
            "ssh://me@[fe80::1%eth0]",
        ] {
            let target = Target::parse(text).expect("it is one");
            assert_eq!(target.to_string(), text);
        }
        let target = Target::parse("ssh://me@[0:0::1]:2222/").expect("it is one");
        assert_eq!(target.to_string(), "ssh://me@[::1]:2222");
        assert_eq!(target.user(), Some("me"));
        assert_eq!(target.host(), "::1");
        assert_eq!(target.port(), Some(2222));
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for text in [
            "host",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-l@host",
            "ssh://@host",
            "ssh://me@",
            "ssh://me@-host",
            "ssh://ho st",
            "ssh://ho\tst",
            "ssh://ho\nst",
            "ssh://ho\u{1b}st",
            "ssh://m\u{7f}e@host",
            "ssh://host/path",
            "ssh://host:",
            "ssh://host:0",
            "ssh://host:+1",
            "ssh://host:65536",
            "ssh://host:22:22",
            "ssh://::1",
            "ssh://[::1",
            "ssh://[::1]x",
            "ssh://[host]",
            "ssh://[fe80::1%]",
            "ssh://[fe80::1%$(x)]",
            "ssh://$(x)",
            "ssh://a;b@host",
            "ssh://user:password@host",
        ] {
            let failure = Target::parse(text).expect_err(text);
            assert_eq!(failure.code, crate::exit::USAGE, "{text}");
            assert!(!failure.sentence.contains(char::is_control), "{text}");
        }
        assert!(Target::parse(&format!("ssh://{}", "a".repeat(600))).is_err());
    }
}
