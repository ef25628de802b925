//! The two cipher suites, and a key of one of them.
//!
//! This module owns the calls into `ring` for streams. It knows neither the content nor where a key came
//! from.

use ring::aead::{
    AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey,
};

use super::record::TAG;
use skypipe_protocol::secret::Secret;

/// The cipher of a stream. Every listener must support both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// AES-256-GCM.
    AesGcm = 1,
    /// ChaCha20-Poly1305.
    ChaCha = 2,
}

impl Suite {
    /// The faster suite: AES if the processor has instructions for it. Without them AES is slow, and its
    /// timing can leak the key.
    #[must_use]
    pub fn best() -> Self {
        if has_aes() {
            Self::AesGcm
        } else {
            Self::ChaCha
        }
    }

    pub(super) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::AesGcm),
            2 => Some(Self::ChaCha),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::AesGcm => &AES_256_GCM,
            Self::ChaCha => &CHACHA20_POLY1305,
        }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
}

/// The crypto feature includes the multiplication that GCM needs.
#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// A key of one suite. `ring` does not wipe it from memory when it is dropped.
#[derive(Debug)]
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(suite: Suite, key: &Secret) -> Self {
        let key = UnboundKey::new(suite.algorithm(), key.as_bytes());
        Self(LessSafeKey::new(
            key.expect("both ciphers take keys of 32 bytes"),
        ))
    }

    /// Seals the bytes in place. The caller must never use one position twice.
    pub(super) fn seal(&self, position: u64, header: &[u8], bytes: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(position), Aad::from(header), bytes);
        let tag = tag.expect("a record is far shorter than what both ciphers take");
        tag.as_ref()
            .try_into()
            .expect("both ciphers make tags of 16 bytes")
    }

    /// Opens the bytes in place. Returns whether they are authentic; if not, they are wiped.
    #[must_use]
    pub(super) fn open(
        &self,
        position: u64,
        header: &[u8],
        bytes: &mut [u8],
        tag: [u8; TAG],
    ) -> bool {
        let (nonce, tag) = (nonce(position), Tag::from(tag));
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(header), tag, bytes, 0..)
            .is_ok()
    }
}

fn nonce(position: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&position.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
