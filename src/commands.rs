//! The commands, one file each. The satellite that starts by itself is in [`crate::local`].
//!
//! A command prints what was asked for on stdout, and messages on stderr. It returns the exit code.

mod check;
mod discard;
mod eof;
mod invite;
mod join;
mod keys;
mod leave;
mod list;
mod phrase;
mod pipe;
mod reset;
mod revoke;
mod satellite;
mod setup;
mod shell;

use crate::access::enroll;
use crate::cli::Command;
use crate::exit::Failure;
use crate::local;

/// Carries out one command, and returns the exit code.
///
/// # Errors
///
/// When the command fails before or instead of a conversation. What a conversation says is told already.
pub fn carry_out(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Pipe(pipe) => pipe::transfer(pipe),
        Command::List(timeouts, data, form) => list::list(timeouts, data.as_deref(), form),
        Command::Discard(name, timeouts, data) => {
            discard::discard(&name, timeouts, data.as_deref())
        }
        Command::Eof(name, timeouts, data) => eof::eof(name, timeouts, data.as_deref()),
        Command::Check(timeouts, data, form) => check::check(timeouts, data.as_deref(), form),
        Command::Reset(reset) => reset::reset(&reset),
        Command::Invite(invite) => invite::invite(&invite),
        Command::Join => join::join(),
        Command::Leave => leave::leave(),
        Command::Keys(data, form) => keys::list(data.as_deref(), form),
        Command::IsEnrolled(public_keys, data) => enroll::is_enrolled(public_keys, data.as_deref()),
        Command::Revoke(revoke) => revoke::revoke(&revoke),
        Command::Phrase(true) => phrase::renew(),
        Command::Phrase(false) => phrase::remove(),
        Command::Setup(setup) => setup::setup(&setup),
        Command::Completions(shell) => shell::completions(shell),
        Command::Manual => shell::manual(),
        Command::PipeNames => shell::pipe_names(),
        Command::Satellite(listen, settings) => satellite::satellite(&listen, &settings),
        Command::LocalSatellite(settings) => local::serve(&settings),
    }
}
