//! A writer's outgoing data, in plaintext and as it is sent.
//!
//! At a satellite without keys the two are identical. Otherwise sealed records are sent. The data can be
//! cut between records and never inside one. Records are retransmitted as they are: sealing them again
//! would give bytes that differ from those that a listener may have received already.

use bytes::Bytes;
use skypipe_protocol::{How, PIECE};
use uuid::Uuid;

use crate::crypto::seal::{
    MOST_PLAIN, Packer, Sealer, Suite, plain_room, sealed_len, whole_records,
};
use crate::crypto::{Keyring, Random};

use super::plain::Plain;

/// A part of the stream that waits to be sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Plaintext that was never sent.
    Read(Plain),
    /// Data that was sent once and has to be sent again, byte for byte.
    Sent(Outgoing),
}

/// Data ready for the wire, with its plaintext.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The plaintext.
    pub plain: Plain,
    /// The bytes on the wire: the plaintext itself, or whole sealed records.
    pub wire: Bytes,
    is_sealed: bool,
}

impl Outgoing {
    /// Splits off the longest prefix that takes at most `most` bytes on the wire. The prefix may be empty.
    pub fn split_to(&mut self, most: usize) -> Self {
        let (wire, plain) = if self.is_sealed {
            whole_records(&self.wire, self.plain.len(), most)
        } else {
            let most = most.min(self.wire.len());
            (most, most)
        };
        Self {
            plain: self.plain.split_to(plain),
            wire: self.wire.split_to(wire),
            is_sealed: self.is_sealed,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }
}

/// How plaintext becomes wire bytes.
#[derive(Debug)]
pub(super) enum Seal {
    /// Unchanged.
    None,
    /// Sealed, with a key that arrives with the satellite's answer. Nothing can be sent until then.
    Awaited,
    /// Sealed by this sealer.
    With(Box<Sealer>),
    /// Everything has been sealed; this is the proof of the end.
    Ended(Bytes),
}

impl Seal {
    /// Ends the stream, once everything is sealed.
    pub fn end(&mut self) -> How {
        match std::mem::replace(self, Self::None) {
            Self::With(sealer) => *self = Self::Ended(sealer.end()),
            other => *self = other,
        }
        match self {
            Self::Ended(proof) => How::Proven(proof.clone()),
            _ => How::End,
        }
    }

    /// Switches to the newest of the writer's keys for everything sealed from here on.
    ///
    /// # Errors
    ///
    /// When that key is unusable.
    pub fn renew(
        &mut self,
        keyring: &Keyring,
        stream: Uuid,
        pipe: &str,
        random: Random,
    ) -> Result<(), String> {
        let newest = keyring.newest();
        let position = match self {
            Self::None | Self::Ended(_) => return Ok(()),
            Self::With(sealer) if sealer.epoch() == newest.number => return Ok(()),
            Self::With(sealer) => sealer.position(),
            Self::Awaited => 0,
        };
        let sealer = Sealer::new(newest, &random(), stream, pipe, position, Suite::best())
            .map_err(|fault| fault.to_string())?;
        *self = Self::With(Box::new(sealer));
        Ok(())
    }

    /// How many wire bytes a piece takes.
    pub fn wire_len(&self, unsent: &Unsent) -> usize {
        match (unsent, self) {
            (Unsent::Read(bytes), Self::None) => bytes.len(),
            (Unsent::Read(bytes), _) => sealed_len(bytes.len()),
            (Unsent::Sent(outgoing), _) => outgoing.wire.len(),
        }
    }

    /// The fewest wire bytes for which a part of a piece is sent. Without a seal, `min_send` is the fewest
    /// that are worth a message of their own.
    fn least(&self, unsent: &Unsent, min_send: usize) -> usize {
        match (unsent, self) {
            (Unsent::Read(bytes), Self::None) => bytes.len().min(min_send),
            (Unsent::Read(bytes), _) => sealed_len(bytes.len().min(MOST_PLAIN)),
            (Unsent::Sent(outgoing), Self::None) => outgoing.wire.len().min(min_send),
            (Unsent::Sent(outgoing), _) => outgoing.wire.len().min(sealed_len(MOST_PLAIN)),
        }
    }

    /// Splits off the front of `piece` what fits into `most` wire bytes, cut at a line end if possible.
    /// `None` if `most` is too small. Also returns whether some of the piece is left.
    pub fn take(
        &mut self,
        unsent: &mut Unsent,
        most: usize,
        min_send: usize,
    ) -> Option<(Outgoing, bool)> {
        let is_able =
            matches!(self, Self::None | Self::With(_)) || matches!(unsent, Unsent::Sent(_));
        if !is_able || most < self.least(unsent, min_send) {
            return None;
        }
        match unsent {
            Unsent::Sent(outgoing) => {
                let most = if outgoing.is_sealed {
                    most
                } else {
                    outgoing.plain.line_end(most)
                };
                let taken = outgoing.split_to(most);
                (!taken.is_empty()).then(|| (taken, !outgoing.is_empty()))
            }
            Unsent::Read(bytes) => {
                let room = match self {
                    Self::None => most,
                    _ => plain_room(most),
                };
                let cut = bytes.line_end(room);
                let taken = self.pack(bytes.split_to(cut))?;
                Some((taken, !bytes.is_empty()))
            }
        }
    }

    /// Like [`Seal::take`], but compresses with `packer` first. `None` for data that was sent before and
    /// for unsealed streams: both are sent as they are.
    pub fn take_packed(
        &mut self,
        unsent: &mut Unsent,
        most: usize,
        packer: &mut Packer,
    ) -> Option<(Outgoing, bool)> {
        let least = self.least(unsent, 0);
        let (Self::With(sealer), Unsent::Read(bytes)) = (self, unsent) else {
            return None;
        };
        if most < least {
            return None;
        }
        // The satellite may split longer chunks, and not between records.
        let most = most.min(PIECE);
        let mut wire = Vec::with_capacity(most);
        let length = sealer.seal_packed(packer, bytes.bytes(), most, &mut wire);
        let outgoing = Outgoing {
            plain: bytes.split_to(length),
            wire: wire.into(),
            is_sealed: true,
        };
        (!outgoing.is_empty()).then(|| (outgoing, !bytes.is_empty()))
    }

    /// Whether this writer seals. Only sealed data can be compressed.
    pub fn can_pack(&self) -> bool {
        matches!(self, Self::With(_))
    }

    fn pack(&mut self, plain: Plain) -> Option<Outgoing> {
        let (wire, is_sealed) = match self {
            Self::None => (plain.bytes().clone(), false),
            Self::With(sealer) => (sealer.seal(plain.bytes()), true),
            Self::Awaited | Self::Ended(_) => return None,
        };
        Some(Outgoing {
            plain,
            wire,
            is_sealed,
        })
    }
}
