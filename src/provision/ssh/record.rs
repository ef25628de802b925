//! The record of a satellite that the host keeps.
//!
//! Owns the file `settings`: lines of `NAME=VALUE`. The scripts on the host write the lines `state`
//! and `linger`. All other lines are written here. Two plans are different if these lines are.

use super::{script, unit};
use crate::provision::Settings;

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

/// A satellite on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The satellite's settings. The public host is known, and the program is a file's name.
    pub settings: Settings,
    /// What keeps the satellite running.
    pub supervisor: Supervisor,
}

impl Record {
    /// The lines, without the final line break.
    pub fn text(&self) -> String {
        let Settings {
            version,
            owner,
            port,
            public,
            program,
        } = &self.settings;
        let public = public.as_deref().unwrap_or_default();
        let supervisor = self.supervisor.name();
        format!(
            "version={version}\nowner={owner}\nport={port}\npublic={public}\n\
             program={program}\nsupervisor={supervisor}"
        )
    }

    /// Parses the lines; `None` if one is missing or invalid.
    pub fn read(text: &str) -> Option<Self> {
        let program = value(text, "program")?;
        // The name becomes the end of a path.
        if program.contains('/') || !program.starts_with("skypipe-") {
            return None;
        }
        Some(Self {
            settings: Settings {
                version: value(text, "version")?.to_owned(),
                owner: value(text, "owner")?.to_owned(),
                port: value(text, "port")?.parse().ok()?,
                public: Some(value(text, "public")?.to_owned()),
                program: program.to_owned(),
            },
            supervisor: Supervisor::read(value(text, "supervisor")?)?,
        })
    }

    /// The file that makes the supervisor start the satellite: a unit of systemd, or a script.
    /// `root` is the directory of the satellite, and `listen` the address with a port to listen at.
    pub fn starter(&self, root: &str, listen: &str) -> String {
        let Settings {
            public, program, ..
        } = &self.settings;
        let program = format!("{root}/bin/{program}");
        let public = public.as_deref().unwrap_or_default();
        let data = format!("{root}/data");
        let arguments = self.settings.arguments(listen, &data, public);
        match self.supervisor {
            Supervisor::Systemd => unit::unit(&program, &arguments),
            Supervisor::Script => {
                let arguments = arguments.iter().map(String::as_str);
                let command: Vec<&str> =
                    std::iter::once(program.as_str()).chain(arguments).collect();
                script::supervisor(root, &command)
            }
        }
    }
}

/// The value of the first line with this name.
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

    fn record() -> Record {
        Record {
            settings: Settings {
                version: "1.0.0".to_owned(),
                owner: "a=b".to_owned(),
                port: 9000,
                public: Some("host".to_owned()),
                program: "skypipe-1.0.0-12345678".to_owned(),
            },
            supervisor: Supervisor::Script,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = record().text() + "\nstate=ready\nlinger=no";
        assert_eq!(Record::read(&text), Some(record()));
        assert_eq!(value(&text, "state"), Some("ready"));
        for line in record().text().lines() {
            let half = record().text().replace(line, "");
            assert_eq!(Record::read(&half), None, "{line}");
        }
    }

    #[test]
    fn a_path_is_no_program() {
        let text = record().text().replace("skypipe-1", "../skypipe-1");
        assert_eq!(Record::read(&text), None);
    }
}
