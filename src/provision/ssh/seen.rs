//! What exists on the host, as a script reported it.
//!
//! Owns how the report is parsed. Never runs the script.

use super::settings::{Settings, Supervisor, value, values};
use crate::provision::{Found, State};

/// What exists on the host.
#[derive(Debug)]
pub struct Seen {
    /// The output of `look.sh`.
    pub text: String,
    /// The content of the settings file; empty if there is none.
    pub settings: String,
}

impl Seen {
    /// Parses the output of `look.sh`.
    #[must_use]
    pub fn new(text: String) -> Self {
        let lines: Vec<&str> = values(&text, "settings").collect();
        Self {
            settings: lines.join("\n"),
            text,
        }
    }

    /// The reported value of this name; empty if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        value(&self.text, name).unwrap_or_default()
    }

    /// Whether a value of this name was reported.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// Whether a launch finished once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        value(&self.settings, "state") == Some("ready") && Settings::read(&self.settings).is_some()
    }

    /// The settings without the lines that the host's scripts add.
    #[must_use]
    pub fn planned(&self) -> String {
        let is_own = |line: &&str| line.starts_with("state=") || line.starts_with("linger=");
        let lines: Vec<&str> = self.settings.lines().filter(|line| !is_own(line)).collect();
        lines.join("\n")
    }

    /// The supervisor that this host has for a satellite.
    #[must_use]
    pub fn supervisor(&self) -> Supervisor {
        if self.has("manager") {
            Supervisor::Systemd
        } else {
            Supervisor::Script
        }
    }

    /// The satellite, or the beginning of one; `None` if there is neither.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        let state = match (self.is_ready(), self.has("running")) {
            _ if !self.has("exists") => return None,
            (false, _) => State::Unfinished,
            (true, true) => State::Running,
            (true, false) => State::Stopped,
        };
        // Before the satellite has its keys, whoever continues the launch becomes the founder.
        let is_founded = self.is_ready() || self.has("founded");
        let founder = value(&self.settings, "founder").filter(|_| is_founded);
        Some(Found {
            name: self.value("root").to_owned(),
            version: value(&self.settings, "version").map(str::to_owned),
            founder: founder.map(str::to_owned),
            state,
        })
    }

    /// The address to listen at, which stands for all addresses of the host. Where there is IPv6, a
    /// satellite that listens on it accepts IPv4 too.
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
