//! The text that names an engine.
//!
//! Owns the forms of that text, and the characters that it may contain: parts of it become
//! arguments of ssh. Never connects to anything.

use std::net::Ipv6Addr;
use std::path::Path;
use std::{env, fmt};

use crate::provision::bracketed;

/// Where engines listen on their own machine: first Docker's socket, then Podman's.
pub const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// The port of an engine that listens without TLS.
const TCP_PORT: u16 = 2375;

/// An engine of Docker or Podman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An engine on this machine, at this path.
    Unix(String),
    /// An engine on another machine, through ssh.
    Ssh(Login),
    /// An engine at a host (an IPv6 address without brackets) and a port, without encryption or
    /// authentication.
    Tcp(String, u16),
}

/// Where ssh logs in, and the engine's socket there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user; `None` leaves it to ssh's configuration.
    pub user: Option<String>,
    /// A name that ssh's configuration may know, or an address (IPv6 without brackets).
    pub host: String,
    /// The port; `None` leaves it to ssh's configuration.
    pub port: Option<u16>,
    /// The engine's socket on that machine; `None` means one of [`SOCKETS`].
    pub socket: Option<String>,
}

/// Everything that decides which engine `docker` alone means.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    exists: &'a dyn Fn(&str) -> bool,
}

impl Target {
    /// Parses `docker`, `docker+unix:///PATH`, `docker+ssh://[USER@]HOST[:PORT][/PATH]` or
    /// `docker+tcp://HOST:PORT`. For `docker` alone, `DOCKER_HOST` decides, and without it the
    /// first socket that exists on this machine.
    ///
    /// # Errors
    ///
    /// When the text is invalid, or there is no engine. The error is a sentence without its full
    /// stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(
            text,
            &Surroundings {
                variable: &|name| env::var(name).ok().filter(|value| !value.is_empty()),
                exists: &|path| Path::new(path).exists(),
            },
        )
    }

    fn read(text: &str, here: &Surroundings<'_>) -> Result<Self, String> {
        if text == "docker" {
            return Self::of_this_machine(here);
        }
        let address = text.strip_prefix("docker+").and_then(Self::address);
        address.unwrap_or_else(|| {
            Err(
                "an engine is named as docker, docker+unix:///PATH, docker+ssh://[USER@]HOST[:PORT][/PATH] \
                 or docker+tcp://HOST:PORT"
                    .to_owned(),
            )
        })
    }

    fn of_this_machine(here: &Surroundings<'_>) -> Result<Self, String> {
        if let Some(host) = (here.variable)("DOCKER_HOST") {
            let target = Self::address(&host).unwrap_or_else(|| {
                Err("only unix://, ssh:// and tcp:// are known here".to_owned())
            });
            let target = target.map_err(|why| format!("DOCKER_HOST makes no sense: {why}"))?;
            let tls = (here.variable)("DOCKER_TLS_VERIFY").is_some();
            if tls && matches!(target, Self::Tcp(..)) {
                return Err(
                    "DOCKER_HOST names an engine behind TLS, which skypipe does not speak to: name \
                     the machine as docker+ssh://HOST"
                        .to_owned(),
                );
            }
            return Ok(target);
        }
        let own = [
            ("XDG_RUNTIME_DIR", "podman/podman.sock"),
            ("HOME", ".docker/run/docker.sock"),
        ];
        let own = own.iter().filter_map(|(directory, socket)| {
            Some(format!("{}/{socket}", (here.variable)(directory)?))
        });
        let usual = SOCKETS.map(str::to_owned).into_iter();
        let found = usual.chain(own).find(|path| (here.exists)(path));
        found.map(Self::Unix).ok_or_else(|| {
            "there is no container engine on this machine: install and start Docker or Podman, or name \
             one elsewhere, as docker+ssh://HOST"
                .to_owned()
        })
    }

    /// Parses the value of `DOCKER_HOST`; `None` if its scheme is another one.
    fn address(text: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme {
            "unix" => Some(unix(rest)),
            "ssh" => Some(ssh(rest)),
            "tcp" => Some(tcp(rest)),
            _ => None,
        }
    }
}

fn unix(path: &str) -> Result<Target, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        return Err(
            "a socket is named by its whole path, as unix:///var/run/docker.sock".to_owned(),
        );
    }
    Ok(Target::Unix(path.to_owned()))
}

fn tcp(rest: &str) -> Result<Target, String> {
    let (host, port) = host_and_port(rest.trim_end_matches('/'))?;
    Ok(Target::Tcp(host, port.unwrap_or(TCP_PORT)))
}

fn ssh(rest: &str) -> Result<Target, String> {
    let (authority, socket) = match rest.find('/') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = host_and_port(place)?;
    let is_user = |user: &str| is_word(user, "._-+@\\") && !user.starts_with('-');
    if user.is_some_and(|user| !is_user(user)) {
        return Err(
            "the user in front of @ makes no sense (a password has no place there)".to_owned(),
        );
    }
    let socket = Some(socket).filter(|socket| !matches!(*socket, "" | "/"));
    // The path becomes a word of a command on that machine, and part of a forwarding here, which
    // colons would divide.
    if socket.is_some_and(|socket| !is_word(socket, "/._-+@=") || socket.ends_with('/')) {
        return Err("the socket's path may only have letters, digits and /._-+@= in it".to_owned());
    }
    Ok(Target::Ssh(Login {
        user: user.map(str::to_owned),
        host,
        port,
        socket: socket.map(str::to_owned),
    }))
}

/// Parses `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || format!("{text:?} is no host, nor a host and a port");
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
        host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        (host, port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        if !is_word(host, "._-") || host.starts_with('-') {
            return Err(wrong());
        }
        (host, port)
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(wrong)?,
        ),
        None if port.is_empty() => None,
        None => return Err(wrong()),
    };
    Ok((host.to_owned(), port))
}

/// Whether the text is not empty, and consists of letters, digits and `others`.
fn is_word(text: &str, others: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
    !text.is_empty() && text.chars().all(fits)
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&bracketed(&self.host))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.socket.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "docker+unix://{path}"),
            Self::Ssh(login) => write!(f, "docker+ssh://{login}"),
            Self::Tcp(host, port) => write!(f, "docker+tcp://{}:{port}", bracketed(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        let here = Surroundings {
            variable: &|_| None,
            exists: &|_| false,
        };
        Target::read(text, &here)
    }

    fn alone(variables: &[(&str, &str)], existing: &[&str]) -> Result<Target, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let here = Surroundings {
            variable: &variable,
            exists: &|path| existing.contains(&path),
        };
        Target::read("docker", &here)
    }

    #[test]
    fn what_is_read_is_written_alike() {
        for text in [
            "docker+unix:///var/run/docker.sock",
            "docker+unix:///a b/c",
            "docker+ssh://host",
            "docker+ssh://me@host.example:2222/run/user/1000/podman/podman.sock",
            "docker+ssh://DOM\\me@10.0.0.1",
            "docker+ssh://me@[fe80::1]:22",
            "docker+tcp://host:2375",
            "docker+tcp://[::1]:4000",
        ] {
            let target = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn the_parts_are_where_they_belong() {
        let login = Login {
            user: Some("me".to_owned()),
            host: "::1".to_owned(),
            port: Some(2222),
            socket: Some("/a/b.sock".to_owned()),
        };
        assert_eq!(
            parse("docker+ssh://me@[::1]:2222/a/b.sock"),
            Ok(Target::Ssh(login))
        );
        let plain = parse("docker+ssh://host/");
        assert_eq!(
            plain.map(|plain| plain.to_string()),
            Ok("docker+ssh://host".to_owned())
        );
        assert_eq!(
            parse("docker+tcp://h"),
            Ok(Target::Tcp("h".to_owned(), 2375))
        );
    }

    #[test]
    fn what_could_be_an_option_of_ssh_is_refused() {
        for text in [
            "docker+ssh://-oProxyCommand=x",
            "docker+ssh://-host",
            "docker+ssh://me@-host",
            "docker+ssh://-lroot@host",
            "docker+tcp://-host:1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "dockers",
            "docker+",
            "docker+http://host",
            "docker+unix://relative",
            "docker+unix://",
            "docker+unix:///directory/",
            "docker+ssh://",
            "docker+ssh://@host",
            "docker+ssh://host:",
            "docker+ssh://host:0",
            "docker+ssh://host:70000",
            "docker+ssh://a b",
            "docker+ssh://host/a:b",
            "docker+ssh://host/$(touch)",
            "docker+ssh://host/a'b",
            "docker+ssh://[fe80::1",
            "docker+ssh://[host]",
            "docker+ssh://[::1]22",
            "docker+ssh://fe80::1",
            "docker+tcp://",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let why = parse("docker+ssh://me:hunter2@host").expect_err("it has no place there");
        assert!(!why.contains("hunter2"), "{why}");
    }

    #[test]
    fn docker_alone_is_what_is_here() {
        let unix = |path: &str| Ok(Target::Unix(path.to_owned()));
        assert!(alone(&[], &[]).is_err());
        assert_eq!(alone(&[], &SOCKETS), unix(SOCKETS[0]));
        assert_eq!(alone(&[], &SOCKETS[1..]), unix(SOCKETS[1]));
        let own = "/run/user/7/podman/podman.sock";
        let home = "/home/me/.docker/run/docker.sock";
        let variables = [("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/home/me")];
        assert_eq!(alone(&variables, &[own, home]), unix(own));
        assert_eq!(alone(&variables, &[home]), unix(home));
        assert_eq!(alone(&[("DOCKER_HOST", "unix:///x")], &SOCKETS), unix("/x"));
        let far = alone(&[("DOCKER_HOST", "ssh://me@far")], &SOCKETS);
        assert_eq!(
            far.map(|far| far.to_string()),
            Ok("docker+ssh://me@far".to_owned())
        );
        assert!(alone(&[("DOCKER_HOST", "npipe:////./pipe")], &SOCKETS).is_err());
        let tls = [
            ("DOCKER_HOST", "tcp://far:2376"),
            ("DOCKER_TLS_VERIFY", "1"),
        ];
        assert!(alone(&tls, &[]).is_err());
        assert!(alone(&tls[..1], &[]).is_ok());
    }
}
