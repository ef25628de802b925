//! Keys: who may connect to a satellite, and what each of them may do.
//!
//! Owns the [roll](Roll) of keys and its form on disk, and what a right means for a pipe. Pure: it
//! reads no file and no clock. It holds public halves alone; the satellite knows nobody's secret.

pub mod address;
pub mod halves;
mod pattern;
mod roll;
pub mod secret;
pub mod seed;
pub mod token;

pub use self::pattern::matches;
pub use self::roll::{Fault, Key, Roll};

/// The name of the access key that lies beside a satellite, with which its own machine manages it and lets others
/// in.
pub const HOST: &str = "host";

/// A key's number at its satellite. It is never given to another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);
