//! Text on stdout that the user asked for: help, lists, reports, invitations.
//!
//! This module decides what a failed write to stdout means. The bytes of pipes do not pass here
//! ([`crate::link`] writes them).

use serde_json::Value;
use skypipe_protocol::text::{self, printable};
use skypipe_satellite::standard::{self, NotPrinted};
use zeroize::Zeroizing;

use crate::exit::{DONE, Failure};
use crate::report::words;

/// Checks that stdout can be written, before an action whose result would be lost otherwise.
///
/// # Errors
///
/// When stdout was closed at the start, or is open for reading only.
pub fn check() -> Result<(), Failure> {
    standard::check_stdout().map_err(|fault| failure(&fault))
}

/// Prints text that can be asked for again, and returns the exit code. A reader that closes the pipe early
/// is no failure.
///
/// # Errors
///
/// When writing fails for any other reason.
pub fn show(text: &str) -> Result<u8, Failure> {
    match standard::print(harmless(text).as_bytes()) {
        Ok(()) | Err(NotPrinted::Unread) => Ok(DONE),
        Err(fault) => Err(failure(&fault)),
    }
}

/// How a list or a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// `--json`: one JSON document on one line. `docs/json.md` describes each.
    Json,
}

/// Prints one JSON document, and returns the exit code, like [`show`].
///
/// # Errors
///
/// Like [`show`].
pub fn show_json(document: &Value) -> Result<u8, Failure> {
    show(&(text::json(&document.to_string()).into_owned() + "\n"))
}

/// Prints text that is not shown again, such as a secret.
///
/// # Errors
///
/// When writing fails, a closed reader included.
pub fn hand_over(text: &str) -> Result<(), Failure> {
    standard::print(harmless(text).as_bytes()).map_err(|fault| failure(&fault))
}

/// Pads a cell with blanks. (A formatter's width is limited; the length of what a satellite sends is not.)
#[must_use]
pub fn padded(cell: &str, width: usize) -> String {
    let blanks = width.saturating_sub(cell.chars().count());
    format!("{cell}{}", " ".repeat(blanks))
}

/// Escapes what could harm a terminal, and keeps the line ends.
fn harmless(text: &str) -> Zeroizing<String> {
    let lines = text.lines().map(|line| printable(line) + "\n");
    Zeroizing::new(lines.collect::<String>())
}

fn failure(fault: &NotPrinted) -> Failure {
    Failure::failed(match fault {
        NotPrinted::Failed(error) => format!("cannot write to stdout: {}", words(error)),
        other => other.to_string(),
    })
}
