//! What exists on the host, as a script reported it.
//!
//! Owns how the report is parsed. Never runs the script.

use super::record::{Record, Supervisor, value, values};
use crate::exit::Failure;
use crate::provision::image::Architecture;
use crate::provision::quote::quote;
use crate::provision::{Existing, Found, State};

/// What exists on the host.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The output of `look.sh`.
    text: String,
    /// The content of the settings file; empty if there is none.
    settings: String,
}

impl Look {
    /// Parses the output of `look.sh`.
    pub fn read(text: String) -> Result<Self, String> {
        let lines: Vec<&str> = values(&text, "settings").collect();
        let look = Self {
            settings: lines.join("\n"),
            text,
        };
        let system = look.value("system");
        if system.starts_with("Linux ") {
            Ok(look)
        } else {
            Err(format!("runs {}: a satellite needs Linux", quote(system)))
        }
    }

    fn value(&self, name: &str) -> &str {
        value(&self.text, name).unwrap_or_default()
    }

    fn has(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// The directory with everything of a satellite.
    pub fn root(&self) -> &str {
        self.value("root")
    }

    /// The record of a satellite, whether its launch finished or not.
    pub fn record(&self) -> Option<Record> {
        Record::read(&self.settings)
    }

    /// The record of a satellite whose launch finished once.
    pub fn ready(&self) -> Option<Record> {
        self.record()
            .filter(|_| value(&self.settings, "state") == Some("ready"))
    }

    /// The settings without the lines that the host's scripts add.
    pub fn planned(&self) -> String {
        let is_own = |line: &&str| line.starts_with("state=") || line.starts_with("linger=");
        let lines: Vec<&str> = self.settings.lines().filter(|line| !is_own(line)).collect();
        lines.join("\n")
    }

    /// The supervisor that this host has for a satellite.
    pub fn supervisor(&self) -> Supervisor {
        if self.has("manager") {
            Supervisor::Systemd
        } else {
            Supervisor::Script
        }
    }

    /// The host's processor.
    pub fn architecture(&self) -> Result<Architecture, Failure> {
        let words = self.value("system").split_whitespace();
        let machine = words.last().unwrap_or_default();
        Architecture::read(machine).ok_or_else(|| {
            let machine = quote(machine);
            Failure::failed(format!(
                "the host's processor is {machine}: there are satellites for x86_64 and aarch64"
            ))
        })
    }

    /// The owner, if there is one. Before the satellite has its keys, whoever continues the launch
    /// becomes the owner.
    fn owner(&self) -> Option<String> {
        let has_keys = self.ready().is_some() || self.has("has_keys");
        let owner = value(&self.settings, "owner").filter(|_| has_keys);
        owner.map(str::to_owned)
    }

    /// The satellite, or the beginning of one; `None` if there is neither.
    pub fn found(&self) -> Option<Found> {
        let state = match (self.ready().is_some(), self.has("running")) {
            _ if !self.has("exists") => return None,
            (false, _) => State::Unfinished,
            (true, true) => State::Running,
            (true, false) => State::Stopped,
        };
        Some(Found {
            name: self.root().to_owned(),
            version: value(&self.settings, "version").map(str::to_owned),
            owner: self.owner(),
            state,
        })
    }

    /// What a launch has to keep.
    pub fn existing(&self) -> Existing {
        Existing {
            owner: self.owner(),
            settings: self.ready().map(|record| record.settings),
        }
    }

    /// The address to listen at, which stands for all addresses of the host. Where there is IPv6, a
    /// satellite that listens on it accepts IPv4 too.
    pub fn listen(&self, port: u16) -> String {
        let address = if self.has("ipv6") { "[::]" } else { "0.0.0.0" };
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Look {
        Look::read(format!("system=Linux x86_64\n{text}")).expect("it is Linux")
    }

    #[test]
    fn the_state_depends_on_how_far_the_launch_got() {
        let state = |text: &str| look(text).found().map(|found| found.state);
        let ready = "root=/r\nexists=yes\nsettings=version=1\nsettings=owner=f\n\
                     settings=port=9000\nsettings=public=h\nsettings=program=skypipe-1-0\n\
                     settings=supervisor=script\nsettings=state=ready\n";
        let begun = ready.replace("state=ready", "state=begun");
        assert_eq!(state("root=/r\n"), None);
        assert_eq!(state("root=/r\nexists=yes\n"), Some(State::Unfinished));
        assert_eq!(state(&begun), Some(State::Unfinished));
        assert_eq!(state(ready), Some(State::Stopped));
        assert_eq!(
            state(&format!("{ready}running=yes\n")),
            Some(State::Running)
        );
        assert!(look(ready).planned().ends_with("supervisor=script"));
        assert_eq!(look(ready).existing().owner.as_deref(), Some("f"));
        assert_eq!(look(&begun).existing(), Existing::default());
    }

    #[test]
    fn an_address_goes_with_what_the_host_has() {
        assert_eq!(look("").listen(9000), "0.0.0.0:9000");
        assert_eq!(look("ipv6=yes\n").listen(9000), "[::]:9000");
    }
}
