//! SKYPIPE/0.1, the original protocol, at the edge of the broker: old frames become requests, and replies
//! become old frames. Pipes, streams, listeners and the store do not know this protocol. `broker.rs` hands over
//! the messages of old peers and takes their requests back (`broker/edge.rs`); because they have no
//! heartbeats and no credit, `peers` ends them with their connection, and `budget` takes their bytes without
//! credit.
//!
//! A data message opens the peer's stream, and an empty message ends it. The protocol has no credit: a writer
//! is cut when room is used up. It has no acknowledgements: what a listener's connection accepts counts as
//! confirmed, one small piece at a time. A peer is gone when its connection is.
//!
//! # What no request says
//!
//! [`Step::Push`] hands in bytes that nobody gave credit for. Its answer is [`V01::is_full`] where there is
//! no room. Everything else is a [`Request`].

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod frames;
mod peer;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub use self::frames::{Answer, Command, MAGIC, MAX_PIECE, decode};
use self::peer::{Item, Stream, V01Peer};
use crate::interface::{Output, Peer};
use crate::pipe::Now;
use crate::protocol::{Finish, How, Listen, MAX_CHUNK, Mode, Open, Reply, Request, cost};

/// When to retry after a full send queue. Short enough for tens of megabytes per second.
const RETRY: Duration = Duration::from_millis(5);

/// The maximum number of pipes that one peer writes or reads at a time. The original client uses one.
pub const MAX_PIPES: usize = 100;

/// The maximum number of v0.1 peers at a time. Without credit, what they send takes memory at once.
const MAX_PEERS: usize = 64;

/// What a v0.1 peer asks of the broker.
#[derive(Debug)]
pub enum Step {
    /// To serve a listener that had to wait.
    Serve(Uuid),
    /// A request, as a client of SKYPIPE/1 would make it.
    Ask(Request),
    /// Bytes for a stream, without credit.
    Push {
        /// The stream.
        stream: Uuid,
        /// The bytes, at most the size of a chunk unless there is no room for all of them.
        payload: Bytes,
    },
}

/// All v0.1 peers.
#[derive(Debug, Default)]
pub struct V01 {
    peers: HashMap<Peer, V01Peer>,
    /// When to resend to a peer whose queue was full.
    retries: BTreeSet<(Now, Peer)>,
    steps: VecDeque<(Peer, Step)>,
    out: VecDeque<Output>,
    /// Lines for the log that nobody has fetched.
    logs: Vec<String>,
}

impl V01 {
    /// Whether one more peer may come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.peers.len() < MAX_PEERS
    }

    /// Whether a connection is that of a v0.1 peer.
    #[must_use]
    pub fn knows(&self, peer: &Peer) -> bool {
        !self.peers.is_empty() && self.peers.contains_key(peer)
    }

    /// Adds a peer.
    pub fn add(&mut self, peer: &Peer) {
        self.peers.entry(peer.clone()).or_default();
    }

    /// Forgets a peer whose connection is gone.
    pub fn forget(&mut self, peer: &Peer) {
        if self.peers.remove(peer).is_some() {
            self.steps.retain(|(from, _)| from != peer);
        }
    }

    /// The next thing that a peer asks of the broker.
    pub fn next_step(&mut self) -> Option<(Peer, Step)> {
        self.steps.pop_front()
    }

    /// The next output.
    pub fn next_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The lines for the log since the last call.
    pub fn take_logs(&mut self) -> Vec<String> {
        std::mem::take(&mut self.logs)
    }

    /// When [`Self::timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// Sends again what a full send queue did not accept.
    pub fn timeout(&mut self, now: Now) {
        while let Some((due, peer)) = self.retries.first().cloned()
            && due <= now
        {
            self.retries.remove(&(due, peer.clone()));
            self.send_piece(&peer);
        }
    }

    fn ask(&mut self, peer: &Peer, request: Request) {
        self.steps.push_back((peer.clone(), Step::Ask(request)));
    }
}

/// What peers send.
impl V01 {
    /// The command in a message. None if it is not one.
    #[must_use]
    pub fn command(frames: &[Bytes]) -> Option<Command> {
        let slices: Vec<&[u8]> = frames.iter().skip(1).map(AsRef::as_ref).collect();
        decode(&slices)
    }

    /// Takes in a command of a known peer. `payload` is the last frame of the message, and `id` a UUID that
    /// nobody has used.
    pub fn obey(&mut self, peer: &Peer, command: Command, payload: Bytes, id: Uuid) {
        match command {
            Command::Hello => self.send(peer, Answer::Hello, None, false),
            Command::Data { pipe } => self.data(peer, &Arc::from(pipe), payload, id),
            Command::Listen { pipe, spelled } => self.listen(peer, &Arc::from(pipe), spelled, id),
            Command::Unlisten { pipe } => self.unlisten(peer, &pipe),
        }
    }

    fn data(&mut self, peer: &Peer, pipe: &Arc<str>, payload: Bytes, id: Uuid) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let is_end = payload.is_empty();
        let stream = match known.stream(pipe) {
            Some(Stream::Open { stream, .. }) => stream,
            // The stream was cut. All data up to its end still belongs to it.
            Some(Stream::Cut) => {
                if is_end {
                    known.end_stream(pipe);
                }
                return;
            }
            None if known.streams() >= MAX_PIPES => return,
            None => {
                known.open_stream(pipe, id);
                self.ask(peer, open(id, pipe));
                id
            }
        };
        if is_end {
            return self.end(peer, pipe, How::End);
        }
        if let Some(known) = self.peers.get_mut(peer) {
            known.count(pipe, payload.len());
        }
        let step = Step::Push { stream, payload };
        self.steps.push_back((peer.clone(), step));
    }

    /// Finishes a peer's stream. Its writer wants no answer.
    fn end(&mut self, peer: &Peer, pipe: &Arc<str>, how: How) {
        let known = self.peers.get_mut(peer);
        if let Some((stream, len)) = known.and_then(|known| known.end_stream(pipe)) {
            self.ask(peer, Request::Finish(Finish { stream, len, how }));
            self.ask(peer, Request::Close { stream });
        }
    }

    /// Takes in data that exceeded what an unknown peer may send, sent before the peer was recognized.
    pub fn oversent(&mut self, peer: &Peer, pipe: String) {
        let (pipe, why) = (Arc::from(pipe), "its first line was too long");
        self.end(peer, &pipe, How::Cut(why.to_owned()));
        self.note_cut(peer, &pipe, why);
    }

    /// Cuts a stream because there is no room for bytes that were pushed.
    pub fn is_full(&mut self, peer: &Peer, stream: Uuid, pushed: usize) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let Some(pipe) = known.pipe_of(stream) else {
            return;
        };
        known.uncount(&pipe, pushed);
        let why = "no room was left, and its protocol (0.1) cannot wait";
        self.end(peer, &pipe, How::Cut(why.to_owned()));
        self.note_cut(peer, &pipe, "no room is left");
    }

    /// Notes that a stream is cut. What the peer still sends to the pipe is dropped up to the stream's end.
    fn note_cut(&mut self, peer: &Peer, pipe: &Arc<str>, why: &str) {
        self.logs.push(format!("a 0.1 writer was cut: {why}"));
        if let Some(known) = self.peers.get_mut(peer) {
            known.cut_stream(pipe);
        }
    }

    fn listen(&mut self, peer: &Peer, pipe: &Arc<str>, spelled: String, id: Uuid) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if known.listens(pipe) || known.listeners() >= MAX_PIPES {
            return;
        }
        known.add_listener(pipe, id, spelled);
        let listen = Listen {
            listener: id,
            pipe: pipe.to_string(),
            mode: Mode::Default,
            window: cost(MAX_CHUNK),
            resume: None,
        };
        self.ask(peer, Request::Listen(listen));
    }

    fn unlisten(&mut self, peer: &Peer, pipe: &str) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        let Some((listener, was_sending)) = known.drop_listener(pipe) else {
            return;
        };
        if was_sending {
            // A report about a send that has not left yet would be mistaken for one about the next send.
            self.out.retain(
                |out| !matches!(out, Output::Send { peer: to, report: true, .. } if to == peer),
            );
        }
        self.ask(peer, Request::Leave { listener });
        self.send_next(peer);
    }
}

/// What peers are sent.
impl V01 {
    /// Whether a reply is for a v0.1 peer. An error about nothing answers a message of SKYPIPE/1, and goes
    /// out as it is.
    #[must_use]
    pub fn takes(&self, peer: &Peer, reply: &Reply) -> bool {
        self.knows(peer) && !matches!(reply, Reply::Error { about: None, .. })
    }

    /// Takes in what the broker tells a peer.
    pub fn reply(&mut self, peer: &Peer, reply: &Reply, payload: Option<Bytes>) {
        match *reply {
            Reply::Chunk { listener, seq, .. } => {
                let payload = payload.unwrap_or_default();
                self.queue(peer, listener, seq, Item::Chunk(payload));
            }
            Reply::Ended { listener, seq, .. } => self.queue(peer, listener, seq, Item::Skipped),
            Reply::Done { listener, seq, .. } => self.queue(peer, listener, seq, Item::End),
            Reply::Error {
                about: Some(about), ..
            } => self.refused(peer, about),
            // The protocol has no words for anything else.
            _ => {}
        }
    }

    fn queue(&mut self, peer: &Peer, listener: Uuid, seq: u64, item: Item) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.queue(listener, seq, item);
            self.send_next(peer);
        }
    }

    /// Forgets a stream or a listener that the satellite has no room for.
    fn refused(&mut self, peer: &Peer, about: Uuid) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if let Some(pipe) = known.pipe_of(about) {
            self.note_cut(
                peer,
                &pipe,
                "this satellite has reached its limit of streams",
            );
        } else {
            known.forget_listener(about);
            self.send_next(peer);
        }
    }

    /// The number of listeners that have something under way to a peer.
    #[cfg(test)]
    pub fn listeners_under_way(&self, peer: &Peer) -> usize {
        self.peers.get(peer).map_or(0, V01Peer::listeners_under_way)
    }

    /// Whether a listener has to wait, because its peer has not taken all that it was sent. The peer asks for
    /// it to be served later ([`Step::Serve`]). So no more is under way to a peer than one listener may have.
    pub fn puts_off(&mut self, peer: &Peer, listener: Uuid) -> bool {
        let known = self.peers.get_mut(peer);
        known.is_some_and(|known| known.puts_off(listener))
    }

    /// Has the listeners served that had to wait, if the peer has taken everything.
    fn serve_put_off(&mut self, peer: &Peer) {
        if let Some(known) = self.peers.get_mut(peer) {
            for listener in known.take_put_off() {
                let step = Step::Serve(listener);
                self.steps.push_back((peer.clone(), step));
            }
        }
    }

    /// Sends the next item, if none is in flight.
    fn send_next(&mut self, peer: &Peer) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if known.is_sending() {
            return;
        }
        while let Some(skipped) = known.take_skipped() {
            self.steps.push_back((peer.clone(), Step::Ask(skipped)));
        }
        self.send_piece(peer);
        self.serve_put_off(peer);
    }

    /// Sends or resends the current piece, unless it is in flight.
    fn send_piece(&mut self, peer: &Peer) {
        let piece = self.peers.get_mut(peer).and_then(V01Peer::next_piece);
        if let Some((pipe, piece)) = piece {
            self.send(peer, Answer::Data { pipe: &pipe }, Some(piece), true);
        }
    }

    /// Notes that the connection accepted a piece.
    pub fn taken(&mut self, peer: &Peer) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if let Some(confirm) = known.taken() {
            self.ask(peer, confirm);
        }
        self.send_next(peer);
    }

    /// Handles a full send queue: the piece is sent again a little later.
    pub fn congested(&mut self, peer: Peer, now: Now) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.not_taken();
            self.retries.insert((now + RETRY, peer));
        }
    }

    fn send(&mut self, peer: &Peer, answer: Answer<'_>, payload: Option<Bytes>, report: bool) {
        let mut frames: Vec<Bytes> = answer.frames().into_iter().map(Bytes::from).collect();
        frames.extend(payload);
        self.out.push_back(Output::Send {
            peer: peer.clone(),
            frames,
            report,
        });
    }
}

fn open(stream: Uuid, pipe: &str) -> Request {
    Request::Open(Open {
        stream,
        pipe: pipe.to_owned(),
        from: 0,
        resume: false,
        wait: false,
        whole: false,
        label: "a 0.1 client".to_owned(),
    })
}
