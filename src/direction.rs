//! Reading or writing: the flags decide, else the kind of stdin.
//!
//! This module owns that decision and the look at stdin. It never reads from stdin, because a byte read
//! here would be lost.

use std::io::IsTerminal;

use rustix::fs::{FileType, fstat};
use rustix::stdio::stdin;
use skypipe_satellite::standard;

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a pipe to stdout.
    Read,
    /// From stdin into a pipe.
    Write,
}

/// The kinds of stdin that matter for the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// A terminal.
    Terminal,
    /// `/dev/null`, which never has data.
    Null,
    /// Stdin is closed.
    Closed,
    /// A pipe, a file or a socket: it may have data.
    Other,
}

/// An explicit flag wins. Otherwise a terminal, `/dev/null` or a closed stdin means reading, since no data
/// can come from them; anything else means writing.
#[must_use]
pub fn decide(asked: Option<Direction>, stdin: Stdin) -> Direction {
    match (asked, stdin) {
        (Some(direction), _) => direction,
        (None, Stdin::Terminal | Stdin::Null | Stdin::Closed) => Direction::Read,
        (None, Stdin::Other) => Direction::Write,
    }
}

/// Looks at stdin. If stdin was closed at the start, Rust's runtime has put `/dev/null` in its place by
/// now.
#[must_use]
pub fn look_at_stdin() -> Stdin {
    if standard::stdin_was_closed() {
        return Stdin::Closed;
    }
    match fstat(stdin()) {
        Err(_) => Stdin::Closed,
        Ok(stat) if is_null(&stat) => Stdin::Null,
        Ok(_) if std::io::stdin().is_terminal() => Stdin::Terminal,
        Ok(_) => Stdin::Other,
    }
}

/// Whether this is the null device, by its device number: a container may have it under another path.
#[cfg(target_os = "linux")]
fn is_null(stat: &rustix::fs::Stat) -> bool {
    let device = stat.st_rdev;
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (rustix::fs::major(device), rustix::fs::minor(device)) == (1, 3)
}

/// Whether this is the null device, by comparison: its device number differs from system to system.
#[cfg(not(target_os = "linux"))]
fn is_null(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == stat.st_rdev)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_was_asked_for_wins() {
        for stdin in [Stdin::Terminal, Stdin::Null, Stdin::Closed, Stdin::Other] {
            for direction in [Direction::Read, Direction::Write] {
                assert_eq!(decide(Some(direction), stdin), direction);
            }
        }
    }

    #[test]
    fn else_stdin_decides() {
        assert_eq!(decide(None, Stdin::Terminal), Direction::Read);
        assert_eq!(decide(None, Stdin::Null), Direction::Read);
        assert_eq!(decide(None, Stdin::Closed), Direction::Read);
        assert_eq!(decide(None, Stdin::Other), Direction::Write);
    }

    #[test]
    fn the_null_device_is_known() {
        let null = fstat(File::open("/dev/null").expect("it is everywhere")).expect("it is open");
        assert!(is_null(&null));
        let zero = fstat(File::open("/dev/zero").expect("it is everywhere")).expect("it is open");
        assert!(!is_null(&zero));
    }
}
