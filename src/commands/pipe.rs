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
use crate::progress::Line;
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
    if let Some(option) = option_meant(&job) {
        report::hint(&option);
    }
    if matches!(job, Job::Listen { .. }) {
        // Bytes leave a pipe only for a real output (rule 10).
        output::check()?;
    }
    let mut line = Line::new(pipe.progress, matches!(job, Job::Write { .. }));
    let tell = &mut |told| match told {
        Event::Failure(sentence) => line.aside(|| report::failure(&sentence)),
        Event::Notice(sentence) => line.aside(|| report::notice(&sentence)),
        Event::Hint(sentence) => line.aside(|| report::hint(&sentence)),
        Event::Moved(moved) => line.moved(moved),
        Event::Answer(_) | Event::Latency(_) => {}
    };
    converse(job, &place, true, pipe.timeouts, program, tell)
}

/// The words that name a command of other programs. Here they are options, and pipes.
const VERBS: [&str; 14] = [
    "check", "discard", "eof", "help", "invite", "join", "keys", "leave", "list", "phrase",
    "reset", "revoke", "setup", "version",
];

/// A hint for somebody who names a pipe like an option, and may mean the option.
fn option_meant(job: &Job) -> Option<String> {
    let (pipe, what) = match job {
        Job::Write { pipe, .. } => (pipe, "this writes into"),
        Job::Listen { pipe, .. } => (pipe, "this reads"),
        Job::Ask(_) => return None,
    };
    VERBS
        .contains(&pipe.as_str())
        .then(|| format!("{what} the pipe \"{pipe}\"; for the option: skypipe --{pipe}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_may_mean_an_option_is_told_of_it() {
        let reads = |pipe: &str| Job::Listen {
            pipe: pipe.to_owned(),
            mode: Mode::Default,
        };
        let hint = option_meant(&reads("list")).expect("it looks like an option");
        assert_eq!(
            hint,
            "this reads the pipe \"list\"; for the option: skypipe --list"
        );
        assert_eq!(option_meant(&reads("lists")), None);
        let mut flags = crate::cli::command();
        flags.build();
        for verb in VERBS {
            let is_option = flags
                .get_arguments()
                .any(|flag| flag.get_long() == Some(verb));
            assert!(is_option, "--{verb}");
        }
    }
}
