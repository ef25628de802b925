//! `--list`: shows the pipes in use.

mod table;

use std::path::Path;

use crate::conversation::ask_about_pipes;
use crate::exit::{DONE, Failure};
use crate::output::{self, show};
use crate::session::{Question, Timeouts};

/// Prints a table of the pipes, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn list(timeouts: Timeouts, data: Option<&Path>) -> Result<u8, Failure> {
    output::check()?;
    let inquiry = ask_about_pipes(Question::List, timeouts, data)?;
    if inquiry.code != DONE {
        return Ok(inquiry.code);
    }
    show(&table::table(inquiry.pipes()))
}
