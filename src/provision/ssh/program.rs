//! The program that a host gets, and what starts it there.
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

/// How many digits of a program's digest are in its name: enough that two do not meet by chance.
const DIGITS: usize = 8;

/// A program to be stored on the host.
#[derive(Debug)]
pub struct Program {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its SHA-256, in hexadecimal digits.
    pub digest: String,
    /// Its file name there: its version, and the digest's beginning.
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
            // A string takes whatever is written.
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

    /// How large it is, for people.
    #[must_use]
    pub fn size(&self) -> String {
        megabytes(self.bytes.len())
    }
}

/// What starts a satellite, in either way.
#[derive(Debug)]
pub struct Started {
    /// The script that keeps it running.
    pub run: String,
    /// The unit that does.
    pub unit: String,
}

impl Started {
    /// For a host like this and a satellite like that.
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
