//! `--satellite`: runs a satellite for others to reach.

use skypipe_satellite::{Listen, Refusal, Settings};

use crate::exit::{DONE, Failure};

/// Runs a satellite in the foreground until a signal ends it.
///
/// # Errors
///
/// When its settings are refused, or it cannot go on.
pub fn satellite(listen: &Listen, settings: &Settings) -> Result<u8, Failure> {
    match skypipe_satellite::run(listen, settings, None, skypipe_satellite::announce) {
        Ok(()) => Ok(DONE),
        Err(error) if error.is::<Refusal>() => Err(Failure::usage(error.to_string())),
        Err(error) => Err(Failure::failed(format!("{error:#}"))),
    }
}
