//! A satellite with keys and the machines that use it, each with a home of its own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use skypipe_protocol::token::Token;

use crate::common::Environment;
use crate::common::outcome::Outcome;
use crate::common::satellite::Satellite;

/// The flags of a loopback satellite with keys.
pub const PRIVATE: [&str; 3] = ["--data", "data", "--private"];

/// A satellite with keys on a machine of its own, and its first invitation.
pub struct Sky {
    host: Environment,
    satellite: Option<Satellite>,
    flags: Vec<String>,
    endpoint: String,
    first: String,
}

impl Sky {
    /// Listens on a free loopback port.
    pub fn new() -> Self {
        Self::at("127.0.0.1:0", &PRIVATE)
    }

    /// Listens at this address, with these flags.
    pub fn at(address: &str, flags: &[&str]) -> Self {
        let host = Environment::here();
        let satellite = host.satellite_at(address, flags);
        let first = invitation_of(&satellite);
        Self {
            host,
            endpoint: satellite.endpoint().to_owned(),
            satellite: Some(satellite),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            first,
        }
    }

    /// The first invitation, as the satellite printed it.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The satellite.
    pub fn satellite(&self) -> &Satellite {
        self.satellite.as_ref().expect("it runs")
    }

    /// The endpoint: `tcp://` and its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The satellite's machine.
    pub fn host(&self) -> &Environment {
        &self.host
    }

    /// The directory of its keys.
    pub fn keys(&self) -> PathBuf {
        self.host.home().join("data/keys")
    }

    /// The access key stored next to the satellite.
    pub fn access_key(&self) -> String {
        let key = fs::read_to_string(self.keys().join("host"));
        key.expect("a satellite of keys keeps one")
            .trim()
            .to_owned()
    }

    /// A machine that has joined with the first invitation.
    pub fn manager(&self) -> Environment {
        joined(&self.first)
    }

    /// Kills the satellite with SIGKILL.
    pub fn kill(&mut self) {
        drop(self.satellite.take().map(Satellite::kill));
    }

    /// Restarts the satellite at the same endpoint.
    pub fn restart(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let address = self.endpoint.trim_start_matches("tcp://");
        self.satellite = Some(self.host.satellite_at(address, &flags));
    }
}

/// The invitation that a new satellite printed.
pub fn invitation_of(satellite: &Satellite) -> String {
    satellite.process().shows("\n");
    let shown = String::from_utf8(satellite.process().shown()).expect("it is text");
    let line = shown.strip_suffix('\n').expect("it is a line");
    assert!(Token::parse(line).is_ok(), "it prints its invitation alone");
    line.to_owned()
}

/// A machine that has joined with an invitation.
pub fn joined(invitation: &str) -> Environment {
    let machine = Environment::here();
    let outcome = machine.skypipe(&["--join"]).fed(format!("{invitation}\n"));
    assert_eq!(
        outcome.told(0, "this machine now uses the satellite at"),
        b""
    );
    machine
}

/// A machine whose `SATELLITE` is an invitation.
pub fn holding(invitation: &str) -> Environment {
    let mut machine = Environment::here();
    machine.leads_to(invitation);
    machine
}

/// Invites another machine with these arguments of `--invite`, and returns the invitation.
pub fn invite(manager: &Environment, arguments: &[&str]) -> String {
    let outcome = manager.skypipe(&[&["--invite"], arguments].concat()).done();
    invitation_words(outcome, "on the other machine, or set SATELLITE to it")
}

/// The invitation that `--invite` printed, after checking its description.
pub fn invitation_words(outcome: Outcome, words: &str) -> String {
    let line = outcome.told(0, words);
    let line = String::from_utf8(line).expect("it is text");
    let line = line.strip_suffix('\n').expect("it is a line");
    assert!(Token::parse(line).is_ok(), "it is an invitation alone");
    line.to_owned()
}

/// Revokes the key of this name.
pub fn revoke(manager: &Environment, name: &str) {
    let revoked = format!("the key {name} is revoked");
    let outcome = manager.skypipe(&["--revoke", name]).done();
    assert_eq!(outcome.told(0, &revoked), b"");
}

/// The rows of `--keys` without the header. A cell contains no two spaces in a row.
pub fn keys(manager: &Environment) -> Vec<Vec<String>> {
    let table = manager.skypipe(&["--keys"]).done().success();
    let table = String::from_utf8(table).expect("it is text");
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim);
        let cells = cells.filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    table.lines().skip(1).map(cells).collect()
}

/// The names of the keys in `--keys`.
pub fn names(manager: &Environment) -> Vec<String> {
    let rows = keys(manager).into_iter();
    rows.map(|mut cells| cells.remove(0)).collect()
}

/// The file in which a machine stores the invitation that it joined with.
pub fn joined_file(machine: &Environment) -> PathBuf {
    machine.home().join(".config/skypipe/satellite")
}

/// The permissions of a file, as in `chmod`.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}
