//! `--discard`: drops the unread data of a pipe.

use std::path::Path;

use skypipe_protocol::Reply;
use skypipe_protocol::text::{self, count};

use crate::conversation::ask_about_pipes;
use crate::exit::{DONE, Failure};
use crate::report::notice;
use crate::session::{Question, Timeouts};

/// Drops the unread data of the pipe `name`, says how much that was, and returns the exit code.
///
/// # Errors
///
/// When the environment is invalid, or the system refuses something.
pub fn discard(name: &str, timeouts: Timeouts, data: Option<&Path>) -> Result<u8, Failure> {
    let inquiry = ask_about_pipes(Question::Discard(name.to_owned()), timeouts, data)?;
    if inquiry.code == DONE {
        notice(&dropped(name, &inquiry.answers));
    }
    Ok(inquiry.code)
}

/// A sentence about what was discarded from the pipe `name`.
fn dropped(name: &str, answers: &[Reply]) -> String {
    let pipe = text::pipe(name);
    let dropped = answers.iter().find_map(|answer| match answer {
        Reply::Discarded { streams, bytes } if *streams > 0 => Some((*streams, *bytes)),
        _ => None,
    });
    match dropped {
        None => format!("{pipe} has no unread data"),
        Some((streams, bytes)) => {
            let (streams, bytes) = (count(streams, "stream"), count(bytes, "byte"));
            format!("deleted {streams} ({bytes}) from {pipe}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_told_in_words() {
        assert_eq!(dropped("jobs", &[]), "\"jobs\" has no unread data");
        let answers = [Reply::Discarded {
            streams: 0,
            bytes: 0,
        }];
        assert_eq!(dropped("", &answers), "the default pipe has no unread data");
        let answers = [Reply::Discarded {
            streams: 2,
            bytes: 1,
        }];
        assert_eq!(
            dropped("jobs", &answers),
            "deleted 2 streams (1 byte) from \"jobs\""
        );
    }
}
