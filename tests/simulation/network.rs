//! Connections like TCP's: messages in one direction arrive in order, late, or not at all.

use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{FREE_FRAME, Peer};
use skypipe_broker::protocol::cost;

use super::rng::Rng;

/// One connection of a client with the satellite.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Conn {
    /// What the satellite knows it by.
    pub peer: Peer,
    /// Whose.
    pub client: usize,
    /// Whether the network was there when it was begun.
    pub made: bool,
    /// Whether it carries anything to the client.
    pub down: bool,
    /// Whether it carries anything to the satellite.
    pub up: bool,
    /// Whether the satellite was told of its end.
    pub told: bool,
    /// What it may carry to the satellite in large frames.
    pub frame_credit: i64,
    /// Whether the next message to the client finds its queue full.
    pub congested: bool,
    /// When the last message to the satellite arrives there.
    last_up: Duration,
    /// When the last message to the client arrives there.
    last_down: Duration,
}

/// How long messages take.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// At least, in microseconds.
    pub low: u64,
    /// At most, as a rule, in microseconds.
    pub high: u64,
    /// How many in a hundred take up to a second more.
    pub late: u64,
}

impl Weather {
    /// How long the next message takes.
    pub fn delay(&self, rng: &mut Rng) -> Duration {
        let late = if rng.chance(self.late) {
            rng.between(0, 1_000_000)
        } else {
            0
        };
        rng.micros(self.low, self.high) + Duration::from_micros(late)
    }
}

impl Conn {
    /// A connection that has just been made.
    pub fn new(client: usize, rng: &mut Rng) -> Self {
        let name = Bytes::copy_from_slice(&rng.next().to_be_bytes()[..5]);
        Self {
            peer: Peer(name),
            client,
            made: true,
            down: true,
            up: true,
            told: false,
            frame_credit: 0,
            congested: false,
            last_up: Duration::ZERO,
            last_down: Duration::ZERO,
        }
    }

    /// When something sent to the satellite arrives that would arrive `at` if nothing was before it.
    pub fn arrives_up(&mut self, at: Duration) -> Duration {
        self.last_up = self.last_up.max(at);
        self.last_up
    }

    /// When something sent to the client arrives that would arrive `at` if nothing was before it.
    pub fn arrives_down(&mut self, at: Duration) -> Duration {
        self.last_down = self.last_down.max(at);
        self.last_down
    }

    /// A message that arrives at the satellite. Large frames are empty if there is no credit for them; whether
    /// some are.
    pub fn takes_in(&mut self, frames: Vec<Bytes>) -> (Vec<Bytes>, bool) {
        let mut is_short = false;
        let taken = frames.into_iter().map(|frame| {
            let price = i64::try_from(cost(frame.len())).unwrap_or(i64::MAX);
            if frame.len() <= FREE_FRAME {
                frame
            } else if self.frame_credit >= price {
                self.frame_credit -= price;
                frame
            } else {
                is_short = true;
                Bytes::new()
            }
        });
        (taken.collect(), is_short)
    }

    /// It is broken, with all that is under way on it.
    pub fn breaks(&mut self) {
        self.up = false;
        self.down = false;
    }
}
