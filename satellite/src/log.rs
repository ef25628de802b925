//! The satellite's log: a limited number of lines on stderr.
//!
//! Owns everything that a running satellite writes to stderr. Peers can cause log lines, so the log
//! is bounded: peers can neither flood it nor move the cursor of whoever reads it.
//!
//! For a satellite in the background, stderr is a file. The file is kept from run to run, up to
//! [`MAX_FILE`] bytes. A full file is renamed and replaces the one that was renamed before.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{fstat, stat};
use rustix::stdio::{dup2_stderr, stderr};
use skypipe_protocol::text::{count, printable};

use crate::background::Background;
use crate::limits::private_files;

/// The most lines in a second: more than anybody reads, and too few to fill a disk in a night.
const LINES_PER_SECOND: u32 = 20;

/// The size at which a new log file is begun, in bytes. There are at most two files.
pub const MAX_FILE: u64 = 1 << 20;

/// Opens a log file for appending, for this user alone. A full file is renamed first.
///
/// # Errors
///
/// When the system refuses.
pub fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| found.len() >= MAX_FILE) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        fs::rename(path, aside)?;
    }
    private_files(|| File::options().append(true).create(true).open(path))
}

/// The log. Each line begins with the time in UTC.
#[derive(Debug, Default)]
pub(crate) struct Log {
    quota: Quota,
    /// The path of the log file, if stderr is a file whose size is limited.
    file: Option<PathBuf>,
}

impl Log {
    /// The log of this process.
    pub(crate) fn new(background: Option<&Background>) -> Self {
        let file = background.map(|background| background.log.clone());
        let file = file.filter(|path| stderr_is(path).is_some());
        let mut log = Self {
            quota: Quota::default(),
            file,
        };
        if let Some(background) = background {
            log.line(&format!("started, process {}", std::process::id()));
            for limit in &background.inherited {
                log.line(&format!("from whoever started it: {limit}"));
            }
        }
        log
    }

    /// Begins another file if this one is full or was removed.
    fn turn_over(&self) {
        if let Some(path) = &self.file
            && stderr_is(path).is_none_or(|length| length >= MAX_FILE)
            && let Ok(file) = open(path)
        {
            let _ = dup2_stderr(&file);
        }
    }

    /// Writes a line. If there were too many lines in this second, the line is counted as omitted
    /// instead.
    pub(crate) fn line(&mut self, text: &str) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(left_out) = self.quota.take(second) else {
            return;
        };
        self.turn_over();
        let time = humantime::format_rfc3339_seconds(now);
        if left_out > 0 {
            say(&format!("{time} {} left out", count(left_out, "line")));
        }
        say(&format!("{time} {text}"));
    }
}

/// The length of the file at `path` in bytes, if stderr is that file.
fn stderr_is(path: &Path) -> Option<u64> {
    let (there, ours) = (stat(path).ok()?, fstat(stderr()).ok()?);
    let is_same = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino);
    u64::try_from(there.st_size).ok().filter(|_| is_same)
}

/// Writes a line to stderr. Characters that could harm a terminal are escaped. A failure, such as a
/// closed stderr or a full disk, is no reason to stop.
pub(crate) fn say(line: &str) {
    let line = printable(line) + "\n";
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Counts lines per second.
#[derive(Debug, Default)]
struct Quota {
    second: u64,
    written: u32,
    left_out: u64,
}

impl Quota {
    /// Decides whether a line may be written in this second. Seconds are counted from any fixed
    /// time. If the line may be written, returns how many lines were omitted since the last one
    /// written.
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
