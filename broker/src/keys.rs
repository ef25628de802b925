//! Keys: who may connect to a satellite, and what each key permits.
//!
//! This module owns the [authorized keys](KeyRegistry), their format on disk, and what a permission means for a
//! pipe. It reads no file and no clock. It only holds public keys; the satellite knows nobody's secret.

pub mod address;
mod pattern;
pub mod public_keys;
mod registry;
pub mod secret;
pub mod seed;
pub mod token;

pub use self::pattern::matches;
pub use self::registry::{Fault, Key, KeyRegistry};

/// The name of the access key stored on the satellite's machine. With it, that machine manages the satellite
/// and enrolls others.
pub const HOST: &str = "host";

/// The id of a key at its satellite. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);
