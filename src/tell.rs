//! What the program says to people, all of it on stderr.
//!
//! Owns the form `skypipe: sentence`. Never writes to stdout, which carries data alone, and never
//! fails: a stderr that is closed must not end a transfer.

use std::io::{self, IsTerminal, Write};

/// Says `sentence`.
pub fn notice(sentence: &str) {
    // One write, so that the lines of several clients on one terminal stay whole.
    let line = format!("skypipe: {}\n", printable(sentence));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Says `sentence` to a terminal, and nothing to a log.
pub fn hint(sentence: &str) {
    if io::stderr().is_terminal() {
        notice(sentence);
    }
}

/// The system's own words for `error`, without the number behind them.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Bytes, in the largest unit of which there is one; with one digit behind the point, unless it is 0.
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

/// Sentences quote what other people's programs call themselves; that must not move the cursor.
#[must_use]
pub fn printable(sentence: &str) -> String {
    sentence
        .chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
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
    fn control_characters_are_not_passed_on() {
        assert_eq!(printable("by \u{1b}[2Jroot"), "by \u{fffd}[2Jroot");
    }
}
