//! Shrinks a failing history to the shortest part after which the satellite still makes the same mistake.
//!
//! A satellite is a state machine, and the checker only observes it. So its inputs can be replayed to a
//! fresh satellite, with more and more of them left out (`SKYPIPE_SHRINK=1`). A mistake that only a session
//! makes is not found in this way.

use std::time::Duration;

use skypipe_broker::broker::{Broker, Input, Output, Settings};
use skypipe_broker::store::Memory;

use super::check::{Checker, Verdict};

/// The satellite's inputs, with their times.
pub type History = Vec<(Duration, Input)>;

/// Removes from a history what the failure `why` does not need.
pub fn shrink(settings: &Settings, mut history: History, why: &str) -> Option<History> {
    let same =
        |history: &History| replay(settings, history).is_err_and(|other| kind(&other) == kind(why));
    if !same(&history) {
        return None;
    }
    let mut step = history.len();
    while step > 0 {
        let mut at = 0;
        while at < history.len() {
            let end = (at + step).min(history.len());
            let mut shorter = history.clone();
            shorter.drain(at..end);
            if same(&shorter) {
                history = shorter;
            } else {
                at = end;
            }
        }
        step /= 2;
    }
    Some(history)
}

/// Replays a history to a fresh satellite under the checker.
fn replay(settings: &Settings, history: &History) -> Verdict {
    let mut check = Checker::new(settings);
    let mut broker = Broker::new(settings.clone(), Memory::default());
    for (at, input) in history {
        check.input(*at, input)?;
        broker.handle(*at, input.clone());
        while let Some(output) = broker.poll() {
            if let Output::Send { peer, frames, .. } = output {
                check.reply(&peer, &frames)?;
            }
        }
        check.step_done(broker.used())?;
    }
    check.still()
}

/// The kind of a failure: its sentence without numbers and names.
fn kind(why: &str) -> String {
    let words = why
        .split([' ', ':', ','])
        .filter(|word| !word.contains(|it: char| it.is_ascii_digit()));
    words.take(12).collect::<Vec<_>>().join(" ")
}
