//! When a writer compresses what it sends.
//!
//! Owns the choice between bytes as they are and packed ones, and what it goes by: how fast bytes are
//! acknowledged in each way while more of them are waiting. Packing costs both ends' processors, so it is for
//! slow links and slow satellites, and for bytes that shrink. Never packs anything itself.
//!
//! Only sealed streams are packed: they consist of records anyway, between which a satellite may cut.

use std::str::FromStr;
use std::time::Duration;

use super::Now;

/// What `--compress` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Never.
    Off,
    /// Where it makes the stream faster.
    #[default]
    Auto,
    /// Always, by this level of zstd.
    Level(i32),
}

/// The levels of zstd that can be asked for. Higher ones want a lot of memory, and gain nothing on records.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// The level where nobody says one: the quickest.
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

/// With fewer of them it is measured for so long.
const LONG_WINDOW: Duration = Duration::from_secs(1);

/// As long as no rate is known, no more bytes than this are on their way: on a slow link all of them would
/// have to go as they are.
const FIRST_BYTES: u64 = 1 << 20;

/// Bytes that go at this rate as they are, in bytes a second, are not packed: that would be no faster.
const FAST: u64 = 150_000_000;

/// The first rate, with so little on its way, says that a link is slow if it is below this one, in bytes a
/// second. Else it may be quick to fill, which the next rate shows.
const SLOW: u64 = 50_000_000;

/// How much faster packed bytes have to go, in percent.
const WORTH: u64 = 110;

/// After how many bytes packing is tried again; twice as many each time that this was in vain, up to the
/// most. While packing is faster, that is how long it takes until bytes are tried as they are.
const PATIENCE: u64 = 32 << 20;
const MOST_PATIENCE: u64 = 1 << 30;

/// How often packing is measured before it is given up: the first rates on a long line are those of a start.
const CHANCES: u32 = 3;

/// So many chunks in a row that hardly shrink end the packing.
const MOST_POOR: u32 = 3;

/// A writer's choice.
#[derive(Debug)]
pub(super) struct Compressing {
    setting: Compression,
    is_packing: bool,
    /// Acknowledgements below this place of the stream tell nothing: they are of what was sent the other
    /// way.
    from: u64,
    /// The place up to which bytes have been sent.
    sent: u64,
    /// Whether a rate has been measured.
    is_measured: bool,
    /// The measurement under way.
    window: Option<Window>,
    /// During a trial, the rate of the way that was left for it.
    left_rate: Option<u64>,
    /// How often a trial may still be found to be in vain before it ends.
    chances: u32,
    /// The bytes until the next trial.
    until_trial: u64,
    patience: u64,
    /// Chunks in a row that hardly shrank.
    poor: u32,
    /// How many bytes are sent for a thousand.
    share: u64,
}

/// Bytes that were acknowledged without a pause.
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

    /// With which level the next chunk is packed, if it is.
    pub fn level(&self) -> Option<i32> {
        match self.setting {
            Compression::Level(level) => Some(level),
            _ => self.is_packing.then_some(QUICKEST),
        }
    }

    /// Whether another chunk may be sent while so many bytes are on their way.
    pub fn lets_go(&self, unacknowledged: u64) -> bool {
        self.setting != Compression::Auto || self.is_measured || unacknowledged < FIRST_BYTES
    }

    /// About how many bytes will be sent for so many that a stream would have as it is.
    pub fn expected(&self, bytes: usize) -> usize {
        let share = if self.is_packing { self.share } else { WHOLE };
        usize::try_from(bytes as u64 * share / WHOLE).unwrap_or(bytes)
    }

    /// A chunk was packed, to `wire` bytes; `is_sent` is the place behind it.
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

    /// A chunk was sent as it is; the place behind it.
    pub fn sent_as_it_is(&mut self, is_sent: u64) {
        self.sent = is_sent;
    }

    /// So many bytes, as they were read, were acknowledged, up to the place `acked`. `more` says whether
    /// others were waiting: only then does the rate tell what limits the stream.
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

    /// From the next chunk on it goes this way.
    fn turn(&mut self, is_packing: bool) {
        self.is_packing = is_packing;
        self.from = self.sent;
        self.window = None;
        self.left_rate = None;
        self.poor = 0;
    }
}

/// All of a thousand.
const WHOLE: u64 = 1000;

#[cfg(test)]
mod tests;
