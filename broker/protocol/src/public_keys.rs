//! The public keys of a machine, as one word of text.
//!
//! This module owns the text: base64url without padding of the identity's public key and the encryption key,
//! 32 bytes each. It contains no secret. A machine that creates its own seed passes this text to whoever
//! enrolls it, on a command line or in a platform's metadata. Nobody else ever holds what derives from the
//! seed.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};

use super::secret::LENGTH;
use super::seed::Seed;
use crate::PublicKey;

/// The public keys of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKeys {
    /// The key with which the machine connects.
    pub public: PublicKey,
    /// The key to which keyrings for the machine are sealed.
    pub encryption: PublicKey,
}

impl PublicKeys {
    /// The public keys of a machine with this seed.
    #[must_use]
    pub fn of(seed: &Seed) -> Self {
        Self {
            public: PublicKey(seed.identity().public),
            encryption: PublicKey(seed.encryption().public),
        }
    }
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [self.public.0, self.encryption.0].concat();
        f.write_str(&Base64UrlUnpadded::encode_string(&both))
    }
}

impl FromStr for PublicKeys {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut both = [0; 2 * LENGTH];
        let length = Base64UrlUnpadded::decode(text, &mut both).map(<[u8]>::len);
        if length != Ok(both.len()) {
            return Err("it does not contain a machine's public keys");
        }
        let half = |from: usize| {
            let mut half = [0; LENGTH];
            half.copy_from_slice(&both[from..from + LENGTH]);
            PublicKey(half)
        };
        Ok(Self {
            public: half(0),
            encryption: half(LENGTH),
        })
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn what_is_written_is_read_again() {
        let seed = Seed::new(Secret::from(Zeroizing::new([7; LENGTH])));
        let public_keys = PublicKeys::of(&seed);
        let text = public_keys.to_string();
        assert_eq!(text.len(), 86);
        assert_eq!(text.parse(), Ok(public_keys));
        assert_eq!(public_keys.public.0, seed.identity().public);
        assert_eq!(public_keys.encryption.0, seed.encryption().public);
    }

    #[test]
    fn anything_else_is_refused() {
        let text =
            PublicKeys::of(&Seed::new(Secret::from(Zeroizing::new([7; LENGTH])))).to_string();
        let longer = format!("{text}AA");
        let padded = format!("{text}==");
        for bad in ["", &text[1..], &longer, &padded, " ", "skypipe://x:1/AAAA"] {
            assert!(bad.parse::<PublicKeys>().is_err(), "{bad}");
        }
    }
}
