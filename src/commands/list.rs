//! `--list`: shows the pipes in use.

mod table;

use std::path::Path;

use serde_json::{Value, json};
use skypipe_protocol::PipeInfo;

use crate::conversation::ask_about_pipes;
use crate::exit::{DONE, Failure};
use crate::output::{self, Form, show, show_json};
use crate::session::{Question, Timeouts};

/// Prints the pipes, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn list(timeouts: Timeouts, data: Option<&Path>, form: Form) -> Result<u8, Failure> {
    output::check()?;
    let inquiry = ask_about_pipes(Question::List, timeouts, data)?;
    if inquiry.code != DONE {
        return Ok(inquiry.code);
    }
    match form {
        Form::Table => show(&table::table(inquiry.pipes())),
        Form::Json => show_json(&json(inquiry.pipes())),
    }
}

/// The document that docs/json.md describes.
fn json<'a>(pipes: impl Iterator<Item = &'a PipeInfo>) -> Value {
    let pipe = |pipe: &PipeInfo| {
        json!({
            "name": pipe.name,
            "unread_streams": pipe.waiting,
            "unread_bytes": pipe.bytes,
            "writers": pipe.writers,
            "readers": pipe.listeners,
            "full": pipe.full,
        })
    };
    json!({ "pipes": pipes.map(pipe).collect::<Vec<_>>() })
}
