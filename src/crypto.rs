//! All that a client's secrets are used for: what they seal, open, sign and prove.
//!
//! Owns what the holder of an invitation derives from it ([`identity`]), the keys that seal and open streams
//! ([`keyring`]), sealed streams ([`seal`]), the sealed keyrings that a satellite stores for each machine
//! ([`sealed_keyring`]), the attestations by which managers verify one another's invitations
//! ([`attestation`]), and the phrase that enrolls a machine without another one ([`phrase`], [`wrapping`]).
//! It is pure: no file, prompt, socket or clock. How keys derive from a seed is part of the protocol
//! ([`skypipe_protocol::seed`]).

#![deny(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod aead;
pub mod attestation;
pub mod identity;
pub mod keyring;
pub mod phrase;
pub mod seal;
pub mod sealed_keyring;
pub mod wrapping;

pub use self::identity::{Fault, Identity, Random};
pub use self::keyring::{Epoch, Keyring};
