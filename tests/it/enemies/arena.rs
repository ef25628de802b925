//! A satellite with keys, and the first invitation to it.

use std::time::Duration;

use skypipe_protocol::token::Token;

use crate::common::Environment;
use crate::common::process::{Process, Run};
use crate::common::satellite::Satellite;

/// The flags of a loopback satellite with keys.
pub const PRIVATE: [&str; 3] = ["--data", "data", "--private"];

/// A home with a satellite with keys, and its owner.
pub struct Arena {
    // The order of the fields matters: the satellite ends while its home still exists.
    satellite: Satellite,
    pub environment: Environment,
    /// The first invitation.
    pub invitation: String,
}

impl Arena {
    /// A satellite after its first start.
    pub fn new() -> Self {
        Self::within(Duration::from_secs(60))
    }

    /// The same, for a test that may take this long.
    pub fn within(deadline: Duration) -> Self {
        let environment = Environment::here_within(deadline);
        let satellite = environment.satellite(&PRIVATE);
        Self::of(environment, satellite)
    }

    /// The arena of a satellite after its first start.
    pub fn of(mut environment: Environment, satellite: Satellite) -> Self {
        // The invitation was printed before the satellite listened, but another thread reads it.
        satellite.process().shows("\n");
        let printed = satellite.process().shown();
        let printed = String::from_utf8(printed).expect("an invitation is text");
        let invitation = printed.trim_end().to_owned();
        environment.leads_to(&invitation);
        Self {
            satellite,
            environment,
            invitation,
        }
    }

    /// `skypipe ARGUMENTS`, as the owner.
    pub fn skypipe(&self, arguments: &[&str]) -> Run {
        self.environment.skypipe(arguments)
    }

    /// The first invitation, parsed.
    pub fn token(&self) -> Token {
        Token::parse(&self.invitation).expect("it is an invitation")
    }

    /// The satellite.
    pub fn satellite(&self) -> &Satellite {
        &self.satellite
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.satellite.process()
    }

    /// Kills the satellite, calls `change`, and starts the satellite again.
    pub fn restart(self, change: impl FnOnce(&Environment)) -> Self {
        let Self {
            satellite,
            environment,
            invitation,
        } = self;
        let address = satellite.endpoint().trim_start_matches("tcp://").to_owned();
        satellite.kill();
        change(&environment);
        let satellite = environment.satellite_at(&address, &PRIVATE);
        Self {
            satellite,
            environment,
            invitation,
        }
    }

    /// Creates an invitation with these arguments of `--invite`.
    pub fn invite(&self, arguments: &[&str]) -> String {
        let arguments = [&["--invite"], arguments].concat();
        let outcome = self.skypipe(&arguments).done();
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let line = String::from_utf8(outcome.stdout).expect("an invitation is text");
        line.trim_end().to_owned()
    }

    /// Makes a phrase.
    pub fn phrase(&self) -> String {
        let outcome = self.skypipe(&["--phrase"]).done();
        assert_eq!(outcome.code, Some(0), "{outcome}");
        let line = String::from_utf8(outcome.stdout).expect("words are text");
        line.trim_end().to_owned()
    }
}

/// The same invitation for another port, as behind a relay.
pub fn rerouted(invitation: &str, endpoint: &str) -> String {
    let mut token = Token::parse(invitation).expect("it is an invitation");
    let port = endpoint
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    token.address.port = port.expect("an endpoint has a port");
    token.encode().to_string()
}
