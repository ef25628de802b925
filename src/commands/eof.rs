//! `--eof`: ends the readers of a pipe.

use std::path::Path;

use crate::conversation::ask_about_pipes;
use crate::exit::Failure;
use crate::session::{Question, Timeouts};

/// Ends the readers of the pipe `name` after what was written before, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn eof(name: String, timeouts: Timeouts, data: Option<&Path>) -> Result<u8, Failure> {
    Ok(ask_about_pipes(Question::Eof(name), timeouts, data)?.code)
}
