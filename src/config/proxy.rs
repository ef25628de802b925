//! The proxy from the environment, by curl's rules.
//!
//! This module reads `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. Lower-case names win over upper-case ones,
//! and `HTTPS_PROXY` wins over `ALL_PROXY`. An empty variable counts as not set. Unlike curl, no proxy is
//! used for a loopback address. This module never shows a proxy's password and never connects.

use std::env;
use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::endpoint::{Endpoint, Host};
use crate::exit::Failure;

/// The variables that name a proxy. The first one that is set counts.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// The variables that list hosts without a proxy.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The default port of a proxy, as in curl. With TLS the default is 443.
const PORT: u16 = 1080;
const TLS_PORT: u16 = 443;

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with `CONNECT`.
    Http,
    /// The same inside TLS.
    Https,
    /// SOCKS5. The proxy looks names up.
    Socks5,
}

/// A proxy to connect through.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The protocol to the proxy.
    pub protocol: Protocol,
    /// The proxy's name or address, without brackets.
    pub host: String,
    /// The proxy's port.
    pub port: u16,
    /// User name and password, if the variable has them.
    pub login: Option<Login>,
}

/// The credentials for a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: Zeroizing<String>,
    /// The password, possibly empty.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?}, {self})", self.protocol)
    }
}

impl fmt::Display for Proxy {
    /// Shows host and port only, never the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The proxy for connections to `endpoint`. `None` if there is none.
///
/// # Errors
///
/// When the variable is invalid. The sentence contains nothing of its value.
pub fn proxy(endpoint: &Endpoint) -> Result<Option<Proxy>, Failure> {
    choose(&endpoint.host, &|name| env::var(name).ok()).map_err(Failure::usage)
}

fn choose(host: &Host, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let set = |name: &&'static str| Some((*name, variable(name).filter(|it| !it.is_empty())?));
    let Some((name, value)) = VARIABLES.iter().find_map(set) else {
        return Ok(None);
    };
    let exceptions = EXCEPTIONS.iter().find_map(set).unwrap_or_default().1;
    if is_exception(host, &exceptions) {
        return Ok(None);
    }
    let parsed = parse(&Zeroizing::new(value)).map_err(|why| format!("{name} {why}"))?;
    Ok(Some(parsed))
}

/// Whether a host matches a list such as `localhost,.example.org,10.0.0.0/8`.
fn is_exception(host: &Host, list: &str) -> bool {
    let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
    let mut entries = entries.map(|entry| entry.trim_matches(['[', ']']));
    match host {
        // A link-local address means nothing on another machine.
        Host::Scoped(..) => true,
        // Where the proxy is, this address is another machine.
        Host::Address(ip) if ip.is_loopback() => true,
        Host::Address(ip) => entries.any(|entry| entry == "*" || covers(entry, *ip)),
        Host::Name(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            entries.any(|entry| {
                let entry = entry.trim_matches('.').to_ascii_lowercase();
                let is_below = name
                    .strip_suffix(&entry)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                entry == "*" || (is_below && !entry.is_empty())
            })
        }
    }
}

/// Whether `entry` is this address, or a network that contains it.
fn covers(entry: &str, ip: IpAddr) -> bool {
    let (network, length) = entry.split_once('/').unwrap_or((entry, "128"));
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let apart = network.to_bits() ^ ip.to_bits();
            apart.leading_zeros() >= length.min(32)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let apart = network.to_bits() ^ ip.to_bits();
            apart.leading_zeros() >= length.min(128)
        }
        _ => false,
    }
}

/// Parses `[PROTOCOL://][USER[:PASSWORD]@]HOST[:PORT]`. An error text continues a sentence that has named
/// the variable.
fn parse(text: &str) -> Result<Proxy, &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "http" => Protocol::Http,
        "https" => Protocol::Https,
        "socks5" | "socks5h" => Protocol::Socks5,
        _ => return Err("is not a kind of proxy that skypipe knows: use http, https or socks5h"),
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(parse_login(login)?), place),
        None => (None, rest),
    };
    let default = match protocol {
        Protocol::Https => TLS_PORT,
        Protocol::Http | Protocol::Socks5 => PORT,
    };
    let nonsense = "is invalid: use a form like http://host:3128 or socks5h://host:1080";
    let (host, port) = match place.rsplit_once(':').filter(|_| !place.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| nonsense)?),
        None => (place, default),
    };
    let is_good = |c: char| c.is_ascii_graphic() && !"[]".contains(c);
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let is_bracketed = bare.is_some();
    if host.is_empty()
        || port == 0
        || !host.chars().all(is_good)
        || host.contains(':') != is_bracketed
    {
        return Err(nonsense);
    }
    Ok(Proxy {
        protocol,
        host: host.to_owned(),
        port,
        login,
    })
}

fn parse_login(text: &str) -> Result<Login, &'static str> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text| decode(text).ok_or("has a user or password with an invalid % sequence");
    Ok(Login {
        user: decoded(user)?,
        password: decoded(password)?,
    })
}

/// Decodes the `%XX` of a URL.
fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first == b'%' {
            let (code, others) = others.split_first_chunk::<2>()?;
            let code = str::from_utf8(code).ok()?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            rest = others;
        } else {
            bytes.push(*first);
        }
    }
    Some(Zeroizing::new(str::from_utf8(&bytes).ok()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(endpoint: &str, environment: &[(&str, &str)]) -> Result<Option<Proxy>, String> {
        let endpoint: Endpoint = endpoint.parse().expect("it is one");
        choose(&endpoint.host, &|name| {
            let found = environment.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[track_caller]
    fn place(environment: &[(&str, &str)]) -> String {
        let proxy = chosen("tcp://sky.example.org:9000", environment);
        proxy
            .expect("it makes sense")
            .map_or_else(String::new, |proxy| proxy.to_string())
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        assert_eq!(place(&[]), "");
        assert_eq!(place(&[("ALL_PROXY", "a:1")]), "a:1");
        assert_eq!(place(&[("ALL_PROXY", "a:1"), ("all_proxy", "b:1")]), "b:1");
        let https = [("all_proxy", "b:1"), ("HTTPS_PROXY", "c:1")];
        assert_eq!(place(&https), "c:1");
        assert_eq!(place(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "a:1")]), "a:1");
        assert_eq!(place(&[("HTTP_PROXY", "d:1"), ("http_proxy", "d:1")]), "");
    }

    #[test]
    fn exceptions_are_names_domains_addresses_and_networks() {
        let is_direct = |endpoint: &str, list: &str| {
            let chosen = chosen(endpoint, &[("ALL_PROXY", "a:1"), ("NO_PROXY", list)]);
            chosen.expect("it makes sense").is_none()
        };
        for list in [
            "*",
            "sky.example.org",
            "example.org",
            ".example.org",
            "other, EXAMPLE.ORG",
            "other example.org.",
        ] {
            assert!(is_direct("tcp://sky.example.org:1", list), "{list}");
            assert!(is_direct("tcp://Sky.Example.org.:1", list), "{list}");
        }
        for list in [
            "",
            "xample.org",
            "org.sky",
            "a.sky.example.org",
            "10.0.0.0/8",
            ".",
        ] {
            assert!(!is_direct("tcp://sky.example.org:1", list), "{list}");
        }
        for list in [
            "10.1.2.3",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "*",
            "::1,10.1.2.0/24",
        ] {
            assert!(is_direct("tcp://10.1.2.3:1", list), "{list}");
        }
        for list in ["10.1.2.4", "10.2.0.0/16", "1.2.3", "::/0", "10.0.0.0/x"] {
            assert!(!is_direct("tcp://10.1.2.3:1", list), "{list}");
        }
        for list in ["fd00::1", "[fd00::1]", "fd00::/8"] {
            assert!(is_direct("tcp://[fd00::1]:1", list), "{list}");
        }
        assert!(is_direct("tcp://[fe80::1%eth0]:1", ""));
        assert!(is_direct("tcp://127.0.0.1:9000", "") && is_direct("tcp://[::1]:9000", ""));
        assert!(!is_direct("tcp://localhost:9000", ""));
    }

    #[test]
    fn proxies_are_read() {
        for (text, protocol, host, port) in [
            ("squid", Protocol::Http, "squid", 1080),
            ("squid:3128", Protocol::Http, "squid", 3128),
            ("HTTP://squid:3128/", Protocol::Http, "squid", 3128),
            ("https://squid", Protocol::Https, "squid", 443),
            ("socks5://[::1]:9", Protocol::Socks5, "::1", 9),
            ("socks5h://10.0.0.1", Protocol::Socks5, "10.0.0.1", 1080),
            ("http://me:secret@squid:1", Protocol::Http, "squid", 1),
            ("http://a@b:p@c@squid:1", Protocol::Http, "squid", 1),
        ] {
            let proxy = parse(text).expect(text);
            assert_eq!(
                (proxy.protocol, proxy.host.as_str(), proxy.port),
                (protocol, host, port),
                "{text}"
            );
        }
        let login = parse("http://m%40e:s%3Acr:et@squid")
            .expect("it is one")
            .login;
        let login = login.expect("there is one");
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("m@e", "s:cr:et")
        );
    }

    #[test]
    fn nothing_of_a_proxy_that_makes_no_sense_is_shown() {
        for text in [
            "socks4://me:secret@squid",
            "ftp://me:secret@squid",
            "http://me:secret@",
            "http://me:secret@squid:0",
            "http://me:secret@squid:70000",
            "http://me:secret@::1:9",
            "http://me:secret@[squid]:9",
            "http://me:secret@sq uid:9",
            "http://m%e:secret@squid:9",
            "secret:9000:9",
        ] {
            let why = chosen("tcp://sky:1", &[("ALL_PROXY", text)]).expect_err(text);
            assert!(
                why.starts_with("ALL_PROXY ") && !why.contains("secret"),
                "{why}"
            );
        }
        let proxy = parse("http://me:secret@squid:1").expect("it is one");
        assert_eq!(format!("{proxy} {proxy:?}"), "squid:1 Proxy(Http, squid:1)");
    }
}
