//! The command `skypipe`. Owns nothing: [`skypipe::run`] does it all.

use std::process::ExitCode;

fn main() -> ExitCode {
    skypipe::run()
}
