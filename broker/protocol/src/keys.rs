//! The types in messages about keys: who holds one, what it allows, what is stored for its holder.
//!
//! A key belongs to one machine, and has two public keys: one with which the machine connects, and one to
//! which a keyring for it is sealed. That *sealed keyring* holds the keys that open streams, of one or more
//! generations (*epochs*). The satellite stores sealed keyrings and cannot open them. An *attestation* lets
//! those who manage the satellite check, without trusting it, that a key's `encryption` and `rights` are what
//! one of them said.
//!
//! The module owns the types and their limits. The satellite's part is in `broker/src/keys`; the form of
//! sealed keyrings and attestations is the clients' (`src/crypto`).

use std::fmt;

use bytes::Bytes;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The name of the access key stored on the satellite's machine. With it, that machine manages the satellite
/// and enrolls others.
pub const HOST: &str = "host";

/// The id of a key at its satellite, which messages never carry. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

/// The longest name of a key, in bytes.
pub const MAX_KEY_NAME: usize = 64;

/// The longest `order` of an [`Eof`](super::Request::Eof), in bytes: an epoch's number, a time, a key's name
/// and a tag.
pub const MAX_ORDER: usize = 4 + 8 + MAX_KEY_NAME + 32;

/// The most patterns of one key. With patterns of full length a page of keys fits a command.
pub const MAX_PATTERNS: usize = 8;

/// The longest pattern, in bytes: as long as the longest name of a pipe.
pub const MAX_PATTERN: usize = super::MAX_NAME;

/// The most keys on one page of a list.
pub const MAX_KEYS_PAGE: usize = 20;

/// The longest sealed keyring, in bytes: the keys of sixty-four generations, with room to spare.
pub const MAX_KEYRING: usize = 16 << 10;

/// The longest attestation, in bytes: an authentication code.
pub const MAX_ATTESTATION: usize = 32;

/// The longest proof of a sealed stream's end, in bytes: a record without content.
pub const MAX_PROOF: usize = 64;

/// A public key of 32 bytes, as a MessagePack `bin`: of Ed25519 where a client connects with it, of X25519
/// where sealed keyrings are sealed to it.
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

/// What a key allows, in the pipes that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rights {
    /// To listen to pipes, and to discard unread data in them.
    pub read: bool,
    /// To write into pipes. With `read`, also to end their listeners.
    pub write: bool,
    /// To invite and revoke others. It includes the other two rights, in every pipe.
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

/// A key to be authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Its name, of at most [`MAX_KEY_NAME`] bytes. If it is empty, the satellite makes one.
    pub name: String,
    /// The Ed25519 public key with which its holder connects.
    pub public: PublicKey,
    /// The X25519 public key to which its sealed keyring is sealed.
    pub encryption: PublicKey,
    /// What it allows.
    pub rights: Rights,
    /// In which pipes: at most [`MAX_PATTERNS`] patterns, in which `*` stands for any characters, or none.
    /// Without a pattern, in all pipes.
    pub pipes: Vec<String>,
    /// When it expires, in seconds since 1970 (UTC); `nil` for never.
    pub expires: Option<u64>,
    /// How many bytes that it wrote may be stored; `nil` for the share that the satellite gives each key.
    pub quota: Option<u64>,
    /// The newest generation of keys in its sealed keyring.
    pub epoch: u32,
    /// The sealed keyring, of at most [`MAX_KEYRING`] bytes; `nil` if its holder joins with the phrase.
    pub sealed_keyring: Option<Bytes>,
    /// The attestation, of at most [`MAX_ATTESTATION`] bytes; `nil` if nobody who manages the satellite made
    /// the key.
    pub attestation: Option<Bytes>,
}

/// A new sealed keyring for the holder of a key. It replaces the stored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKeyring {
    /// The key's name.
    pub name: String,
    /// The newest generation of keys in it.
    pub epoch: u32,
    /// The UUID of the renewal that the sealed keyring belongs to, if any. The satellite refuses a second
    /// renewal for the same `epoch`.
    pub renewal: Option<Uuid>,
    /// The sealed keyring, of at most [`MAX_KEYRING`] bytes.
    pub sealed_keyring: Bytes,
    /// An attestation that replaces the stored one.
    pub attestation: Option<Bytes>,
}

/// How much of what the satellite bounds belongs to a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Clients that are connected, or were a moment ago.
    pub clients: u64,
    /// Listeners.
    pub listeners: u64,
    /// Writers that have not had their answer, or not closed their stream.
    pub writers: u64,
    /// Streams that it wrote, and `Eof`s that it sent, as long as they are open or wait.
    pub streams: u64,
    /// Bytes of those streams that are stored.
    pub bytes: u64,
}

/// One key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its name.
    pub name: String,
    /// The X25519 public key to which its sealed keyring is sealed.
    pub encryption: PublicKey,
    /// What it allows.
    pub rights: Rights,
    /// In which pipes: patterns as in [`NewKey`].
    pub pipes: Vec<String>,
    /// When it expires, in seconds since 1970 (UTC); `nil` for never.
    pub expires: Option<u64>,
    /// How many bytes that it wrote may be stored, if that was set.
    pub quota: Option<u64>,
    /// How much it has now.
    pub holds: Holds,
    /// When it was authorized, in seconds since 1970 (UTC).
    pub made: u64,
    /// When it was used last, in seconds since 1970 (UTC); `nil` if it never was.
    pub used: Option<u64>,
    /// Whether its holder is connected.
    pub is_connected: bool,
    /// Whether a sealed keyring is stored for its holder.
    pub has_keyring: bool,
    /// The attestation, if there is one.
    pub attestation: Option<Bytes>,
}

/// A client's own key, in [`Welcome`](super::Reply::Welcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnKey {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// When it expires, in seconds since 1970 (UTC); `nil` for never.
    pub expires: Option<u64>,
    /// The sealed keyring that is stored for it, if any.
    pub sealed_keyring: Option<Bytes>,
    /// Whether an attestation is stored for it.
    pub is_attested: bool,
    /// The `host:port` at which others reach the satellite, if it was told.
    pub address: Option<String>,
}

/// What a machine needs that has a key and knows the phrase, but has no sealed keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrase {
    /// The seed that the phrase stands for, sealed with a key made from the phrase, of at most [`MAX_KEYRING`]
    /// bytes.
    pub wrapped: Bytes,
    /// The X25519 public key to which `sealed_keyring` is sealed.
    pub encryption: PublicKey,
    /// The sealed keyring for all who know the phrase, of at most [`MAX_KEYRING`] bytes.
    pub sealed_keyring: Bytes,
    /// The attestation for `encryption`, of at most [`MAX_ATTESTATION`] bytes.
    pub attestation: Bytes,
}
