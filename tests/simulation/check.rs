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
use skypipe_broker::protocol::Mode;
use uuid::Uuid;

use super::client::Client;
use super::coverage::Coverage;
use super::facts::{Facts, Listener, Stream};
use super::model::Pipe;
use super::model::choices::every;
use super::model::parts::Event;

/// What a check found.
pub type Verdict = Result<(), String>;

/// How many ways a history may be understood at once; more are a fault of the model.
const MOST_WAYS: usize = 512;

/// The watch over one satellite, through its restarts.
#[derive(Debug)]
pub struct Checker {
    /// What the present run took in and said.
    pub facts: Facts,
    /// The same of earlier runs.
    pub past: Vec<Facts>,
    /// Each pipe, in every way that what was seen can be understood.
    pub pipes: BTreeMap<String, Vec<Pipe>>,
    /// What the histories came through.
    pub coverage: Coverage,
    /// After how long a silent writer is lost.
    pub writer_lost: Duration,
    /// After how long a silent listener is lost.
    pub listener_lost: Duration,
    /// The budget for payloads, in bytes.
    pub memory: u64,
    /// Whether a connection that is closed says that its program has ended.
    is_local: bool,
    /// What listeners had printed when they began, anew at a satellite that had nothing of them.
    begun: BTreeMap<Uuid, Vec<u8>>,
}

impl Checker {
    /// A watch over a satellite that has just started.
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

    /// The satellite restarted with nothing kept.
    pub fn restarted(&mut self) {
        self.past.push(std::mem::take(&mut self.facts));
        self.facts.is_local = self.is_local;
        self.pipes.clear();
    }

    /// The runs of the satellite, the present one first.
    fn runs(&self) -> impl Iterator<Item = &Facts> {
        std::iter::once(&self.facts).chain(self.past.iter().rev())
    }

    /// What the satellite knows, or an earlier run knew, of a listener.
    pub fn listener(&self, id: Uuid) -> Option<&Listener> {
        self.runs().find_map(|facts| facts.listeners.get(&id))
    }

    /// What the satellite knows, or an earlier run knew, of a stream.
    pub fn stream(&self, id: Uuid) -> Option<&Stream> {
        self.runs().find_map(|facts| facts.streams.get(&id))
    }

    /// Something happened to a pipe.
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

    /// Keeps the ways to understand a pipe that `check` agrees with; one must be left.
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

    /// Counts what a mode of listener met.
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
