//! SKYPIPE/1: the protocol between a client and a satellite.
//!
//! This page is the specification. You can write a client from it in any language that has ZeroMQ and
//! MessagePack; `tests/python/client.py` is one, in Python. The module owns the messages, their limits and
//! their encoding. What a satellite does with them is decided in `broker/src/broker.rs`. What users are
//! promised is in `docs/semantics.md`; "rule 13" below is a rule of that page.
//!
//! 1. [Words](#words)
//! 2. [Framing](#framing)
//! 3. [Encoding](#encoding)
//! 4. [Handshake](#handshake)
//! 5. [Names](#names)
//! 6. [Writing](#writing)
//! 7. [Credit](#credit)
//! 8. [Reading](#reading)
//! 9. [Resuming after a lost connection](#resuming-after-a-lost-connection)
//! 10. [Questions](#questions)
//! 11. [Keys and TLS](#keys-and-tls)
//! 12. [Errors](#errors)
//! 13. [Limits](#limits)
//! 14. [Timing](#timing)
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | satellite | the broker |
//! | client | one program that talks to a satellite, over one connection at a time |
//! | pipe | a name, and the streams in it |
//! | stream | what one writer puts into a pipe: a sequence of bytes, and how it finished |
//! | offset | a number of payload bytes from the beginning of a stream; the first byte is at offset 0 |
//! | chunk | some consecutive bytes of one stream, carried by one message |
//! | listener | one reader of one pipe |
//! | item | one message that a satellite sends to one listener: a chunk, the end of a stream, or `Done` |
//! | seq | the sequence number of an item, from 0 for each listener |
//! | confirm | a listener says that its output has taken everything up to some item |
//!
//! A client may have several streams and listeners at once. The client makes a UUID for itself, for each
//! stream and for each listener. All of them are random (version 4). A UUID is used once: no two streams or
//! listeners ever share one. The satellite knows clients, streams and listeners by these UUIDs, not by their
//! connection.
//!
//! # Framing
//!
//! A satellite binds one ZeroMQ ROUTER socket, by default on TCP port 9000. The satellite that starts by
//! itself on a user's machine binds a Unix socket (`ipc`) instead. A client connects a DEALER socket.
//! ZeroMQ's own security mechanism is NULL. The client leaves the socket's routing id unset, and uses [a new
//! socket for each connection](#resuming-after-a-lost-connection).
//!
//! Every message has two or three frames. There is no empty frame in front.
//!
//! | frame | content |
//! | --- | --- |
//! | 1 | the nine bytes `SKYPIPE/1` ([`MAGIC`]) |
//! | 2 | one command, in MessagePack: a [`Request`] from a client, a [`Reply`] from a satellite |
//! | 3 | the payload of a chunk, as raw bytes; only [`Request::Data`] and [`Reply::Chunk`] have this frame |
//!
//! A payload has 1 byte to [`MAX_CHUNK`]. A payload is never encoded: its bytes are the bytes of the stream.
//!
//! The satellite closes a connection on which a frame exceeds [`MAX_CHUNK`] by more than 4 KiB. A message
//! whose first frame is `SKYPIPE/0.1` belongs to the original protocol (`broker/src/v01.rs`), which shares
//! the socket. The satellite ignores a message with any other first frame.
//!
//! # Encoding
//!
//! Frame 2 is one MessagePack value, of at most [`MAX_COMMAND`] bytes. The types below are Rust's; the table
//! says how each is written. It is the form that `rmp_serde::to_vec_named` gives.
//!
//! | type | MessagePack |
//! | --- | --- |
//! | enum variant without fields: [`Request::Ping`], [`Mode::Tap`], [`Code::Name`] | its name, as a `str`: `"Ping"` |
//! | enum variant with named fields: [`Request::Credit`] | a `map` of one entry: the name, and a `map` of the fields |
//! | enum variant around one value: [`How::Cut`], [`Request::Open`] | a `map` of one entry: the name, and the value |
//! | struct: [`Limits`], [`Resume`], [`OpenLine`], [`PipeInfo`] | a `map` from field name (`str`) to value |
//! | `Option` | `nil`, or the value itself |
//! | `Vec` | an `array` |
//! | pair: [`Status::disk`] | an `array` of two |
//! | `String` | a `str`, in UTF-8 |
//! | `Bytes` | a `bin` |
//! | [`Uuid`] | a `bin` of 16 bytes, in the order in which a UUID is printed |
//! | [`PublicKey`] | a `bin` of 32 bytes |
//! | `u64`, `u32`, `u16` | an unsigned integer, in the shortest form; a reader accepts every form |
//! | `bool` | `true` or `false` |
//!
//! Field names and variant names are spelled as on this page. The order of fields is free. A reader skips
//! fields that it does not know, so that later revisions can add some. A writer sends every field. A reader
//! takes a missing `Option` for `nil`. A client ignores a reply that it does not know or did not expect.
//!
//! A message byte by byte: the six bytes `hello\n` at the beginning of the stream
//! `6ba7b810-9dad-41d1-80b4-00c04fd430c8`, whose writer wants no more than the 262 bytes of credit that they
//! cost.
//!
//! ```text
//! frame 1   53 4b 59 50 49 50 45 2f 31                        SKYPIPE/1
//! frame 2   81                                                map of 1 entry
//!           a4 44 61 74 61                                      str "Data"
//!           84                                                  map of 4 entries
//!           a6 73 74 72 65 61 6d                                  str "stream"
//!           c4 10 6b a7 b8 10 9d ad 41 d1
//!                 80 b4 00 c0 4f d4 30 c8                         bin of 16 bytes
//!           a2 61 74                                              str "at"
//!           00                                                    0
//!           a4 74 61 69 6c                                        str "tail"
//!           00                                                    0
//!           a9 72 65 71 75 65 73 74 65 64                         str "requested"
//!           cd 01 06                                              262
//! frame 3   68 65 6c 6c 6f 0a                                 hello\n
//! ```
//!
//! # Handshake
//!
//! The first message on every connection is [`Request::Hello`], with [`REVISION`]. The satellite answers
//! [`Reply::Welcome`], or [`Reply::Error`] with one of these codes:
//!
//! - [`Code::Revision`]: the two speak different revisions; the sentence names both programs and their
//!   revisions, and the older is to be upgraded.
//! - [`Code::Limit`]: the satellite has no room for another client.
//! - [`Code::Denied`]: the key does not allow it, or another key began with this client's UUID.
//!
//! A client need not wait for the `Welcome` before it sends more; messages keep their order. If
//! [`Reply::Welcome`] has a `key`, the satellite has [keys](#keys-and-tls), and payloads are sealed.
//!
//! A client says `Hello` with the same UUID on each of its connections. The newest connection counts: the
//! satellite answers messages on an older one with [`Code::Stranger`].
//!
//! [`Request::Bye`] ends the client: its streams are cut, its listeners leave. It has no answer. A client
//! that has finished its work says it before it closes the socket.
//!
//! # Names
//!
//! A pipe's name is UTF-8 of at most [`MAX_NAME`] bytes, without control characters (Unicode's category Cc),
//! in Unicode's normal form NFC. The empty name is the default pipe. A client brings what its user wrote into
//! NFC. The satellite refuses every other name with [`Code::Name`]. The names of keys and their patterns obey
//! the same rule.
//!
//! # Writing
//!
//! ```text
//! writer                                      satellite
//!   | Open{stream, pipe, from: 0, …}            |
//!   |------------------------------------------>|
//!   |    Opened{stream, next: 0, limit: 4096, …}|
//!   |<------------------------------------------|
//!   | Data{stream, at: 0, tail: 0, requested: 262}
//!   |                           + hello\n       |
//!   |------------------------------------------>|
//!   |       Ack{stream, next: 6, limit, full: nil}
//!   |<------------------------------------------|
//!   | Finish{stream, len: 6, how: End}          |
//!   |------------------------------------------>|
//!   |          Finished{stream, outcome: Kept}  |
//!   |<------------------------------------------|
//!   | Close{stream}                             |
//!   |------------------------------------------>|
//! ```
//!
//! 1. **Open.** [`Request::Open`] with `resume: false` and `from: 0` makes a stream. The writer waits for
//!    [`Reply::Opened`], because without it the writer has no credit.
//! 2. **Send.** Each [`Request::Data`] carries the next bytes. `at` is the offset of the first of them, so
//!    `at` of a chunk is `at` of the chunk before plus its length. A writer sends any number of chunks
//!    without waiting, as long as it has [credit](#credit).
//! 3. **Keep.** [`Reply::Ack`] is cumulative: it may stand for many chunks. All bytes below its `next` are
//!    safe: they are stored, or every listener that they were for has confirmed them. The writer keeps all
//!    bytes from `next` on, because it may have to send them again. `next` never goes back.
//! 4. **Finish.** [`Request::Finish`] says how many bytes the stream has (`len`) and whether it ended or was
//!    cut. The writer sends `Finish` after the last chunk and need not wait for the `Ack` first. It needs no
//!    credit. A `len` that is not the number of bytes sent is refused with [`Code::Order`].
//! 5. **Answer.** [`Reply::Finished`] comes when all bytes and the finish are safe or, if the stream was
//!    opened with `wait`, when listeners have confirmed all of them. There may be no more `Ack` before it.
//! 6. **Close.** [`Request::Close`] lets the satellite forget the answer. Until then a writer that lost its
//!    connection can come back for it. `Close` has no answer. A `Close` before `Finished` cuts the stream.
//!
//! The satellite takes each byte once and in order. It answers a chunk whose bytes it all has with an `Ack`.
//! It refuses every other chunk that does not begin at the offset it expects, with [`Code::Order`].
//!
//! **Lines.** The satellite never looks into a payload; `tail` is all it knows of lines. `tail` is the length
//! of the unfinished line at the end of the chunk: the number of bytes since the last newline, counted across
//! chunks. After `"ab\ncd"` it is 2, after a further chunk `"ef"` it is 4, after `"\n"` it is 0. Where the
//! satellite merges streams for one listener, it changes to another stream only after a chunk with `tail` 0,
//! after a second of silence, or in a line of more than 1 MiB. A writer of bytes that are no text may always
//! send 0.
//!
//! # Credit
//!
//! Credit bounds what a writer has under way, in bytes. A chunk *costs* its length plus [`CHUNK_OVERHEAD`]
//! (256): the payload `hello\n` costs 262.
//!
//! - `limit`, in [`Reply::Opened`] and [`Reply::Ack`], is what all chunks since the last `Opened` may cost
//!   together, including those that are acknowledged. The writer counts what it has spent since then, from 0.
//!   It may send a chunk if `spent + cost <= limit`. Until the next `Opened`, `limit` only grows.
//! - `requested`, in [`Request::Data`] and [`Request::Credit`], is the `limit` that would let the writer send
//!   all that it has in hand: `spent`, this chunk's cost included, plus the cost of the rest. The satellite
//!   gives a writer more only if it wants more, except that a writer is always given some 4 KiB for its next
//!   line. A writer whose `requested` grows while it can send nothing says so with `Credit`. After `Opened`
//!   the satellite has forgotten the last `requested`.
//! - A stream opens with [`BASE_CREDIT`] (4,096) if there is room, else with less.
//! - A writer with more in hand may leave less than [`MIN_SEND`] (4,096) unused, because small chunks cost more
//!   than they carry.
//! - A chunk beyond the limit is refused with [`Code::Credit`] and not taken.
//! - `full`, in `Ack`, says what is used up while the writer waits for room. `nil` means that nothing is.
//!
//! **Frame credit.** A frame takes memory before the satellite knows what it is. So a connection may send
//! long frames only within the credit of its writers.
//!
//! - A frame of at most [`FREE_FRAME`] (65,536) bytes always arrives. Every
//!   command fits.
//! - A longer frame arrives if its connection has *frame credit* for its length plus 256. Frame credit is the
//!   unused credit of all streams that were opened on this connection. Each growth of a `limit` adds to it,
//!   each chunk uses its cost. A new connection has none.
//! - A longer frame without frame credit arrives empty. The satellite answers as if the client had sent it
//!   empty: with [`Code::Malformed`].
//!
//! A writer that keeps to `limit` never meets this: it sends no long chunk before the `Opened` of this
//! connection.
//!
//! # Reading
//!
//! ```text
//! listener                                    satellite
//!   | Listen{listener, pipe, mode, window, resume: nil}
//!   |------------------------------------------>|
//!   |  Listening{listener, lost: false, missed: 0}
//!   |<------------------------------------------|
//!   | Chunk{listener, seq: 0, stream, at: 0, missed: 0}
//!   |                           + hello\n       |
//!   |<------------------------------------------|
//!   | Confirm{listener, next_seq: 1, window}   |
//!   |------------------------------------------>|
//!   |  Ended{listener, seq: 1, stream, at: 6, how: End, …}
//!   |<------------------------------------------|
//!   |         Done{listener, seq: 2, …}        |
//!   |<------------------------------------------|
//!   | Confirm{listener, next_seq: 3, window}   |
//!   |------------------------------------------>|
//!   |                         Closed{listener}  |
//!   |<------------------------------------------|
//! ```
//!
//! [`Request::Listen`] makes a listener; [`Mode`] says which streams it gets. After [`Reply::Listening`] come
//! three kinds of messages, numbered together from 0 by `seq`, whatever stream they belong to:
//!
//! - [`Reply::Chunk`]: bytes of a stream. Chunks of several streams may alternate. The first chunk of a
//!   stream may have an `at` above 0: others had the bytes before. From then on the chunks of a stream have
//!   no gaps, except for taps, and after a restart or a loss (below).
//! - [`Reply::Ended`]: a stream has finished; no more of it comes. An empty stream is an `Ended` alone.
//! - [`Reply::Done`]: the last item. The listener has all it came for. It comes after the last `Ended`; a
//!   listener that follows never gets one, unless somebody sends [`Request::Eof`].
//!
//! The listener writes the bytes to its output in this order. [`Request::Confirm`] says how many items,
//! counted from item 0, its output has taken: `next_seq: 3` confirms items 0, 1 and 2. It is cumulative, so one
//! `Confirm` for many items is enough. Confirm what is written, not what is received: confirmed bytes may be
//! gone from the satellite. `Ended` and `Done` are items, too, and are confirmed like chunks. A `Confirm` of
//! items that were not sent is refused with [`Code::Order`].
//!
//! After `Done`, the listener confirms everything and waits for [`Reply::Closed`]. Only then is it over. A
//! listener that stops earlier confirms what it has written and sends [`Request::Leave`], which has no
//! answer; the rest waits for others.
//!
//! **Window.** `window` is what all chunks from item 0 on may cost together, confirmed ones included, by the
//! same [cost](#credit) as for writers. `Ended` and `Done` cost nothing. The satellite sends no chunk beyond
//! the window, and has at most [`MAX_UNCONFIRMED`] items unconfirmed. Each `Confirm` moves the window on: a
//! good value is the cost of everything confirmed plus 16 chunks. It must leave room for at least one chunk
//! of [`Limits::chunk`] bytes (1,048,832 with its overhead) beyond what is confirmed, or nothing moves.
//!
//! **Lines.** A listener that writes several streams into one output adds a newline where it changes to
//! another stream and the last byte was none (rule 13). The newline is the client's; it is no part of a
//! stream and of no item.
//!
//! # Resuming after a lost connection
//!
//! A connection is lost when ZeroMQ says so, or when nothing was heard for [some time](#timing). A DEALER
//! socket itself says nothing, and a send on a socket whose connection has ended may block for ever. So a
//! client watches the socket's monitor (`ZMQ_EVENT_DISCONNECTED`, and `ZMQ_EVENT_CLOSED` for a connection
//! that could not be made), and sends without waiting (`ZMQ_DONTWAIT`) or with a limit (`ZMQ_SNDTIMEO`).
//!
//! The client then closes the socket (`ZMQ_LINGER` 0), makes a new one and says `Hello` with the same client
//! UUID. By default a ZeroMQ socket connects again by itself and would send queued messages there, in front
//! of `Hello`. `ZMQ_RECONNECT_IVL` -1 turns that off. While the satellite cannot be reached, the client tries
//! again, with a pause in between.
//!
//! An error with [`Code::Stranger`] means the same: the satellite knows nothing of this connection, because
//! it was restarted or the client was silent for too long. The client begins with `Hello` again.
//!
//! ## A writer comes back
//!
//! 1. It sends [`Request::Open`] with the same stream UUID and pipe. `resume` is `true` if it has ever
//!    received `Opened` for the stream. (If the first `Opened` was lost, `Open` with `resume: false` finds
//!    the stream that it made.) `from` is the first byte that it still has: the last `next` of an `Ack`, or 0
//!    before the first `Ack`.
//! 2. [`Reply::Opened`] says in `next` which byte the satellite expects. `next` is at least `from` and at
//!    most what was sent. The writer sends the bytes from `next` on again, in chunks of any size. Bytes below
//!    `next` have arrived, but are not safe yet: the writer keeps them until an `Ack`.
//! 3. `limit` is new, and `spent` is 0 again.
//! 4. If it had sent `Finish`, it sends `Finish` again. It does so even if `next` is the stream's length:
//!    this is how it gets an answer that was lost.
//!
//! [`Code::Unknown`] means that the satellite has nothing of the stream, or lacks bytes that the writer no
//! longer has. The stream has failed. The exception is a writer that has not sent a byte: it opens the stream
//! anew.
//!
//! ## A listener comes back
//!
//! 1. It sends [`Request::Listen`] with the same listener UUID, pipe and mode. If it has ever received
//!    `Listening`, it adds [`Resume`]: how many items have *arrived*, confirmed or not, and what they cost.
//!    (If the first `Listening` was lost, `resume: nil` finds the listener, too, and everything comes from
//!    item 0.)
//! 2. After [`Reply::Listening`] it confirms again what it has written meanwhile. The satellite goes on with
//!    the item `Resume::next_seq`. An item below that is a repeat and is dropped. A higher one is a fault.
//! 3. A listener that gets [`Code::Unknown`] after `Done` has come is over: the `Closed` was lost. Any other
//!    listener that gets it has lost its place. If it is inside no stream, it may listen anew, with `resume:
//!    nil`; its items begin at 0 again.
//!
//! ## The satellite was restarted
//!
//! [`Reply::Welcome`] has another `satellite`. A satellite without a data directory has lost everything: its
//! clients get [`Code::Unknown`]. A satellite with a data directory still knows the streams and listeners;
//! clients resume as above. The numbers of items go on, but the satellite may have missed the last
//! confirmations, so it may send bytes again under new items. The listener therefore remembers the next
//! offset of each stream:
//!
//! - Of a chunk that begins below this offset it drops the part that it has had, which may be all of it. The
//!   item counts and is confirmed like any other.
//! - An `Ended` at or below the `at` of the stream's last `Ended` is a repeat. It is confirmed and otherwise
//!   ignored.
//!
//! A listener remembers the offsets of streams that have ended, too: of the last 2,048, four times
//! [`MAX_UNCONFIRMED`]. No more can have ended in items that a satellite had not seen confirmed.
//!
//! ## The client was silent for too long
//!
//! A client that is [not heard of](#timing) is given up: its streams are cut, and what its listeners had not
//! confirmed goes to others. Its place is kept, among those of the latest 4,096. It resumes as above, and
//! these things differ:
//!
//! - `Opened` with `rest: true`: somebody was told that the stream was cut at `next`. What the writer sends
//!   from there on is a new stream of the same UUID, whose first byte has the offset `next`.
//! - A stream with `whole` was dropped: [`Code::Unknown`].
//! - `Listening` with `lost: true`: chunks may be missing that others took meanwhile. `missed` is the number
//!   of streams of which this listener did not get the rest. Only [`Mode::Follow`] and [`Mode::Tap`] go on
//!   like this.
//! - [`Code::Lost`]: others took what this listener was still to get. It is over.
//! - [`Resume::streams`] tells the satellite what the listener's output has taken, so that others do not get
//!   it.
//! - A stream that ended (as cut) may go on with chunks at or above the `at` of its `Ended`, and end once
//!   more.
//!
//! # Questions
//!
//! [`Request::List`], [`Request::Discard`], [`Request::Eof`], [`Request::Status`], [`Request::Stop`] and the
//! commands about keys have one answer each: the reply of the matching name, or [`Reply::Error`] with `about:
//! nil`. Answers carry no number. A client asks one question at a time: a `List` or a `Status` may be
//! answered after a later question. Other messages may come in between. If the connection breaks before the
//! answer, the question may or may not have been carried out.
//!
//! [`Request::List`] gives a page of at most [`MAX_PAGE`] pipes in the order of their names' bytes. While
//! `more` is true, the client asks again, with the last name as `after`.
//!
//! # Keys and TLS
//!
//! A satellite with keys speaks TLS 1.3 below ZeroMQ: TCP carries TLS, TLS carries ZMTP. Both sides prove raw
//! Ed25519 public keys (RFC 7250), without certificates; ALPN is `skypipe/1`; there is no resumption, no
//! early data and no SNI (crate `skypipe-transport`). The satellite knows each connection by the public key
//! of its client. It checks every command against that key's rights and refuses what they do not cover with
//! [`Code::Denied`]. It refuses everything once the key has expired or was revoked. A client UUID belongs to
//! the key that said `Hello` with it first.
//!
//! Streams are sealed there. Their bytes are records that the writer sealed and listeners open, they finish
//! with [`How::Proven`], and offsets, lengths and costs count the sealed bytes. To the satellite they are
//! bytes like any others. The form of the records is specified in `src/crypto/seal.rs`, that of sealed keyrings
//! and of what the phrase opens in `src/crypto`.
//!
//! # Errors
//!
//! [`Reply::Error`] has a [`Code`] for programs, a sentence for people, and `about`: the UUID of the stream
//! or listener, or `nil`. An error does not end the connection. What was refused has changed nothing. A
//! message that cannot be decoded, is too long, or has too many frames gets [`Code::Malformed`] or silence.
//! New revisions may add codes; a client treats an unknown one as final.
//!
//! | code | what the client does |
//! | --- | --- |
//! | [`Stranger`](Code::Stranger) | says `Hello` and resumes |
//! | [`Limit`](Code::Limit) for `Open` | may try again after a second |
//! | [`Order`](Code::Order), [`Credit`](Code::Credit), [`Malformed`](Code::Malformed) | it has a fault of its own; a writer can still `Open` with `resume` and go on from `next` |
//! | [`Failed`](Code::Failed) | waits for the satellite's restart, and resumes |
//! | all others | gives up what `about` names, and shows the sentence |
//!
//! # Limits
//!
//! | limit | value | reason |
//! | --- | --- | --- |
//! | [`MAX_CHUNK`] | 1 MiB | larger chunks are no faster and make progress coarse |
//! | [`CHUNK_OVERHEAD`] | 256 | what a chunk's record takes in memory |
//! | [`BASE_CREDIT`] | 4,096 | a line can go at once; ten thousand quiet writers fit the default budget |
//! | [`MIN_SEND`] | 4,096 | smaller chunks cost more than they carry |
//! | [`FREE_FRAME`] | 65,536 | every command fits |
//! | [`MAX_UNCONFIRMED`] | 512 | ZeroMQ's queues hold more, so they never fill |
//! | [`MAX_COMMAND`] | 64 KiB | a full page of a listing fits |
//! | [`MAX_NAME`], [`MAX_LABEL`] | 255 | a page of pipes fits a command |
//! | [`MAX_PAGE`] | 100 pipes | the same |
//! | [`MAX_PROGRESS`] | 1,000 streams | they fit [`MAX_COMMAND`] |
//! | [`MAX_BYTES`] | 2^60 | sums of offsets never overflow |
//! | [`RECORD`], [`PIECE`] | 3,840; 65,280 | sealed records are cut nowhere but between two of them |
//! | [`MAX_KEY_NAME`], [`MAX_PATTERNS`], [`MAX_PATTERN`], [`MAX_KEYS_PAGE`] | 64, 8, 255, 20 | a page of keys fits a command |
//! | [`MAX_KEYRING`] | 16 KiB | the keys of 64 generations, with room to spare |
//! | [`MAX_ORDER`], [`MAX_ATTESTATION`], [`MAX_PROOF`] | 108, 32, 64 | what each holds |
//!
//! A satellite also bounds the numbers of clients, streams and listeners, by its memory. Beyond them it
//! answers [`Code::Limit`].
//!
//! # Timing
//!
//! [`Reply::Welcome`] has the times, in [`Limits`].
//!
//! - **The client** sends something at least every [`heartbeat_ms`](Limits::heartbeat_ms), a
//!   [`Request::Ping`] if nothing else, even while its input or output blocks. Any message from the client
//!   counts. The satellite answers each `Ping` with [`Reply::Pong`] and has no heartbeats of its own. A
//!   client that heard nothing for three heartbeats takes its connection for dead.
//! - **The satellite** gives up a silent client's streams after [`writer_lost_ms`](Limits::writer_lost_ms)
//!   and its listeners after [`listener_lost_ms`](Limits::listener_lost_ms): 60 and 10 seconds by default. A
//!   closed connection counts as silence. Only a satellite that serves one machine takes it for the program's
//!   end, after 250 ms.
//! - A new connection has 5 seconds for the handshakes of ZMTP and TLS. The heartbeat is not known before
//!   `Welcome`; a client waits some 3 seconds for the `Welcome` itself.
//! - Over TCP the satellite's libzmq sends ZMTP heartbeats every 5 seconds and closes a connection that does
//!   not answer one within 15. libzmq (4.2 and later) answers by itself.

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

pub mod address;
mod keys;
pub mod public_keys;
pub mod secret;
pub mod seed;
pub mod text;
pub mod token;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::keys::{
    HOST, Holds, KeyId, KeyInfo, MAX_ATTESTATION, MAX_KEY_NAME, MAX_KEYRING, MAX_KEYS_PAGE,
    MAX_ORDER, MAX_PATTERN, MAX_PATTERNS, MAX_PROOF, NewKey, NewKeyring, OwnKey, Phrase, PublicKey,
    Rights,
};

/// The first frame of every SKYPIPE/1 message.
pub const MAGIC: &[u8] = b"SKYPIPE/1";

/// The revision of SKYPIPE/1 that this crate speaks. It grows with every change that a peer must know of. Two
/// sides with different revisions refuse each other.
pub const REVISION: u16 = 3;

/// The most payload bytes in one chunk: 1 MiB. Larger chunks are no faster, because the kernel's copying
/// dominates, and they make a slow listener's progress coarse.
pub const MAX_CHUNK: usize = 1 << 20;

/// What a chunk costs beside its payload, in bytes of credit. Its record takes that much memory, so a million
/// chunks of one byte are paid for like what they are.
pub const CHUNK_OVERHEAD: u64 = 256;

/// The credit with which a stream opens, in bytes. It is enough for a line, and ten thousand quiet writers
/// fit into the default memory budget.
pub const BASE_CREDIT: u64 = 4096;

/// The least credit that is worth using, in bytes. A writer with more in hand may leave less than this
/// unused, and the satellite counts less than this as none. Smaller chunks cost more than they carry. A
/// record of a sealed stream, which cannot be cut, costs at most this.
pub const MIN_SEND: u64 = 4096;

/// The length of the pieces, counted from where a chunk begins, in which a satellite may pass on a chunk that
/// it read back from its disk. It is also the most that a satellite makes of several small chunks put
/// together. Chunks of a sealed stream consist of full records, except for the last record, so no piece ends
/// inside a record.
pub const PIECE: usize = 17 * RECORD;

/// The length of a full record of a sealed stream, in bytes. A chunk of one such record costs [`MIN_SEND`].
pub const RECORD: usize = 3840;

/// The most items of one listener that are sent and not confirmed. ZeroMQ's queues hold more messages than
/// this, so they never fill. A listener confirms every 1 MiB or so anyway.
pub const MAX_UNCONFIRMED: usize = 512;

/// The most bytes of one stream, and the most items and cost of one listener. Nobody writes that much in a
/// lifetime, and sums of such numbers do not overflow.
pub const MAX_BYTES: u64 = 1 << 60;

/// The longest command frame, in bytes: a full page of a listing fits.
pub const MAX_COMMAND: usize = 1 << 16;

/// Frames of up to this size need no frame credit. Every command fits: a listener that resumes has no credit,
/// and may name many streams.
pub const FREE_FRAME: usize = MAX_COMMAND;

/// The longest pipe name, in bytes of its normal form. The empty name is the default pipe.
pub const MAX_NAME: usize = 255;

/// The longest label of a writer, and the longest reason of a cut, in bytes.
pub const MAX_LABEL: usize = 255;

/// The most pipes on one page of a listing. With names of full length a page fits [`MAX_COMMAND`].
pub const MAX_PAGE: usize = 100;

/// What a chunk of `len` payload bytes costs, in bytes of credit.
#[must_use]
pub fn cost(len: usize) -> u64 {
    len as u64 + CHUNK_OVERHEAD
}

/// The most streams in [`Resume::streams`]: they fit [`MAX_COMMAND`]. For streams that are not named,
/// the satellite goes by what was confirmed.
pub const MAX_PROGRESS: usize = 1000;

/// Which streams a listener gets (`docs/semantics.md`, rules 3 to 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// The oldest stream that waits, if it has finished: this one alone, and `Done`. Otherwise all streams
    /// that are open or open later, until all of those have finished, then `Done`. Several such listeners get
    /// the same bytes.
    Default,
    /// Exactly one stream, from its first byte, for this listener alone, and `Done`. If there is none, the
    /// listener waits for one.
    One,
    /// All streams that wait, the oldest first, then all that open later, without end.
    Follow,
    /// A copy of what is written from now on. What a tap confirms counts for nobody. A tap that is too slow
    /// misses whole chunks and is told how much. It ends like `Default`.
    Tap,
}

/// How a stream finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It is complete.
    End,
    /// It is complete, and sealed. The value is the proof of the end, of at most [`MAX_PROOF`] bytes, which
    /// listeners check. Only at satellites with keys.
    Proven(Bytes),
    /// It is no stream of a writer, but a [`Request::Eof`] that waited for a listener. The value is its
    /// `order`. A satellite refuses it from a writer.
    Eof(Bytes),
    /// It is incomplete: the writer was interrupted, killed or lost. The sentence, of at most [`MAX_LABEL`]
    /// bytes, says why.
    Cut(String),
}

/// What became of a finished stream, for its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The stream was opened without `wait`: every byte and the finish are stored, or were confirmed by every
    /// listener.
    Kept,
    /// The stream was opened with `wait`: every byte was confirmed by some listener.
    Taken,
    /// The stream was opened with `wait`: some of it was discarded before a listener confirmed it.
    Discarded,
}

/// Why something was refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The message cannot be decoded, has a field out of bounds, or has the wrong number of frames.
    Malformed,
    /// The satellite does not know this connection: `Hello` is missing, or was so long ago that it is
    /// forgotten.
    Stranger,
    /// The two sides speak different revisions. Nothing helps but an upgrade.
    Revision,
    /// A pipe's name breaks the [rules for names](self#names).
    Name,
    /// A chunk does not begin at the expected offset, a `Finish` has another length than the stream, or a
    /// `Confirm` names items that were not sent.
    Order,
    /// A chunk exceeds the writer's `limit`. It was not taken.
    Credit,
    /// A number is used up: of clients, streams, listeners, or questions that wait. There may be room later.
    Limit,
    /// The satellite does not know the stream, the listener or the key, or cannot resume it at this position.
    Unknown,
    /// The listener had been given up, and what it was still to get went to others.
    Lost,
    /// The key does not allow it, the stream or listener is another client's, or this satellite never does
    /// it.
    Denied,
    /// There is unread data, so the satellite does not stop.
    Waiting,
    /// The satellite's disk refused the keys that it was to store. Nothing has changed.
    Disk,
    /// The satellite's disk has failed, and the satellite ends. Every client is sent this; it answers
    /// nothing.
    Failed,
}

/// What is used up while a writer waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shortage {
    /// The pipe's own limit, of so many payload bytes.
    Pipe(u64),
    /// The satellite's memory budget, of so many bytes.
    Memory(u64),
    /// The satellite's disk.
    Disk,
    /// The share of the writer's key, of so many payload bytes.
    Key(u64),
}

/// What a client sends. A variant that names no answer has none, unless it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first message on a connection. Answered by [`Reply::Welcome`].
    Hello(Hello),
    /// A sign of life. Answered by [`Reply::Pong`].
    Ping,
    /// The client has finished. Its streams that are not closed are cut, and its listeners leave.
    Bye,
    /// Makes a stream, or resumes one on a new connection. Answered by [`Reply::Opened`].
    Open(Open),
    /// One chunk. The payload is the message's third frame. An [`Reply::Ack`] follows sooner or later.
    Data(Data),
    /// Asks for credit without a chunk. An [`Reply::Ack`] follows when there is more.
    Credit {
        /// The stream's UUID.
        stream: Uuid,
        /// As in `Data`.
        requested: u64,
    },
    /// The stream has finished. Answered by [`Reply::Finished`], possibly much later. On a new connection it
    /// is sent again.
    Finish(Finish),
    /// The writer has its answer, and the satellite may forget the UUID. Before `Finished`, it cuts the
    /// stream.
    Close {
        /// The stream's UUID.
        stream: Uuid,
    },
    /// Makes a listener, or resumes one on a new connection. Answered by [`Reply::Listening`].
    Listen(Listen),
    /// The listener's output has taken the first `next_seq` items. If `Done` is one of them, [`Reply::Closed`]
    /// answers.
    Confirm(Confirm),
    /// The listener goes before its end. What it has not confirmed waits again.
    Leave {
        /// The listener's UUID.
        listener: Uuid,
    },
    /// Ends the pipe's listeners, except those of [`Mode::One`], after what the satellite has now. Streams go
    /// on. If nobody but taps and [`Mode::One`] listens, it waits as an empty stream. Answered by
    /// [`Reply::EofTaken`].
    Eof {
        /// The pipe's name.
        pipe: String,
        /// At a satellite with keys, a sealed word of who sent it and when, of at most [`MAX_ORDER`] bytes,
        /// which listeners check. Otherwise empty.
        order: Bytes,
    },
    /// Asks for a page of the pipes in use, in the order of their names. Answered by [`Reply::Pipes`].
    List {
        /// Only names after this one. `nil` asks for the first page.
        after: Option<String>,
    },
    /// Drops the unread data of a pipe, as far as no listener has it. Answered by [`Reply::Discarded`].
    Discard {
        /// The pipe's name.
        pipe: String,
    },
    /// Asks how the satellite is. Answered by [`Reply::Status`].
    Status,
    /// Stops a satellite that was started for this user alone. Answered by [`Reply::Stopping`]. Other
    /// satellites refuse it with [`Code::Denied`].
    Stop {
        /// Whether to stop even if data waits, which is then lost. Otherwise that is refused with
        /// [`Code::Waiting`].
        force: bool,
    },
    /// Authorizes a new key. Answered by [`Reply::Invited`].
    Invite(NewKey),
    /// Asks for a page of the keys, in the order of their names. Answered by [`Reply::Keys`].
    Keys {
        /// Only names after this one. `nil` asks for the first page.
        after: Option<String>,
    },
    /// Revokes a key. Revoking a revoked key succeeds and changes nothing. Answered by [`Reply::Revoked`].
    Revoke {
        /// The key's name.
        name: String,
        /// Whether streams that it wrote and that no listener has are dropped as well.
        discard: bool,
    },
    /// Stores a sealed keyring for the holder of a key. A key that does not manage may do so once, for
    /// itself. Answered by [`Reply::Kept`].
    Keyring(NewKeyring),
    /// Asks for what the phrase opens. Answered by [`Reply::Phrase`].
    Phrase,
    /// Stores what a new phrase opens, or removes it. Answered by [`Reply::Kept`].
    SetPhrase {
        /// The newest generation of keys in its sealed keyring.
        epoch: u32,
        /// What the phrase opens; `nil` removes it.
        phrase: Option<Phrase>,
    },
}

/// The content of [`Request::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The client's UUID, the same on each of its connections.
    pub client: Uuid,
    /// The [`REVISION`] that the client speaks.
    pub revision: u16,
    /// Program and version, such as `client.py 1.0`, for messages.
    pub program: String,
}

/// The content of [`Request::Open`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The stream's UUID, made by the client.
    pub stream: Uuid,
    /// The pipe's name.
    pub pipe: String,
    /// The offset of the first byte that the writer can still send: 0 for a new stream, otherwise the
    /// last `next` of an `Ack`, 0 before the first.
    pub from: u64,
    /// Whether the writer has ever received [`Reply::Opened`] for this stream. A stream that is resumed
    /// and not known is refused with [`Code::Unknown`]; it is never begun anew.
    pub resume: bool,
    /// Whether `Finished` waits until listeners have confirmed everything.
    pub wait: bool,
    /// Whether listeners get the stream only once it has ended. If it is cut, it is dropped.
    pub whole: bool,
    /// Who writes, for people, such as `user@host`: at most [`MAX_LABEL`] bytes. Listeners get it in
    /// [`Reply::Ended`].
    pub label: String,
}

/// The content of [`Request::Data`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The stream's UUID.
    pub stream: Uuid,
    /// The offset of the payload's first byte.
    pub at: u64,
    /// The length of the unfinished line at the chunk's end, in bytes; 0 after a newline
    /// ([writing](self#writing)).
    pub tail: u64,
    /// The `limit` that would let the writer send all that it has in hand, this chunk included
    /// ([credit](self#credit)).
    pub requested: u64,
}

/// The content of [`Request::Finish`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The stream's UUID.
    pub stream: Uuid,
    /// How many bytes the stream has, all of which have been sent.
    pub len: u64,
    /// [`How::End`], [`How::Proven`] or [`How::Cut`].
    pub how: How,
}

/// The content of [`Request::Listen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The listener's UUID, made by the client.
    pub listener: Uuid,
    /// The pipe's name.
    pub pipe: String,
    /// Which streams it gets.
    pub mode: Mode,
    /// What all chunks from item 0 on may cost together ([reading](self#reading)).
    pub window: u64,
    /// `nil` for a listener that has never received [`Reply::Listening`].
    pub resume: Option<Resume>,
}

/// The content of [`Request::Confirm`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The listener's UUID.
    pub listener: Uuid,
    /// How many items, counted from item 0.
    pub next_seq: u64,
    /// As in `Listen`, moved on.
    pub window: u64,
}

/// Where a listener stands that comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// How many items have arrived, counted from item 0. This is the number of the item that it expects next.
    pub next_seq: u64,
    /// What the chunks in these items cost together.
    pub cost: u64,
    /// Where the last byte that arrived is, if that byte was no newline: the rest of its line comes first.
    pub line: Option<OpenLine>,
    /// What the listener's output has taken of the streams that go on, and of those that ended last. Only a
    /// satellite that had given the listener up goes by it. At most [`MAX_PROGRESS`] entries.
    pub streams: Vec<Progress>,
}

/// An unfinished line at the end of what a listener was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLine {
    /// The line's stream.
    pub stream: Uuid,
    /// The offset behind the last byte that arrived. A satellite that begins further back in the stream sends
    /// nothing of other streams before it has passed this offset.
    pub at: u64,
}

/// How much of one stream a listener's output has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stream's UUID.
    pub stream: Uuid,
    /// The offset behind the last byte taken.
    pub at: u64,
    /// Whether its `Ended` has come and all bytes before it are taken.
    pub ended: bool,
}

/// The limits that a client keeps to, in [`Reply::Welcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most payload bytes in a chunk: at most [`MAX_CHUNK`]. At a satellite with keys it is at least
    /// [`MIN_SEND`], so that each sealed record fits.
    pub chunk: u64,
    /// The longest time between two messages of a client, in milliseconds: 20 to 5,000.
    pub heartbeat_ms: u64,
    /// After how long a silence a client's streams are cut, in milliseconds.
    pub writer_lost_ms: u64,
    /// After how long a silence a client's listeners are given up, in milliseconds.
    pub listener_lost_ms: u64,
}

/// One pipe in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeInfo {
    /// The pipe's name.
    pub name: String,
    /// The number of streams with something that nobody has confirmed.
    pub waiting: u64,
    /// The number of payload bytes that nobody has confirmed.
    pub bytes: u64,
    /// The number of streams that are open.
    pub writers: u64,
    /// The number of listeners, of all modes.
    pub listeners: u64,
    /// Whether a writer waits because room is used up.
    pub full: bool,
}

/// How a satellite is. A key that does not manage is told `program`, `since`, and the numbers of the pipes
/// that it may use; the rest is 0, empty or `nil` for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub program: String,
    /// When it started, in seconds since 1970 (UTC).
    pub since: u64,
    /// Its process id on its machine.
    pub pid: u32,
    /// Where data is stored, in a few words: `memory`, or which directory on disk.
    pub kept: String,
    /// The memory budget, in bytes.
    pub memory: u64,
    /// How much of it payloads and granted credit use, in bytes. It may exceed `memory`.
    pub used: u64,
    /// The bytes used on its disk, and the bytes that it may use; `nil` without a data directory.
    pub disk: Option<(u64, u64)>,
    /// Why writers wait for its disk; `nil` if they do not.
    pub trouble: Option<String>,
    /// What its process could not change about how it was started, a sentence each: limits of resources, a
    /// low priority. It may be missing.
    #[serde(default)]
    pub inherited: Vec<String>,
    /// The number of pipes in use.
    pub pipes: u64,
    /// The number of streams with something that nobody has confirmed.
    pub waiting: u64,
    /// The number of payload bytes that nobody has confirmed.
    pub bytes: u64,
    /// The number of clients connected, including the one that asks.
    pub clients: u64,
}

/// What a satellite sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Answers [`Request::Hello`].
    Welcome {
        /// The UUID of this run of the satellite. A restarted satellite has another one.
        satellite: Uuid,
        /// The [`REVISION`] that it speaks. It is the client's, or `Hello` would have been refused.
        revision: u16,
        /// Program and version.
        program: String,
        /// The limits that the client keeps to.
        limits: Limits,
        /// The client's own key, at a satellite with keys; payloads are sealed there. `nil` at one without.
        key: Option<OwnKey>,
    },
    /// Answers [`Request::Ping`].
    Pong,
    /// Answers [`Request::Open`].
    Opened {
        /// The stream's UUID.
        stream: Uuid,
        /// The offset of the byte that the satellite expects. Bytes below it have arrived, but may not be
        /// safe yet.
        next: u64,
        /// What all chunks from now on may cost together. The writer's count of what it has spent begins at 0
        /// again.
        limit: u64,
        /// Whether what follows is a stream of its own, because listeners were told that the stream was cut.
        /// The writer had been silent for too long.
        rest: bool,
    },
    /// Acknowledges chunks, gives credit and tells of a shortage, all in one. It comes unasked.
    Ack {
        /// The stream's UUID.
        stream: Uuid,
        /// All bytes below this offset are safe: the writer may forget them.
        next: u64,
        /// What all chunks since the last `Opened` may cost together.
        limit: u64,
        /// What is used up, if the writer waits for room; `nil` if it does not.
        full: Option<Shortage>,
    },
    /// Answers [`Request::Finish`].
    Finished {
        /// The stream's UUID.
        stream: Uuid,
        /// What became of the stream.
        outcome: Outcome,
    },
    /// Answers [`Request::Listen`]. Items follow.
    Listening {
        /// The listener's UUID.
        listener: Uuid,
        /// Whether the listener was ever given up, so that chunks may be missing that others took meanwhile.
        lost: bool,
        /// The number of streams, in all, of which the listener did not get the rest because of that.
        missed: u64,
    },
    /// One chunk. The payload is the message's third frame.
    Chunk {
        /// The listener's UUID.
        listener: Uuid,
        /// The item.
        seq: u64,
        /// The UUID of the stream that the bytes belong to.
        stream: Uuid,
        /// The offset of the payload's first byte.
        at: u64,
        /// For a tap: how many bytes of this stream were skipped right before this chunk. 0 for others.
        missed: u64,
    },
    /// A stream has finished.
    Ended {
        /// The listener's UUID.
        listener: Uuid,
        /// The item.
        seq: u64,
        /// The stream's UUID.
        stream: Uuid,
        /// The length of the stream, in bytes.
        at: u64,
        /// How it finished.
        how: How,
        /// Who wrote it: the `label` of `Open`.
        label: String,
        /// For a stream that had finished before this listener came to it: how many of its first bytes others
        /// had confirmed or discarded. 0 for others, unless what is sent is the rest of a stream.
        before: u64,
        /// For a tap: how many bytes were skipped right before the finish. 0 for others.
        missed: u64,
    },
    /// The last item: the listener has all it came for.
    Done {
        /// The listener's UUID.
        listener: Uuid,
        /// The item.
        seq: u64,
        /// For a tap: how many bytes were skipped that no earlier item has told of. 0 for others.
        missed: u64,
        /// The `order` of the [`Request::Eof`] that ended the listener; `nil` if none did.
        eof: Option<Bytes>,
    },
    /// Answers the confirmation of `Done`. The satellite has forgotten the listener.
    Closed {
        /// The listener's UUID.
        listener: Uuid,
    },
    /// Answers [`Request::Eof`].
    EofTaken,
    /// Answers [`Request::List`].
    Pipes {
        /// At most [`MAX_PAGE`] pipes, in the order of their names.
        pipes: Vec<PipeInfo>,
        /// Whether more pipes follow after the last of these.
        more: bool,
    },
    /// Answers [`Request::Discard`].
    Discarded {
        /// The number of streams of which something was dropped.
        streams: u64,
        /// The number of payload bytes dropped.
        bytes: u64,
    },
    /// Answers [`Request::Status`].
    Status(Status),
    /// Answers [`Request::Stop`].
    Stopping,
    /// Answers [`Request::Invite`].
    Invited {
        /// The key's name.
        name: String,
    },
    /// Answers [`Request::Keys`].
    Keys {
        /// At most [`MAX_KEYS_PAGE`] keys, in the order of their names.
        keys: Vec<KeyInfo>,
        /// Whether more keys follow after the last of these.
        more: bool,
        /// The newest generation of keys in any sealed keyring.
        epoch: u32,
    },
    /// Answers [`Request::Revoke`].
    Revoked,
    /// Answers [`Request::Keyring`] and [`Request::SetPhrase`].
    Kept,
    /// Answers [`Request::Phrase`]; `nil` if there is no phrase.
    Phrase(Option<Phrase>),
    /// Tells the holder of a key of a new sealed keyring, in place of the one in `Welcome`. It comes unasked.
    Keyring {
        /// The sealed keyring.
        sealed_keyring: Bytes,
    },
    /// Refuses something.
    Error {
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        message: String,
        /// The UUID of the stream or listener that it is about, if any.
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
            Self::Invalid(why) => write!(f, "the command is invalid: {why}"),
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
/// use skypipe_protocol::name_fault;
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
