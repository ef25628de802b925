//! `skypipe NAME`: sends stdin or a command's output into a pipe, or a pipe's bytes to stdout.

use skypipe_protocol::Mode;

use crate::cli::{Pipe, Way};
use crate::config;
use crate::conversation::converse;
use crate::direction::{self, Direction};
use crate::exit::Failure;
use crate::link::Event;
use crate::link::program::Program;
use crate::output;
use crate::report;
use crate::session::{Compression, Job};

/// Moves the bytes, and returns the exit code.
///
/// # Errors
///
/// When the command, the environment or the output is of no use.
pub fn transfer(pipe: Pipe) -> Result<u8, Failure> {
    let program = Program::find(&pipe.command)?;
    let place = config::place()?;
    let job = job(pipe.name, pipe.way, program.is_some());
    if matches!(job, Job::Listen { .. }) {
        // Bytes leave a pipe only for a real output (rule 10).
        output::check()?;
    }
    let tell = &mut |told| match told {
        Event::Notice(sentence) => report::notice(&sentence),
        Event::Hint(sentence) => report::hint(&sentence),
        Event::Answer(_) | Event::Latency(_) => {}
    };
    converse(job, &place, true, pipe.timeouts, program, tell)
}

fn job(pipe: String, way: Way, is_commands: bool) -> Job {
    let asked = match way {
        Way::Unsaid => is_commands.then_some(Direction::Write),
        Way::Read(_) => Some(Direction::Read),
        Way::Write { .. } => Some(Direction::Write),
    };
    match (direction::decide(asked, direction::look_at_stdin()), way) {
        (Direction::Read, Way::Read(mode)) => Job::Listen { pipe, mode },
        (Direction::Read, _) => Job::Listen {
            pipe,
            mode: Mode::Default,
        },
        (Direction::Write, way) => {
            let (said, wait, whole, compress) = match way {
                Way::Write {
                    said,
                    wait,
                    whole,
                    compress,
                } => (said, wait, whole, compress),
                Way::Unsaid | Way::Read(_) => (false, false, false, Compression::Auto),
            };
            Job::Write {
                pipe,
                wait,
                whole,
                compress,
                inferred: !said && !is_commands,
                label: config::label(),
            }
        }
    }
}
