//! TLS 1.3 between a client and a satellite with keys: authentication and encryption of connections.
//!
//! This module owns the settings: only version 1.3, raw Ed25519 keys (RFC 7250) instead of certificates on
//! both sides, ALPN [`PROTOCOL`], and no resumption, so no early data. libzmq's stream engine reads and
//! writes through it ([`layer`]). Inside TLS, both sides speak ZMTP without a security mechanism of its own.
//! Nobody without a key gets a byte to libzmq, or receives one of libzmq's bytes.
//!
//! A client knows its satellite's key from its invitation and accepts no other. A satellite asks whether a
//! key may connect and which id it has. Each message of the connection comes with that id.

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

use skypipe_protocol::KeyId;
use skypipe_protocol::seed::SigningPair;

pub use self::ending::Ending;
use self::keys::certified;
use self::layer::{Number, Role};
use self::verify::{ClientKeys, SatelliteKey};

/// The ALPN protocol of both sides. It keeps messages of other protocols from being taken for ours.
const PROTOCOL: &[u8] = b"skypipe/1";

/// Decides which keys may connect. It is called on libzmq's threads.
pub trait Door: Send + Sync {
    /// The id of this public key, if the key may connect.
    fn admit(&self, public: &[u8; 32]) -> Option<KeyId>;

    /// Whether a connection that has proved a key may stay. If so, [`Door::leave`] is called when the
    /// connection ends.
    fn enter(&self, _: KeyId) -> bool {
        true
    }

    /// Called when a connection that had entered has ended.
    fn leave(&self, _: KeyId) {}
}

impl<F: Fn(&[u8; 32]) -> Option<KeyId> + Send + Sync> Door for F {
    fn admit(&self, public: &[u8; 32]) -> Option<KeyId> {
        self(public)
    }
}

/// The authentication of a satellite, shared by its connections.
pub type Admit = Arc<dyn Door>;

/// The TLS layer of some sockets' connections. Dropping it prevents new connections; existing ones go on.
pub struct Layer {
    number: Number,
    role: Role,
}

impl Layer {
    /// The layer of a satellite with this identity. It admits the keys that `admit` knows, once it is
    /// [open](Layer::open). Until then, connections end at once.
    ///
    /// # Errors
    ///
    /// An error of rustls. This never happens with keys of this program.
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

    /// The layer of a client with this identity, to the satellite with this public key.
    ///
    /// # Errors
    ///
    /// An error of rustls. This never happens with keys of this program.
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
        // There is no server name to send: only keys count.
        config.enable_sni = false;
        let layer = Self {
            number: Number::new(),
            role: Role::Client(Arc::new(config)),
        };
        layer.open();
        Ok(layer)
    }

    /// Allows new connections from here on.
    pub fn open(&self) {
        self.number.stands_for(self.role.clone());
    }

    /// Makes all new connections of `socket` use this layer.
    ///
    /// # Errors
    ///
    /// Any libzmq error.
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
