//! Why something sealed did not open.
//!
//! Owns the sentences that people read about it. Never decides what happens then.

use std::fmt;

/// Why something sealed did not open. Nothing of it was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not what was sealed, or it was sealed without the right pre-shared key, or it belongs
    /// to another stream, or it is cut inside a record.
    Altered,
    /// Bytes before it are missing.
    Missing {
        /// The position of the byte that had to come.
        due: u64,
        /// That of the byte that came.
        found: u64,
    },
    /// It goes back to a byte that has been opened.
    Repeated {
        /// The position of the byte that had to come.
        due: u64,
        /// That of the byte that came.
        found: u64,
    },
    /// It breaks off, and nothing proves that this is its end.
    Endless,
    /// It begins in its middle, and nobody is said to have had what comes before.
    Headless,
    /// The satellite ended a listener that nothing else ends, and shows nobody's word for it.
    Unordered,
    /// It is sealed for an epoch that was not given.
    NoKey {
        /// The epoch.
        epoch: u32,
    },
    /// It is sealed for an epoch that was given without its reading key.
    WriteOnly {
        /// The epoch.
        epoch: u32,
    },
    /// It is sealed in a way that is not known here, perhaps by a newer program.
    UnknownSuite {
        /// The number of the way.
        suite: u8,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => f.write_str(
                "the stream is not as it was sealed: it was altered or cut on its way, or sealed \
                 by somebody without the key",
            ),
            Self::Missing { due, found } => {
                write!(
                    f,
                    "a part of the stream is missing: byte {due} was due, byte {found} came"
                )
            }
            Self::Repeated { due, found } => {
                write!(
                    f,
                    "the stream goes back: byte {due} was due, byte {found} came"
                )
            }
            Self::Endless => f.write_str("the stream breaks off without an end"),
            Self::Headless => f.write_str(
                "the stream begins in its middle, and nobody is said to have had its beginning",
            ),
            Self::Unordered => f.write_str(
                "it ended this listener by itself: nobody who may has given an --eof for that",
            ),
            Self::NoKey { epoch } => write!(
                f,
                "the stream is sealed for reading key {epoch}, which this machine does not have"
            ),
            Self::WriteOnly { epoch } => write!(
                f,
                "the stream is sealed for reading key {epoch}, and this machine may only write"
            ),
            Self::UnknownSuite { suite } => write!(
                f,
                "the stream is sealed in way {suite}, which this version of skypipe does not know"
            ),
        }
    }
}

impl std::error::Error for Fault {}
