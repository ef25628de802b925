//! A writer: what it has buffered, what it may send, what it must send again.
//!
//! A chunk gets its offset when it is sent. Chunks that a satellite had not received when a connection
//! broke are split anew for the next connection. Everything unacknowledged is kept. Offsets and lengths
//! count wire bytes, sealed or not; lines are those of the plaintext.

use std::collections::VecDeque;
use std::time::Duration;

use skypipe_protocol::text;
use skypipe_protocol::{
    CHUNK_OVERHEAD, Code, Data, Finish, How, MAX_CHUNK, MIN_SEND, Open, Outcome, Reply, Request,
    cost,
};

use crate::crypto::Keyring;
use crate::crypto::seal::Packer;
use crate::report::size;

use super::compressing::{Compressing, Compression};
use super::outbox::{Outgoing, Seal, Unsent};
use super::room::{Pause, named, no_room};
use super::waiting::{Waiting, seconds};
use super::{CommandEnd, Common, Input, LARGE, Moved, Now, Output, Signal, chunk_limit};

/// The most that is read ahead of what may be sent, in bytes and in pieces. No more than this can be in
/// flight on a short line, and larger buffers would not stay in the processors' caches.
const IN_HAND: usize = 8 * MAX_CHUNK;

/// The same on a line on which an acknowledgement takes at least [`FAR`]: twice what a satellite gives
/// credit for at once. When all of that has been sent, as much again is buffered and has been requested.
/// Otherwise the line would be idle until the satellite has heard of more.
const IN_HAND_FAR: usize = 32 * MAX_CHUNK;
const FAR: Duration = Duration::from_millis(50);
const PIECES_IN_HAND: usize = 1024;

/// How long an interrupted writer goes on sending what it had read (rule 15).
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a writer waits before it asks a satellite again that had no room for another stream.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The exit code when a command cannot be started, as `env` and `timeout` have it.
const NOT_STARTED: u8 = 126;

/// The fewest bytes that are worth a chunk while more are buffered. Sealed streams are cut in whole records
/// anyway.
const WORTH: usize = 768;

/// The most plaintext bytes that are kept until they are acknowledged: enough for a gigabit over a long
/// line to the satellite and another long line to a listener. Packed bytes can stand for many more
/// plaintext bytes than the satellite gives credit for.
const HELD: usize = 48 * MAX_CHUNK;

/// The size of the first chunks, and the smallest size. Chunks grow to [`MAX_CHUNK`] while they are
/// acknowledged quickly. On a slow line they stay small, so that none takes so long that the peer seems
/// dead.
const FIRST_CHUNK: usize = 256 << 10;
const LEAST_CHUNK: usize = 4 << 10;
const QUICK: Duration = Duration::from_millis(250);
const SLOW: Duration = Duration::from_secs(2);

/// A chunk that was sent and is not acknowledged.
#[derive(Debug)]
struct Sent {
    outgoing: Outgoing,
    /// The length of the unfinished line at its end, in bytes.
    tail: u64,
    at: Now,
}

/// How the writing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    how: How,
    /// The exit code if the satellite confirms this end.
    code: u8,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "how it was called and how far the connection is are independent of one another"
)]
pub(super) struct Writer {
    pipe: String,
    wait: bool,
    whole: bool,
    inferred: bool,
    label: String,
    /// Whether the satellite has ever answered `Open`.
    is_opened: bool,
    /// Whether the user was told that the stream was cut and that the rest follows as a remainder.
    is_rest_told: bool,
    /// Whether the satellite has answered `Open` on this connection.
    is_attached: bool,
    /// Whether `Open` has been sent on this connection.
    is_asked: bool,
    /// How plaintext becomes wire bytes.
    seal: Seal,
    /// Whether the next chunk is packed.
    compressing: Compressing,
    /// The packer with its level, once it was needed.
    packer: Option<(i32, Packer)>,
    /// Data that was read and not sent, or has to be sent again.
    unsent: VecDeque<Unsent>,
    /// The size of `unsent` in wire bytes.
    unsent_bytes: usize,
    /// Sent and unacknowledged chunks. The first begins at the offset `acked`.
    sent: VecDeque<Sent>,
    /// The size of `sent` in plaintext bytes.
    held: usize,
    /// How many bytes are read ahead at most.
    in_hand: usize,
    acked: u64,
    /// The offset behind the last sent chunk, without those that have to be sent again, and the highest
    /// that it ever was.
    sent_bytes: u64,
    most_sent: u64,
    /// The cost of the chunks sent since the satellite last answered `Open`.
    spent: u64,
    /// The limit that the satellite set for this cost.
    limit: u64,
    /// The limit that was last requested.
    asked: u64,
    /// The length of the unfinished line at the end of what was acknowledged, and of what was sent.
    acked_tail: u64,
    tail: u64,
    /// The current chunk size.
    chunk: usize,
    end: Option<End>,
    /// Whether `Finish` has been sent on this connection, and whether it ever has.
    is_finish_sent: bool,
    was_finish_sent: bool,
    /// When an interrupted writer gives up.
    last_words: Option<Now>,
    /// When the first data was read.
    began: Option<Now>,
    /// How much plaintext the satellite has acknowledged, in bytes.
    delivered: u64,
    /// When a full satellite is asked again.
    ask_again: Option<Now>,
    /// Whether the user was told that the satellite is full.
    is_refusal_told: bool,
    pause: Pause,
}

impl Writer {
    /// Creates a writer that has sent nothing. `wait` and `whole` are passed on to the satellite.
    pub fn new(
        pipe: String,
        (wait, whole): (bool, bool),
        inferred: bool,
        label: String,
        seals: Option<Compression>,
    ) -> Self {
        let seal = seals.map_or(Seal::None, |_| Seal::Awaited);
        Self {
            pipe,
            wait,
            whole,
            inferred,
            label,
            is_opened: false,
            is_rest_told: false,
            is_attached: false,
            is_asked: false,
            seal,
            compressing: Compressing::new(seals.unwrap_or(Compression::Off)),
            packer: None,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            sent: VecDeque::new(),
            held: 0,
            in_hand: IN_HAND,
            acked: 0,
            sent_bytes: 0,
            most_sent: 0,
            spent: 0,
            limit: 0,
            asked: 0,
            acked_tail: 0,
            tail: 0,
            chunk: FIRST_CHUNK,
            end: None,
            is_finish_sent: false,
            was_finish_sent: false,
            last_words: None,
            began: None,
            delivered: 0,
            ask_again: None,
            is_refusal_told: false,
            pause: Pause::default(),
        }
    }

    pub fn wants_input(&self) -> bool {
        self.end.is_none() && self.unsent_bytes < self.in_hand && self.unsent.len() < PIECES_IN_HAND
    }

    pub fn is_open(&self) -> bool {
        self.is_opened && self.end.is_none()
    }

    pub fn is_busy(&self) -> bool {
        self.sent
            .front()
            .is_some_and(|sent| sent.outgoing.wire.len() >= LARGE)
    }

    pub fn deadline(&self) -> Option<Now> {
        let pause = self.pause.deadline();
        [self.last_words, self.ask_again, pause]
            .into_iter()
            .flatten()
            .min()
    }

    /// Opens the stream on a new connection. A writer whose direction was inferred opens it with its first
    /// byte only, since its stdin may turn out to be empty.
    pub fn attach(&mut self, common: &mut Common) {
        let has_begun = self.is_opened || self.unsent_bytes > 0 || !self.sent.is_empty();
        if self.is_asked || (self.inferred && !has_begun) {
            return;
        }
        self.is_asked = true;
        let open = Request::Open(Open {
            stream: common.config.id,
            pipe: self.pipe.clone(),
            from: self.acked,
            resume: self.is_opened,
            wait: self.wait,
            whole: self.whole,
            label: self.label.clone(),
        });
        common.send(&open, None);
    }

    /// Handles keys to seal with, the first or newer ones.
    pub fn renew(&mut self, common: &mut Common, keyring: &Keyring) {
        let Some(identity) = &common.config.identity else {
            return;
        };
        let (stream, random) = (common.config.id, identity.random());
        if let Err(fault) = self.seal.renew(keyring, stream, &self.pipe, random) {
            common.fail(1, &fault);
        }
    }

    pub fn detach(&mut self) {
        self.is_attached = false;
        self.is_asked = false;
        self.is_finish_sent = false;
        self.ask_again = None;
    }

    pub fn happened(&mut self, common: &mut Common, input: Input) {
        match input {
            Input::Read(plain) if !plain.is_empty() => {
                self.began.get_or_insert(common.now);
                let unsent = Unsent::Read(plain);
                self.unsent_bytes += self.seal.wire_len(&unsent);
                self.unsent.push_back(unsent);
            }
            Input::ReadEnd | Input::CommandEnded(CommandEnd::Exited(0)) => self.read_end(common),
            Input::ReadFailed(why) => {
                common
                    .out
                    .push_back(Output::Failure(format!("cannot read stdin: {why}")));
                let how = How::Cut("its stdin could not be read".to_owned());
                self.stop(common, End { how, code: 1 });
            }
            Input::CommandEnded(end) => self.command_failed(common, end),
            Input::NotStarted(why) => {
                // A stream without a byte leaves nothing behind.
                common.send(&Request::Bye, None);
                common.fail(NOT_STARTED, &why);
            }
            _ => {}
        }
    }

    /// Cuts the stream: the output of a failed command must not look whole.
    fn command_failed(&mut self, common: &mut Common, end: CommandEnd) {
        let (what, code) = match end {
            CommandEnd::Exited(code) => (format!("exited with code {code}"), code),
            CommandEnd::Killed(signal) => (
                format!("was killed by signal {signal}"),
                128_u8.saturating_add(signal),
            ),
        };
        let pipe = text::pipe(&self.pipe);
        let fate = if self.whole { "dropped" } else { "cut" };
        let message = format!("the command {what}: its stream in {pipe} was {fate}");
        common.out.push_back(Output::Failure(message));
        let how = How::Cut(format!("its command {what}"));
        self.stop(common, End { how, code });
    }

    fn read_end(&mut self, common: &mut Common) {
        let is_empty = !self.is_opened && self.unsent_bytes == 0 && self.sent.is_empty();
        if self.inferred && is_empty && self.end.is_none() {
            let hint = "nothing on stdin: use -r to read, or -w to send an empty stream";
            common.send(&Request::Bye, None);
            return common.fail(2, hint);
        }
        if self.end.is_none() {
            self.end = Some(End {
                how: How::End,
                code: 0,
            });
        }
    }

    /// Ends early. If there is no stream, the session exits at once.
    fn stop(&mut self, common: &mut Common, end: End) {
        let code = end.code;
        self.end = Some(end);
        let has_begun = self.is_asked || self.is_opened || self.unsent_bytes > 0;
        if !has_begun {
            common.send(&Request::Bye, None);
            common.exit(code);
        }
    }

    /// Handles a signal: what was read is still sent, for a moment, then the stream is cut (rule 15).
    pub fn interrupt(&mut self, common: &mut Common, signal: Signal) {
        self.last_words.get_or_insert(common.now + LAST_WORDS);
        let code = signal.exit_code();
        if self.is_finish_sent {
            // The stream has its end already; the writer only stops waiting for the answer.
            common.send(&Request::Bye, None);
            return common.exit(code);
        }
        let how = How::Cut(format!("interrupted by {}", signal.name()));
        self.stop(common, End { how, code });
    }

    pub fn moved(&self) -> Moved {
        Moved {
            bytes: self.delivered + self.held as u64,
            confirmed: Some(self.delivered),
        }
    }

    pub fn pipe(&self) -> &str {
        &self.pipe
    }

    /// What the writer waits for, if that is worth a word. `pause` tells of missing room.
    pub fn waiting(&self) -> Option<Waiting> {
        let has_nothing = self.unsent_bytes == 0 && self.sent.is_empty();
        if self.inferred && self.end.is_none() && has_nothing && self.sent_bytes == 0 {
            return Some(Waiting::Input);
        }
        (self.wait && self.is_finish_sent).then_some(Waiting::Readers)
    }

    /// What the writer waits for, for the message of `--timeout`.
    pub fn waits_for(&self, common: &Common) -> String {
        if self.is_refusal_told {
            "no room for another stream".to_owned()
        } else if !self.is_asked && self.unsent_bytes == 0 {
            "no data on stdin".to_owned()
        } else if !self.is_attached {
            format!("no answer from {}", common.config.endpoint)
        } else if let Some(full) = self.pause.lacking() {
            no_room(&self.pipe, full)
        } else if self.is_finish_sent && self.wait {
            format!("nobody read all of {}", named(&self.pipe))
        } else if self.is_finish_sent || !self.sent.is_empty() || self.unsent_bytes > 0 {
            format!("no confirmation from {}", common.config.endpoint)
        } else {
            "no data on stdin".to_owned()
        }
    }

    pub fn timeout(&mut self, common: &mut Common) {
        let told = self.pause.tell(common.now, &self.pipe);
        common.out.extend(told.map(Output::Notice));
        if self.last_words.is_some_and(|until| common.now >= until) {
            common.send(&Request::Bye, None);
            return common.exit(self.end.as_ref().map_or(1, |end| end.code));
        }
        if self.ask_again.is_some_and(|due| common.now >= due) {
            self.ask_again = None;
            self.is_asked = false;
        }
    }

    pub fn received(&mut self, common: &mut Common, reply: Reply) {
        match reply {
            Reply::Opened {
                next, limit, rest, ..
            } => self.opened(common, next, limit, rest),
            Reply::Ack {
                next, limit, full, ..
            } => {
                self.acknowledged(common, next);
                self.limit = self.limit.max(limit);
                self.pause.note(common.now, full);
            }
            // Only the answer to its own `Finish` lets a writer exit well. `Finish` may have been sent on
            // an earlier connection: a restarted satellite may not need the rest again.
            Reply::Finished { outcome, .. } if self.was_finish_sent => {
                self.finished(common, outcome);
            }
            Reply::Error {
                code: Code::Limit,
                message,
                about: Some(_),
            } => {
                self.ask_again = Some(common.now + ASK_AGAIN);
                if !std::mem::replace(&mut self.is_refusal_told, true) {
                    let notice = format!("waiting: {message}");
                    common.out.push_back(Output::Notice(notice));
                }
            }
            // A restarted satellite lost nothing of a stream that had no bytes yet.
            Reply::Error {
                code: Code::Unknown,
                ..
            } if self.is_opened && self.sent_bytes == 0 && !self.is_finish_sent => {
                self.is_opened = false;
                self.is_asked = false;
            }
            Reply::Error { code, message, .. } => common.refused(code, &message),
            _ => {}
        }
    }

    /// Handles the satellite's offset of the stream. What the satellite has not received is sent again.
    fn opened(&mut self, common: &mut Common, next: u64, limit: u64, rest: bool) {
        if next < self.acked || next > self.most_sent {
            let message = "the satellite resumed the stream at an impossible position";
            return common.fail(3, message);
        }
        if !self.is_opened {
            common.progress();
        }
        self.is_opened = true;
        self.is_attached = true;
        self.is_refusal_told = false;
        if !self.take_back(next) || !self.skip_to(next, common.now) {
            let message = "the satellite resumed the stream at an impossible position";
            return common.fail(3, message);
        }
        self.spent = 0;
        self.limit = limit;
        self.asked = 0;
        if rest && !std::mem::replace(&mut self.is_rest_told, true) {
            let message = format!(
                "the satellite lost contact with this writer and marked its stream incomplete \
                 after {}: the rest follows separately",
                text::count(next, "byte")
            );
            common.out.push_back(Output::Notice(message));
        }
    }

    /// Moves chunks that were sent and did not arrive back to `unsent`. Returns whether the satellite's
    /// offset `next` is at the start of a chunk or of a record.
    fn take_back(&mut self, next: u64) -> bool {
        while self.sent_bytes > next
            && let Some(mut lost) = self.sent.pop_back()
        {
            self.held -= lost.outgoing.plain.len();
            let start = self.sent_bytes - lost.outgoing.wire.len() as u64;
            let arrived = usize::try_from(next.saturating_sub(start)).unwrap_or(usize::MAX);
            let had = lost.outgoing.split_to(arrived);
            if had.wire.len() != arrived {
                return false;
            }
            self.sent_bytes -= lost.outgoing.wire.len() as u64;
            self.unsent_bytes += lost.outgoing.wire.len();
            self.unsent.push_front(Unsent::Sent(lost.outgoing));
            if !had.is_empty() {
                let before = self.sent.back().map_or(self.acked_tail, |sent| sent.tail);
                let tail = had.plain.tail(before);
                let (outgoing, at) = (had, lost.at);
                self.held += outgoing.plain.len();
                self.sent.push_back(Sent { outgoing, tail, at });
            }
        }
        self.tail = self.sent.back().map_or(self.acked_tail, |sent| sent.tail);
        true
    }

    /// Removes data from `unsent` that has arrived after all. Returns whether the satellite's offset is
    /// valid, like [`take_back`](Self::take_back).
    fn skip_to(&mut self, next: u64, now: Now) -> bool {
        while self.sent_bytes < next {
            let Some(Unsent::Sent(mut outgoing)) = self.unsent.pop_front() else {
                return false;
            };
            self.unsent_bytes -= outgoing.wire.len();
            let missing = usize::try_from(next - self.sent_bytes).unwrap_or(usize::MAX);
            if missing < outgoing.wire.len() {
                let had = outgoing.split_to(missing);
                self.unsent_bytes += outgoing.wire.len();
                self.unsent.push_front(Unsent::Sent(outgoing));
                outgoing = had;
            }
            self.sent_bytes += outgoing.wire.len() as u64;
            if outgoing.is_empty() {
                return false;
            }
            self.note_sent(outgoing, now);
        }
        true
    }

    fn note_sent(&mut self, outgoing: Outgoing, at: Now) {
        self.tail = outgoing.plain.tail(self.tail);
        self.held += outgoing.plain.len();
        let tail = self.tail;
        self.sent.push_back(Sent { outgoing, tail, at });
    }

    fn acknowledged(&mut self, common: &mut Common, next: u64) {
        while self.acked < next
            && let Some(mut sent) = self.sent.pop_front()
        {
            let missing = usize::try_from(next - self.acked).unwrap_or(usize::MAX);
            if missing < sent.outgoing.wire.len() {
                // Part of a chunk is acknowledged, as after a restart.
                let done = sent.outgoing.split_to(missing);
                self.held -= done.plain.len();
                self.delivered += done.plain.len() as u64;
                self.acked += done.wire.len() as u64;
                self.acked_tail = done.plain.tail(self.acked_tail);
                self.sent.push_front(sent);
                return common.progress();
            }
            let plain = sent.outgoing.plain.len();
            self.held -= plain;
            self.delivered += plain as u64;
            self.acked += sent.outgoing.wire.len() as u64;
            self.acked_tail = sent.tail;
            let more = !self.unsent.is_empty();
            self.compressing.acked(common.now, self.acked, plain, more);
            let took = common.now.saturating_sub(sent.at);
            self.in_hand = if took < FAR { IN_HAND } else { IN_HAND_FAR };
            if took < QUICK {
                self.chunk = (self.chunk * 2).min(MAX_CHUNK);
            } else if took > SLOW {
                self.chunk = (self.chunk / 2).max(LEAST_CHUNK);
            }
            common.progress();
        }
    }

    fn finished(&mut self, common: &mut Common, outcome: Outcome) {
        let told = self.pause.end(&self.pipe);
        common.out.extend(told.map(Output::Notice));
        let stream = common.config.id;
        common.send(&Request::Close { stream }, None);
        common.send(&Request::Bye, None);
        let code = self.end.as_ref().map_or(0, |end| end.code);
        if outcome == Outcome::Discarded && code == 0 {
            return common.fail(3, "the unread data of this stream was deleted");
        }
        if self.wait && outcome == Outcome::Kept && code == 0 {
            let message = "the satellite has the stream, but did not confirm that it was read";
            return common.fail(1, message);
        }
        let is_cut = matches!(&self.end, Some(end) if matches!(end.how, How::Cut(_)));
        let receipt = match (is_cut, self.last_words) {
            (false, _) => Some(self.receipt(common.now, outcome)),
            (true, Some(_)) => Some(self.interrupted()),
            // Why a command or stdin failed is told already.
            (true, None) => None,
        };
        common.out.extend(receipt.map(Output::Hint));
        common.exit(code);
    }

    /// What stays of a stream that was cut, for the user.
    fn interrupted(&self) -> String {
        let name = named(&self.pipe);
        if self.whole || self.moved().bytes == 0 {
            return format!("interrupted: nothing stays in {name}");
        }
        let sent = size(self.moved().bytes);
        let discard = if self.pipe.is_empty() {
            "skypipe --discard".to_owned()
        } else {
            format!("skypipe --discard {name}")
        };
        format!(
            "interrupted: what nobody has read of {sent} stays in {name}, marked incomplete; to delete it: \
             {discard}"
        )
    }

    /// What became of the data, for the user.
    fn receipt(&self, now: Now, outcome: Outcome) -> String {
        let sent = match self.began {
            None => "sent an empty stream".to_owned(),
            Some(began) => {
                let took = seconds(now.saturating_sub(began));
                format!("sent {} in {took}", size(self.moved().bytes))
            }
        };
        let fate = match outcome {
            Outcome::Kept => "safe at the satellite, or read already",
            Outcome::Taken => "read",
            Outcome::Discarded => "deleted unread",
        };
        format!("{sent}: {fate}")
    }

    /// Sends what the credit allows, requests more credit, and finishes the stream.
    pub fn advance(&mut self, common: &mut Common) {
        if matches!(common.stage, super::Stage::Apart(_)) {
            return;
        }
        self.attach(common);
        if !self.is_attached {
            return;
        }
        while let Some(outgoing) = self.take_unsent(common) {
            self.send_chunk(common, outgoing);
        }
        let requested = self.want();
        if requested > self.limit && requested > self.asked {
            self.asked = requested;
            common.send(
                &Request::Credit {
                    stream: common.config.id,
                    requested,
                },
                None,
            );
        }
        self.finish(common);
    }

    fn send_chunk(&mut self, common: &mut Common, outgoing: Outgoing) {
        let (at, wire) = (self.sent_bytes, outgoing.wire.clone());
        self.sent_bytes += wire.len() as u64;
        self.most_sent = self.most_sent.max(self.sent_bytes);
        self.spent += cost(wire.len());
        let requested = self.want();
        self.asked = self.asked.max(requested);
        self.note_sent(outgoing, common.now);
        let data = Request::Data(Data {
            stream: common.config.id,
            at,
            tail: self.tail,
            requested,
        });
        common.send(&data, Some(wire));
    }

    /// Splits off the front of `unsent` what fits into `most` wire bytes. Also returns whether some of the
    /// front piece is left.
    fn take_front(&mut self, most: usize) -> Option<(Outgoing, bool)> {
        let front = self.unsent.front_mut()?;
        let packer = match (self.compressing.level(), &front) {
            (Some(level), Unsent::Read(_)) if self.seal.can_pack() => {
                packer_of(&mut self.packer, level)
            }
            _ => None,
        };
        if let Some(packer) = packer {
            let taken = self.seal.take_packed(front, most, packer)?;
            let (plain, wire) = (taken.0.plain.len(), taken.0.wire.len());
            let end = self.sent_bytes + wire as u64;
            self.compressing.packed(plain, wire, end);
            return Some(taken);
        }
        let taken = self.seal.take(front, most, WORTH)?;
        let end = self.sent_bytes + taken.0.wire.len() as u64;
        self.compressing.sent_as_it_is(end);
        Some(taken)
    }

    /// The next chunk, as far as credit and line ends allow.
    fn take_unsent(&mut self, common: &Common) -> Option<Outgoing> {
        let is_held = self.held >= HELD;
        if is_held || !self.compressing.lets_go(self.sent_bytes - self.acked) {
            return None;
        }
        let credit = (self.limit.saturating_sub(self.spent)).saturating_sub(CHUNK_OVERHEAD);
        let most = usize::try_from(credit).unwrap_or(usize::MAX);
        let most = most.min(self.chunk).min(chunk_limit(common));
        let before = self.seal.wire_len(self.unsent.front()?);
        let (outgoing, is_left) = self.take_front(most)?;
        self.unsent_bytes -= before;
        if is_left {
            self.unsent_bytes += self.seal.wire_len(self.unsent.front()?);
        } else {
            self.unsent.pop_front();
        }
        Some(outgoing)
    }

    /// The limit that would allow everything buffered to be sent.
    fn want(&self) -> u64 {
        // The request covers no more than will be used: others may be waiting for idle credit. If line ends
        // make more chunks than this estimate, the rest is requested when these have been sent.
        let chunks = |unsent: &Unsent| self.seal.wire_len(unsent).div_ceil(self.chunk) as u64;
        let overhead: u64 = self.unsent.iter().map(chunks).sum::<u64>() * CHUNK_OVERHEAD;
        if self.unsent_bytes == 0 {
            0
        } else {
            let expected = self.compressing.expected(self.unsent_bytes);
            let least = (self.unsent_bytes as u64).min(MIN_SEND);
            self.spent + (expected as u64).max(least) + overhead
        }
    }

    fn finish(&mut self, common: &mut Common) {
        let Some(end) = self.end.as_ref().filter(|_| self.unsent.is_empty()) else {
            return;
        };
        self.was_finish_sent = true;
        if !std::mem::replace(&mut self.is_finish_sent, true) {
            let len = self.sent_bytes;
            let how = match &end.how {
                How::End => self.seal.end(),
                how => how.clone(),
            };
            let finish = Request::Finish(Finish {
                stream: common.config.id,
                len,
                how,
            });
            common.send(&finish, None);
        }
    }
}

/// The packer for this level. `None` if there is no memory for it.
fn packer_of(kept: &mut Option<(i32, Packer)>, level: i32) -> Option<&mut Packer> {
    if kept.as_ref().is_none_or(|(of, _)| *of != level) {
        *kept = Packer::new(level).map(|packer| (level, packer));
    }
    kept.as_mut().map(|(_, packer)| packer)
}
