//! 32 bytes that nobody else may see.
//!
//! This module owns the only type that holds secrets. It wipes its memory when dropped, compares in constant
//! time, and never prints its contents. It does not know the purpose of a secret. (A secret that is moved may
//! leave a copy on the stack, as any value does. Secrets are wiped where they are stored, which is as far as
//! safe code can see.)

use std::fmt;
use std::hint::black_box;

use zeroize::Zeroizing;

/// The length of every secret and of every key, in bytes.
pub const LENGTH: usize = 32;

/// 32 secret bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; LENGTH]>);

impl Secret {
    /// Takes over the bytes. If the caller still has a copy, the caller must wipe it.
    #[must_use]
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies `bytes`. The only new copy is inside the secret.
    #[must_use]
    pub fn copy_of(bytes: &[u8; LENGTH]) -> Self {
        let mut secret = Zeroizing::new([0; LENGTH]);
        secret.copy_from_slice(bytes);
        Self(secret)
    }

    /// The bytes. Use them in place, without copying.
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
            // Hidden from the optimiser, which could otherwise stop at the first difference.
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
