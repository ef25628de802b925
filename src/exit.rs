//! Exit codes, and failures that carry an exit code and a sentence.
//!
//! This module owns the exit codes of failures; `docs/semantics.md` lists all. It never prints and never exits.

use std::fmt;

/// Everything was done.
pub const DONE: u8 = 0;
/// Something failed; a message on stderr says what.
pub const FAILED: u8 = 1;
/// A flag, a name, an endpoint or an environment variable is invalid.
pub const USAGE: u8 = 2;
/// No satellite could be reached at the start.
pub const UNREACHABLE: u8 = 4;

/// Why the program ends before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code, one of the constants above or a signal's.
    pub code: u8,
    /// The message for the user: a sentence without a full stop.
    pub sentence: String,
}

impl Failure {
    /// A failure with exit code [`USAGE`].
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            sentence: sentence.into(),
        }
    }

    /// A failure with exit code [`FAILED`].
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            sentence: sentence.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}
