//! Deliberate faults in the satellite, to check that the simulation finds them.

use bytes::Bytes;
use skypipe_broker::broker::{Input, Output};
use skypipe_protocol::{Code, Confirm, MAGIC, Reply, Request, decode, encode};
use uuid::Uuid;

use super::rng::Rng;

/// The kinds of planted faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From some acknowledgement on, a writer gets no more of them.
    ForgetAck,
    /// From some confirmation on, the satellite receives no more of a listener's.
    ForgetConfirm,
    /// The payloads of two chunks are exchanged.
    Reorder,
    /// A chunk loses bytes.
    DropChunk,
    /// A chunk's bytes come twice.
    DupChunk,
    /// A lost listener that came back is sent nothing any more.
    ForgetReturn,
    /// A lost listener that came back is told that others took what it lacks.
    SendAway,
    /// The finish of a stream counts as confirmed as soon as it was sent.
    FreeEarly,
}

impl Kind {
    /// The fault that `SKYPIPE_PLANT` names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "forget-ack" => Self::ForgetAck,
            "forget-confirm" => Self::ForgetConfirm,
            "reorder" => Self::Reorder,
            "drop-chunk" => Self::DropChunk,
            "dup-chunk" => Self::DupChunk,
            "forget-return" => Self::ForgetReturn,
            "send-away" => Self::SendAway,
            "free-early" => Self::FreeEarly,
            _ => return None,
        })
    }
}

/// The planted fault of one history.
#[derive(Debug)]
pub struct Plant {
    kind: Option<Kind>,
    /// How many occasions pass before it happens.
    patience: u64,
    /// Whether it happens on the network, where only a session can notice it.
    late: bool,
    /// The stream whose acknowledgements are dropped.
    victim: Option<Uuid>,
    /// Whether it has happened.
    pub done: bool,
}

impl Plant {
    /// A fault at a random occasion. None if there is no kind.
    pub fn new(kind: Option<Kind>, rng: &mut Rng) -> Self {
        Self {
            kind,
            patience: rng.between(0, 12),
            late: rng.chance(50),
            victim: None,
            done: false,
        }
    }

    /// Whether this is the occasion.
    fn strikes(&mut self) -> bool {
        if self.done {
            return false;
        }
        self.done = self.patience == 0;
        self.patience = self.patience.saturating_sub(1);
        self.done
    }

    /// Whether this message to the satellite is dropped.
    pub fn swallows(&mut self, frames: &[Bytes]) -> bool {
        if self.kind != Some(Kind::ForgetConfirm) {
            return false;
        }
        let Ok(Request::Confirm(Confirm { listener, .. })) = decode(&frames[1]) else {
            return false;
        };
        if self.strikes() {
            self.victim = Some(listener);
        }
        self.victim == Some(listener)
    }

    /// Changes the satellite's outputs: as if it had sent them so, or, if `late`, on the network.
    pub fn tamper(&mut self, said: &mut Vec<Output>, late: bool) {
        match self.kind.filter(|_| self.late == late) {
            Some(Kind::ForgetAck) => said.retain(|output| match reply(output) {
                Some(Reply::Ack { stream, .. }) => {
                    if self.strikes() {
                        self.victim = Some(stream);
                    }
                    self.victim != Some(stream)
                }
                _ => true,
            }),
            Some(Kind::Reorder) => self.reorder(said),
            Some(kind @ (Kind::DropChunk | Kind::DupChunk)) => {
                for output in said {
                    if let Some(payload) = payload(output)
                        && payload.len() > 1
                        && self.strikes()
                    {
                        *payload = match kind {
                            Kind::DropChunk => payload.slice(..payload.len() / 2),
                            _ => [&payload[..], &payload[..]].concat().into(),
                        };
                    }
                }
            }
            Some(Kind::ForgetReturn) => said.retain(|output| {
                let (back, listener) = match reply(output) {
                    Some(Reply::Listening { listener, lost, .. }) => (lost, listener),
                    Some(
                        Reply::Chunk { listener, .. }
                        | Reply::Ended { listener, .. }
                        | Reply::Done { listener, .. },
                    ) => return self.victim != Some(listener),
                    _ => return true,
                };
                if back && !self.done {
                    (self.victim, self.done) = (Some(listener), true);
                }
                true
            }),
            Some(Kind::SendAway) => {
                for output in said {
                    self.send_away(output);
                }
            }
            Some(Kind::ForgetConfirm | Kind::FreeEarly) | None => {}
        }
    }

    /// Makes the satellite say that a returning listener cannot continue.
    fn send_away(&mut self, output: &mut Output) {
        let Some(Reply::Listening {
            listener,
            lost: true,
            ..
        }) = reply(output)
        else {
            return;
        };
        self.done = true;
        let away = Reply::Error {
            code: Code::Lost,
            message: "others took it".to_owned(),
            about: Some(listener),
        };
        if let Output::Send { frames, .. } = output {
            frames[1] = encode(&away).into();
        }
    }

    /// The forged input for the satellite after it has sent a finish: the listener's confirmation of it.
    pub fn forged(&mut self, said: &[Output]) -> Vec<Input> {
        if self.kind != Some(Kind::FreeEarly) {
            return Vec::new();
        }
        let forged = said.iter().filter_map(|output| {
            let Some(Reply::Ended { listener, seq, .. }) = reply(output) else {
                return None;
            };
            let Output::Send { peer, .. } = output else {
                return None;
            };
            let confirm = Request::Confirm(Confirm {
                listener,
                next_seq: seq + 1,
                window: 0,
            });
            Some(Input::Received {
                peer: peer.clone(),
                key: None,
                frames: vec![Bytes::from_static(MAGIC), encode(&confirm).into()],
            })
        });
        let forged: Vec<_> = forged.collect();
        self.done |= !forged.is_empty();
        forged
    }

    fn reorder(&mut self, said: &mut [Output]) {
        let chunks: Vec<_> = (0..said.len())
            .filter_map(|place| match reply(&said[place]) {
                Some(Reply::Chunk { listener, .. }) => Some((place, listener)),
                _ => None,
            })
            .collect();
        for pair in chunks.windows(2) {
            let [(first, one), (second, other)] = pair else {
                continue;
            };
            let (early, late) = said.split_at_mut(*second);
            let (Some(early), Some(late)) = (payload(&mut early[*first]), payload(&mut late[0]))
            else {
                continue;
            };
            if one == other && early != late && self.strikes() {
                std::mem::swap(early, late);
            }
        }
    }
}

fn reply(output: &Output) -> Option<Reply> {
    match output {
        Output::Send { frames, .. } => decode(&frames[1]).ok(),
        _ => None,
    }
}

fn payload(output: &mut Output) -> Option<&mut Bytes> {
    match output {
        Output::Send { frames, .. } => frames.get_mut(2),
        _ => None,
    }
}
