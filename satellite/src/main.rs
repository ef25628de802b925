//! `skypipe-satellite [ADDRESS:]PORT`: a satellite in the foreground.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use skypipe_protocol::text::printable;
use skypipe_satellite::{Listen, Refusal, Settings, announce, run};

/// The satellite of skypipe: where pipes are kept between those who write and those who read
#[derive(Debug, Parser)]
#[command(name = "skypipe-satellite", version)]
struct Flags {
    /// Where to listen; the address is 127.0.0.1 unless you say otherwise, and port 0 takes any
    #[arg(value_name = "[ADDRESS:]PORT")]
    first: Listen,
    #[command(flatten)]
    settings: Settings,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags.first, &flags.settings, None, announce) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr must not change the exit code.
            let _ = writeln!(
                io::stderr(),
                "skypipe-satellite: {}",
                printable(&format!("{error:#}"))
            );
            ExitCode::from(if error.is::<Refusal>() { 2 } else { 1 })
        }
    }
}
