//! When a writer compresses what it sends.
//!
//! This module owns the choice between plain and packed (compressed) bytes. The choice is based on how fast
//! bytes of either kind are acknowledged while more are waiting. Packing costs processor time at both ends,
//! so it is for slow links, slow satellites and data that shrinks. This module never packs anything itself.
//!
//! Only sealed streams are packed. They consist of records anyway, and a satellite may cut between records.

use std::str::FromStr;
use std::time::Duration;

use super::Now;

/// The value of `--compress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Never compress.
    Off,
    /// Compress where that makes the stream faster.
    #[default]
    Auto,
    /// Always compress, at this level of zstd.
    Level(i32),
}

/// The accepted levels of zstd. Higher ones need a lot of memory, and gain nothing on records.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// The default level, the fastest one.
const QUICKEST: i32 = 1;

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            level => match level.parse() {
                Ok(level) if LEVELS.contains(&level) => Ok(Self::Level(level)),
                _ => Err("it is auto, off or a level from 1 to 19".to_owned()),
            },
        }
    }
}

/// How long, and over how many acknowledgements, a rate is measured.
const WINDOW: Duration = Duration::from_millis(100);
const LEAST_ACKS: u32 = 4;

/// How long a rate is measured if fewer acknowledgements arrive.
const LONG_WINDOW: Duration = Duration::from_secs(1);

/// As long as no rate is known, at most this many bytes are in flight. On a slow link all of them would go
/// uncompressed.
const FIRST_BYTES: u64 = 1 << 20;

/// If plain bytes go at this rate, in bytes a second, they are not packed: packing would be no faster.
const FAST: u64 = 150_000_000;

/// The first rate is measured with few bytes in flight. Below this rate, in bytes a second, the link counts
/// as slow. Otherwise the link may need more bytes in flight to be fast, which the next rate shows.
const SLOW: u64 = 50_000_000;

/// How fast packed bytes must go, in percent of the plain rate.
const WORTH: u64 = 110;

/// After how many bytes packing is tried again. The number doubles after each failed trial, up to the
/// maximum. While packing is faster, plain bytes are tried after this many.
const PATIENCE: u64 = 32 << 20;
const MOST_PATIENCE: u64 = 1 << 30;

/// How often packing is measured before a trial is given up: on a long line the first rates are those of a
/// start.
const CHANCES: u32 = 3;

/// After this many chunks in a row that hardly shrink, packing stops.
const MOST_POOR: u32 = 3;

/// The state of a writer's choice.
#[derive(Debug)]
pub(super) struct Compressing {
    setting: Compression,
    is_packing: bool,
    /// Acknowledgements below this offset of the stream are not measured, because they belong to bytes sent
    /// the other way.
    from: u64,
    /// The offset up to which bytes have been sent.
    sent: u64,
    /// Whether a rate has been measured.
    is_measured: bool,
    /// The measurement in progress.
    window: Option<Window>,
    /// During a trial, the rate of the other way.
    left_rate: Option<u64>,
    /// How many more bad measurements a trial may have before it ends.
    chances: u32,
    /// The bytes until the next trial.
    until_trial: u64,
    patience: u64,
    /// Chunks in a row that hardly shrank.
    poor: u32,
    /// The recent compression ratio: wire bytes for each thousand plain bytes.
    share: u64,
}

/// A measurement: bytes that were acknowledged without a pause.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Now,
    bytes: u64,
    acks: u32,
}

impl Compressing {
    pub fn new(setting: Compression) -> Self {
        Self {
            setting,
            is_packing: matches!(setting, Compression::Level(_)),
            from: 0,
            sent: 0,
            is_measured: false,
            window: None,
            left_rate: None,
            chances: 0,
            until_trial: 0,
            patience: PATIENCE,
            poor: 0,
            share: WHOLE,
        }
    }

    /// The level for the next chunk. `None` sends it plain.
    pub fn level(&self) -> Option<i32> {
        match self.setting {
            Compression::Level(level) => Some(level),
            _ => self.is_packing.then_some(QUICKEST),
        }
    }

    /// Whether another chunk may be sent while this many bytes are unacknowledged.
    pub fn lets_go(&self, unacknowledged: u64) -> bool {
        self.setting != Compression::Auto || self.is_measured || unacknowledged < FIRST_BYTES
    }

    /// An estimate of the wire bytes for this many plain bytes.
    pub fn expected(&self, bytes: usize) -> usize {
        let share = if self.is_packing { self.share } else { WHOLE };
        usize::try_from(bytes as u64 * share / WHOLE).unwrap_or(bytes)
    }

    /// Records that a chunk was packed, to `wire` bytes. `is_sent` is the offset behind the chunk.
    pub fn packed(&mut self, plain: usize, wire: usize, is_sent: u64) {
        self.sent = is_sent;
        self.share = (wire as u64 * WHOLE / plain.max(1) as u64).clamp(1, WHOLE);
        let is_poor = self.share > WHOLE * 9 / 10;
        self.poor = if is_poor { self.poor + 1 } else { 0 };
        if self.setting == Compression::Auto && self.poor >= MOST_POOR {
            self.lose_patience();
            self.turn(false);
        }
    }

    /// Records that a chunk was sent plain. `is_sent` is the offset behind the chunk.
    pub fn sent_as_it_is(&mut self, is_sent: u64) {
        self.sent = is_sent;
    }

    /// Records an acknowledgement of this many plain bytes, up to the offset `acked`. `more` says whether
    /// other bytes were waiting: only then does the rate show what limits the stream.
    pub fn acked(&mut self, now: Now, acked: u64, bytes: usize, more: bool) {
        if self.setting != Compression::Auto || acked <= self.from {
            return;
        }
        if !more {
            self.window = None;
            return;
        }
        self.until_trial = self.until_trial.saturating_sub(bytes as u64);
        let Some(window) = &mut self.window else {
            self.window = Some(Window {
                since: now,
                bytes: 0,
                acks: 0,
            });
            return;
        };
        window.bytes += bytes as u64;
        window.acks += 1;
        let took = now.saturating_sub(window.since);
        let is_enough = window.acks >= LEAST_ACKS && (took >= WINDOW || !self.is_measured);
        if !is_enough && took < LONG_WINDOW {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = window.bytes.saturating_mul(1_000_000) / micros;
        self.window = None;
        let is_first = !std::mem::replace(&mut self.is_measured, true);
        if !is_first || rate < SLOW {
            self.measured(rate);
        }
    }

    fn measured(&mut self, rate: u64) {
        if let Some(left) = self.left_rate {
            let (packed, plain) = if self.is_packing {
                (rate, left)
            } else {
                (left, rate)
            };
            let is_better = packed.saturating_mul(100) > plain.saturating_mul(WORTH);
            self.chances = self.chances.saturating_sub(1);
            if is_better != self.is_packing && self.chances > 0 {
                return;
            }
            self.left_rate = None;
            if is_better == self.is_packing {
                self.patience = PATIENCE;
                self.until_trial = if is_better { MOST_PATIENCE } else { PATIENCE };
            } else {
                self.lose_patience();
                self.turn(is_better);
            }
        } else if self.until_trial == 0 && (self.is_packing || rate < FAST) {
            self.turn(!self.is_packing);
            self.left_rate = Some(rate);
            self.chances = if self.is_packing { CHANCES } else { 1 };
        }
    }

    fn lose_patience(&mut self) {
        self.until_trial = self.patience;
        self.patience = (2 * self.patience).min(MOST_PATIENCE);
    }

    /// Sends the following chunks packed or plain.
    fn turn(&mut self, is_packing: bool) {
        self.is_packing = is_packing;
        self.from = self.sent;
        self.window = None;
        self.left_rate = None;
        self.poor = 0;
    }
}

/// The unit of [`Compressing::share`].
const WHOLE: u64 = 1000;

#[cfg(test)]
mod tests;
