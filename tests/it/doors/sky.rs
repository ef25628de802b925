//! A private satellite with more than one address, and machines that use each of them.

use skypipe_protocol::token::Token;

use crate::common::Environment;
use crate::common::process::Run;
use crate::common::satellite::Satellite;
use crate::common::wait;

/// A private satellite, and its first invitation.
pub struct Sky {
    _host: Environment,
    satellite: Satellite,
    first: Token,
}

impl Sky {
    /// A satellite that listens on a loopback port, and at the addresses in `flags`.
    pub fn new(flags: &[&str]) -> Self {
        let host = Environment::here();
        let satellite = host.satellite(&[&["--data", "data", "--private"], flags].concat());
        satellite.process().shows("\n");
        let also = flags.iter().filter(|flag| **flag == "--listen").count();
        wait::until("it says where it listens", || {
            let said = satellite.process().said();
            said.matches("listening on ").count() == 1 + also
        });
        let shown = String::from_utf8(satellite.process().shown()).expect("it is text");
        Self {
            _host: host,
            first: Token::parse(&shown).expect("it is an invitation"),
            satellite,
        }
    }

    /// The port at which the satellite listens.
    pub fn port(&self) -> u16 {
        self.first.address.port
    }

    /// The port of each address with this scheme, in the order in which they were announced.
    pub fn ports(&self, scheme: &str) -> Vec<u16> {
        let said = self.satellite.process().said();
        let start = format!("listening on {scheme}");
        let lines = said.lines().filter(|line| line.starts_with(&start));
        let ports = lines.filter_map(|line| line.rsplit(':').next()?.parse().ok());
        ports.collect()
    }

    /// A machine that uses this address.
    pub fn machine(&self, address: &str) -> Environment {
        let mut token = self.first.clone();
        token.address = address.parse().expect("it is an address");
        let mut machine = Environment::here();
        machine.leads_to(&token.encode());
        machine
    }
}

/// Sends a few megabytes into a pipe and reads them back. `with` finishes both programs.
#[track_caller]
pub fn carries(machine: &Environment, with: impl Fn(Run) -> Run) {
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 253) as u8).collect();
    let wrote = with(machine.skypipe(&["-w", "door"])).fed(&bytes);
    wrote.success();
    let read = with(machine.skypipe(&["-r", "door"])).done().success();
    assert!(read == bytes, "{} bytes came out", read.len());
}
