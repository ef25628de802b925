//! What a listener accepts: the bytes of a sealed stream, its finish, and the listener's own end.
//!
//! This module checks the satellite's claims (rules 6, 15 and 17); without keys, only as far as they can be
//! checked. It never prints or confirms, and does not keep the order of arrivals.

use std::collections::BTreeMap;

use bytes::Bytes;
use skypipe_protocol::text;
use skypipe_protocol::{How, Mode, Request};
use uuid::Uuid;

use super::{Ending, Listener};
use crate::crypto::seal::{Fault, Opener, Order};
use crate::session::{Common, Output};

/// The largest clock difference between two machines, in seconds. An `--eof` given longer than this before
/// its listener began was not meant for that listener.
const SKEW: u64 = 3600;

impl Listener {
    /// Opens what the writer sealed. If it was altered, returns `None` and ends the session.
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

    /// The finish of a stream at offset `at`, and how many bytes others had read before, as far as the
    /// writer's proof shows it.
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
                common.fail(1, "the stream is sealed, but this client has no keys");
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
            // An `--eof` that waited has neither bytes nor a writer. It is not for a `--one`.
            How::Eof(_) if reader.began.is_none() && self.mode != Mode::One => Ok(None),
            How::End | How::Eof(_) => Err(Fault::Altered),
            // A cut needs no proof: the listener reports an incomplete stream whatever is missing.
            How::Cut(_) => Ok(None),
        };
        let began = reader.began;
        match proven {
            Ok(None) => {
                self.missed = self.missed.saturating_add(missed);
                // The satellite counts sealed bytes.
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

    /// Checks a stream that did not begin with its first byte for this listener. That is fine if the
    /// satellite says that others had read what came before. Otherwise somebody withholds it (rule 15).
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

    /// The message and the exit code of a listener's end. `None` if the end is not proven.
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
            let order = self.ordered(common, order, Some(common.config.unix_time))?;
            let is_short = self.mode == Mode::Default && self.going_on > 0;
            let said = format!("{order} ended this reader of {pipe}{inside}");
            return Some((Some(said), if is_short { 3 } else { 0 }));
        }
        let ends_by_itself = matches!(self.mode, Mode::Default | Mode::Tap | Mode::One);
        // The listener has already reported the streams whose rest it missed.
        let is_told = self.missed_streams > 0;
        let has_ended = self.going_on == 0 && !self.ended.is_empty();
        if ends_by_itself && (has_ended || is_told) {
            return Some((None, 0));
        }
        // A tap that was disconnected during a restart may have nothing left of what it watched.
        if common.keyring.is_some() && self.mode != Mode::Tap {
            self.betrayed(common, &Fault::Unordered);
            return None;
        }
        let said = format!(
            "the satellite ended this reader of {pipe}{inside}: it has lost the rest of the data"
        );
        Some((Some(said), 3))
    }

    /// Who gave this `--eof`, for people. `None` if its attestation is invalid. An `--eof` that did not
    /// wait must be newer than the listener.
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

    /// A `--one` is told to end without its stream's end, or gets a second stream, as when a satellite lost
    /// power and the stream with it. With seals, the listener does not accept that.
    pub(super) fn endless(&mut self, common: &mut Common) {
        if common.keyring.is_some() {
            return self.distrust(common, &Fault::Endless);
        }
        common.send(&Request::Bye, None);
        common.fail(
            3,
            "the stream is incomplete: the satellite has lost the rest",
        );
    }

    /// Ends the session because of data that no writer sealed. The stream waits again, for others to
    /// inspect.
    fn distrust(&mut self, common: &mut Common, fault: &Fault) {
        let pipe = text::pipe(&self.pipe);
        let hint = format!(
            "the stream is still unread in {pipe}; to delete all unread data there: \
                     skypipe --discard"
        );
        common.out.push_back(Output::Hint(hint));
        self.betrayed(common, fault);
    }

    /// Ends the session because the satellite claims something that nobody with keys said.
    fn betrayed(&mut self, common: &mut Common, fault: &Fault) {
        self.leave(common);
        common.send(&Request::Bye, None);
        let message = format!("data from the satellite cannot be trusted: {fault}");
        common.fail(1, &message);
    }
}

/// The state of one sealed stream that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    opener: Opener,
    /// The offset of the first byte that arrived: in plaintext, as its writer counts, and in wire bytes.
    began: Option<(u64, u64)>,
}

/// The reader of a stream. A `--one` accepts a stream only from its first byte (rule 7); other modes begin
/// wherever the satellite starts them.
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
