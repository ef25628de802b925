//! Connections like TCP's: messages in one direction arrive in order, late, or not at all.

use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{FREE_FRAME, Peer};
use skypipe_protocol::cost;

use super::rng::Rng;

/// One connection between a client and the satellite.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Conn {
    /// The satellite's identifier for it.
    pub peer: Peer,
    /// The index of the client.
    pub client: usize,
    /// Whether the network worked when the connection was begun.
    pub made: bool,
    /// Whether it carries messages to the client.
    pub down: bool,
    /// Whether it carries messages to the satellite.
    pub up: bool,
    /// Whether the satellite was told of its end.
    pub told: bool,
    /// The credit for large frames to the satellite.
    pub frame_credit: i64,
    /// Whether the next message to the client finds its queue full.
    pub congested: bool,
    /// When the last message to the satellite arrives.
    last_up: Duration,
    /// When the last message to the client arrives.
    last_down: Duration,
}

/// The distribution of message delays.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// The shortest delay, in microseconds.
    pub low: u64,
    /// The usual longest delay, in microseconds.
    pub high: u64,
    /// The percentage of messages that take up to a second longer.
    pub late: u64,
}

impl Weather {
    /// The delay of the next message.
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
    /// A connection that was just made.
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

    /// The arrival time of a message to the satellite that would arrive at `at` with nothing before it.
    pub fn arrives_up(&mut self, at: Duration) -> Duration {
        self.last_up = self.last_up.max(at);
        self.last_up
    }

    /// The arrival time of a message to the client that would arrive at `at` with nothing before it.
    pub fn arrives_down(&mut self, at: Duration) -> Duration {
        self.last_down = self.last_down.max(at);
        self.last_down
    }

    /// Delivers a message to the satellite. Large frames are emptied if there is no credit for them; also
    /// returns whether some were.
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

    /// Breaks the connection, and drops everything in flight on it.
    pub fn breaks(&mut self) {
        self.up = false;
        self.down = false;
    }
}
