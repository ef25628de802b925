//! The key agreement of one stream in one epoch (generation of keys).
//!
//! This module turns an epoch's keys into a stream's key, on both sides. It never stores keys: callers
//! build an [`Epoch`].

use uuid::Uuid;

use super::kem::{self, BadKey, Proof, Public, Purpose};
use super::{STREAM_KEY, stream_info};
use crate::crypto::Epoch;
use skypipe_protocol::secret::Secret;

impl Epoch {
    /// The writer's side: returns the encapsulated key and the stream's key.
    pub(super) fn agree(
        &self,
        stream: Uuid,
        pipe: &str,
        entropy: &Secret,
    ) -> Result<(Public, Secret), BadKey> {
        let proof = Proof::Shared {
            psk: &self.psk,
            id: &self.psk_id(),
        };
        let purpose = Purpose {
            info: &stream_info(stream, pipe),
            export: STREAM_KEY,
        };
        kem::send(&self.public, &proof, purpose, entropy)
    }

    /// The reader's side. `info` comes from [`stream_info`]; `secret` is the epoch's reading key.
    pub(super) fn derive(
        &self,
        info: &[u8],
        secret: &Secret,
        encapsulated: &Public,
    ) -> Result<Secret, BadKey> {
        let proof = Proof::Shared {
            psk: &self.psk,
            id: &self.psk_id(),
        };
        kem::receive(
            secret,
            encapsulated,
            &proof,
            Purpose {
                info,
                export: STREAM_KEY,
            },
        )
    }

    fn psk_id(&self) -> Vec<u8> {
        [b"skypipe epoch".as_slice(), &self.number.to_be_bytes()].concat()
    }
}
