//! One conversation with a satellite: a transfer, or a question and its answers.
//!
//! This module decides how a satellite is reached ([`converse`]), and collects answers ([`inquire`]). It never
//! prints an answer; the commands do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skypipe_protocol::token::Token;
use skypipe_protocol::{PipeInfo, Reply, Status};
use skypipe_satellite::{has_logs, randomness};

use crate::config::{self, PROGRAM, Place};
use crate::crypto::Identity;
use crate::exit::{DONE, Failure, UNREACHABLE};
use crate::link::program::Program;
use crate::link::route::{Keys, Route, Tcp};
use crate::link::{self, Event};
use crate::local::Local;
use crate::local::directory::Directory;
use crate::provision::finding::Finding;
use crate::provision::record::{self, Deployed};
use crate::report::{failure, hint, notice, words};
use crate::session::{Config, Job, Question, Timeouts};
use crate::system;

/// The result of a question.
pub(crate) struct Inquiry {
    pub code: u8,
    pub answers: Vec<Reply>,
    /// Why the session failed, which was not printed yet.
    pub failures: Vec<String>,
    /// Messages of the session that were not printed yet.
    pub notices: Vec<String>,
    /// Messages for a terminal that were not printed yet.
    pub hints: Vec<String>,
    /// How long the last connection took to be made: one round trip.
    pub latency: Option<Duration>,
}

/// Asks one of `--list`, `--discard` and `--eof`. Messages are told; the answer is the caller's. This machine's
/// own satellite is started for `--eof`, which may come before its listener as any stream may, and for a
/// question about unread data that it left on disk. If it is not started, nothing is there, which is no error.
pub(crate) fn ask_about_pipes(
    question: Question,
    timeouts: Timeouts,
    data: Option<&Path>,
) -> Result<Inquiry, Failure> {
    let place = config::place_of(data)?;
    // Only this machine's own satellite is started, so nothing here concerns another one.
    let starts = matches!(place, Place::Here(_))
        && (matches!(question, Question::Eof(_)) || has_left_something()?);
    let inquiry = match &place {
        Place::Here(path) if !starts && !is_running(path)? => Inquiry::of_nobody(),
        _ => inquire(question, &place, starts, timeouts)?,
    };
    inquiry.tell();
    Ok(inquiry)
}

/// Sends one question to the satellite at `place`. With `start`, that satellite is started first.
pub(crate) fn inquire(
    question: Question,
    place: &Place,
    start: bool,
    timeouts: Timeouts,
) -> Result<Inquiry, Failure> {
    let mut inquiry = Inquiry::of_nobody();
    inquiry.code = converse(
        Job::Ask(question),
        place,
        start,
        timeouts,
        None,
        &mut |told| match told {
            Event::Answer(reply) => inquiry.answers.push(reply),
            Event::Failure(sentence) => inquiry.failures.push(sentence),
            Event::Notice(sentence) => inquiry.notices.push(sentence),
            Event::Hint(sentence) => inquiry.hints.push(sentence),
            Event::Latency(latency) => inquiry.latency = Some(latency),
            Event::Moved(_) => {}
        },
    )?;
    Ok(inquiry)
}

/// Runs one session with the satellite at `place` and returns its exit code. With `start`, this machine's
/// own satellite is started first unless it runs already.
pub(crate) fn converse(
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
        unix_time: system::unix_time(),
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
    link::run(config, route, program, tell).map_err(|error| Failure::failed(words(&error)))
}

/// What this machine knows of the deployment of the joined satellite. None if `SATELLITE` names the
/// satellite, or if it runs on this machine. An unreadable record counts as none, because pipes work
/// without it.
pub(crate) fn deployed(token: &Token) -> Option<Deployed> {
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
    if token.expires.is_some_and(|end| end <= system::unix_time()) {
        return Err(Failure {
            code: UNREACHABLE,
            sentence: format!(
                "your invitation to the satellite at {place} has expired: ask for a new one"
            ),
        });
    }
    Ok(Some(Identity::new(token, system::random)))
}

/// Whether this machine's satellite has left something on disk, which it knows of when it runs again.
pub(crate) fn has_left_something() -> Result<bool, Failure> {
    let directory = config::data()?;
    Ok(directory.is_some_and(|directory| has_logs(&directory)))
}

/// Whether this machine's satellite runs, in the directory at `path`.
pub(crate) fn is_running(path: &Path) -> Result<bool, Failure> {
    let Some(directory) = Directory::open(path)? else {
        return Ok(false);
    };
    directory.is_running().map_err(|error| {
        let path = path.display();
        Failure::failed(format!("cannot lock files in {path}: {}", words(&error)))
    })
}

impl Inquiry {
    /// The answer for a satellite that does not run: it has nothing, which is no error.
    fn of_nobody() -> Self {
        Self {
            code: DONE,
            answers: Vec::new(),
            failures: Vec::new(),
            notices: Vec::new(),
            hints: Vec::new(),
            latency: None,
        }
    }

    /// Prints the messages.
    pub fn tell(&self) {
        self.failures.iter().for_each(|sentence| failure(sentence));
        self.notices.iter().for_each(|sentence| notice(sentence));
        self.hints.iter().for_each(|sentence| hint(sentence));
    }

    /// The pipes in the answers.
    pub fn pipes(&self) -> impl Iterator<Item = &PipeInfo> {
        self.answers.iter().flat_map(|answer| match answer {
            Reply::Pipes { pipes, .. } => pipes.as_slice(),
            _ => &[],
        })
    }

    /// The status in the answers.
    pub fn status(&self) -> Option<&Status> {
        self.answers.iter().find_map(|answer| match answer {
            Reply::Status(status) => Some(status),
            _ => None,
        })
    }
}
