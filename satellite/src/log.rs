//! The satellite's log: lines on stderr, and never too many of them.
//!
//! Owns all that a satellite writes to stderr while it runs. What peers can bring about ends up
//! here, so the log is bounded: it can neither be flooded, nor move the cursor of whoever reads it.

use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use skypipe_broker::text::{count, printable};

/// The most lines in a second: more than anybody reads, less than fills a disk in a night.
const LINES_PER_SECOND: u32 = 20;

/// The log, with the time (UTC) before each line.
#[derive(Debug, Default)]
pub(crate) struct Log {
    quota: Quota,
}

impl Log {
    /// Writes a line, or counts it as left out if there were too many in this second.
    pub(crate) fn line(&mut self, text: &str) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(left_out) = self.quota.take(second) else {
            return;
        };
        let time = humantime::format_rfc3339_seconds(now);
        if left_out > 0 {
            say(&format!("{time} {} left out", count(left_out, "line")));
        }
        say(&format!("{time} {text}"));
    }
}

/// Writes a line to stderr, with what could harm a terminal escaped. That nobody can read it (a closed
/// stderr, a full disk) is no reason to stop.
pub(crate) fn say(line: &str) {
    let line = printable(line) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Counts lines by the second.
#[derive(Debug, Default)]
struct Quota {
    second: u64,
    written: u32,
    left_out: u64,
}

impl Quota {
    /// Whether a line may be written in this second, given in seconds since any beginning: if so,
    /// how many were left out since the last one that was.
    fn take(&mut self, second: u64) -> Option<u64> {
        if second != self.second {
            self.second = second;
            self.written = 0;
        }
        if self.written == LINES_PER_SECOND {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_short_and_counted() {
        let mut quota = Quota::default();
        let written = (0..1000).filter(|_| quota.take(7).is_some()).count();
        assert_eq!(written, LINES_PER_SECOND as usize);
        assert_eq!(quota.take(8), Some(1000 - u64::from(LINES_PER_SECOND)));
        assert_eq!(quota.take(8), Some(0));
    }
}
