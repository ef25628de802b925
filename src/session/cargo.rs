//! What a writer carries: bytes as they were read, and as they are sent.
//!
//! At a satellite without keys the two are the same. Else what is sent are sealed records, which can
//! be cut between one another and never within, and which are sent again as they are: sealed anew
//! they would be other bytes than those that a listener may have had already.

use bytes::Bytes;
use skypipe_broker::protocol::{How, PIECE};
use uuid::Uuid;

use crate::keys::{Keyring, Random};
use crate::seal::{MOST_PLAIN, Packer, Sealer, Suite, plain_room, sealed_len, whole_records};

use super::plain::Plain;

/// Bytes in hand.
#[derive(Debug)]
pub(super) enum Piece {
    /// As they were read.
    Read(Plain),
    /// As they were sent once.
    Sent(Cargo),
}

/// Bytes as they are sent.
#[derive(Debug)]
pub(super) struct Cargo {
    /// As they were read.
    pub plain: Plain,
    /// As they are sent.
    pub wire: Bytes,
    is_sealed: bool,
}

impl Cargo {
    /// Takes off the longest beginning that is sent in at most `most` bytes, perhaps nothing.
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

/// How a writer's bytes become cargo.
#[derive(Debug)]
pub(super) enum Seal {
    /// As they are.
    None,
    /// By a key that is not known before the satellite has answered.
    Awaited,
    /// By this.
    With(Box<Sealer>),
    /// All has been sealed; the proof of the end.
    Ended(Bytes),
}

impl Seal {
    /// How a stream ends of which all has been packed.
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

    /// From here on it is sealed with the newest of the writer's keys.
    ///
    /// # Errors
    ///
    /// When that key is none.
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

    /// In how many bytes a piece is sent.
    pub fn wire_len(&self, piece: &Piece) -> usize {
        match (piece, self) {
            (Piece::Read(bytes), Self::None) => bytes.len(),
            (Piece::Read(bytes), _) => sealed_len(bytes.len()),
            (Piece::Sent(cargo), _) => cargo.wire.len(),
        }
    }

    /// The fewest bytes that must fit for something of a piece to be sent. Without a seal, `scrap`
    /// says how few are worth it.
    fn least(&self, piece: &Piece, scrap: usize) -> usize {
        match (piece, self) {
            (Piece::Read(bytes), Self::None) => bytes.len().min(scrap),
            (Piece::Read(bytes), _) => sealed_len(bytes.len().min(MOST_PLAIN)),
            (Piece::Sent(cargo), Self::None) => cargo.wire.len().min(scrap),
            (Piece::Sent(cargo), _) => cargo.wire.len().min(sealed_len(MOST_PLAIN)),
        }
    }

    /// Takes off the front of `piece` what can be sent in `most` bytes, cut at a line's end where it
    /// can be; nothing if that is too little. Returns whether some of the piece is left.
    pub fn take(&mut self, piece: &mut Piece, most: usize, scrap: usize) -> Option<(Cargo, bool)> {
        let is_able = matches!(self, Self::None | Self::With(_)) || matches!(piece, Piece::Sent(_));
        if !is_able || most < self.least(piece, scrap) {
            return None;
        }
        match piece {
            Piece::Sent(cargo) => {
                let most = if cargo.is_sealed {
                    most
                } else {
                    cargo.plain.line_end(most)
                };
                let taken = cargo.split_to(most);
                (!taken.is_empty()).then(|| (taken, !cargo.is_empty()))
            }
            Piece::Read(bytes) => {
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

    /// Takes off the front of `piece` what can be sent in `most` bytes once `packer` has made it short,
    /// with the same bounds as [`Seal::take`]. None of what was sent before, and none without a seal: that
    /// goes as it is.
    pub fn take_packed(
        &mut self,
        piece: &mut Piece,
        most: usize,
        packer: &mut Packer,
    ) -> Option<(Cargo, bool)> {
        let least = self.least(piece, 0);
        let (Self::With(sealer), Piece::Read(bytes)) = (self, piece) else {
            return None;
        };
        if most < least {
            return None;
        }
        // A satellite may cut longer chunks, and not where records end.
        let most = most.min(PIECE);
        let mut wire = Vec::with_capacity(most);
        let length = sealer.seal_packed(packer, bytes.bytes(), most, &mut wire);
        let cargo = Cargo {
            plain: bytes.split_to(length),
            wire: wire.into(),
            is_sealed: true,
        };
        (!cargo.is_empty()).then(|| (cargo, !bytes.is_empty()))
    }

    /// Whether it seals, so that bytes can be packed.
    pub fn can_pack(&self) -> bool {
        matches!(self, Self::With(_))
    }

    fn pack(&mut self, plain: Plain) -> Option<Cargo> {
        let (wire, is_sealed) = match self {
            Self::None => (plain.bytes().clone(), false),
            Self::With(sealer) => (sealer.seal(plain.bytes()), true),
            Self::Awaited | Self::Ended(_) => return None,
        };
        Some(Cargo {
            plain,
            wire,
            is_sealed,
        })
    }
}
