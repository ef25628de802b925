//! SKYPIPE/1: what a client and a satellite say to one another.
//!
//! This page is the specification: a stranger can write a client from it. The module owns the
//! commands, the limits and their encoding; it never decides what a satellite does (that is
//! [`crate::broker`]) and never touches a socket.
//!
//! # Transport
//!
//! A satellite binds one ZeroMQ ROUTER socket; a client connects a DEALER. Every message has two or
//! three frames:
//!
//! 1. the eight-and-one bytes `SKYPIPE/1` ([`MAGIC`]),
//! 2. one command: a MessagePack map with one entry, the command's name, whose value is a map of
//!    its fields (`{"Data": {"stream": …, "at": 7, …}}`; a command without fields is its name
//!    alone, as a string). UUIDs are 16 bytes of MessagePack `bin`. Fields that a reader does not
//!    know are skipped, so that fields can be added.
//! 3. for [`Request::Data`] and [`Reply::Chunk`] alone: the payload, raw, 1 byte to [`MAX_CHUNK`].
//!
//! Messages that begin with `SKYPIPE/0.1` belong to the [original protocol](v01), which is served on
//! the same socket. Everything else is ignored.
//!
//! # A connection
//!
//! The first message is [`Request::Hello`]; the satellite answers [`Reply::Welcome`], which holds the
//! limits that the client keeps to, or an error that says what to upgrade. Anything sent before is
//! answered with [`Code::Stranger`]: a client that gets this one has been forgotten (its connection
//! was replaced, or the satellite restarted) and begins with `Hello` again. A client need not wait
//! for the answer before it goes on.
//!
//! Both sides must be heard from: a client sends something, [`Request::Ping`] if nothing else, at
//! least every [`Limits::heartbeat_ms`]; the satellite answers each `Ping` with a [`Reply::Pong`].
//! A client that heard nothing for three such spans takes its connection for dead, opens a new one
//! and resumes. A satellite gives up a silent writer or listener after the times of
//! [`Limits::writer_lost_ms`] and [`Limits::listener_lost_ms`]. [`Request::Bye`] says goodbye.
//!
//! Streams and listeners carry UUIDs (version 4) of the client's own making. They, not the
//! connection, are what the satellite knows them by: on a new connection the client sends the same
//! [`Request::Open`] or [`Request::Listen`] again and goes on.
//!
//! Being given up is not the end. The satellite closes the client's session, so that the next message on the
//! old connection is answered with [`Code::Stranger`], and keeps where the writer or listener stood. A writer
//! that opens its stream again goes on; if somebody was told that the stream was cut, `Opened` says `rest`,
//! and what follows is a stream of the same UUID that begins at `next`. A listener that listens again says in
//! [`Resume::streams`] what its output has taken; `Listening` says `lost`, and of how many streams it
//! `missed` the rest, or the answer is [`Code::Lost`]. A stream may so end twice: [`Reply::Ended`] tells its
//! place, and one at or below the last is a repeat.
//!
//! # Names
//!
//! A pipe's name is UTF-8 of at most [`MAX_NAME`] bytes, without control characters and in Unicode's
//! normal form NFC, so that two spellings of one word are one pipe. A client brings what its user
//! wrote into this form; a satellite refuses any other with [`Code::Name`]. The same holds for the
//! names of keys and for their patterns of pipes.
//!
//! # Writing
//!
//! ```text
//! writer                                  satellite
//!   | Open{stream, pipe, from: 0, …}        |
//!   |-------------------------------------->|
//!   |       Opened{stream, next: 0, limit}  |
//!   |<--------------------------------------|
//!   | Data{stream, at: 0, tail, want} + payload of 6 bytes
//!   |-------------------------------------->|
//!   |             Ack{stream, next: 6, limit, full: nil}
//!   |<--------------------------------------|
//!   | Finish{stream, len: 6, how: End}      |
//!   |-------------------------------------->|
//!   |            Finished{stream, outcome}  |
//!   |<--------------------------------------|
//!   | Close{stream}                         |
//!   |-------------------------------------->|
//! ```
//!
//! A stream is a sequence of bytes, and a chunk says in `at` how many of them lie before it. The
//! satellite takes each exactly once and in order: a chunk that it has had is dropped silently, one
//! that it does not expect yet is refused with [`Code::Order`]. [`Reply::Ack`] is cumulative and may
//! stand for many chunks: all bytes below `next` are safe, on the satellite's disk or with every
//! listener that they were live for, and the writer may forget them; the rest the writer holds.
//! [`Reply::Opened`]'s `next` says which byte the satellite expects: after a reconnection, or a
//! restart of the satellite, the writer sends again from there on, in chunks as it likes.
//!
//! **Credit.** A chunk *costs* its length plus [`CHUNK_OVERHEAD`]. `limit` is what all chunks sent
//! since the last `Opened` may cost together; it only grows until the next one. A writer that has
//! more in hand than it may send says in `want` (of its next `Data`, or in a [`Request::Want`]) the
//! limit that would let it send all of it; the satellite gives no more than is wanted. Every stream
//! is given [`BASE_CREDIT`] at its opening if there is room, so that a line can go at once.
//! A rest of less than [`SCRAP`] may be left unused while more is in hand.
//! A chunk beyond the limit is refused with [`Code::Credit`]. `full` says in what room
//! is used up, if the writer waits for it.
//!
//! **Lines.** `tail` is the number of bytes, at the end of the chunk, of a line whose newline has
//! not been written yet, counted from that line's first byte even if it lies in an earlier chunk.
//! 0 means that the chunk ends with a newline. The satellite never looks into a payload; this is
//! all it knows of lines.
//!
//! **The end.** [`Request::Finish`] with `len`, the number of bytes. It needs no credit.
//! [`Reply::Finished`] answers it when what the writer asked for holds: everything is kept, or, if
//! it was opened with `wait`, everything was confirmed by listeners. The satellite keeps this answer
//! for a writer that comes back for it (with `Open`, then `Finish` again) until [`Request::Close`].
//!
//! # Listening
//!
//! ```text
//! listener                                satellite
//!   | Listen{listener, pipe, mode, window}  |
//!   |-------------------------------------->|
//!   |                  Listening{listener}  |
//!   |<--------------------------------------|
//!   | Chunk{listener, turn: 0, stream, at, …} + payload
//!   |<--------------------------------------|
//!   | Confirm{listener, turns: 1, window}   |
//!   |-------------------------------------->|
//!   |     Ended{listener, turn: 1, stream, how, …}
//!   |<--------------------------------------|
//!   |     Done{listener, turn: 2}           |
//!   |<--------------------------------------|
//!   | Confirm{listener, turns: 3, window}   |
//!   |-------------------------------------->|
//!   |                     Closed{listener}  |
//!   |<--------------------------------------|
//! ```
//!
//! What goes to one listener is numbered in *turns* from 0, whatever stream it belongs to: chunks,
//! the finishes of streams ([`Reply::Ended`]) and at last [`Reply::Done`]. [`Request::Confirm`] is
//! cumulative and coalesced: the first `turns` turns were written to the listener's output, and that
//! write has returned. `window` is what all chunks from turn 0 on may cost together; the satellite
//! sends no more, nor more than [`MAX_TURNS_OPEN`] unconfirmed turns. It is to exceed what has been
//! confirmed by at least the cost of one chunk of [`Limits::chunk`] bytes, or nothing would move.
//!
//! After a reconnection `Listen` carries [`Resume`]: how many turns have *arrived*; turns from there
//! on are sent again, and what arrived twice is recognised by its turn. A satellite that was
//! restarted goes on with the number of the next turn, but may not know how far the listener had come in each stream: it sends from the first byte
//! that it needs not to have been confirmed. A chunk's `at` tells the listener where it stands: what
//! it has had of a stream it drops, whole chunks and beginnings of chunks, and confirms like the
//! rest. So it remembers where it stood in the last streams whose finish came, some times
//! [`MAX_TURNS_OPEN`] of them: no more can have ended in turns that the satellite had not confirmed. `Done` is the last turn; [`Reply::Closed`] answers its confirmation, and
//! only then has the listener nothing left to do. [`Request::Leave`] is a listener's goodbye before
//! that: what it has not confirmed waits again.
//!
//! # Asking
//!
//! [`Request::List`], [`Request::Discard`], [`Request::Eof`], [`Request::Status`],
//! [`Request::Stop`] and all that follow it each get one answer, in order.
//!
//! # Keys
//!
//! A satellite that others can reach speaks TLS 1.3 below ZeroMQ ([`crate::tls`]), and knows each connection by
//! the public key of its client. What the key allows is checked for every command; what it does not is answered
//! with [`Code::Denied`], and so is everything once the key has ended. A client may hold but one key,
//! and go on only with the key it began with.
//!
//! Streams are sealed there: their bytes are records that the writer sealed and listeners open, and
//! they finish with [`How::Proven`]. The satellite takes them as any bytes. The form of the records,
//! of boxes and of what the phrase opens is the clients' own affair (`src/seal.rs` and `src/keys`
//! of the client in this repository).
//!
//! # Refusals
//!
//! [`Reply::Error`] carries a [`Code`] for programs and a sentence for people, and the UUID that it
//! is about, if any. A message that cannot be decoded, is too long or has frames too many is
//! answered with [`Code::Malformed`] or silence; none ends the satellite.

mod keys;
pub mod v01;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text;

pub use self::keys::{
    Holds, KeyInfo, MAX_BOX, MAX_KEY_NAME, MAX_KEYS_PAGE, MAX_ORDER, MAX_PATTERN, MAX_PATTERNS,
    MAX_PROOF, MAX_VOUCHER, NewBox, NewKey, OwnKey, Phrase, PublicKey, Rights,
};

/// The first frame of every SKYPIPE/1 message.
pub const MAGIC: &[u8] = b"SKYPIPE/1";

/// The revision of SKYPIPE/1 that this crate speaks. It grows when a peer must know of a change.
pub const REVISION: u16 = 2;

/// The most payload bytes in one chunk: 1 MiB. Larger ones gain no speed (the kernel's copying
/// dominates) and make a slow listener's progress coarse.
pub const MAX_CHUNK: usize = 1 << 20;

/// What a chunk costs beside its payload, in bytes of credit: the room that its record takes in
/// memory, so that a million one-byte chunks are paid for like what they are.
pub const CHUNK_OVERHEAD: u64 = 256;

/// The credit a stream is opened with, in bytes: enough for a line, little enough that ten thousand
/// quiet writers fit into the default budget.
pub const BASE_CREDIT: u64 = 4096;

/// A writer need not send as long as less credit than this is left and it has more in hand, and the
/// satellite counts less than this as none: smaller chunks cost more than they carry. The records of
/// a sealed stream, which cannot be cut, cost at most this.
pub const SCRAP: u64 = 4096;

/// The length of the pieces in which a satellite may pass on what it had put by, counted from where a
/// chunk begins, and the most of several small chunks that it may put together to one. A chunk of a
/// sealed stream is made of full records, but for its last, so that no piece ends within one.
pub const PIECE: usize = 17 * RECORD;

/// The length of a full record of a sealed stream, with which it costs [`SCRAP`].
pub const RECORD: usize = 3840;

/// The most unconfirmed turns of one listener. ZeroMQ's queues hold more messages than this, so
/// that they never fill, and a listener's confirmations come every 1 MiB or so at most anyway.
pub const MAX_TURNS_OPEN: usize = 512;

/// The most bytes of one stream, and the most turns and cost of one listener: more than anybody
/// writes in a lifetime, and few enough that sums of them are numbers still.
pub const MAX_BYTES: u64 = 1 << 60;

/// The longest command frame, in bytes. The longest that makes sense is a page of a listing.
pub const MAX_COMMAND: usize = 1 << 16;

/// The longest pipe name, in bytes of its normal form (semantics: 1–255; the empty name is the
/// default pipe).
pub const MAX_NAME: usize = 255;

/// The longest label a writer may give itself, and the longest reason of a cut, in bytes.
pub const MAX_LABEL: usize = 255;

/// The most pipes on one page of a listing: with names of full length a page fits [`MAX_COMMAND`].
pub const MAX_PAGE: usize = 100;

/// What a chunk of `len` payload bytes costs, in bytes of credit.
#[must_use]
pub fn cost(len: usize) -> u64 {
    len as u64 + CHUNK_OVERHEAD
}

/// The most streams of which a listener that comes back says how far it is: with these a command fits
/// [`MAX_COMMAND`]. Of others the satellite goes by what was confirmed.
pub const MAX_PROGRESS: usize = 1000;

/// How a listener takes part; the rules of the same names in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// The oldest that waits, or live until every writer has finished.
    Default,
    /// Exactly one stream, whole, for this listener alone.
    One,
    /// All that waits, then live for ever.
    Follow,
    /// Live without taking.
    Tap,
}

/// How a stream finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// The writer's stdin closed.
    End,
    /// The writer's stdin closed, and its stream was sealed: the proof of the end, of at most
    /// [`MAX_PROOF`] bytes, which listeners check.
    Proven(Bytes),
    /// An `--eof` that waited for a listener, with its `order`. No writer finishes in this way.
    Eof(Bytes),
    /// The writer was interrupted, killed or lost; the sentence, of at most [`MAX_LABEL`] bytes, says
    /// why.
    Cut(String),
}

/// What became of a finished stream, told to its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Each byte and the finish are safe at the satellite, or were confirmed by every listener.
    Kept,
    /// Each byte was confirmed by some listener.
    Taken,
    /// What waited of it was discarded.
    Discarded,
}

/// Why something was refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The message could not be understood.
    Malformed,
    /// The client has not said `Hello` on this connection.
    Stranger,
    /// The two sides speak different revisions.
    Revision,
    /// A pipe's name breaks the rules for names.
    Name,
    /// A chunk came out of its order.
    Order,
    /// A chunk exceeded the writer's credit.
    Credit,
    /// A number of something is used up: clients, streams, listeners.
    Limit,
    /// A stream or listener was resumed that this satellite does not know, or not at this position.
    Unknown,
    /// A listener came back after it had been given up, and what it was still to get went to others.
    Lost,
    /// The satellite does not do this for this client.
    Denied,
    /// Something waits, so the satellite does not stop.
    Waiting,
    /// The satellite's disk refused what it was to keep.
    Disk,
    /// The satellite's disk has failed, and the satellite ends; it is about nothing that was asked.
    Failed,
}

/// What a writer waits for room in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shortage {
    /// Its pipe, which may keep so many payload bytes.
    Pipe(u64),
    /// The satellite's memory, of so many bytes.
    Memory(u64),
    /// The satellite's disk.
    Disk,
    /// The share of its key, of so many payload bytes.
    Key(u64),
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first message of a connection.
    Hello {
        /// The client program's own UUID, the same on each of its connections.
        client: Uuid,
        /// The [`REVISION`] it speaks.
        revision: u16,
        /// Program and version, for logs and `--check`.
        program: String,
    },
    /// Says that the client is there.
    Ping,
    /// The client goes; its streams are cut and its listeners leave.
    Bye,
    /// Opens a stream, or resumes it on a new connection.
    Open {
        /// The stream's UUID.
        stream: Uuid,
        /// The pipe's name.
        pipe: String,
        /// The first byte that the writer can still send: 0 for a stream that is new.
        from: u64,
        /// Whether the stream has been opened before ([`Reply::Opened`] was received). A stream
        /// that is resumed and not known is refused, never begun anew.
        resume: bool,
        /// Whether the answer to `Finish` waits until listeners have confirmed everything.
        wait: bool,
        /// Whether listeners get the stream only once it has ended. If it is cut, it is dropped.
        whole: bool,
        /// Who writes, for people: at most [`MAX_LABEL`] bytes.
        label: String,
    },
    /// One chunk; its payload is the message's third frame.
    Data {
        /// The stream.
        stream: Uuid,
        /// Payload bytes of the stream before it.
        at: u64,
        /// Bytes of an unfinished line at the chunk's end (see the module).
        tail: u64,
        /// The limit that would let the writer send all it has in hand.
        want: u64,
    },
    /// Asks for credit without sending a chunk.
    Want {
        /// The stream.
        stream: Uuid,
        /// The limit that would let the writer send all it has in hand.
        want: u64,
    },
    /// The stream is finished.
    Finish {
        /// The stream.
        stream: Uuid,
        /// How many bytes it has.
        len: u64,
        /// How it finished.
        how: How,
    },
    /// The writer has its answer; the satellite may forget the stream's UUID.
    Close {
        /// The stream.
        stream: Uuid,
    },
    /// Listens to a pipe, or goes on doing so on a new connection.
    Listen {
        /// The listener's UUID.
        listener: Uuid,
        /// The pipe's name.
        pipe: String,
        /// How.
        mode: Mode,
        /// What all chunks from turn 0 on may cost together.
        window: u64,
        /// On a new connection of a listener that got [`Reply::Listening`] before.
        resume: Option<Resume>,
    },
    /// The listener's output has taken the first `turns` turns.
    Confirm {
        /// The listener.
        listener: Uuid,
        /// How many turns, from the first on.
        turns: u64,
        /// What all chunks from turn 0 on may cost together.
        window: u64,
    },
    /// The listener goes before its end; what it has not confirmed waits again.
    Leave {
        /// The listener.
        listener: Uuid,
    },
    /// Finishes the pipe's default, follow and tap listeners after what was taken in before.
    Eof {
        /// The pipe's name.
        pipe: String,
        /// At a satellite that has keys, the sealed word of who gives it and when, of at most [`MAX_ORDER`]
        /// bytes: listeners check it. Else empty.
        order: Bytes,
    },
    /// Asks for a page of the pipes in use, in the order of their names.
    List {
        /// Only names after this one; none for the first page.
        after: Option<String>,
    },
    /// Drops what waits in a pipe and is not being taken.
    Discard {
        /// The pipe's name.
        pipe: String,
    },
    /// Asks how the satellite is.
    Status,
    /// Stops a satellite that was started for this user alone.
    Stop {
        /// Even if something waits, which is then lost.
        force: bool,
    },
    /// Lets somebody in.
    Invite(NewKey),
    /// Asks for a page of the keys, in the order of their names.
    Keys {
        /// Only names after this one; none for the first page.
        after: Option<String>,
    },
    /// Ends a key. One that has been ended before is ended once more, gladly.
    Revoke {
        /// Its name.
        name: String,
        /// Whether what it wrote and nobody takes is dropped as well.
        discard: bool,
    },
    /// Keeps a box for the holder of a key. Who does not manage may do so for himself, once.
    Box(NewBox),
    /// Asks for what the phrase opens.
    Phrase,
    /// Keeps what a new phrase opens, or nothing any more.
    SetPhrase {
        /// The newest generation of keys in its box.
        epoch: u32,
        /// What it opens.
        phrase: Option<Phrase>,
    },
}

/// Where a listener is that comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// How many turns have arrived.
    pub turns: u64,
    /// What they cost together.
    pub cost: u64,
    /// The stream in whose line the turns that have arrived stop, if they do within one: its rest
    /// comes first.
    pub line: Option<Uuid>,
    /// What the listener's output has taken of the streams that go on, and of those that ended last:
    /// at most [`MAX_PROGRESS`]. A satellite that had given the listener up goes by it.
    pub streams: Vec<Progress>,
}

/// How much of a stream a listener's output has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stream.
    pub stream: Uuid,
    /// All payload bytes below this place, from where the listener began.
    pub at: u64,
    /// Whether its finish has come, and everything before it was taken.
    pub ended: bool,
}

/// The limits that a client keeps to, told in [`Reply::Welcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most payload bytes in a chunk; at most [`MAX_CHUNK`], and at a satellite that has keys at
    /// least [`SCRAP`], so that each sealed record fits.
    pub chunk: u64,
    /// The span within which each side is heard from, in milliseconds.
    pub heartbeat_ms: u64,
    /// A writer not heard of for so long is lost, in milliseconds.
    pub writer_lost_ms: u64,
    /// A listener not heard of for so long is lost, in milliseconds.
    pub listener_lost_ms: u64,
}

/// One pipe in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeInfo {
    /// Its name.
    pub name: String,
    /// Streams with something that nobody has confirmed.
    pub waiting: u64,
    /// Payload bytes that nobody has confirmed.
    pub bytes: u64,
    /// Writers whose streams are open.
    pub writers: u64,
    /// Listeners of all modes.
    pub listeners: u64,
    /// Whether a writer waits because room is used up.
    pub full: bool,
}

/// How a satellite is, for `--check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub program: String,
    /// When it started, in seconds since 1970 (UTC).
    pub since: u64,
    /// Its process id on its machine.
    pub pid: u32,
    /// Where what waits is kept, in a few words: `memory`, or which directory on disk.
    pub kept: String,
    /// The budget for payloads, in bytes.
    pub memory: u64,
    /// What of it is in use, in bytes.
    pub used: u64,
    /// What it uses of its disk and what it may use, in bytes, if it has one.
    pub disk: Option<(u64, u64)>,
    /// Why writers wait for its disk, if they do.
    pub trouble: Option<String>,
    /// What it has from whoever started it and could not put off, a sentence each: limits of resources, a
    /// low priority. Absent from satellites that do not tell.
    #[serde(default)]
    pub inherited: Vec<String>,
    /// Pipes in use.
    pub pipes: u64,
    /// Streams with something that nobody has confirmed.
    pub waiting: u64,
    /// Payload bytes that nobody has confirmed.
    pub bytes: u64,
    /// Clients connected, the asking one included.
    pub clients: u64,
}

/// What a satellite says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Answers `Hello`.
    Welcome {
        /// This run of the satellite; another one after a restart.
        satellite: Uuid,
        /// The [`REVISION`] it speaks.
        revision: u16,
        /// Program and version.
        program: String,
        /// What the client keeps to.
        limits: Limits,
        /// The client's key, at a satellite that has keys: whoever writes there seals.
        key: Option<OwnKey>,
    },
    /// Answers `Ping`.
    Pong,
    /// Answers `Open`.
    Opened {
        /// The stream.
        stream: Uuid,
        /// The byte that the satellite expects next.
        next: u64,
        /// What all chunks from there on may cost together.
        limit: u64,
        /// Whether what comes from there on is the rest of a stream that was cut, and of which others
        /// were told so: the writer had not been heard of for too long.
        rest: bool,
    },
    /// Acknowledges chunks and gives credit.
    Ack {
        /// The stream.
        stream: Uuid,
        /// All bytes below this place are safe.
        next: u64,
        /// What all chunks since the last `Opened` may cost together.
        limit: u64,
        /// What is used up, if the writer waits for room.
        full: Option<Shortage>,
    },
    /// Answers `Finish`.
    Finished {
        /// The stream.
        stream: Uuid,
        /// What became of it.
        outcome: Outcome,
    },
    /// Answers `Listen`.
    Listening {
        /// The listener.
        listener: Uuid,
        /// Whether it was ever given up, so that chunks may be missing which others took meanwhile.
        lost: bool,
        /// Of how many streams in all it was not sent the rest, for others took that meanwhile.
        missed: u64,
    },
    /// One chunk; its payload is the message's third frame.
    Chunk {
        /// The listener.
        listener: Uuid,
        /// The turn.
        turn: u64,
        /// The stream it belongs to.
        stream: Uuid,
        /// Payload bytes of the stream before it.
        at: u64,
        /// To a tap: how many payload bytes of this stream were skipped right before it.
        missed: u64,
    },
    /// A stream has finished.
    Ended {
        /// The listener.
        listener: Uuid,
        /// The turn.
        turn: u64,
        /// The stream.
        stream: Uuid,
        /// Payload bytes of the stream before its finish.
        at: u64,
        /// How it finished.
        how: How,
        /// Who wrote it.
        label: String,
        /// If it had finished before this listener began with it: how many of its first bytes
        /// were confirmed by others or discarded before.
        before: u64,
        /// To a tap: how many payload bytes were skipped right before the finish.
        missed: u64,
    },
    /// The listener has all it came for.
    Done {
        /// The listener.
        listener: Uuid,
        /// The turn, its last.
        turn: u64,
        /// To a tap: how many payload bytes were skipped that no earlier turn has told of.
        missed: u64,
        /// If an `--eof` ended it: the `order` of that.
        eof: Option<Bytes>,
    },
    /// The satellite knows that the listener has confirmed `Done`, and has forgotten it.
    Closed {
        /// The listener.
        listener: Uuid,
    },
    /// Answers `Eof`.
    EofTaken,
    /// Answers `List`.
    Pipes {
        /// At most [`MAX_PAGE`].
        pipes: Vec<PipeInfo>,
        /// Whether there are more after the last of these.
        more: bool,
    },
    /// Answers `Discard`.
    Discarded {
        /// Streams of which something was dropped.
        streams: u64,
        /// Payload bytes dropped.
        bytes: u64,
    },
    /// Answers `Status`.
    Status(Status),
    /// Answers `Stop`.
    Stopping,
    /// Answers `Invite`.
    Invited {
        /// The key's name.
        name: String,
    },
    /// Answers `Keys`.
    Keys {
        /// At most [`MAX_KEYS_PAGE`].
        keys: Vec<KeyInfo>,
        /// Whether there are more after the last of these.
        more: bool,
        /// The newest generation of keys in any box.
        epoch: u32,
    },
    /// Answers `Revoke`.
    Revoked,
    /// Answers `Box` and `SetPhrase`.
    Kept,
    /// Answers `Phrase`.
    Phrase(Option<Phrase>),
    /// Tells the holder of a key of a new box, in place of the one in `Welcome`.
    Boxed {
        /// The box.
        boxed: Bytes,
    },
    /// Refuses something.
    Error {
        /// For programs.
        code: Code,
        /// For people.
        message: String,
        /// The stream or listener that it is about.
        about: Option<Uuid>,
    },
}

/// Why a command frame could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`MAX_COMMAND`].
    TooLong,
    /// Not MessagePack, or not a command; with the decoder's own words.
    Invalid(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the command is longer than {MAX_COMMAND} bytes"),
            Self::Invalid(why) => write!(f, "the command makes no sense: {why}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Encodes a [`Request`] or a [`Reply`] as a message's second frame.
///
/// # Panics
///
/// Never for these types: they hold nothing that MessagePack cannot express.
#[must_use]
pub fn encode<T: Serialize>(command: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(command).expect("commands are expressible in MessagePack")
}

/// Decodes a message's second frame.
///
/// # Errors
///
/// When the frame is too long or does not begin with a command of the wanted kind.
pub fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, DecodeError> {
    if frame.len() > MAX_COMMAND {
        return Err(DecodeError::TooLong);
    }
    // From a slice: a reader would make room for whatever length a hostile frame claims.
    rmp_serde::from_slice(frame).map_err(|error| DecodeError::Invalid(error.to_string()))
}

/// Why `name` cannot be a pipe's name, or nothing if it can.
///
/// ```
/// use skypipe_broker::protocol::name_fault;
/// assert_eq!(name_fault("logs"), None);
/// assert_eq!(name_fault(""), None, "the default pipe");
/// assert!(name_fault("a\nb").is_some());
/// assert!(name_fault("cafe\u{301}").is_some(), "it is spelled café, with one character");
/// ```
#[must_use]
pub fn name_fault(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        Some("a pipe's name has at most 255 bytes")
    } else if name.chars().any(char::is_control) {
        Some("a pipe's name has no control characters")
    } else if !text::is_normal(name) {
        Some("a pipe's name is spelled in Unicode's normal form NFC")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
