//! `/etc/nsswitch.conf`: which services the host asks in a look-up.
//!
//! This module reads that file, and decides whether this program can ask all of its services itself.

use std::fs;

/// The path in glibc. Other C libraries have no such file.
const FILE: &str = "/etc/nsswitch.conf";

/// The services that this program asks by itself.
const KNOWN: [&str; 2] = ["files", "dns"];

/// The services that the host asks for `database` and this program cannot ask.
pub fn others(database: &str) -> Vec<String> {
    let text = fs::read(FILE).unwrap_or_default();
    others_in(&String::from_utf8_lossy(&text), database)
}

fn others_in(text: &str, database: &str) -> Vec<String> {
    let mut line = "";
    for candidate in text.lines() {
        let code = candidate.split('#').next().unwrap_or_default();
        if let Some((name, services)) = code.split_once(':')
            && name.trim() == database
        {
            line = services;
        }
    }
    // Actions after an answer stand in brackets, perhaps with spaces.
    let mut others = Vec::new();
    for (index, part) in line.split('[').enumerate() {
        let outside = match part.split_once(']') {
            Some((_, rest)) => rest,
            None if index == 0 => part,
            None => "",
        };
        let services = outside.split_whitespace();
        others.extend(services.filter(|service| !KNOWN.contains(service)));
    }
    others.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_cannot_be_asked_here_are_named() {
        for (line, others) in [
            ("hosts: files dns", vec![]),
            ("hosts:\tfiles dns # mdns", vec![]),
            ("#hosts: mdns", vec![]),
            ("networks: mdns", vec![]),
            (
                "hosts: files mdns4_minimal [NOTFOUND=return] dns",
                vec!["mdns4_minimal"],
            ),
            (
                " hosts :resolve [!UNAVAIL=return  SUCCESS=continue]files myhostname[NOTFOUND=return]",
                vec!["resolve", "myhostname"],
            ),
            ("hosts: db\nhosts: files", vec![]),
            ("hosts: files [broken mdns", vec![]),
        ] {
            let text = format!("passwd: files systemd\n{line}\nservices: db files\n");
            assert_eq!(others_in(&text, "hosts"), others, "{line}");
            assert_eq!(others_in(&text, "passwd"), ["systemd"]);
        }
        assert!(others_in("", "hosts").is_empty());
    }
}
