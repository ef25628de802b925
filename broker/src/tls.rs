//! TLS 1.3 between a client and a satellite that has keys: who is let in, and what is sealed on the way.
//!
//! Owns the settings: version 1.3 alone, both sides by raw Ed25519 keys (RFC 7250) and no certificates,
//! ALPN [`PROTOCOL`], no resumption and so no early data. libzmq's stream engine reads and writes through
//! it ([`layer`]); inside, both speak ZMTP without any mechanism of its own. Nobody without a key gets a
//! byte to libzmq, or one of libzmq's bytes.
//!
//! A client knows its satellite's key from its invitation and speaks to nobody else. A satellite asks
//! whether a key may connect, and what number it has; that number comes with each message of the connection.

mod connection;
mod ending;
mod keys;
mod layer;
mod verify;

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use zmq::Socket;

use crate::keys::KeyId;
use crate::keys::seed::SigningPair;

pub use self::ending::Ending;
use self::keys::certified;
use self::layer::{Number, Role};
use self::verify::{ClientKeys, SatelliteKey};

/// What both sides say that they will speak, so that no other protocol's messages can be taken for ours.
const PROTOCOL: &[u8] = b"skypipe/1";

/// Who is let in. It is asked on libzmq's threads.
pub trait Door: Send + Sync {
    /// The number of this public key, if it is one that may connect.
    fn admit(&self, public: &[u8; 32]) -> Option<KeyId>;

    /// Whether one more connection of a key may stand, which has proved it. If so, it [leaves](Door::leave) later.
    fn enter(&self, _: KeyId) -> bool {
        true
    }

    /// A connection that had entered is no more.
    fn leave(&self, _: KeyId) {}
}

impl<F: Fn(&[u8; 32]) -> Option<KeyId> + Send + Sync> Door for F {
    fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        self(public)
    }
}

/// The door of a satellite, for its connections to share.
pub type Admit = Arc<dyn Door>;

/// What the connections of some sockets go through. Those that are there outlive it; no new one does.
pub struct Layer {
    number: Number,
    role: Role,
}

impl Layer {
    /// That of a satellite with this identity, which lets in whom `admit` knows, once it is
    /// [open](Layer::open). Until then, connections end at once.
    ///
    /// # Errors
    ///
    /// Never with keys of ours; what rustls says.
    pub fn satellite(identity: &SigningPair, admit: Admit) -> io::Result<Self> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?;
        let clients = Arc::new(ClientKeys::new(Arc::clone(&admit)));
        let builder = builder.with_client_cert_verifier(clients);
        let keys = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(identity)?);
        let mut config = builder.with_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            number: Number::new(),
            role: Role::Satellite(Arc::new(config), admit),
        })
    }

    /// That of a machine with this identity, to the satellite of this public key.
    ///
    /// # Errors
    ///
    /// Never with keys of ours; what rustls says.
    pub fn client(identity: &SigningPair, satellite: [u8; 32]) -> io::Result<Self> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?;
        let satellite = Arc::new(SatelliteKey::new(satellite));
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(satellite);
        let keys = rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(identity)?);
        let mut config = builder.with_client_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        // There is no name to tell: keys are all that counts.
        config.enable_sni = false;
        let layer = Self {
            number: Number::new(),
            role: Role::Client(Arc::new(config)),
        };
        layer.open();
        Ok(layer)
    }

    /// Lets connections come about from here on.
    pub fn open(&self) {
        self.number.stands_for(self.role.clone());
    }

    /// Has all connections of `socket` that are made from here on go through this layer.
    ///
    /// # Errors
    ///
    /// What libzmq reports.
    pub fn cover(&self, socket: &mut Socket) -> io::Result<()> {
        layer::cover(socket, &self.number)
    }
}

/// The ciphers of rustls and ring, AES-256-GCM first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests;
