//! Stdout, for what was asked for: help, lists, reports, invitations.
//!
//! Owns what it means that stdout does not take it. A pipe's bytes go another way
//! ([`crate::link`]).

use skypipe_broker::text::printable;
use skypipe_satellite::standard::{self, NotPrinted};
use zeroize::Zeroizing;

use crate::exit::{DONE, Failure};
use crate::tell::words;

/// Looks whether stdout can be written, before something is done whose result would be lost.
///
/// # Errors
///
/// When it was closed at the start, or is open for reading alone.
pub fn check() -> Result<(), Failure> {
    standard::check_stdout().map_err(|fault| failure(&fault))
}

/// Prints what can be asked for again, and returns the exit code. A reader that has seen enough is no
/// failure.
///
/// # Errors
///
/// When stdout does not take it for any other reason.
pub fn show(text: &str) -> Result<u8, Failure> {
    match standard::print(harmless(text).as_bytes()) {
        Ok(()) | Err(NotPrinted::Unread) => Ok(DONE),
        Err(fault) => Err(failure(&fault)),
    }
}

/// Prints what is not shown again.
///
/// # Errors
///
/// When stdout does not take it, or nobody reads it.
pub fn hand_over(text: &str) -> Result<(), Failure> {
    standard::print(harmless(text).as_bytes()).map_err(|fault| failure(&fault))
}

/// A cell with blanks behind it. (A formatter's width has a limit, and what a satellite says has not.)
#[must_use]
pub fn padded(cell: &str, width: usize) -> String {
    let blanks = width.saturating_sub(cell.chars().count());
    format!("{cell}{}", " ".repeat(blanks))
}

/// Whole lines, in which what could harm a terminal is escaped.
fn harmless(text: &str) -> Zeroizing<String> {
    let lines = text.lines().map(|line| printable(line) + "\n");
    Zeroizing::new(lines.collect::<String>())
}

fn failure(fault: &NotPrinted) -> Failure {
    Failure::failed(match fault {
        NotPrinted::Failed(error) => format!("stdout cannot be written: {}", words(error)),
        other => other.to_string(),
    })
}
