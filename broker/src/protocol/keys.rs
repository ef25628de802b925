//! What is said of keys: who holds one, what it allows, what is kept for its holder.
//!
//! Owns the forms and their limits. What a satellite does with them is [`crate::keys`]', what a client
//! finds in a box is the client's: the satellite can open none.

use std::fmt;

use bytes::Bytes;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The longest name of a key, in bytes.
pub const MAX_KEY_NAME: usize = 64;

/// The longest sealed word of an `--eof`, in bytes: an epoch's number, a time, a key's name and a tag.
pub const MAX_ORDER: usize = 4 + 8 + MAX_KEY_NAME + 32;

/// The most patterns of one key: with names of full length a page of keys fits a command.
pub const MAX_PATTERNS: usize = 8;

/// The longest pattern, in bytes: that of a pipe's name.
pub const MAX_PATTERN: usize = super::MAX_NAME;

/// The most keys on one page.
pub const MAX_KEYS_PAGE: usize = 20;

/// The longest box, in bytes: the keys of sixty-four generations, with room to spare.
pub const MAX_BOX: usize = 16 << 10;

/// The longest voucher, in bytes.
pub const MAX_VOUCHER: usize = 32;

/// The proof of a sealed stream's end, in bytes at most.
pub const MAX_PROOF: usize = 64;

/// The public half of an X25519 key pair, in MessagePack's `bin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ThirtyTwo)
    }
}

struct ThirtyTwo;

impl<'de> Visitor<'de> for ThirtyTwo {
    type Value = PublicKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<PublicKey, E> {
        let bytes = bytes.try_into();
        bytes
            .map(PublicKey)
            .map_err(|_| E::custom("a key has 32 bytes"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PublicKey, A::Error> {
        let mut key = [0; 32];
        for byte in &mut key {
            *byte = seq
                .next_element()?
                .ok_or_else(|| A::Error::custom("a key has 32 bytes"))?;
        }
        Ok(PublicKey(key))
    }
}

/// What a key allows. The order of the three is that of their power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rights {
    /// To listen to pipes, and to discard what waits in them.
    pub read: bool,
    /// To write into pipes, and to end their listeners.
    pub write: bool,
    /// To invite and revoke others. It includes the other two, in every pipe.
    pub manage: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        manage: true,
    };
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write, self.manage) {
            (_, _, true) => "all",
            (true, true, false) => "read, write",
            (true, false, false) => "read",
            (false, true, false) => "write",
            (false, false, false) => "nothing",
        })
    }
}

/// A key that is to let somebody in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Its name, of at most [`MAX_KEY_NAME`] bytes; if it is empty the satellite makes one.
    pub name: String,
    /// The public half with which its holder connects.
    pub public: PublicKey,
    /// The public half to which boxes for its holder are sealed.
    pub boxing: PublicKey,
    /// What it allows.
    pub rights: Rights,
    /// In which pipes: patterns, in which `*` stands for any characters; none is all pipes.
    pub pipes: Vec<String>,
    /// When it ends, in seconds since 1970 (UTC).
    pub expires: Option<u64>,
    /// How many bytes of what it writes may wait; none for its share.
    pub quota: Option<u64>,
    /// The generation of keys in its box.
    pub epoch: u32,
    /// The box, sealed for its holder; none if its holder joins with the phrase.
    pub boxed: Option<Bytes>,
    /// What makes managers sure of `boxing` and `rights`, of at most [`MAX_VOUCHER`] bytes; none if no
    /// manager made the key.
    pub voucher: Option<Bytes>,
}

/// A box for the holder of a key, in place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBox {
    /// The key's name.
    pub name: String,
    /// The newest generation of keys in it.
    pub epoch: u32,
    /// Which renewal it belongs to, if it is one: two at once must not make one generation of two
    /// kinds.
    pub renewal: Option<Uuid>,
    /// The box, of at most [`MAX_BOX`] bytes.
    pub boxed: Bytes,
    /// A voucher for the key, in place of the one before.
    pub voucher: Option<Bytes>,
}

/// What a key holds of what its satellite counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Clients that are connected, or were a moment ago.
    pub clients: u64,
    /// Listeners.
    pub listeners: u64,
    /// Writers that have not had or not taken in their answer.
    pub writers: u64,
    /// Streams that it wrote, or `--eof`s that it gave, and that are open or wait.
    pub streams: u64,
    /// Bytes of those that are kept.
    pub bytes: u64,
}

/// One key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its name.
    pub name: String,
    /// The public half to which boxes for its holder are sealed.
    pub boxing: PublicKey,
    /// What it allows.
    pub rights: Rights,
    /// In which pipes.
    pub pipes: Vec<String>,
    /// When it ends, in seconds since 1970 (UTC).
    pub expires: Option<u64>,
    /// How many bytes of what it writes may wait, if its invitation says so.
    pub quota: Option<u64>,
    /// What it holds.
    pub holds: Holds,
    /// When it was made, in the same.
    pub made: u64,
    /// When it was used last, in the same; none if it never was.
    pub used: Option<u64>,
    /// Whether its holder is connected.
    pub is_connected: bool,
    /// Whether a box is kept for its holder.
    pub has_box: bool,
    /// What makes managers sure of `boxing` and `rights`.
    pub voucher: Option<Bytes>,
}

/// What a client is told of its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKey {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// When it ends, in seconds since 1970 (UTC).
    pub expires: Option<u64>,
    /// The box that is kept for it.
    pub boxed: Option<Bytes>,
    /// Whether a voucher is kept for it.
    pub is_vouched: bool,
    /// Under which `host:port` others reach the satellite, if it was told.
    pub address: Option<String>,
}

/// What lets a machine in that has nothing but a key and the phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrase {
    /// What the phrase opens, of at most [`MAX_BOX`] bytes.
    pub wrapped: Bytes,
    /// The public half to which boxes for those who know the phrase are sealed.
    pub boxing: PublicKey,
    /// The box.
    pub boxed: Bytes,
    /// What makes managers sure of `boxing`.
    pub voucher: Bytes,
}
