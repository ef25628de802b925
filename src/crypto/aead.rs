//! AES-256-GCM under single-use keys.
//!
//! This module owns these calls into `ring`. The nonce is always zero, which is safe only if each key seals
//! one message. Every caller says why its keys are never used twice. This module makes no keys. (`ring`
//! keeps the expanded key in memory of its own and does not wipe it.)

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use skypipe_protocol::secret::Secret;

/// By how much sealing lengthens a message: the tag, in bytes.
pub const TAG: usize = 16;

/// Seals `buffer` in place and appends the tag. The buffer should have room for the tag, so that the
/// plaintext is overwritten and not copied. `header` is authenticated and not encrypted.
pub fn seal(key: &Secret, header: &[u8], buffer: &mut Vec<u8>) {
    expanded(key)
        .seal_in_place_append_tag(nonce(), Aad::from(header), buffer)
        .expect("messages are far shorter than AES-GCM allows");
}

/// Opens `buffer` in place and returns the plaintext, without the tag. `None` if `buffer` was not sealed by
/// [`seal`] under this key and with this header.
pub fn open<'a>(key: &Secret, header: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let clear = expanded(key).open_in_place(nonce(), Aad::from(header), buffer);
    clear.ok().map(|clear| &*clear)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn expanded(key: &Secret) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key.as_bytes());
    LessSafeKey::new(key.expect("AES-256 has keys of 32 bytes"))
}
