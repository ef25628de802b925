//! The client and the command line: named pipes over a broker, the satellite.
//!
//! This crate turns a command line into an exit code. The satellite (crate `skypipe-broker`) decides what a
//! pipe does; the two share `skypipe-protocol` and `skypipe-transport`. On this side, [`session`] is the
//! protocol's state machine, [`crypto`] has the secrets, and [`link`] moves the bytes around them.

pub mod access;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod descriptors;
pub mod direction;
pub mod exit;
pub mod link;
pub mod local;
pub mod names;
pub mod output;
pub mod private_file;
pub mod provision;
pub mod queries;
pub mod report;
pub mod session;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use skypipe_protocol::Mode;
use skypipe_protocol::token::Token;
use skypipe_satellite::{Listen, Refusal, Settings, core_dumps, randomness};

use crate::cli::{Command, Pipe, Stop, Way};
use crate::config::{PROGRAM, Place};
use crate::crypto::Identity;
use crate::direction::Direction;
use crate::exit::{DONE, Failure, UNREACHABLE};
use crate::link::Event;
use crate::link::program::Program;
use crate::link::route::{Keys, Route, Tcp};
use crate::local::Local;
use crate::provision::finding::Finding;
use crate::provision::record::{self, Deployed};
use crate::session::{Compression, Config, Job, Timeouts};

/// Runs the program from its command line to its exit code.
#[must_use]
pub fn run() -> ExitCode {
    // Must come before any look-up, and before there is a second thread.
    names::pin();
    // Must come before there is a secret in memory.
    core_dumps::prevent();
    let code = match cli::parse(env::args_os()) {
        Ok(command) => randomness::look()
            .map_err(Failure::failed)
            .and_then(|()| carry_out(command)),
        Err(Stop::Show(text)) => output::show(&text),
        Err(Stop::Usage(sentence)) => Err(Failure::usage(sentence)),
    };
    ExitCode::from(code.unwrap_or_else(|failure| {
        report::notice(&failure.sentence);
        failure.code
    }))
}

fn carry_out(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Pipe(pipe) => transfer(pipe),
        Command::Ask(question, timeouts, data) => {
            queries::ask(&question, timeouts, data.as_deref())
        }
        Command::Check(timeouts, data) => queries::check::check(timeouts, data.as_deref()),
        Command::Reset(reset) => queries::reset::reset(&reset),
        Command::Invite(invite) => access::invite::invite(&invite),
        Command::Join => access::join::join(),
        Command::Leave => access::join::leave(),
        Command::Keys(data) => access::list(data.as_deref()),
        Command::IsEnrolled(public_keys, data) => {
            access::enroll::is_in(public_keys, data.as_deref())
        }
        Command::Revoke(revoke) => access::revoke::revoke(&revoke),
        Command::Phrase(true) => access::phrase::renew(),
        Command::Phrase(false) => access::phrase::remove(),
        Command::Setup(setup) => provision::setup::setup(&setup),
        Command::Satellite(listen, settings) => satellite(&listen, &settings),
        Command::LocalSatellite(settings) => local::serve(&settings),
    }
}

/// Sends stdin or a command's output into a pipe, or a pipe's bytes to stdout.
fn transfer(pipe: Pipe) -> Result<u8, Failure> {
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

/// Runs one session with the satellite at `place` and returns its exit code. With `start`, this machine's
/// own satellite is started first unless it runs already.
fn converse(
    job: Job,
    place: &Place,
    start: bool,
    timeouts: Timeouts,
    program: Option<Program>,
    tell: &mut dyn FnMut(Event),
) -> Result<u8, Failure> {
    let identity = identity(place)?;
    let config = Config {
        client: randomness::uuid(),
        id: randomness::uuid(),
        job,
        timeout: timeouts.idle,
        connect_timeout: timeouts.connect,
        program: PROGRAM.to_owned(),
        endpoint: place.to_string(),
        identity,
        wall: access::wall(),
    };
    let route: Arc<dyn Route> = match place {
        Place::Remote(endpoint) => {
            Arc::new(Tcp::new(endpoint.clone(), config::proxy(endpoint)?, None))
        }
        Place::Invited(endpoint, token) => {
            let keys = Keys {
                satellite: token.satellite,
                identity: token.seed.identity(),
            };
            // An invalid proxy setting is reported before any connection attempt.
            let proxy = config::proxy(endpoint)?;
            if let Some(deployed) = deployed(token) {
                let token = (**token).clone();
                Arc::new(Finding::new(deployed, endpoint.clone(), token, keys))
            } else {
                Arc::new(Tcp::new(endpoint.clone(), proxy, Some(keys)))
            }
        }
        Place::Here(path) => Arc::new(Local {
            path: path.clone(),
            start,
        }),
    };
    link::run(config, route, program, tell).map_err(|error| Failure::failed(report::words(&error)))
}

/// What this machine knows of the deployment of the joined satellite. None if `SATELLITE` names the
/// satellite, or if it runs on this machine. An unreadable record counts as none, because pipes work
/// without it.
fn deployed(token: &Token) -> Option<Deployed> {
    match config::joined_satellite() {
        Ok(Some(Place::Invited(_, joined))) if joined.seed == token.seed => {
            record::deployed().ok().flatten()
        }
        _ => None,
    }
}

/// This client's identity at `place`. None at a satellite without keys.
fn identity(place: &Place) -> Result<Option<Identity>, Failure> {
    let Place::Invited(_, token) = place else {
        return Ok(None);
    };
    if token.expires.is_some_and(|end| end <= access::wall()) {
        return Err(Failure {
            code: UNREACHABLE,
            sentence: format!(
                "your invitation to the satellite at {place} has expired: ask for a new one"
            ),
        });
    }
    Ok(Some(Identity::new(token, access::random)))
}

/// Runs a satellite in the foreground until a signal ends it.
fn satellite(listen: &Listen, settings: &Settings) -> Result<u8, Failure> {
    match skypipe_satellite::run(listen, settings, None, skypipe_satellite::announce) {
        Ok(()) => Ok(DONE),
        Err(error) if error.is::<Refusal>() => Err(Failure::usage(error.to_string())),
        Err(error) => Err(Failure::failed(format!("{error:#}"))),
    }
}
