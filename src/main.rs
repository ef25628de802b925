//! The binary `skypipe`. All of its code is in the library, behind [`skypipe::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    skypipe::run()
}
