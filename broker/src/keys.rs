//! Keys: who may connect to a satellite, and what each key permits.
//!
//! This module owns the [authorized keys](KeyRegistry), their format on disk, and what a permission means for a
//! pipe. It reads no file and no clock. It only holds public keys; the satellite knows nobody's secret.

mod pattern;
mod registry;

pub use self::pattern::matches;
pub use self::registry::{Fault, Key, KeyRegistry};
pub use crate::protocol::{HOST, KeyId};
