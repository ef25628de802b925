//! What a listener believes: what comes of a sealed stream, how it finished, and what ends the listener.
//!
//! Owns what is held against a satellite (rules 6, 15 and 17), at one without keys as far as that can be seen. Never
//! prints, confirms or keeps the order of what comes.

use std::collections::BTreeMap;

use bytes::Bytes;
use skypipe_broker::protocol::{How, Mode, Request};
use skypipe_broker::text;
use uuid::Uuid;

use super::{Ending, Listener};
use crate::seal::{Fault, Opener, Order};
use crate::session::{Common, Output};

/// How far the clocks of two machines may be apart, in seconds: an `--eof` that was given longer than this before
/// its listener began was not for it.
const SKEW: u64 = 3600;

impl Listener {
    /// What the writer sealed; nothing, and the end of all, if it is not as it was.
    pub(super) fn open(
        &mut self,
        common: &mut Common,
        stream: Uuid,
        at: u64,
        payload: Bytes,
    ) -> Option<Bytes> {
        let Some(keyring) = &common.keyring else {
            return Some(payload);
        };
        let may_miss = self.may_miss();
        let reader = reader(&mut self.readers, stream, &self.pipe, self.mode);
        let opened = reader.opener.open(keyring.epochs(), &payload, may_miss);
        match opened {
            Ok(opened) => {
                reader.began.get_or_insert((opened.position, at));
                if opened.skipped > 0 {
                    self.put_up_with(common, opened.skipped);
                }
                Some(opened.plain)
            }
            Err(fault) => {
                self.distrust(common, &fault);
                None
            }
        }
    }

    /// How a stream finished behind `at` bytes, and how much of it others had had, as far as its writer proves it.
    pub(super) fn proven(
        &mut self,
        common: &mut Common,
        mut ending: Ending,
        at: u64,
        missed: u64,
    ) -> Option<Ending> {
        if let How::Eof(order) = &ending.how {
            ending.order = Some(self.ordered(common, &order.clone(), None)?);
        }
        let Some(keyring) = &common.keyring else {
            self.missed = self.missed.saturating_add(missed);
            if matches!(ending.how, How::Proven(_)) {
                common.fail(1, "the stream is sealed, and this client has no keys");
                return None;
            }
            return Some(ending);
        };
        let may_miss = self.may_miss();
        let reader = reader(&mut self.readers, ending.stream, &self.pipe, self.mode);
        let proven = match &ending.how {
            How::Proven(proof) => {
                let end = reader.opener.end(keyring.epochs(), proof, may_miss);
                end.map(Some)
            }
            // An `--eof` that waited has neither bytes nor a writer, and is not for a `--one`.
            How::Eof(_) if reader.began.is_none() && self.mode != Mode::One => Ok(None),
            How::End | How::Eof(_) => Err(Fault::Altered),
            // Whatever is missing, it is told.
            How::Cut(_) => Ok(None),
        };
        let began = reader.began;
        match proven {
            Ok(None) => {
                self.missed = self.missed.saturating_add(missed);
                // What the satellite counts are sealed bytes.
                if ending.before > 0 {
                    ending.before = began.map_or(ending.before, |(place, _)| place);
                }
                Some(ending)
            }
            Ok(Some(end)) => {
                if end.skipped > 0 {
                    self.put_up_with(common, end.skipped);
                }
                self.begun(common, ending, began.unwrap_or((end.len, at)))
            }
            Err(fault) => {
                self.distrust(common, &fault);
                None
            }
        }
    }

    /// A stream that did not begin for this listener with its first byte: others had had what came before, if the
    /// satellite says so, and else somebody keeps it back (rule 15).
    fn begun(
        &mut self,
        common: &mut Common,
        mut ending: Ending,
        (place, said): (u64, u64),
    ) -> Option<Ending> {
        if ending.before > 0 {
            ending.before = place;
        } else if place > 0 && self.mode != Mode::Tap {
            if said == 0 {
                self.distrust(common, &Fault::Headless);
                return None;
            }
            ending.joined = place;
        }
        Some(ending)
    }

    /// What is said of the end of all, and the exit code that it takes; nothing if it is not to be believed.
    pub(super) fn over(
        &mut self,
        common: &mut Common,
        eof: Option<&Bytes>,
    ) -> Option<(Option<String>, u8)> {
        let pipe = text::pipe(&self.pipe);
        let inside = match self.going_on {
            0 => String::new(),
            many => format!(" inside {}", text::count(many as u64, "stream")),
        };
        if let Some(order) = eof {
            let order = self.ordered(common, order, Some(common.config.wall))?;
            let is_short = self.mode == Mode::Default && self.going_on > 0;
            let said = format!("{order} ended this listener of {pipe}{inside}");
            return Some((Some(said), if is_short { 3 } else { 0 }));
        }
        let ends_by_itself = matches!(self.mode, Mode::Default | Mode::Tap | Mode::One);
        // Of streams whose rest passed by while it was away it has told.
        let is_told = self.missed_streams > 0;
        let has_ended = self.going_on == 0 && !self.ended.is_empty();
        if ends_by_itself && (has_ended || is_told) {
            return Some((None, 0));
        }
        // A tap that was away while its satellite was restarted may have nothing of what it watched.
        if common.keyring.is_some() && self.mode != Mode::Tap {
            self.betrayed(common, &Fault::Unordered);
            return None;
        }
        let said = format!(
            "the satellite ended this listener of {pipe}{inside}: it has lost what was to follow"
        );
        Some((Some(said), 3))
    }

    /// Whose `--eof` this is, in words; nothing if it is nobody's. One that did not wait was not given before the
    /// listener was there.
    fn ordered(
        &mut self,
        common: &mut Common,
        order: &Bytes,
        since: Option<u64>,
    ) -> Option<String> {
        let Some(keyring) = &common.keyring else {
            return Some("an --eof".to_owned());
        };
        let opened = Order::open(keyring.epochs(), &self.pipe, order);
        let is_old =
            |order: &Order| since.is_some_and(|since| order.at.saturating_add(SKEW) < since);
        match opened {
            Ok(order) if !is_old(&order) => Some(order.to_string()),
            Ok(_) => {
                self.betrayed(common, &Fault::Unordered);
                None
            }
            Err(fault) => {
                self.betrayed(common, &fault);
                None
            }
        }
    }

    /// A `--one` is to go without its stream's end, or to have another one, as when a satellite lost its
    /// power and the stream with it. One that has seals need not believe that.
    pub(super) fn endless(&mut self, common: &mut Common) {
        if common.keyring.is_some() {
            return self.distrust(common, &Fault::Endless);
        }
        common.send(&Request::Bye, None);
        common.fail(
            3,
            "the stream came incomplete: the satellite has lost the rest",
        );
    }

    /// Something came that no writer put in. What it belongs to waits again, for others to see.
    fn distrust(&mut self, common: &mut Common, fault: &Fault) {
        let pipe = text::pipe(&self.pipe);
        let hint =
            format!("it waits in {pipe} still: skypipe --discard drops all that waits there");
        common.out.push_back(Output::Hint(hint));
        self.betrayed(common, fault);
    }

    /// The satellite says what nobody gave it to say.
    fn betrayed(&mut self, common: &mut Common, fault: &Fault) {
        self.leave(common);
        common.send(&Request::Bye, None);
        let message = format!("what came from the satellite cannot be trusted: {fault}");
        common.fail(1, &message);
    }
}

/// One stream of a satellite that has keys, as it is read.
#[derive(Debug)]
pub(super) struct Reader {
    opener: Opener,
    /// The place of the first byte that came, as its writer counts, and as the satellite does.
    began: Option<(u64, u64)>,
}

/// The reader of a stream. A `--one` gets streams from their first byte alone (rule 7); others begin
/// wherever the satellite lets them.
fn reader<'a>(
    readers: &'a mut BTreeMap<Uuid, Reader>,
    stream: Uuid,
    pipe: &str,
    mode: Mode,
) -> &'a mut Reader {
    readers.entry(stream).or_insert_with(|| {
        let opener = Opener::new(stream, pipe);
        let opener = match mode {
            Mode::One => opener.due_at(0),
            Mode::Default | Mode::Follow | Mode::Tap => opener,
        };
        Reader {
            opener,
            began: None,
        }
    })
}
