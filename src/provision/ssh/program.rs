//! The program for a host, and what starts it there.
//!
//! Owns the program's name and command line. Sends nothing.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use super::connection::told;
use super::seen::Seen;
use super::settings::Settings;
use super::{script, unit};
use crate::exit::Failure;
use crate::provision::image::{self, Architecture};
use crate::provision::{Plan, bracketed, megabytes};

/// How many digits of a program's digest are in its name: enough that two names are not equal by
/// chance.
const DIGITS: usize = 8;

/// A program to store on the host.
#[derive(Debug)]
pub struct Program {
    /// The program's bytes.
    pub bytes: Vec<u8>,
    /// The SHA-256 of the program, in hexadecimal digits.
    pub digest: String,
    /// The file name on the host: the version, and the beginning of the digest.
    pub name: String,
}

impl Program {
    /// The program of this plan, for the host's processor.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new(plan: &Plan, seen: &Seen) -> Result<Self, Failure> {
        let machine = seen
            .value("system")
            .split_whitespace()
            .last()
            .unwrap_or_default();
        let architecture = Architecture::read(machine).ok_or_else(|| {
            let machine = told(machine);
            Failure::failed(format!(
                "the host's processor is {machine}: there are satellites for x86_64 and aarch64"
            ))
        })?;
        let bytes = image::satellite(plan.binary.as_deref(), architecture)?;
        let mut hex = String::new();
        for byte in digest(&SHA256, &bytes).as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        let version = plan.version.replace(|c| !is_plain(c), "_");
        let name = format!("skypipe-{version}-{}", &hex[..DIGITS]);
        Ok(Self {
            bytes,
            digest: hex,
            name,
        })
    }

    /// The program's size, for people.
    #[must_use]
    pub fn size(&self) -> String {
        megabytes(self.bytes.len())
    }
}

/// The two ways to start a satellite.
#[derive(Debug)]
pub struct Started {
    /// The script that keeps the satellite running.
    pub run: String,
    /// The systemd unit that keeps the satellite running.
    pub unit: String,
}

impl Started {
    /// Builds both for this host and these settings.
    #[must_use]
    pub fn new(seen: &Seen, settings: &Settings) -> Self {
        let root = seen.value("root");
        let program = format!("{root}/bin/{}", settings.program);
        let public = format!("{}:{}", bracketed(&settings.public), settings.port);
        let words = settings.command(
            &seen.listen(settings.port),
            &format!("{root}/data"),
            &public,
        );
        let mut command = vec![program.as_str()];
        command.extend(words.iter().map(String::as_str));
        Self {
            run: script::supervisor(root, &command),
            unit: unit::unit(&program, &words),
        }
    }
}
