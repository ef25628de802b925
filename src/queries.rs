//! Questions to a satellite, and their answers as text.
//!
//! This module owns `--list`, `--discard` and `--eof`; [`check`] and [`reset`] are its children. Requested
//! data goes to stdout, messages about it to stderr. `--eof` starts a satellite, because it may come before its
//! listener as any stream may. So does a question about unread data that this machine's satellite left on disk.

pub mod check;
pub mod reset;
mod table;

use std::path::Path;
use std::time::Duration;

use skypipe_protocol::text::{self, count};
use skypipe_protocol::{PipeInfo, Reply, Status};
use skypipe_satellite::has_logs;

use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::link::Event;
use crate::local::directory::Directory;
use crate::output::{self, show};
use crate::report::{hint, notice, words};
use crate::session::{Job, Question, Timeouts};

/// The result of a question.
pub(crate) struct Inquiry {
    pub code: u8,
    pub answers: Vec<Reply>,
    /// Messages of the session that were not printed yet.
    pub notices: Vec<String>,
    /// Messages for a terminal that were not printed yet.
    pub hints: Vec<String>,
    /// How long the last connection took to be made: one round trip.
    pub latency: Option<Duration>,
}

/// Sends `question` to the satellite, prints the answer, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn ask(question: &Question, timeouts: Timeouts, data: Option<&Path>) -> Result<u8, Failure> {
    if matches!(question, Question::List) {
        output::check()?;
    }
    let place = config::place_of(data)?;
    // Only this machine's own satellite is started, so nothing here concerns another one.
    let starts = matches!(place, Place::Here(_))
        && (matches!(question, Question::Eof(_)) || has_left_something()?);
    let inquiry = match &place {
        Place::Here(path) if !starts && !is_running(path)? => Inquiry::of_nobody(),
        _ => inquire(question.clone(), &place, starts, timeouts)?,
    };
    inquiry.tell();
    if inquiry.code != DONE {
        return Ok(inquiry.code);
    }
    match question {
        Question::List => show(&table::table(inquiry.pipes())),
        Question::Discard(name) => {
            notice(&inquiry.dropped(name));
            Ok(DONE)
        }
        _ => Ok(DONE),
    }
}

/// Sends one question to the satellite at `place`. With `start`, that satellite is started first.
pub(crate) fn inquire(
    question: Question,
    place: &Place,
    start: bool,
    timeouts: Timeouts,
) -> Result<Inquiry, Failure> {
    let mut inquiry = Inquiry::of_nobody();
    inquiry.code = crate::converse(
        Job::Ask(question),
        place,
        start,
        timeouts,
        None,
        &mut |told| match told {
            Event::Answer(reply) => inquiry.answers.push(reply),
            Event::Notice(sentence) => inquiry.notices.push(sentence),
            Event::Hint(sentence) => inquiry.hints.push(sentence),
            Event::Latency(latency) => inquiry.latency = Some(latency),
        },
    )?;
    Ok(inquiry)
}

/// Whether this machine's satellite has left something on disk, which it knows of when it runs again.
fn has_left_something() -> Result<bool, Failure> {
    let directory = config::data()?;
    Ok(directory.is_some_and(|directory| has_logs(&directory)))
}

/// Whether this machine's satellite runs, in the directory at `path`.
fn is_running(path: &Path) -> Result<bool, Failure> {
    let Some(directory) = Directory::open(path)? else {
        return Ok(false);
    };
    directory.is_running().map_err(|error| {
        let path = path.display();
        Failure::failed(format!("the locks in {path} fail: {}", words(&error)))
    })
}

impl Inquiry {
    /// The answer for a satellite that does not run: it has nothing, which is no error.
    fn of_nobody() -> Self {
        Self {
            code: DONE,
            answers: Vec::new(),
            notices: Vec::new(),
            hints: Vec::new(),
            latency: None,
        }
    }

    fn tell(&self) {
        self.notices.iter().for_each(|sentence| notice(sentence));
        self.hints.iter().for_each(|sentence| hint(sentence));
    }

    fn pipes(&self) -> impl Iterator<Item = &PipeInfo> {
        self.answers.iter().flat_map(|answer| match answer {
            Reply::Pipes { pipes, .. } => pipes.as_slice(),
            _ => &[],
        })
    }

    pub fn status(&self) -> Option<&Status> {
        self.answers.iter().find_map(|answer| match answer {
            Reply::Status(status) => Some(status),
            _ => None,
        })
    }

    /// A sentence about what was discarded from the pipe `name`.
    fn dropped(&self, name: &str) -> String {
        let pipe = text::pipe(name);
        let dropped = self.answers.iter().find_map(|answer| match answer {
            Reply::Discarded { streams, bytes } if *streams > 0 => Some((*streams, *bytes)),
            _ => None,
        });
        match dropped {
            None => format!("nothing waited in {pipe}"),
            Some((streams, bytes)) => {
                let (streams, bytes) = (count(streams, "stream"), count(bytes, "byte"));
                format!("dropped {streams} with {bytes} from {pipe}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_told_in_words() {
        let mut inquiry = Inquiry::of_nobody();
        assert_eq!(inquiry.dropped("jobs"), "nothing waited in \"jobs\"");
        inquiry.answers.push(Reply::Discarded {
            streams: 0,
            bytes: 0,
        });
        assert_eq!(inquiry.dropped(""), "nothing waited in the default pipe");
        inquiry.answers = vec![Reply::Discarded {
            streams: 2,
            bytes: 1,
        }];
        assert_eq!(
            inquiry.dropped("jobs"),
            "dropped 2 streams with 1 byte from \"jobs\""
        );
    }
}
