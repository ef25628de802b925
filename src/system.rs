//! The system's randomness and its calendar clock. The pure modules are given both.

use std::time::{SystemTime, UNIX_EPOCH};

use skypipe_protocol::secret::Secret;
use skypipe_satellite::randomness;
use zeroize::Zeroizing;

/// 32 fresh random bytes.
///
/// # Panics
///
/// When the system gives no randomness, without which nothing here is safe.
#[must_use]
pub fn random() -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    randomness::fill(&mut *bytes).expect("the system gave randomness at the start");
    Secret::from(bytes)
}

/// The wall-clock time, in seconds since 1970 (UTC).
#[must_use]
pub fn unix_time() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs()
}
