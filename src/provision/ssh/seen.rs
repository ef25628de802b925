//! What there is on the host, as a script has looked.
//!
//! Owns how it is read; it never asks.

use super::settings::{Settings, Supervisor, value, values};
use crate::provision::{Found, State};

/// What there is on the host.
#[derive(Debug)]
pub struct Seen {
    /// What `look.sh` said.
    pub text: String,
    /// The file of settings; empty if there is none.
    pub settings: String,
}

impl Seen {
    /// What `look.sh` said.
    #[must_use]
    pub fn new(text: String) -> Self {
        let lines: Vec<&str> = values(&text, "settings").collect();
        Self {
            settings: lines.join("\n"),
            text,
        }
    }

    /// The value it told of this name; empty if it told none.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        value(&self.text, name).unwrap_or_default()
    }

    /// Whether it told a value of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// Whether a launch got to its end once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        value(&self.settings, "state") == Some("ready") && Settings::read(&self.settings).is_some()
    }

    /// The settings without the host's own lines.
    #[must_use]
    pub fn planned(&self) -> String {
        let is_own = |line: &&str| line.starts_with("state=") || line.starts_with("linger=");
        let lines: Vec<&str> = self.settings.lines().filter(|line| !is_own(line)).collect();
        lines.join("\n")
    }

    /// Who can keep a satellite running there.
    #[must_use]
    pub fn supervisor(&self) -> Supervisor {
        if self.has("manager") {
            Supervisor::Systemd
        } else {
            Supervisor::Script
        }
    }

    /// The satellite, if there is one or the beginnings of one.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        let state = match (self.is_ready(), self.has("running")) {
            _ if !self.has("exists") => return None,
            (false, _) => State::Unfinished,
            (true, true) => State::Running,
            (true, false) => State::Stopped,
        };
        // Before its keys are there, whoever goes on with it is its founder.
        let is_founded = self.is_ready() || self.has("founded");
        let founder = value(&self.settings, "founder").filter(|_| is_founded);
        Some(Found {
            name: self.value("root").to_owned(),
            version: value(&self.settings, "version").map(str::to_owned),
            founder: founder.map(str::to_owned),
            state,
        })
    }

    /// An address of the host that stands for all of them. Where there is IPv6, a satellite that
    /// listens there takes IPv4 too.
    #[must_use]
    pub fn listen(&self, port: u16) -> String {
        let address = if self.has("ipv6") { "[::]" } else { "0.0.0.0" };
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_tells_how_far_it_is() {
        let state = |text: &str| Seen::new(text.to_owned()).found().map(|found| found.state);
        let ready = "system=Linux x86_64\nroot=/r\nexists=yes\nsettings=version=1\n\
                     settings=founder=f\nsettings=port=9000\nsettings=public=h\n\
                     settings=program=skypipe-1-0\nsettings=supervisor=script\n\
                     settings=state=ready\n";
        assert_eq!(state("system=Linux x86_64\nroot=/r\n"), None);
        assert_eq!(state("root=/r\nexists=yes\n"), Some(State::Unfinished));
        assert_eq!(
            state(&ready.replace("state=ready", "state=begun")),
            Some(State::Unfinished)
        );
        assert_eq!(state(ready), Some(State::Stopped));
        assert_eq!(
            state(&format!("{ready}running=yes\n")),
            Some(State::Running)
        );
        let seen = Seen::new(ready.to_owned());
        assert!(seen.planned().ends_with("supervisor=script"));
    }

    #[test]
    fn an_address_goes_with_what_the_host_has() {
        assert_eq!(Seen::new(String::new()).listen(9000), "0.0.0.0:9000");
        assert_eq!(Seen::new("ipv6=yes\n".to_owned()).listen(9000), "[::]:9000");
    }
}
