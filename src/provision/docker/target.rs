//! The text that names an engine.
//!
//! Owns the forms of that text, and the flags of `docker` and `podman` that say the same. Never
//! connects to anything.

use std::{env, fmt};

use ureq::http::uri::Authority;

use crate::provision::{bracketed, ssh};

/// The port of an engine that listens without TLS.
const TCP_PORT: u16 = 2375;

/// An engine of Docker or Podman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The engine that the command uses by itself.
    Default,
    /// The engine that is known to the command by this name: a context of `docker`, a connection of
    /// `podman`.
    Context(String),
    /// The engine at this address.
    At(Address),
}

/// The address of an engine, as `DOCKER_HOST` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine, by its path.
    Unix(String),
    /// Another machine, through ssh, and the path of the socket there, which may be empty.
    Ssh(ssh::Target, String),
    /// A host (an IPv6 address without brackets) and a port.
    Tcp(String, u16),
}

impl Target {
    /// Parses `docker`, `docker+context://NAME`, `docker+unix:///PATH`,
    /// `docker+ssh://[USER@]HOST[:PORT][/PATH]` or `docker+tcp://HOST:PORT`. `docker` alone takes
    /// `DOCKER_HOST` or `DOCKER_CONTEXT`, if one is set, so that it means the same engine later.
    ///
    /// # Errors
    ///
    /// When the text is invalid. The error is a sentence without its full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, &|name| env::var(name).ok())
    }

    fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if text == "docker" {
            return Ok(Self::of_variables(variable));
        }
        let wrong = || {
            "an engine is named as docker, docker+context://NAME, docker+unix:///PATH, \
             docker+ssh://[USER@]HOST[:PORT][/PATH] or docker+tcp://HOST:PORT"
                .to_owned()
        };
        let address = text.strip_prefix("docker+").ok_or_else(wrong)?;
        match address.strip_prefix("context://") {
            Some(name) if is_name(name) => Ok(Self::Context(name.to_owned())),
            Some(name) => Err(format!("{name:?} is no name of a context")),
            None => Address::parse(address)
                .unwrap_or_else(|| Err(wrong()))
                .map(Self::At),
        }
    }

    fn of_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let value = |name| variable(name).filter(|value| !value.is_empty());
        let address = |host: String| Address::parse(&host).and_then(Result::ok).map(Self::At);
        match (value("DOCKER_HOST"), value("DOCKER_CONTEXT")) {
            // An address of a kind that is not known here is left to the command.
            (Some(host), _) => address(host).unwrap_or(Self::Default),
            (None, Some(name)) if is_name(&name) => Self::Context(name),
            _ => Self::Default,
        }
    }

    /// Whether the way to this engine may need a person, as ssh does.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Context(_) | Self::At(Address::Ssh(..)))
    }

    /// The flags that lead the command to this engine.
    #[must_use]
    pub fn flags(&self, is_podman: bool) -> Vec<String> {
        match self {
            Self::Default => Vec::new(),
            Self::Context(name) if is_podman => vec![format!("--connection={name}")],
            Self::Context(name) => vec![format!("--context={name}")],
            Self::At(address) if is_podman => vec![format!("--url={address}")],
            Self::At(address) => vec![format!("--host={address}")],
        }
    }
}

impl Address {
    /// Parses a URL such as the value of `DOCKER_HOST`; `None` if its scheme is another one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme {
            "unix" => Some(unix(rest)),
            "ssh" => Some(ssh(rest)),
            "tcp" => Some(tcp(rest)),
            _ => None,
        }
    }
}

fn unix(path: &str) -> Result<Address, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        return Err(
            "a socket is named by its whole path, as unix:///var/run/docker.sock".to_owned(),
        );
    }
    Ok(Address::Unix(path.to_owned()))
}

fn ssh(rest: &str) -> Result<Address, String> {
    let (login, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let login = ssh::Target::parse(&format!("ssh://{login}")).map_err(|why| why.sentence)?;
    let path = if path == "/" { "" } else { path };
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@=".contains(letter);
    if !path.chars().all(fits) || path.ends_with('/') {
        return Err("the socket's path may only have letters, digits and /._-+@= in it".to_owned());
    }
    Ok(Address::Ssh(login, path.to_owned()))
}

fn tcp(rest: &str) -> Result<Address, String> {
    let wrong = || format!("{rest:?} is no host, nor a host and a port");
    let authority: Authority = rest.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority
        .port()
        .map_or(Ok(TCP_PORT), |port| port.as_str().parse());
    let port = port.map_err(|_| wrong())?;
    let is_alone = !authority.as_str().contains('@') && !authority.as_str().ends_with(':');
    if host.is_empty() || port == 0 || !is_alone {
        return Err(wrong());
    }
    Ok(Address::Tcp(host.to_owned(), port))
}

/// Whether `docker context create` accepts this name.
fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.+-".contains(letter);
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(fits)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Ssh(login, path) => write!(f, "{login}{path}"),
            Self::Tcp(host, port) => write!(f, "tcp://{}:{port}", bracketed(host)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("docker"),
            Self::Context(name) => write!(f, "docker+context://{name}"),
            Self::At(address) => write!(f, "docker+{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::read(text, &|_| None)
    }

    fn alone(variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Target::read("docker", &variable).map_or_else(|why| why, |target| target.to_string())
    }

    #[test]
    fn what_is_read_is_written_alike() {
        for text in [
            "docker",
            "docker+context://desktop-linux",
            "docker+unix:///var/run/docker.sock",
            "docker+unix:///a b/c",
            "docker+ssh://host",
            "docker+ssh://me@host.example:2222/run/user/1000/podman/podman.sock",
            "docker+ssh://me@[fe80::1]:22",
            "docker+tcp://host:2375",
            "docker+tcp://[::1]:4000",
        ] {
            let target = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(target.to_string(), text);
        }
        assert_eq!(
            parse("docker+tcp://h").map(|target| target.to_string()),
            Ok("docker+tcp://h:2375".to_owned())
        );
    }

    #[test]
    fn both_commands_are_told_where_the_engine_is() {
        let flags = |text: &str, is_podman| parse(text).expect(text).flags(is_podman);
        assert!(flags("docker", false).is_empty() && flags("docker", true).is_empty());
        assert_eq!(flags("docker+context://a", false), ["--context=a"]);
        assert_eq!(flags("docker+context://a", true), ["--connection=a"]);
        assert_eq!(flags("docker+ssh://a/b", false), ["--host=ssh://a/b"]);
        assert_eq!(flags("docker+ssh://a/b", true), ["--url=ssh://a/b"]);
    }

    #[test]
    fn nonsense_and_what_could_be_an_option_is_refused() {
        for text in [
            "",
            "dockers",
            "docker+",
            "docker+context://",
            "docker+context://-x",
            "docker+http://host",
            "docker+unix://relative",
            "docker+unix:///directory/",
            "docker+ssh://",
            "docker+ssh://-oProxyCommand=x",
            "docker+ssh://me@-host",
            "docker+ssh://-lroot@host",
            "docker+ssh://host:0",
            "docker+ssh://host/$(touch)",
            "docker+ssh://fe80::1",
            "docker+tcp://",
            "docker+tcp://me@host",
            "docker+tcp://host:",
            "docker+tcp://host:70000",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let why = parse("docker+ssh://me:hunter2@host").expect_err("it has no place there");
        assert!(!why.contains("hunter2"), "{why}");
    }

    #[test]
    fn docker_alone_is_what_the_environment_says() {
        let host = |host| alone(&[("DOCKER_HOST", host), ("DOCKER_CONTEXT", "far")]);
        assert_eq!(alone(&[]), "docker");
        assert_eq!(host("unix:///x"), "docker+unix:///x");
        assert_eq!(host("ssh://me@far"), "docker+ssh://me@far");
        assert_eq!(host("npipe:////./pipe"), "docker");
        assert_eq!(host(""), "docker+context://far");
    }
}
