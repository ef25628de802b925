//! The end of a history: everything is drained, every program ends, and the ledger is checked.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::players::{Player, Role};
use super::{Arena, PIPES};
use crate::common::wait::holds_within;
use crate::faults::ledger::{self, Listener, Mode, Summary, Writer};
use crate::faults::lines::content;

/// How long workers that drain a queue wait for another stream.
const PATIENT: Duration = Duration::from_millis(1500);

/// The timeout for ending everything.
const SETTLING: Duration = Duration::from_secs(60);

impl Arena {
    /// Lets every program end, and checks the ledger. Returns also how many programs there were.
    pub fn settle(&mut self) -> (Summary, usize) {
        while self.players.iter().any(Player::is_slow) {
            self.go_on();
        }
        self.drain();
        self.until("all have come to their end", |arena| {
            for place in arena.places(|it| it.is(Mode::One)) {
                arena.end(place, Signal::TERM);
            }
            for pipe in PIPES {
                if arena.running(|it| it.pipe == pipe) > 0 {
                    arena.sky.skypipe(&["--eof", pipe]).done().printed("");
                }
            }
            arena.drain();
            arena.running(|_| true) == 0 && PIPES.iter().all(|pipe| arena.sky.is_gone(pipe))
        });
        let count = self.players.len();
        let (mut writers, mut listeners) = (BTreeMap::new(), Vec::new());
        for (place, player) in self.players.drain(..).enumerate() {
            let end = player.end.expect("all have ended");
            match player.role {
                Role::Writes { length, .. } => {
                    let content = content(place, length);
                    writers.insert(place, Writer { content, end });
                }
                Role::Listens(mode) => {
                    let path = self.sky.home().join(format!("out-{place}"));
                    listeners.push(Listener {
                        mode,
                        printed: fs::read(path).expect("it was made"),
                        end,
                        started: player.started,
                        ended: player.ended,
                    });
                }
            }
        }
        let verdict = ledger::check(&writers, &listeners);
        (verdict.unwrap_or_else(|why| panic!("{why}")), count)
    }

    /// Starts listeners until all writers have ended and no data waits.
    fn drain(&mut self) {
        let mut remainders = Instant::now() + PATIENT;
        self.until("all is drained", |arena| {
            let mut is_over = arena.running(Player::is_writer) == 0;
            for pipe in PIPES {
                let waiting = arena.sky.listed(pipe).waiting;
                is_over &= waiting == 0;
                // A stream that does not fit whole, and that a killed worker had begun, is for no other
                // worker.
                let is_late = remainders < Instant::now();
                let mode = if pipe == "queue" && !is_late {
                    Mode::One
                } else {
                    Mode::Default
                };
                if waiting > 0 && arena.running(|it| it.pipe == pipe && it.is(mode)) == 0 {
                    arena.listener(pipe, mode);
                    remainders = Instant::now() + PATIENT;
                }
            }
            is_over
        });
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let is_good = holds_within(SETTLING, || {
            self.look();
            condition(self)
        });
        let (table, rest) = (self.sky.skypipe(&["--list"]).done(), self.places(|_| true));
        assert!(is_good, "in vain: {what}; {rest:?} run; {table}");
    }
}
