//! Name look-ups: the addresses of hosts, and the home directories of users.
//!
//! This module does every look-up of this program. The program is linked statically, yet the C library in
//! it would still load the modules listed in `/etc/nsswitch.conf`. Modules built for another C library
//! crash it. So no module is ever loaded ([`pin()`]), and look-ups go one of these ways:
//!
//! | source | how it is asked |
//! | --- | --- |
//! | `/etc/hosts` and DNS | the C library, which contains both |
//! | `/etc/passwd` | read here |
//! | anything else in `/etc/nsswitch.conf` | `getent`, a program of the host's own |
//!
//! If `getent` is needed and missing, only the first two are asked, and an error says so.

mod getent;
mod pin;
mod switch;

use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

pub use self::pin::pin;
use crate::report::words;

/// The list of this machine's users.
const PASSWD: &str = "/etc/passwd";

/// The addresses of `host`, a name or an address, in the order in which to try them.
///
/// # Errors
///
/// When there is none, or no source can be asked. The sentence does not name the host.
pub fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let others = switch::others("hosts");
    if others.is_empty() {
        return inside(host, port);
    }
    match getent::ask("ahosts", host) {
        Ok(Some(text)) => Ok(listed(&text, port)),
        Ok(None) => Err("getent found no such host".to_owned()),
        Err(why) => inside(host, port).map_err(|error| {
            let others = others.join(", ");
            format!("{error}; only /etc/hosts and DNS were asked, not {others}, because {why}")
        }),
    }
}

/// Looks a host up in `/etc/hosts` and DNS.
fn inside(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    pin();
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let text = words(&error);
        let reason = text.strip_prefix("failed to lookup address information: ");
        reason.unwrap_or(&text).to_owned()
    })?;
    Ok(found.collect())
}

/// Parses the output of `getent ahosts`: one address a line, repeated for each socket type.
fn listed(text: &str, port: u16) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some(address) = with_zone(first, port)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Parses an address, perhaps with an interface behind a `%`.
fn with_zone(text: &str, port: u16) -> Option<SocketAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, port));
    };
    let mut address = std::net::SocketAddrV6::new(ip.parse().ok()?, port, 0, 0);
    address.set_scope_id(interface(zone)?);
    Some(address.into())
}

/// The number of the network interface `zone`, which may be a number already.
#[must_use]
pub fn interface(zone: &str) -> Option<u32> {
    if let Ok(number) = zone.parse() {
        return Some(number);
    }
    // The system call needs a socket; any will do.
    let any = socket(AddressFamily::INET6, SocketType::DGRAM, None)
        .or_else(|_| socket(AddressFamily::INET, SocketType::DGRAM, None));
    netdevice::name_to_index(any.ok()?, zone).ok()
}

/// The home directory of the user with this id, by the host's user database.
#[must_use]
pub fn home_of(user: u32) -> Option<PathBuf> {
    let text = fs::read(PASSWD).unwrap_or_default();
    let listed = home_in(&String::from_utf8_lossy(&text), user);
    if listed.is_some() || switch::others("passwd").is_empty() {
        return listed;
    }
    let text = getent::ask("passwd", &user.to_string()).ok()??;
    home_in(&text, user)
}

/// Looks the home directory up in a text in the form of `/etc/passwd`.
fn home_in(text: &str, user: u32) -> Option<PathBuf> {
    let user = user.to_string();
    text.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let home = fields.get(5).filter(|home| !home.is_empty())?;
        (fields[2] == user).then(|| PathBuf::from(home))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_getent_prints_is_read_once_for_each_address() {
        let text = "\
192.0.2.1       STREAM sky.example.org
192.0.2.1       DGRAM  
192.0.2.1       RAW    
fe80::1%7       STREAM 
2001:db8::1     STREAM 
nonsense
";
        let found: Vec<_> = listed(text, 9).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:9", "[fe80::1%7]:9", "[2001:db8::1]:9"]);
    }

    #[test]
    fn a_home_is_read_from_the_list_of_users() {
        let text =
            "root:x:0:0:root:/root:/bin/bash\n+::::::\nme:x:1000:1000::/home/me:\nx:x:7:7:::\n";
        assert_eq!(home_in(text, 0), Some("/root".into()));
        assert_eq!(home_in(text, 1000), Some("/home/me".into()));
        for nobody in [1, 7, 100] {
            assert_eq!(home_in(text, nobody), None);
        }
    }

    #[test]
    fn an_interface_has_a_number() {
        assert_eq!(interface("17"), Some(17));
        assert!(interface("lo").is_some());
        assert_eq!(interface("no-such-thing"), None);
    }
}
