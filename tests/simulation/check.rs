//! The checker: compares every message into and out of one satellite with the model of each pipe.
//!
//! It also checks the stdout and the exit code of each session. Every failed check gives a sentence about
//! what was wrong.

mod exits;
mod intake;
mod lines;
mod replies;
mod stillness;

use std::collections::BTreeMap;
use std::time::Duration;

use skypipe_broker::broker::Settings;
use skypipe_protocol::Mode;
use uuid::Uuid;

use super::client::Client;
use super::coverage::Coverage;
use super::facts::{Facts, Listener, Stream};
use super::model::Pipe;
use super::model::choices::every;
use super::model::parts::Event;

/// The result of a check: an error is a sentence about what was wrong.
pub type Verdict = Result<(), String>;

/// The most interpretations of a history at once. More indicate a fault in the model. A `--one` that leaves
/// may have released any number of the chunks that it confirmed (rule 12), each an interpretation.
const MOST_WAYS: usize = 2048;

/// Checks one satellite, through its restarts.
#[derive(Debug)]
pub struct Checker {
    /// What the present run received and sent.
    pub facts: Facts,
    /// The same for earlier runs.
    pub past: Vec<Facts>,
    /// For each pipe, every state of the model that fits what was observed.
    pub pipes: BTreeMap<String, Vec<Pipe>>,
    /// The situations that came up.
    pub coverage: Coverage,
    /// The timeout for silent writers.
    pub writer_lost: Duration,
    /// The timeout for silent listeners.
    pub listener_lost: Duration,
    /// The budget for payloads, in bytes.
    pub memory: u64,
    /// Whether a closed connection shows that its program has ended.
    is_local: bool,
    /// What listeners had printed when they began, or began anew at a satellite that did not know them.
    begun: BTreeMap<Uuid, Vec<u8>>,
}

impl Checker {
    /// The checker of a satellite that has just started.
    pub fn new(settings: &Settings) -> Self {
        let facts = Facts {
            is_local: settings.is_local,
            ..Facts::default()
        };
        Self {
            facts,
            past: Vec::new(),
            pipes: BTreeMap::new(),
            coverage: Coverage::default(),
            writer_lost: settings.writer_lost,
            listener_lost: settings.listener_lost,
            memory: settings.memory,
            is_local: settings.is_local,
            begun: BTreeMap::new(),
        }
    }

    /// A listener asks to join, perhaps not for the first time.
    pub fn begins(&mut self, client: &Client) {
        self.begun.insert(client.id, client.queued.clone());
    }

    /// The satellite restarted and lost everything.
    pub fn restarted(&mut self) {
        self.past.push(std::mem::take(&mut self.facts));
        self.facts.is_local = self.is_local;
        self.pipes.clear();
    }

    /// The runs of the satellite, the present one first.
    fn runs(&self) -> impl Iterator<Item = &Facts> {
        std::iter::once(&self.facts).chain(self.past.iter().rev())
    }

    /// What the present run, or an earlier one, knew of a listener.
    pub fn listener(&self, id: Uuid) -> Option<&Listener> {
        self.runs().find_map(|facts| facts.listeners.get(&id))
    }

    /// What the present run, or an earlier one, knew of a stream.
    pub fn stream(&self, id: Uuid) -> Option<&Stream> {
        self.runs().find_map(|facts| facts.streams.get(&id))
    }

    /// Applies an event to a pipe.
    fn step(&mut self, name: &str, event: &Event) -> Verdict {
        self.facts.moved = self.facts.now;
        if !self.pipes.contains_key(name) {
            self.pipes.insert(name.to_owned(), vec![Pipe::default()]);
        }
        let ways = self
            .pipes
            .get_mut(name)
            .expect("it was made if it was not there");
        let mut outcomes = Vec::new();
        for way in &*ways {
            for outcome in every(way, |pipe, choices| pipe.apply(event, &self.facts, choices)) {
                if !outcomes.contains(&outcome) {
                    outcomes.push(outcome);
                }
            }
        }
        *ways = outcomes;
        if ways.len() > 1 {
            self.coverage.hit("a choice of the satellite's");
        }
        if ways.len() > MOST_WAYS {
            Err("too many ways to understand it".to_owned())
        } else {
            Ok(())
        }
    }

    /// Keeps the interpretations of a pipe that pass `check`. At least one must remain.
    fn keep(&mut self, name: &str, check: impl Fn(&mut Pipe, &Facts) -> Verdict) -> Verdict {
        let ways = self
            .pipes
            .get_mut(name)
            .ok_or("a pipe that nobody has used")?;
        let mut why = Ok(());
        ways.retain_mut(|pipe| {
            let verdict = check(pipe, &self.facts);
            let agrees = verdict.is_ok();
            if !agrees {
                why = verdict;
            }
            agrees
        });
        if ways.is_empty() { why } else { Ok(()) }
    }

    /// Counts the situations of a listener of this mode.
    fn hit_mode(&mut self, mode: Mode, situations: [&'static str; 4]) {
        let [default, one, follow, tap] = situations;
        self.coverage.hit(match mode {
            Mode::Default => default,
            Mode::One => one,
            Mode::Follow => follow,
            Mode::Tap => tap,
        });
    }
}
