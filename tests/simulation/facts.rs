//! What one run of the satellite has received and sent, as seen from outside: the chunks of every stream,
//! the items of every listener, who is connected, and when each client was last heard.
//!
//! This module records facts only. [`crate::simulation::model`] derives what should follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::Peer;
use skypipe_protocol::{How, Mode, OpenLine, Outcome, cost};
use uuid::Uuid;

/// After how long a closed connection means that a program on the satellite's own machine has ended.
const GONE_AFTER: Duration = Duration::from_millis(250);

/// A chunk that the satellite received.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The payload.
    pub payload: Bytes,
    /// The length of the unfinished line at its end, from that line's first byte.
    pub tail: u64,
    /// When it was received.
    pub at: Duration,
    /// The offset of the chunk in the stream.
    pub start: u64,
    /// Whether a listener other than a tap has confirmed it.
    pub confirmed: bool,
}

/// A stream known to the satellite.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Stream {
    /// The pipe's name.
    pub pipe: String,
    /// The writer's client UUID.
    pub client: Uuid,
    /// Whether its writer waits for listeners (`--wait`).
    pub wait: bool,
    /// The received chunks.
    pub chunks: Vec<Chunk>,
    /// How it finished, once it did.
    pub finish: Option<How>,
    /// Whether the satellite cut it because its writer was silent.
    pub lost: bool,
    /// Whether the satellite may have forgotten its id: the writer had its answer or left.
    pub forgettable: bool,
    /// Whether a listener other than a tap has confirmed its finish.
    pub finish_confirmed: bool,
    /// How many bytes are safe, as the writer was last told.
    pub acked: u64,
    /// The credit limit that its writer was last told, counted from the last opening.
    pub limit: u64,
    /// The limit that its writer last requested.
    pub wish: u64,
    /// When its writer last requested room that the satellite did not have.
    pub squeezed: Option<Duration>,
    /// The final answer to its writer.
    pub outcome: Option<Outcome>,
}

impl Stream {
    /// A stream without a chunk.
    pub fn new(pipe: String, client: Uuid, wait: bool) -> Self {
        Self {
            pipe,
            client,
            wait,
            chunks: Vec::new(),
            finish: None,
            lost: false,
            forgettable: false,
            finish_confirmed: false,
            acked: 0,
            limit: 0,
            wish: 0,
            squeezed: None,
            outcome: None,
        }
    }

    /// The number of payload bytes.
    pub fn size(&self) -> u64 {
        let last = self.chunks.last();
        last.map_or(0, |chunk| chunk.start + chunk.payload.len() as u64)
    }

    /// The number of the chunk at offset `at`, if one begins there.
    pub fn number(&self, at: u64) -> Option<u64> {
        let place = self.chunks.binary_search_by_key(&at, |chunk| chunk.start);
        place.ok().map(|place| place as u64)
    }

    /// The number of payload bytes in this range of chunks.
    pub fn bytes(&self, from: u64, to: u64) -> u64 {
        range(&self.chunks, from, to)
            .iter()
            .map(|chunk| chunk.payload.len() as u64)
            .sum()
    }

    /// All its bytes.
    pub fn text(&self) -> Vec<u8> {
        self.chunks
            .iter()
            .flat_map(|chunk| &chunk.payload[..])
            .copied()
            .collect()
    }

    /// The chunk with this number.
    pub fn chunk(&self, index: u64) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(index).ok()?)
    }
}

fn range(chunks: &[Chunk], from: u64, to: u64) -> &[Chunk] {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(chunks.len());
    &chunks[place(from)..place(to).max(place(from))]
}

/// One item that a listener was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A chunk.
    Chunk {
        /// The stream.
        stream: Uuid,
        /// The number of the chunk.
        index: u64,
        /// Bytes skipped before it (taps).
        missed: u64,
    },
    /// A finish.
    Ended {
        /// The stream.
        stream: Uuid,
        /// The stream's length in bytes.
        at: u64,
        /// How it finished.
        how: How,
        /// Bytes that others had read before.
        before: u64,
        /// Bytes skipped before it (taps).
        missed: u64,
    },
    /// The last item.
    Done {
        /// Skipped bytes that no earlier item reported (taps).
        missed: u64,
    },
}

/// The state of a listener, as the satellite knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It listens.
    Here,
    /// It left.
    Left,
    /// It was silent for too long.
    Lost,
    /// It has confirmed its last item.
    Closed,
}

/// A listener known to the satellite.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The pipe's name.
    pub pipe: String,
    /// Default, `--one`, `--follow` or `--tap`.
    pub mode: Mode,
    /// The client's UUID.
    pub client: Uuid,
    /// Whether it is present.
    pub presence: Presence,
    /// Its connection.
    pub peer: Option<Peer>,
    /// Whether its last `Listen` arrived after confirmations that are newer.
    pub is_late: bool,
    /// The items that it was sent.
    pub items: Vec<Item>,
    /// How many items it has confirmed.
    pub confirmed: u64,
    /// The credit limit for the total cost of its chunks.
    pub window: u64,
    /// The total cost of its chunks.
    pub cost: u64,
    /// The total cost up to each item.
    pub costs: Vec<u64>,
    /// Its expected output if all items are written.
    pub rendered: Vec<u8>,
    /// The length of its output after each item.
    pub ends: Vec<usize>,
    /// How much it had printed before its first item.
    pub base: usize,
    /// The stream of the last chunk.
    last: Option<Uuid>,
    /// How much it has of each stream, in bytes.
    reached: BTreeMap<Uuid, u64>,
    /// Whether it was told that it missed something while it was away.
    pub has_missed: bool,
    /// The number of streams that it missed, as it was told.
    pub missed_streams: u64,
    /// Whether it was told that others took what it had yet to get.
    pub is_sent_away: bool,
    /// Its report when it came back, while it has no answer: its connection, the item that it expects, and
    /// its window.
    pub returning: Option<(Peer, u64, u64)>,
    /// The unfinished line at the end of what had arrived when it last came back.
    pub line: Option<OpenLine>,
}

impl Listener {
    /// A listener that was sent nothing yet.
    pub fn new(pipe: String, mode: Mode, client: Uuid, window: u64) -> Self {
        Self {
            pipe,
            mode,
            client,
            presence: Presence::Here,
            peer: None,
            is_late: false,
            items: Vec::new(),
            line: None,
            confirmed: 0,
            window,
            cost: 0,
            costs: Vec::new(),
            rendered: Vec::new(),
            ends: Vec::new(),
            base: 0,
            last: None,
            reached: BTreeMap::new(),
            has_missed: false,
            missed_streams: 0,
            is_sent_away: false,
            returning: None,
        }
    }

    /// Records what it had printed in an earlier run of the satellite.
    pub fn begin(&mut self, printed: Vec<u8>) {
        self.last = (!printed.is_empty()).then(Uuid::nil);
        self.base = printed.len();
        self.rendered = printed;
    }

    /// It was lost and comes back: items that were sent and had not arrived are forgotten.
    pub fn goes_on(&mut self, peer: Peer, items: u64, window: u64, texts: &BTreeMap<Uuid, Stream>) {
        let place = usize::try_from(items).expect("items are few");
        self.peer = Some(peer);
        self.presence = Presence::Here;
        self.items.truncate(place);
        self.costs.truncate(place);
        self.ends.truncate(place);
        self.cost = self.costs.last().copied().unwrap_or(0);
        self.window = window;
        self.confirmed = items;
        self.is_late = false;
        self.rendered
            .truncate(self.ends.last().copied().unwrap_or(self.base));
        self.reached.clear();
        self.last = (self.base > 0).then(Uuid::nil);
        for item in &self.items {
            if let Item::Chunk { stream, index, .. } = item
                && let Some(chunk) = texts.get(stream).and_then(|it| it.chunk(*index))
            {
                let end = chunk.start + chunk.payload.len() as u64;
                let reached = self.reached.entry(*stream).or_insert(0);
                if end > *reached {
                    (*reached, self.last) = (end, Some(*stream));
                }
            }
        }
    }

    /// Records an item. `payload` is empty except for a chunk, whose offset in its stream is `at`.
    pub fn push(&mut self, item: Item, payload: &[u8], at: u64) {
        // Others may have taken the last bytes of a stream before its finish, while a follower was lost.
        if let Item::Ended { stream, at, .. } = &item {
            let reached = self.reached.get(stream);
            self.has_missed |=
                self.mode == Mode::Follow && reached.is_some_and(|reached| reached < at);
        }
        if let Item::Chunk { stream, .. } = item {
            self.cost += cost(payload.len());
            let end = at + payload.len() as u64;
            let before = self.reached.insert(stream, end).unwrap_or(at);
            self.has_missed |= before < at && self.mode == Mode::Follow;
            if end <= before {
                self.reached.insert(stream, before);
                return self.note(item);
            }
            let moved = self.last.is_some_and(|last| last != stream);
            let open = self.rendered.last().is_some_and(|byte| *byte != b'\n');
            if moved && open && self.mode != Mode::One {
                self.rendered.push(b'\n');
            }
            self.last = Some(stream);
            self.rendered.extend_from_slice(payload);
        }
        self.note(item);
    }

    fn note(&mut self, item: Item) {
        self.costs.push(self.cost);
        self.ends.push(self.rendered.len());
        self.items.push(item);
    }

    /// Whether its last item was sent.
    pub fn is_done(&self) -> bool {
        matches!(self.items.last(), Some(Item::Done { .. }))
    }

    /// Whether its output contains a stream that was cut or that others had a part of, or (rule 6) one
    /// whose end a default listener did not see.
    pub fn is_incomplete(&self) -> bool {
        let missed = self.has_missed && self.mode == Mode::Follow;
        let inside = self.mode == Mode::Default && self.is_inside();
        missed
            || inside
            || self.items.iter().any(|item| match item {
                Item::Ended { how, before, .. } => *how != How::End || *before > 0,
                Item::Chunk { .. } | Item::Done { .. } => false,
            })
    }

    /// Whether it was sent part of a stream and not the end.
    fn is_inside(&self) -> bool {
        let mut inside = BTreeSet::new();
        for item in &self.items {
            match item {
                Item::Chunk { stream, .. } => inside.insert(*stream),
                Item::Ended { stream, .. } => inside.remove(stream),
                Item::Done { .. } => false,
            };
        }
        !inside.is_empty()
    }

    /// How many missed bytes were reported to it.
    pub fn missed(&self) -> u64 {
        let missed = |item: &Item| match item {
            Item::Chunk { missed, .. } | Item::Ended { missed, .. } | Item::Done { missed } => {
                *missed
            }
        };
        self.items.iter().map(missed).sum()
    }
}

/// A client that sent `Hello`.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its connection, if the satellite knows one.
    pub peer: Option<Peer>,
    /// When it was last heard.
    pub heard: Duration,
    /// When its connection was closed, if that shows that its program has ended.
    pub gone: Option<Duration>,
}

/// Everything that one run of the satellite received and sent.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The virtual time.
    pub now: Duration,
    /// Whether a closed connection shows that its program has ended.
    pub is_local: bool,
    /// When a chunk, an item or a confirmation was last received or sent.
    pub moved: Duration,
    /// The streams, by id.
    pub streams: BTreeMap<Uuid, Stream>,
    /// The listeners, by id.
    pub listeners: BTreeMap<Uuid, Listener>,
    /// Connections that sent `Hello`, with their clients.
    pub peers: BTreeMap<Peer, Uuid>,
    /// The clients, by UUID.
    pub clients: BTreeMap<Uuid, Client>,
    /// Streams and listeners in the order in which they began.
    pub begun: Vec<Uuid>,
}

impl Facts {
    /// A client sent `Hello` on this connection, which replaces an earlier one.
    pub fn hello(&mut self, peer: &Peer, client: Uuid) {
        let fresh = Client {
            peer: Some(peer.clone()),
            heard: self.now,
            gone: None,
        };
        if let Some(Client {
            peer: Some(old), ..
        }) = self.clients.insert(client, fresh)
        {
            self.peers.remove(&old);
        }
        self.peers.insert(peer.clone(), client);
    }

    /// A connection has ended.
    pub fn disconnected(&mut self, peer: &Peer) {
        if let Some(client) = self.peers.remove(peer)
            && let Some(client) = self.clients.get_mut(&client)
        {
            client.peer = None;
            client.gone = self.is_local.then_some(self.now);
        }
    }

    /// Clients that were silent for so long have no connection any more.
    pub fn forget_idle(&mut self, writer: Duration, listener: Duration) {
        let idle = |id: &Uuid, client: &Client| {
            let has_stream = self
                .streams
                .values()
                .any(|it| it.client == *id && !it.forgettable);
            client.heard + if has_stream { writer } else { listener } <= self.now
        };
        let idle: Vec<_> = self
            .clients
            .iter()
            .filter(|(id, it)| idle(id, it))
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            if let Some(Client {
                peer: Some(peer), ..
            }) = self.clients.remove(&id)
            {
                self.peers.remove(&peer);
            }
        }
    }

    /// When a stream or listener of a client with this timeout is lost.
    fn due(&self, client: Uuid, span: Duration) -> Duration {
        let Some(client) = self.clients.get(&client) else {
            return span;
        };
        let gone = client.gone.map(|gone| gone + GONE_AFTER);
        (client.heard + span).min(gone.unwrap_or(Duration::MAX))
    }

    /// Open streams and present listeners whose clients have been silent for too long, in the order in
    /// which they are lost, each with its deadline.
    pub fn overdue(&self, writer: Duration, listener: Duration) -> Vec<(Duration, Uuid)> {
        let due = |id: &Uuid| {
            if let Some(stream) = self
                .streams
                .get(id)
                .filter(|stream| stream.finish.is_none())
            {
                return Some(self.due(stream.client, writer));
            }
            let known = self.listeners.get(id)?;
            (known.presence == Presence::Here).then(|| self.due(known.client, listener))
        };
        let mut overdue: Vec<_> = self
            .begun
            .iter()
            .filter_map(|id| due(id).filter(|due| *due <= self.now).map(|due| (due, *id)))
            .collect();
        overdue.sort_by_key(|(due, _)| *due);
        overdue
    }
}
