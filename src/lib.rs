//! The client and the command line: named pipes over a broker, the satellite.
//!
//! This crate turns a command line into an exit code. The satellite (crate `skypipe-broker`) decides what a
//! pipe does; the two share `skypipe-protocol` and `skypipe-transport`. On this side, [`session`] is the
//! protocol's state machine, [`crypto`] has the secrets, and [`link`] moves the bytes around them.

pub mod access;
pub mod cli;
pub mod commands;
pub mod config;
mod conversation;
pub mod crypto;
pub mod descriptors;
pub mod direction;
pub mod exit;
mod joined;
pub mod link;
pub mod local;
pub mod names;
pub mod output;
pub mod private_file;
pub mod progress;
mod prompt;
pub mod provision;
pub mod report;
pub mod session;
pub mod system;

use std::env;
use std::process::ExitCode;

use skypipe_satellite::{core_dumps, randomness};

use crate::cli::Stop;
use crate::exit::Failure;

/// Runs the program from its command line to its exit code.
#[must_use]
pub fn run() -> ExitCode {
    // Must come before any look-up, and before there is a second thread.
    names::pin();
    // Must come before there is a secret in memory.
    core_dumps::prevent();
    let code = match cli::parse(env::args_os()) {
        Ok((command, level)) => {
            report::set_level(level);
            randomness::look()
                .map_err(Failure::failed)
                .and_then(|()| commands::carry_out(command))
        }
        Err(Stop::Show(text)) => output::show(&text),
        Err(Stop::Usage(sentence)) => Err(Failure::usage(sentence)),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        report::failure(&failure.sentence);
        failure.code
    }))
}
