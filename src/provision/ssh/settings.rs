//! The settings of a satellite, as stored on the host.
//!
//! Owns the file `settings`: lines of `NAME=VALUE`. The scripts on the host write the lines `state`
//! and `linger`. All other lines are written here. Two plans are different if these lines are.

use crate::exit::Failure;
use crate::provision::Plan;

/// What keeps a satellite running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    /// systemd's manager of that user.
    Systemd,
    /// A shell script of ours.
    Script,
}

impl Supervisor {
    /// The supervisor's name in the settings and the scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Script => "script",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Systemd, Self::Script]
            .into_iter()
            .find(|each| each.name() == text)
    }
}

/// The settings of a planned satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The program's version, as in its label.
    pub version: String,
    /// The public keys of the founder.
    pub founder: String,
    /// The port at which the satellite listens.
    pub port: u16,
    /// The host under which others reach the satellite, without a port.
    pub public: String,
    /// The file name of the program.
    pub program: String,
    /// What keeps the satellite running.
    pub supervisor: Supervisor,
}

impl Settings {
    /// The lines, without the final line break.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            version,
            founder,
            port,
            public,
            program,
            supervisor,
        } = self;
        let supervisor = supervisor.name();
        format!(
            "version={version}\nfounder={founder}\nport={port}\npublic={public}\n\
             program={program}\nsupervisor={supervisor}"
        )
    }

    /// The arguments of this satellite, without the program.
    #[must_use]
    pub fn command(&self, listen: &str, data: &str, public: &str) -> Vec<String> {
        let plan = Plan {
            version: self.version.clone(),
            founder: self.founder.clone(),
            port: Some(self.port),
            public: Some(self.public.clone()),
            binary: None,
            image: None,
        };
        plan.arguments(listen, data, public)
    }

    /// Parses the lines; `None` if one is missing or invalid.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let program = value(text, "program")?;
        // The name becomes the end of a path.
        if program.contains('/') || !program.starts_with("skypipe-") {
            return None;
        }
        Some(Self {
            version: value(text, "version")?.to_owned(),
            founder: value(text, "founder")?.to_owned(),
            port: value(text, "port")?.parse().ok()?,
            public: value(text, "public")?.to_owned(),
            program: program.to_owned(),
            supervisor: Supervisor::read(value(text, "supervisor")?)?,
        })
    }

    /// Checks that no value is empty or contains white space or a control character, and that the
    /// port is not 0.
    ///
    /// # Errors
    ///
    /// A usage failure that names the invalid value.
    pub fn check(&self) -> Result<(), Failure> {
        let values = [&self.version, &self.founder, &self.public];
        for (name, value) in ["version", "founder", "public address"].iter().zip(values) {
            if value.is_empty() || value.contains(|c: char| c.is_control() || c.is_whitespace()) {
                let shown = value.escape_debug();
                return Err(Failure::usage(format!(
                    "'{shown}' cannot be a satellite's {name}"
                )));
            }
        }
        if self.port == 0 {
            return Err(Failure::usage(
                "0 is no port at which a satellite can be reached",
            ));
        }
        Ok(())
    }
}

/// The value of the first line with this name.
#[must_use]
pub fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    values(text, name).next()
}

/// The values of all lines with this name.
pub fn values<'a, 'b>(text: &'a str, name: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
    let lines = text.lines();
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            version: "1.0.0".to_owned(),
            founder: "a=b".to_owned(),
            port: 9000,
            public: "host".to_owned(),
            program: "skypipe-1.0.0-12345678".to_owned(),
            supervisor: Supervisor::Script,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = settings().text() + "\nstate=ready\nlinger=no";
        assert_eq!(Settings::read(&text), Some(settings()));
        assert_eq!(value(&text, "state"), Some("ready"));
        for line in settings().text().lines() {
            let half = settings().text().replace(line, "");
            assert_eq!(Settings::read(&half), None, "{line}");
        }
    }

    #[test]
    fn a_path_is_no_program() {
        let text = settings().text().replace("skypipe-1", "../skypipe-1");
        assert_eq!(Settings::read(&text), None);
    }

    #[test]
    fn values_that_do_not_fit_in_a_line_are_refused() {
        assert_eq!(settings().check(), Ok(()));
        for bad in ["", "a b", "a\nport=1", "a\u{1b}"] {
            let mut settings = settings();
            settings.public = bad.to_owned();
            assert!(settings.check().is_err(), "{bad:?}");
        }
        let port = Settings {
            port: 0,
            ..settings()
        };
        assert!(port.check().is_err());
    }
}
