//! Why sealed data did not open.
//!
//! This module owns the error messages. It never decides what happens then.

use std::fmt;

/// Why sealed data did not open. None of its plaintext was returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The data was altered, sealed without the right pre-shared key, belongs to another stream, or is cut
    /// inside a record.
    Altered,
    /// Bytes before this record are missing.
    Missing {
        /// The expected position.
        due: u64,
        /// The position in the record.
        found: u64,
    },
    /// The record goes back to a byte that has been opened.
    Repeated {
        /// The expected position.
        due: u64,
        /// The position in the record.
        found: u64,
    },
    /// The stream stops without a proof of its end.
    Endless,
    /// The stream begins in its middle, and nobody is said to have had what comes before.
    Headless,
    /// The satellite ended a listener that only an `--eof` may end, without a valid attestation of one.
    Unordered,
    /// The record is sealed for an epoch that this client does not have.
    NoKey {
        /// The number of the epoch.
        epoch: u32,
    },
    /// The record is sealed for an epoch of which this client lacks the reading key.
    WriteOnly {
        /// The number of the epoch.
        epoch: u32,
    },
    /// The record uses an unknown cipher suite, perhaps of a newer program.
    UnknownSuite {
        /// The number of the suite.
        suite: u8,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => f.write_str(
                "the stream does not match its seal: it was altered or cut on the way, or sealed \
                 by somebody without the key",
            ),
            Self::Missing { due, found } => {
                write!(
                    f,
                    "part of the stream is missing: expected byte {due}, got byte {found}"
                )
            }
            Self::Repeated { due, found } => {
                write!(
                    f,
                    "the stream goes back: expected byte {due}, got byte {found}"
                )
            }
            Self::Endless => f.write_str("the stream breaks off without an end"),
            Self::Headless => f.write_str(
                "the stream starts in the middle, and the satellite names no reader of its \
                 beginning",
            ),
            Self::Unordered => {
                f.write_str("it ended this reader on its own, without a valid --eof")
            }
            Self::NoKey { epoch } => write!(
                f,
                "the stream is sealed for reading key {epoch}, which this machine does not have"
            ),
            Self::WriteOnly { epoch } => write!(
                f,
                "the stream is sealed for reading key {epoch}, but this machine may only write"
            ),
            Self::UnknownSuite { suite } => write!(
                f,
                "the stream uses cipher suite {suite}, which this version of skypipe does not \
                 know"
            ),
        }
    }
}

impl std::error::Error for Fault {}
