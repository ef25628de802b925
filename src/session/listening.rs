//! A listener: it receives chunks, prints them, confirms them, and derives its exit code.

mod proof;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use skypipe_protocol::text;
use skypipe_protocol::{
    Code, Confirm, How, Listen, MAX_CHUNK, MAX_PROGRESS, MAX_UNCONFIRMED, Mode, OpenLine, Progress,
    Reply, Request, Resume, cost,
};
use uuid::Uuid;

use self::proof::Reader;
use super::room::named;
use super::waiting::Waiting;
use super::{Common, Input, LARGE, Moved, Now, Output};

/// The receive window, in bytes of credit: enough for a gigabit over 120 ms.
const WINDOW: u64 = 16 * (MAX_CHUNK as u64 + 256);

/// How many ended streams are remembered. A killed satellite may send its open items again when it
/// restarts; this is more than the streams that can have ended in them.
const ENDS_KEPT: usize = 4 * MAX_UNCONFIRMED;

/// The shortest interval between two messages of a tap about missed bytes.
const MISSED_EVERY: Duration = Duration::from_secs(1);

/// How long a finished listener waits for the satellite's answer to its last confirmation. Without that
/// answer the next listener may be sent the same bytes.
const LAST_WORD: Duration = Duration::from_secs(30);

/// How long the listener waits for that answer on one connection, which may have broken silently.
const LAST_WORD_HERE: Duration = Duration::from_secs(3);

/// Something that has arrived and waits for its place in the output.
#[derive(Debug)]
enum Pending {
    /// Bytes being written: those of an item, or a newline that the listener adds.
    Write(Option<Printing>),
    /// A stream's finish.
    Ended(Ending),
    /// An item that brought nothing new, with its cost in credit.
    Again(u64),
    /// The last item: the message for the user, and the lowest exit code that it allows.
    Done { said: Option<String>, code: u8 },
}

/// The bytes of one item that are being written to stdout.
#[derive(Debug)]
struct Printing {
    stream: Uuid,
    /// The offset in the stream behind these bytes.
    end: u64,
    /// The cost of the item in credit.
    cost: u64,
    /// How many bytes are written.
    len: usize,
}

/// How a stream finished.
#[derive(Debug)]
struct Ending {
    stream: Uuid,
    how: How,
    /// The writer's description for people.
    label: String,
    /// How many of its first bytes others had read before this listener got the rest.
    before: u64,
    /// At which offset this listener joined the stream while it was being written.
    joined: u64,
    /// For an `--eof` that waited: who gave it.
    order: Option<String>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "how far the connection is and what happened to it are independent of one another"
)]
pub(super) struct Listener {
    pipe: String,
    mode: Mode,
    /// Whether the satellite has ever answered `Listen`.
    is_known: bool,
    /// Whether the satellite has answered `Listen` on this connection.
    is_attached: bool,
    /// Whether the satellite had lost this listener and others took bytes meanwhile. A `--follow` listener
    /// may then miss bytes.
    was_lost: bool,
    /// Of how many streams the listener missed the rest for that reason, as far as the user was told.
    missed_streams: u64,
    /// Whether the satellite no longer knows this listener, after it has received everything.
    is_forgotten: bool,
    /// Whether the last item has arrived.
    has_all_items: bool,
    /// Whether the listener starts anew, once everything is printed, at a satellite that does not know it.
    begins_anew: bool,
    /// Whether the last chunk was large, so that the next one may be large too.
    is_large: bool,
    /// Items that have arrived, and items that have been printed.
    arrived: u64,
    printed: u64,
    /// How many bytes were printed.
    printed_bytes: u64,
    /// The cost of the printed items in credit.
    consumed: u64,
    pending: VecDeque<Pending>,
    /// How many printed items have been confirmed to the satellite.
    confirmed: u64,
    /// The cost of all chunks that have arrived, and the limit that was granted for it.
    cost: u64,
    window: u64,
    /// The next offset of each stream that is open or still remembered.
    positions: BTreeMap<Uuid, u64>,
    /// How much of each of these streams stdout has taken.
    taken: BTreeMap<Uuid, Progress>,
    /// The decryption state of each of these streams, at a satellite with keys.
    readers: BTreeMap<Uuid, Reader>,
    /// How many of these streams are open.
    going_on: usize,
    /// Streams whose finish has arrived, the latest last. A restarted satellite may send them again.
    ended: VecDeque<Uuid>,
    /// The offset of each finish. A stream that was cut may continue, and finish again further on.
    ended_at: BTreeMap<Uuid, u64>,
    /// The stream of the last chunk, and whether that chunk ended a line.
    last: Option<(Uuid, bool)>,
    missed: u64,
    missed_told: Option<Now>,
    code: u8,
    /// When everything was printed.
    done: Option<Now>,
}

impl Listener {
    pub fn new(pipe: String, mode: Mode) -> Self {
        Self {
            pipe,
            mode,
            is_known: false,
            is_attached: false,
            was_lost: false,
            missed_streams: 0,
            is_forgotten: false,
            has_all_items: false,
            begins_anew: false,
            is_large: false,
            arrived: 0,
            printed: 0,
            printed_bytes: 0,
            consumed: 0,
            pending: VecDeque::new(),
            confirmed: 0,
            cost: 0,
            window: WINDOW,
            positions: BTreeMap::new(),
            taken: BTreeMap::new(),
            readers: BTreeMap::new(),
            going_on: 0,
            ended: VecDeque::new(),
            ended_at: BTreeMap::new(),
            last: None,
            missed: 0,
            missed_told: None,
            code: 0,
            done: None,
        }
    }

    pub fn is_busy(&self) -> bool {
        self.is_large && self.going_on > 0
    }

    /// When a finished listener gives up a connection on which nothing has arrived.
    pub fn gives_up(&self, heard: Now) -> Option<Now> {
        self.done.map(|done| done.max(heard) + LAST_WORD_HERE)
    }

    pub fn deadline(&self, common: &Common) -> Option<Now> {
        let told = self.missed_told.map(|told| told + MISSED_EVERY);
        let missed = (self.missed > 0).then_some(told.unwrap_or(common.now));
        self.done
            .map(|done| done + LAST_WORD)
            .into_iter()
            .chain(missed)
            .min()
    }

    pub fn attach(&mut self, common: &mut Common) {
        self.window = self.window.max(self.consumed + WINDOW);
        let listen = Request::Listen(Listen {
            listener: common.config.id,
            pipe: self.pipe.clone(),
            mode: self.mode,
            window: self.consumed + WINDOW,
            resume: self.is_known.then(|| Resume {
                next_seq: self.arrived,
                cost: self.cost,
                line: self.open_line(),
                streams: self.progress(),
            }),
        });
        common.send(&listen, None);
    }

    /// The unfinished line at the end of what has arrived.
    fn open_line(&self) -> Option<OpenLine> {
        let (stream, _) = self.last.filter(|(_, has_ended)| !has_ended)?;
        let at = *self.positions.get(&stream)?;
        Some(OpenLine { stream, at })
    }

    /// How much stdout has taken of the open streams and of those that ended last.
    fn progress(&self) -> Vec<Progress> {
        let has_ended = |stream: &Uuid| self.ended.contains(stream);
        let going_on = self.taken.values().filter(|it| !has_ended(&it.stream));
        let ended = self
            .ended
            .iter()
            .rev()
            .filter_map(|stream| self.taken.get(stream));
        going_on.chain(ended).take(MAX_PROGRESS).copied().collect()
    }

    pub fn detach(&mut self) {
        self.is_attached = false;
    }

    pub fn happened(&mut self, common: &mut Common, input: Input) {
        match input {
            Input::Written => self.written(common),
            Input::OutputClosed => {
                self.leave(common);
                common.send(&Request::Bye, None);
                common.exit(0);
            }
            Input::OutputFailed(why) => {
                self.leave(common);
                common.send(&Request::Bye, None);
                common.fail(1, &format!("cannot write to stdout: {why}"));
            }
            _ => {}
        }
    }

    /// Sends the last confirmation, then leaves the pipe.
    pub fn leave(&mut self, common: &mut Common) {
        self.tell_missed(common);
        self.advance(common);
        common.send(
            &Request::Leave {
                listener: common.config.id,
            },
            None,
        );
    }

    pub fn moved(&self) -> Moved {
        Moved {
            bytes: self.printed_bytes,
            confirmed: None,
        }
    }

    pub fn pipe(&self) -> &str {
        &self.pipe
    }

    /// What the listener waits for, if that is worth a word.
    pub fn waiting(&self) -> Option<Waiting> {
        let is_idle = self.is_attached && self.arrived == 0;
        is_idle.then_some(Waiting::Data)
    }

    /// What the listener waits for, for the message of `--timeout`.
    pub fn waits_for(&self, common: &Common) -> String {
        if !self.is_attached {
            format!("no answer from {}", common.config.endpoint)
        } else if self.pending.is_empty() {
            format!("no data on {}", named(&self.pipe))
        } else {
            "stdout accepted no data".to_owned()
        }
    }

    pub fn timeout(&mut self, common: &mut Common) {
        let told = self
            .missed_told
            .is_none_or(|told| common.now >= told + MISSED_EVERY);
        if told {
            self.tell_missed(common);
        }
        if self.done.is_some_and(|done| common.now >= done + LAST_WORD) {
            common.send(&Request::Bye, None);
            common.exit(self.code);
        }
    }

    fn tell_missed(&mut self, common: &mut Common) {
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            self.missed_told = Some(common.now);
            let missed = text::count(missed, "byte");
            let message = if self.mode == Mode::Tap && !self.was_lost {
                format!("this tap was too slow and missed {missed}")
            } else {
                let pipe = text::pipe(&self.pipe);
                format!("this reader was disconnected and missed {missed} of {pipe}")
            };
            common.out.push_back(Output::Notice(message));
        }
    }

    pub fn received(&mut self, common: &mut Common, reply: Reply, payload: Option<Bytes>) {
        match reply {
            Reply::Listening { lost, missed, .. } => {
                self.is_known = true;
                self.is_attached = true;
                // What was printed without a connection is confirmed at once.
                self.confirmed = 0;
                self.was_lost |= lost;
                let more = missed.saturating_sub(self.missed_streams);
                if more > 0 {
                    self.missed_streams = missed;
                    self.tell_missed_streams(common, more);
                }
            }
            Reply::Chunk {
                seq,
                stream,
                at,
                missed,
                ..
            } => {
                let payload = payload.unwrap_or_default();
                if self.is_next(common, seq) {
                    self.cost += cost(payload.len());
                    if self.cost > self.window {
                        return common.fail(1, "the satellite sent more than it was asked for");
                    }
                    if at.checked_add(payload.len() as u64).is_none() {
                        return common
                            .fail(1, "the satellite reported an impossible stream length");
                    }
                    self.chunk(common, stream, at, missed, payload);
                }
            }
            Reply::Ended {
                seq,
                stream,
                at,
                how,
                label,
                before,
                missed,
                ..
            } if self.is_next(common, seq) => {
                if self.remember_end(stream, at) {
                    let Some(missed) = self.missing(common, stream, at, missed) else {
                        return;
                    };
                    let ending = Ending {
                        stream,
                        how,
                        label,
                        before,
                        joined: 0,
                        order: None,
                    };
                    let Some(ending) = self.proven(common, ending, at, missed) else {
                        return;
                    };
                    self.pending.push_back(Pending::Ended(ending));
                } else {
                    self.missed = self.missed.saturating_add(missed);
                    self.pending.push_back(Pending::Again(0));
                }
                self.settle(common);
            }
            Reply::Done {
                seq, missed, eof, ..
            } if self.is_next(common, seq) => {
                // Only a `--one` needs its stream's end: an `--eof` may finish others before or inside a
                // stream (rule 6).
                let is_endless = self.going_on > 0 || self.ended.len() != 1;
                if self.mode == Mode::One && is_endless {
                    return self.endless(common);
                }
                let Some((said, code)) = self.over(common, eof.as_ref()) else {
                    return;
                };
                self.missed = self.missed.saturating_add(missed);
                self.has_all_items = true;
                self.pending.push_back(Pending::Done { said, code });
                self.settle(common);
            }
            Reply::Closed { .. } if self.done.is_some() => {
                common.send(&Request::Bye, None);
                common.exit(self.code);
            }
            Reply::Closed { .. } => {
                common.fail(1, "the satellite reported the end too early");
            }
            Reply::Error { code, message, .. } => self.refused(common, code, &message),
            _ => {}
        }
    }

    fn refused(&mut self, common: &mut Common, code: Code, message: &str) {
        if self.has_all_items && code == Code::Unknown {
            // This listener has everything, and a restarted satellite has nothing left of it.
            self.is_forgotten = true;
            return;
        }
        let is_endless = matches!(self.mode, Mode::Follow | Mode::Tap);
        if code == Code::Unknown && self.going_on == 0 && (self.arrived == 0 || is_endless) {
            // No stream was open, so nothing is lost.
            self.begins_anew = true;
            return;
        }
        common.refused(code, message);
    }

    /// Registers as a new listener, as soon as everything that arrived is printed.
    fn begin_anew(&mut self, common: &mut Common) {
        if !self.begins_anew || !self.pending.is_empty() {
            return;
        }
        self.begins_anew = false;
        self.is_known = false;
        (self.arrived, self.printed, self.confirmed) = (0, 0, 0);
        (self.cost, self.consumed, self.window) = (0, 0, WINDOW);
        self.attach(common);
    }

    /// Reports that others took the rest of streams that this listener was reading or was to get.
    fn tell_missed_streams(&mut self, common: &mut Common, missed: u64) {
        let (streams, pipe) = (text::count(missed, "stream"), text::pipe(&self.pipe));
        let message =
            format!("this reader was disconnected and missed the rest of {streams} of {pipe}");
        common.out.push_back(match self.mode {
            Mode::Tap => Output::Notice(message),
            _ => Output::Failure(message),
        });
        if self.mode != Mode::Tap {
            self.code = 3;
        }
    }

    /// Whether this is the expected item. An earlier one is a repetition and is dropped; a later one is an
    /// error.
    fn is_next(&mut self, common: &mut Common, seq: u64) -> bool {
        if seq > self.arrived {
            common.fail(
                1,
                &format!("got sequence number {seq}, expected {}", self.arrived),
            );
        }
        let is_next = seq == self.arrived;
        self.arrived += u64::from(is_next);
        is_next
    }

    /// Prints the new part of a chunk: a restarted satellite may repeat what has already arrived. Only a
    /// tap, or a `--follow` that was lost, may miss bytes.
    fn chunk(
        &mut self,
        common: &mut Common,
        stream: Uuid,
        at: u64,
        missed: u64,
        mut payload: Bytes,
    ) {
        let price = cost(payload.len());
        self.go_on_behind_end(stream, at + payload.len() as u64);
        let expected = *self.positions.entry(stream).or_insert_with(|| {
            self.going_on += 1;
            at
        });
        if self.mode == Mode::One && self.positions.len() > 1 {
            return self.endless(common);
        }
        // In a sealed stream, a gap is detected when the records are opened.
        if common.keyring.is_none() {
            // A restarted satellite does not know of the gap, so the offsets count as well.
            let missed = missed.max(at.saturating_sub(expected));
            if missed > 0 && !self.put_up_with(common, missed) {
                return;
            }
        }
        let known = expected.saturating_sub(at).min(payload.len() as u64);
        payload.advance(usize::try_from(known).unwrap_or(usize::MAX));
        if payload.is_empty() {
            self.pending.push_back(Pending::Again(price));
            return self.settle(common);
        }
        self.positions
            .insert(stream, expected.max(at) + payload.len() as u64);
        let end = self.positions[&stream];
        if let Some(payload) = self.open(common, stream, at, payload) {
            let printing = Printing {
                stream,
                end,
                cost: price,
                len: payload.len(),
            };
            self.print(common, payload, printing);
        }
    }

    /// Handles a gap in a stream. A tap may miss bytes, and so may a follower that was lost while others
    /// took them. For any other listener a gap is fatal. Returns whether the listener continues.
    fn put_up_with(&mut self, common: &mut Common, missed: u64) -> bool {
        let may_miss = self.may_miss();
        if may_miss {
            self.missed = self.missed.saturating_add(missed);
        } else {
            common.fail(3, "part of a stream is missing");
        }
        if self.mode == Mode::Follow {
            self.code = 3;
        }
        may_miss
    }

    fn may_miss(&self) -> bool {
        self.mode == Mode::Tap || (self.mode == Mode::Follow && self.was_lost)
    }

    /// How many bytes of a stream are missing before its finish, as far as that shows without its seals,
    /// when the satellite reports `said`. `None` if the gap is fatal.
    fn missing(&mut self, common: &mut Common, stream: Uuid, at: u64, said: u64) -> Option<u64> {
        let position = self.positions.get(&stream).copied().unwrap_or(at);
        let missing = at.saturating_sub(position);
        if self.mode == Mode::Tap {
            // A restarted satellite does not know of the gap, so the offsets count as well.
            return Some(said.max(missing));
        }
        let is_well = common.keyring.is_some() || missing == 0 || self.put_up_with(common, missing);
        is_well.then_some(said)
    }

    /// Reopens a stream that was cut, for bytes up to `end`: its writer was only disconnected.
    fn go_on_behind_end(&mut self, stream: Uuid, end: u64) {
        if self.ended_at.get(&stream).is_some_and(|at| end > *at)
            && let Some(place) = self.ended.iter().position(|it| *it == stream)
        {
            self.ended.remove(place);
            self.note_taken(stream, |taken| taken.ended = false);
            self.going_on += usize::from(self.positions.contains_key(&stream));
        }
    }

    /// Records a stream's finish at offset `at`. Returns whether it is new.
    fn remember_end(&mut self, stream: Uuid, at: u64) -> bool {
        if self
            .ended_at
            .get(&stream)
            .is_some_and(|before| at <= *before)
        {
            return false;
        }
        self.ended_at.insert(stream, at);
        // A finished stream may finish again, further on, without a byte in between.
        if let Some(place) = self.ended.iter().position(|it| *it == stream) {
            self.ended.remove(place);
        } else {
            self.going_on -= usize::from(self.positions.contains_key(&stream));
        }
        self.ended.push_back(stream);
        if self.ended.len() > ENDS_KEPT
            && let Some(over) = self.ended.pop_front()
        {
            self.positions.remove(&over);
            self.taken.remove(&over);
            self.ended_at.remove(&over);
            self.readers.remove(&over);
        }
        true
    }

    fn print(&mut self, common: &mut Common, payload: Bytes, printing: Printing) {
        let stream = printing.stream;
        self.is_large = payload.len() >= LARGE;
        let ends_line = payload.last() == Some(&b'\n');
        // When the output moves to another stream, lines stay apart (rule 13).
        if let Some((before, false)) = self.last
            && before != stream
            && self.mode != Mode::One
        {
            self.pending.push_back(Pending::Write(None));
            common
                .out
                .push_back(Output::Write(Bytes::from_static(b"\n")));
        }
        self.last = Some((stream, ends_line));
        self.pending.push_back(Pending::Write(Some(printing)));
        common.out.push_back(Output::Write(payload));
    }

    fn written(&mut self, common: &mut Common) {
        if let Some(Pending::Write(seq)) = self.pending.pop_front()
            && let Some(Printing {
                stream,
                end,
                cost,
                len,
            }) = seq
        {
            self.printed += 1;
            self.printed_bytes += len as u64;
            self.consumed += cost;
            self.note_taken(stream, |taken| taken.at = end);
            common.progress();
        }
        self.settle(common);
    }

    fn note_taken(&mut self, stream: Uuid, note: impl FnOnce(&mut Progress)) {
        let progress = Progress {
            stream,
            at: 0,
            ended: false,
        };
        note(self.taken.entry(stream).or_insert(progress));
    }

    /// Processes the finishes in front of the queue, whose output has been written.
    fn settle(&mut self, common: &mut Common) {
        while let Some(next) = self.pending.front()
            && !matches!(next, Pending::Write(_))
            && let Some(next) = self.pending.pop_front()
        {
            self.printed += 1;
            common.progress();
            match next {
                Pending::Write(_) => {}
                Pending::Again(cost) => self.consumed += cost,
                Pending::Ended(ending) => self.ended(common, ending),
                Pending::Done { said, code } => {
                    self.tell_missed(common);
                    let level = if code == 0 {
                        Output::Notice
                    } else {
                        Output::Failure
                    };
                    common.out.extend(said.map(level));
                    self.code = self.code.max(code);
                    self.done = Some(common.now);
                }
            }
        }
    }

    fn ended(&mut self, common: &mut Common, ending: Ending) {
        let Ending {
            stream,
            how,
            label,
            before,
            joined,
            order,
        } = ending;
        // The stream may have continued behind that finish already.
        if self.ended.contains(&stream) {
            self.note_taken(stream, |taken| taken.ended = true);
        }
        if let How::Cut(why) = how {
            self.code = 3;
            let message = format!("the stream of {label} was cut: {why}");
            common.out.push_back(Output::Failure(message));
        }
        if before > 0 {
            self.code = 3;
            let first = match before {
                1 => "byte".to_owned(),
                many => text::count(many, "byte"),
            };
            let message = format!(
                "this is the rest of the stream of {label}: its first {first} went to others"
            );
            common.out.push_back(Output::Failure(message));
        }
        if joined > 0 {
            // A follower takes what is there, so joining late is no failure for it.
            if self.mode == Mode::Default {
                self.code = 3;
            }
            let first = text::count(joined, "byte");
            let message = format!(
                "this reader joined the stream of {label} after its first {first}, which others \
                 read"
            );
            common.out.push_back(match self.mode {
                Mode::Default => Output::Failure(message),
                _ => Output::Notice(message),
            });
        }
        if let Some(order) = order.filter(|_| self.mode == Mode::Default) {
            let pipe = text::pipe(&self.pipe);
            let message = format!("{order}, given earlier, ended this reader of {pipe}");
            common.out.push_back(Output::Notice(message));
        }
    }

    /// Confirms what has been printed since the last confirmation.
    pub fn advance(&mut self, common: &mut Common) {
        self.begin_anew(common);
        if self.is_forgotten && self.done.is_some() {
            return common.exit(self.code);
        }
        if common.is_up() && self.is_attached && self.printed > self.confirmed {
            self.confirmed = self.printed;
            self.window = self.window.max(self.consumed + WINDOW);
            let confirm = Request::Confirm(Confirm {
                listener: common.config.id,
                next_seq: self.printed,
                window: self.consumed + WINDOW,
            });
            common.send(&confirm, None);
        }
    }
}
