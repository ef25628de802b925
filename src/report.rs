//! Messages for the user, all of them on stderr.
//!
//! This module owns the form `skypipe: sentence`. Sentences quote text from other people: labels, pipe
//! names, reasons. So control characters that could harm a terminal are escaped here, in every sentence.
//! How much is said (`-q`, `-v`) is set once, at the start.
//! The module never writes to stdout, which carries data only. It never fails: a closed stderr must not end
//! a transfer.

use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use skypipe_protocol::text::printable;

/// How much the user wants to hear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// `-q`: only why something failed.
    Quiet,
    /// What is wrong, and on a terminal also what goes on.
    #[default]
    Normal,
    /// `-v`: also without a terminal, what goes on.
    Verbose,
}

static LEVEL: OnceLock<Level> = OnceLock::new();

/// Sets the level. Only the first call counts.
pub fn set_level(level: Level) {
    let _ = LEVEL.set(level);
}

fn level() -> Level {
    LEVEL.get().copied().unwrap_or_default()
}

/// Prints `sentence`, why something failed, as one line.
pub fn failure(sentence: &str) {
    line(sentence);
}

/// Prints `sentence` as one line, unless the user wants quiet.
pub fn notice(sentence: &str) {
    if level() != Level::Quiet {
        line(sentence);
    }
}

fn line(sentence: &str) {
    // A single write keeps the lines of several clients on one terminal whole.
    let line = format!("skypipe: {}\n", printable(sentence));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints `sentence` if stderr is a terminal, or if the user wants to hear everything.
pub fn hint(sentence: &str) {
    let is_shown = match level() {
        Level::Quiet => false,
        Level::Normal => io::stderr().is_terminal(),
        Level::Verbose => true,
    };
    if is_shown {
        line(sentence);
    }
}

/// Copies another program's stderr to ours as it comes. The channel disconnects when everything has been
/// copied.
pub fn relay(mut from: impl Read + Send + 'static) -> Receiver<()> {
    let (shown, all_shown) = channel();
    thread::spawn(move || {
        let _shown = shown;
        let mut said = [0; 4096];
        loop {
            match from.read(&mut said) {
                Ok(0) => return,
                Ok(length) => {
                    let text = harmless(&said[..length]);
                    let _ = io::stderr().write_all(text.as_bytes());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    all_shown
}

/// Escapes what could harm a terminal in another program's output, and keeps its line ends.
fn harmless(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let lines: Vec<_> = lines.map(printable).collect();
    lines.join("\n")
}

/// The system's description of `error`, without the error number.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Formats a number of bytes in the largest unit that is not below 1, with one decimal unless that is 0.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let unit = |power: u32| 1_u64 << (10 * power);
    match (1..=4_u32).rev().find(|power| bytes >= unit(*power)) {
        None if bytes == 1 => "1 byte".to_owned(),
        None => format!("{bytes} bytes"),
        Some(power) => {
            let tenths = bytes / (unit(power) / 10);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            let unit = units[power as usize - 1];
            if tenth == 0 {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{tenth} {unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_left_out() {
        assert_eq!(words(&io::Error::from_raw_os_error(21)), "Is a directory");
        assert_eq!(words(&io::Error::other("no luck")), "no luck");
    }

    #[test]
    fn sizes_are_in_words() {
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(4_000_000), "3.8 MiB");
        assert_eq!(size(1 << 30), "1 GiB");
        assert_eq!(size(u64::MAX), "16777216 TiB");
    }

    #[test]
    fn what_a_program_elsewhere_says_cannot_harm_a_terminal() {
        assert_eq!(harmless(b"one\r\n\x1b[2Jtwo\n"), "one\n\\u{1b}[2Jtwo\n");
        let all_shown = relay(io::empty());
        assert!(all_shown.recv().is_err());
    }
}
