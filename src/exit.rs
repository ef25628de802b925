//! How the program ends: its exit codes, and failures that carry one with a sentence.
//!
//! Owns the codes of the manual's table. Never prints and never exits by itself.

use std::fmt;

/// Done.
pub const DONE: u8 = 0;
/// Something failed; a message on stderr says what.
pub const FAILED: u8 = 1;
/// A flag, a name, an endpoint or an environment that makes no sense.
pub const USAGE: u8 = 2;
/// No satellite could be reached at the start.
pub const UNREACHABLE: u8 = 4;

/// Why the program ends before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What the person is told: a sentence without its full stop.
    pub sentence: String,
}

impl Failure {
    /// What was asked for makes no sense.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            sentence: sentence.into(),
        }
    }

    /// What was asked for could not be done.
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
