//! 32 bytes that nobody else may see.
//!
//! Owns the one type in which secrets are held: it wipes its memory when dropped, compares without
//! telling by its time where two secrets differ, and never prints what it holds. The module knows
//! nothing of what a secret is for. (A secret that moves may leave a copy on the stack, as any
//! value does: secrets are wiped where they lie, which is as far as safe code can see.)

use std::fmt;
use std::hint::black_box;

use zeroize::Zeroizing;

/// The length of every secret and of every key, in bytes.
pub const LENGTH: usize = 32;

/// 32 secret bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; LENGTH]>);

impl Secret {
    /// Takes the bytes over. The caller's own copy, if one is left, is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A copy of `bytes`, which lies nowhere but in the secret.
    #[must_use]
    pub fn copy_of(bytes: &[u8; LENGTH]) -> Self {
        let mut secret = Zeroizing::new([0; LENGTH]);
        secret.copy_from_slice(bytes);
        Self(secret)
    }

    /// The bytes, to be used on the spot and not copied.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl From<Zeroizing<[u8; LENGTH]>> for Secret {
    fn from(bytes: Zeroizing<[u8; LENGTH]>) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(other.0.iter());
        let difference = pairs.fold(0, |so_far, (mine, theirs)| {
            // Hidden from the optimiser, which could otherwise leave at the first difference.
            black_box(so_far | (mine ^ theirs))
        });
        difference == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_different_bit_makes_another_secret() {
        let secret = Secret::new([7; LENGTH]);
        assert_eq!(secret, secret.clone());
        for bit in 0..LENGTH * 8 {
            let mut bytes = [7; LENGTH];
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(secret, Secret::new(bytes));
        }
    }

    #[test]
    fn a_copy_is_the_same_secret() {
        let bytes = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(Secret::copy_of(&bytes), Secret::new(bytes));
        assert_eq!(Secret::copy_of(&bytes).as_bytes(), &bytes);
        assert_eq!(Secret::from(Zeroizing::new(bytes)), Secret::new(bytes));
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let secret = Secret::new([0xab; LENGTH]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{secret:#?}"), "Secret(…)");
    }
}
