//! The stored invitation: which satellite this machine has joined.
//!
//! This module writes and removes the file; [`crate::config`] reads it. It never talks to a satellite.

use skypipe_protocol::token::Token;

use crate::config;
use crate::exit::Failure;
use crate::private_file;
use crate::report::words;

/// Stores the invitation where every later use finds it.
pub(crate) fn keep(token: &Token) -> Result<(), Failure> {
    let path = config::joined()?;
    private_file::replace(&path, token.encode().as_bytes())
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), words(&error))))
}

/// Removes the stored invitation, so that this machine uses its own satellite again. Returns whether there
/// was one.
pub(crate) fn forget() -> Result<bool, Failure> {
    let path = config::joined()?;
    private_file::remove(&path)
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), words(&error))))
}
