//! Times and names in the platform's formats.
//!
//! Owns formats only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The time since 1970.
pub fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Milliseconds since 1970, as in events.
pub fn millis() -> u64 {
    u64::try_from(wall().as_millis()).unwrap_or(u64::MAX)
}

/// The current time in the format of RFC 3339, with milliseconds.
pub fn stamp() -> String {
    let (seconds, millis) = (wall().as_secs(), wall().subsec_millis());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The date of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// A unique name of this many hexadecimal digits.
pub fn unique(digits: usize) -> String {
    Uuid::new_v4().simple().to_string()[..digits.min(32)].to_owned()
}

/// The name of a machine's version.
pub fn version() -> String {
    format!("01{}", unique(24).to_uppercase())
}
