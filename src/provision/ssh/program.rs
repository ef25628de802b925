//! The program for a host.
//!
//! Owns the program's name there. Sends nothing.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// How many digits of a program's digest are in its name: enough that two names are not equal by
/// chance.
const DIGITS: usize = 8;

/// A program to store on the host.
#[derive(Debug)]
pub struct Stored {
    /// The file name on the host: the version, and the beginning of the digest.
    pub name: String,
    /// The SHA-256 of the program, in hexadecimal digits.
    pub digest: String,
}

impl Stored {
    /// The name for these bytes.
    pub fn new(bytes: &[u8], version: &str) -> Self {
        let mut hex = String::new();
        for byte in digest(&SHA256, bytes).as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        let version = version.replace(|c| !is_plain(c), "_");
        Self {
            name: format!("skypipe-{version}-{}", &hex[..DIGITS]),
            digest: hex,
        }
    }
}
