//! The text that names an engine.
//!
//! Owns the forms of that text, and the flags of `docker` and `podman` that say the same. Never
//! connects to anything.

use std::{env, fmt};

use ureq::http::uri::Authority;

use crate::exit::Failure;
use crate::provision::{bracketed, ssh};

/// The variables by which `docker` finds an engine. A target takes their place, so that the command
/// is run without them.
pub const HOST: &str = "DOCKER_HOST";
/// The variable for a context's name.
pub const CONTEXT: &str = "DOCKER_CONTEXT";

/// The port of an engine that listens without TLS.
const TCP_PORT: u16 = 2375;

/// An engine of Docker or Podman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The engine that the command uses by itself where no variable names one.
    Default,
    /// The engine that is known to the command by this name: a context of `docker`, a connection of
    /// `podman`.
    Context(String),
    /// The engine at this URL, as `DOCKER_HOST` has it.
    At(String),
}

impl Target {
    /// Parses `docker`, `docker+context://NAME`, `docker+unix:///PATH`,
    /// `docker+ssh://[USER@]HOST[:PORT][/PATH]` or `docker+tcp://HOST:PORT`. `docker` alone takes
    /// `DOCKER_HOST` or `DOCKER_CONTEXT`, if one is set, so that it means the same engine later.
    ///
    /// # Errors
    ///
    /// When the text is invalid, or the variable. The error is a sentence without its full stop.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, &|name| env::var(name).ok())
    }

    /// Parses a target that was written by [`fmt::Display`], such as one in a record. The
    /// environment has no say: `docker` alone was written where no variable was set.
    ///
    /// # Errors
    ///
    /// When the text is invalid. The error is a sentence without its full stop.
    pub fn recorded(text: &str) -> Result<Self, String> {
        Self::read(text, &|_| None)
    }

    fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if text == "docker" {
            return Self::of_variables(variable);
        }
        let named = text.strip_prefix("docker+").unwrap_or_default();
        match named.strip_prefix("context://") {
            Some(name) if is_name(name) => Ok(Self::Context(name.to_owned())),
            Some(name) => Err(format!("{name:?} is no name of a context")),
            None => address(named).map(Self::At),
        }
    }

    /// The engine that the variables name. One that could not be written into a record is refused:
    /// `docker` in a record means another engine.
    fn of_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let value = |name| variable(name).filter(|value| !value.is_empty());
        match (value(HOST), value(CONTEXT)) {
            (Some(host), _) => {
                // docker takes an address without a scheme for one of tcp.
                let scheme = if host.contains("://") { "" } else { "tcp://" };
                let address = address(&format!("{scheme}{host}"));
                address
                    .map(Self::At)
                    .map_err(|why| format!("{HOST}: {why}"))
            }
            (None, Some(name)) if is_name(&name) => Ok(Self::Context(name)),
            (None, Some(name)) => Err(format!("{CONTEXT}: {name:?} is no name of a context")),
            (None, None) => Ok(Self::Default),
        }
    }

    /// Whether the way to this engine may need a person, as ssh does. The command alone knows where
    /// its default and its contexts lead.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::Default | Self::Context(_) => true,
            Self::At(url) => url.starts_with("ssh://"),
        }
    }

    /// The flags that lead the command to this engine.
    #[must_use]
    pub fn flags(&self, is_podman: bool) -> Vec<String> {
        match self {
            Self::Default => Vec::new(),
            Self::Context(name) if is_podman => vec![format!("--connection={name}")],
            Self::Context(name) => vec![format!("--context={name}")],
            Self::At(url) if is_podman => vec![format!("--url={url}")],
            Self::At(url) => vec![format!("--host={url}")],
        }
    }
}

/// Checks a URL such as the value of `DOCKER_HOST`.
fn address(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    match scheme {
        "unix" if is_path(rest) => Ok(text.to_owned()),
        "unix" => Err("a socket is named by its whole path, as unix:///run/docker.sock".to_owned()),
        "ssh" => {
            let (login, path) = divided(rest);
            let login = ssh::Target::parse(&format!("ssh://{login}"));
            let login = login.map_err(|why| why.sentence)?;
            match path {
                "" | "/" => Ok(login.to_string()),
                path if is_path(path) => Ok(format!("{login}{path}")),
                _ => Err(format!("{path:?} is no path of a socket")),
            }
        }
        "tcp" => {
            let (host, port) = host_and_port(rest)
                .ok_or_else(|| format!("{rest:?} is no host, nor a host and a port"))?;
            Ok(format!("tcp://{}:{port}", bracketed(&host)))
        }
        _ => Err(
            "an engine is named as docker, docker+context://NAME, docker+unix:///PATH, \
             docker+ssh://[USER@]HOST[:PORT][/PATH] or docker+tcp://HOST:PORT"
                .to_owned(),
        ),
    }
}

/// The host of the machine where the engine at this URL is; `None` if it is this machine.
///
/// # Errors
///
/// When ssh does not say which machine it is.
pub fn host(url: &str) -> Result<Option<String>, Failure> {
    match url.split_once("://") {
        Some(("ssh", rest)) => {
            let login = ssh::Target::parse(&format!("ssh://{}", divided(rest).0))?;
            ssh::hostname(&login).map(Some)
        }
        Some(("tcp", rest)) => Ok(host_and_port(rest).map(|(host, _)| host)),
        _ => Ok(None),
    }
}

/// What is in front of the first slash, and the rest.
fn divided(text: &str) -> (&str, &str) {
    text.split_at(text.find('/').unwrap_or(text.len()))
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let authority: Authority = text.trim_end_matches('/').parse().ok()?;
    let host = authority.host();
    // A user in front of the host leaves something that is no port.
    let port = match authority.as_str().strip_prefix(host)? {
        "" => TCP_PORT,
        rest => rest.strip_prefix(':')?.parse().ok()?,
    };
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.ends_with('/') && !text.contains(char::is_control)
}

/// Whether `docker context create` accepts this name.
fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.+-".contains(letter);
    text.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && text.chars().all(fits)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("docker"),
            Self::Context(name) => write!(f, "docker+context://{name}"),
            Self::At(url) => write!(f, "docker+{url}"),
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
            "docker+ssh://host/a/",
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
        assert_eq!(host("far:2376"), "docker+tcp://far:2376");
        assert_eq!(host(""), "docker+context://far");
        // A record could not hold them, and would lead to another engine.
        let why = host("npipe:////./pipe");
        assert!(why.starts_with("DOCKER_HOST: an engine is named"), "{why}");
        let why = alone(&[("DOCKER_CONTEXT", "-x")]);
        assert!(why.starts_with("DOCKER_CONTEXT: "), "{why}");
    }

    #[test]
    fn only_an_address_says_whether_a_person_may_be_needed() {
        for (text, may_need) in [
            ("docker", true),
            ("docker+context://a", true),
            ("docker+ssh://a", true),
            ("docker+unix:///a", false),
            ("docker+tcp://a", false),
        ] {
            let target = Target::recorded(text).expect(text);
            assert_eq!(target.is_elsewhere(), may_need, "{text}");
        }
    }
}
