//! What a session may print, and which exit code it may have.

use std::time::Duration;

use skypipe::session::{Question, Signal};
use skypipe_protocol::How;

use super::{Checker, Verdict};
use crate::simulation::client::{Client, Role};
use crate::simulation::facts::{Presence, Stream};

/// The exit code for a signal: 128 plus its number.
pub fn signal_code(signal: Signal) -> u8 {
    match signal {
        Signal::Hangup => 129,
        Signal::Interrupt => 130,
        Signal::Terminate => 143,
    }
}

impl Checker {
    /// A session hands bytes to stdout: the whole output so far must match its items.
    pub fn prints(&self, client: &Client, fresh: usize) -> Verdict {
        let Some(listener) = self.listener(client.id) else {
            return Err("something printed by what is no listener".to_owned());
        };
        let printed = &client.queued;
        let from = printed.len() - fresh;
        if listener.rendered.get(from..printed.len()) == Some(&printed[from..]) {
            Ok(())
        } else {
            Err(format!(
                "{fresh} bytes printed at {from} that are not what it was sent"
            ))
        }
    }

    /// A listener confirms: the confirmed bytes were written, and the write has returned.
    pub fn confirms(&self, client: &Client, items: u64) -> Verdict {
        let Some(listener) = self.listener(client.id) else {
            return Err("a confirmation by what is no listener".to_owned());
        };
        let place = usize::try_from(items).expect("items are few");
        let end = match place {
            0 => Some(listener.base),
            _ => listener.ends.get(place - 1).copied(),
        };
        match end {
            Some(end) if end <= client.printed => Ok(()),
            _ => Err(format!(
                "{items} items confirmed ({end:?}) with {} printed",
                client.printed
            )),
        }
    }

    /// A session has ended.
    pub fn exit(&mut self, client: &Client, code: u8, now: Duration) -> Verdict {
        let expected = if client
            .signal
            .is_some_and(|signal| signal_code(signal) == code)
        {
            self.coverage.hit("exit by signal");
            Ok(())
        } else if code == 4 && Self::hardly_reached(client, now) {
            self.coverage.hit("exit 4");
            Ok(())
        } else if code == 124 && client.timeout.is_some_and(|span| client.still >= span) {
            self.coverage.hit("exit 124");
            Ok(())
        } else {
            match &client.role {
                Role::Write { .. } => self.writer_exit(client, code),
                Role::Listen { .. } => self.listener_exit(client, code),
                Role::Ask(question) => ask_exit(client, question, code),
            }
        };
        expected.map_err(|why| format!("exit {code}: {why}"))
    }

    /// Whether no satellite has answered, or only after the session had given that attempt up.
    fn hardly_reached(client: &Client, now: Duration) -> bool {
        !client.welcomed_in_time
            || client
                .welcomed
                .is_none_or(|at| now < at + Duration::from_secs(1))
    }

    fn writer_exit(&mut self, client: &Client, code: u8) -> Verdict {
        let Role::Write { wait, inferred, .. } = client.role else {
            unreachable!("a writer")
        };
        if inferred && client.end_given && client.given.is_empty() {
            return match self.stream(client.id) {
                None if code == 2 => {
                    self.coverage.hit("exit 2");
                    Ok(())
                }
                _ => Err("an inferred writer without a byte".to_owned()),
            };
        }
        let lost =
            self.past.len() > client.runs || self.stream(client.id).is_some_and(|it| it.lost);
        let Some(stream) = self.runs().find_map(|facts| facts.streams.get(&client.id)) else {
            return if code == 3 && lost {
                Ok(())
            } else {
                Err("nothing was opened".to_owned())
            };
        };
        let forgotten = stream.forgettable && stream.outcome.is_none_or(|_| client.broken);
        let discarded = self.told_discarded(client);
        match code {
            3 if client.notices == 0 => Err("not a word why".to_owned()),
            3 if lost || forgotten || discarded => {
                self.coverage.hit(if discarded {
                    "writer exit 3: discarded"
                } else {
                    "writer exit 3"
                });
                Ok(())
            }
            0 if discarded && wait => Err("but it was discarded".to_owned()),
            0 => self.kept_whole(client, wait),
            _ => Err(format!("of a writer, lost: {lost}, discarded: {discarded}")),
        }
    }

    fn told_discarded(&self, client: &Client) -> bool {
        let discarded = skypipe_protocol::Outcome::Discarded;
        self.stream(client.id)
            .is_some_and(|stream| stream.outcome == Some(discarded))
    }

    /// The received bytes of a stream match its stdin, from the first byte on.
    pub fn written(&self, client: &Client) -> Verdict {
        let wrong = |stream: &&Stream| !client.given.starts_with(&stream.text());
        match self
            .runs()
            .filter_map(|facts| facts.streams.get(&client.id))
            .find(wrong)
        {
            Some(_) => Err(format!("{} holds what stdin did not give", client.id)),
            None => Ok(()),
        }
    }

    /// Rule 11: exit 0 is a promise.
    fn kept_whole(&self, client: &Client, wait: bool) -> Verdict {
        let kept = self.runs().any(|facts| {
            facts.streams.get(&client.id).is_some_and(|stream| {
                let bytes = stream.text() == client.given;
                let taken = stream.chunks.iter().all(|chunk| chunk.confirmed);
                let ended = stream.finish == Some(How::End) && stream.outcome.is_some();
                bytes && ended && (taken || !wait)
            })
        });
        match (client.end_given, kept) {
            (true, true) => Ok(()),
            (ended, kept) => Err(format!("stdin ended: {ended}, kept: {kept}")),
        }
    }

    fn listener_exit(&mut self, client: &Client, code: u8) -> Verdict {
        if client.output_closed {
            self.coverage.hit("stdout closed");
            return if code == 0 {
                Ok(())
            } else {
                Err("but its stdout was closed".to_owned())
            };
        }
        let lost = self.past.len() > client.runs
            || self
                .listener(client.id)
                .is_some_and(|it| it.presence == Presence::Lost);
        if code == 3 && client.notices == 0 {
            return Err("not a word why".to_owned());
        }
        let Some(listener) = self.listener(client.id) else {
            return if code == 3 && lost {
                Ok(())
            } else {
                Err("nothing was listened to".to_owned())
            };
        };
        let whole = listener.is_done() && client.printed == listener.rendered.len();
        let (incomplete, missed) = (listener.is_incomplete(), listener.missed());
        if missed > 0 && whole && client.notices == 0 {
            return Err(format!("not a word of {missed} bytes missed"));
        }
        match code {
            3 if whole && incomplete => {
                self.coverage.hit("listener exit 3: cut or remainder");
                Ok(())
            }
            3 if lost && (!whole || client.broken) => {
                self.coverage.hit("listener exit 3: lost");
                Ok(())
            }
            0 if whole && !incomplete => {
                self.coverage.hit("listener exit 0");
                Ok(())
            }
            _ => Err(format!(
                "whole: {whole}, incomplete: {incomplete}, lost: {lost}"
            )),
        }
    }
}

fn ask_exit(client: &Client, question: &Question, code: u8) -> Verdict {
    match code {
        0 if !client.answers.is_empty() => Ok(()),
        // Nobody can know whether the question was processed, and asking twice may do harm.
        1 if client.broken && client.notices > 0 => Ok(()),
        _ => Err(format!(
            "of {question:?} with {} answers",
            client.answers.len()
        )),
    }
}
