//! A satellite with keys, and clients that seal. All clients have one key, which is renewed now and then.

use std::cell::Cell;

use skypipe::crypto::{Identity, Keyring, sealed_keyring};
use skypipe::session::{Job, Question};
use skypipe_broker::keys::{KeyId, KeyRegistry};
use skypipe_protocol::address::Address;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};
use skypipe_protocol::{NewKey, NewKeyring, PublicKey, Rights};
use uuid::Uuid;

/// The name of the key.
const NAME: &str = "first";

/// The number of the key.
pub const KEY: KeyId = KeyId(0);

/// What the satellite and the clients of a history know about keys.
#[derive(Debug)]
pub struct Members {
    /// The authorized keys, as they were last saved.
    pub registry: KeyRegistry,
    token: Token,
    keyring: Keyring,
}

impl Members {
    /// The owner only.
    pub fn new() -> Self {
        let seed = Seed::new(Secret::new([1; 32]));
        let mut registry = KeyRegistry::default();
        let new = NewKey {
            name: NAME.to_owned(),
            public: PublicKey(seed.identity().public),
            encryption: PublicKey(seed.encryption().public),
            rights: Rights::ALL,
            pipes: Vec::new(),
            expires: None,
            quota: None,
            epoch: 0,
            sealed_keyring: None,
            attestation: None,
        };
        registry.invite(new, 0).expect("it is the first");
        let keyring = Keyring::owner(&seed);
        let token = Token {
            address: Address::tcp("sky", 9000),
            kind: Kind::Owner,
            satellite: [2; 32],
            seed,
            expires: None,
        };
        Self {
            registry,
            token,
            keyring,
        }
    }

    /// The identity of every client.
    pub fn identity(&self) -> Identity {
        Identity::new(&self.token, fresh)
    }

    /// The request of a manager that renews the reading key.
    pub fn renewal(&mut self) -> Job {
        let mut random = [0; 64];
        random[..32].copy_from_slice(fresh().as_bytes());
        random[32..].copy_from_slice(fresh().as_bytes());
        self.keyring = self.keyring.renewed(&random).expect("it is a manager's");
        let managing = self.keyring.managing().expect("it is a manager's");
        let to = self.token.seed.encryption().public;
        let sealed_keyring =
            sealed_keyring::seal(&self.keyring, &to, &managing, &fresh()).expect("the key is good");
        let epoch = self.keyring.newest().number;
        Job::Ask(Question::Keyring(NewKeyring {
            name: NAME.to_owned(),
            epoch,
            renewal: Some(Uuid::from_u64_pair(0, epoch.into())),
            sealed_keyring: sealed_keyring.into(),
            attestation: None,
        }))
    }
}

thread_local! {
    static GIVEN: Cell<u64> = const { Cell::new(0) };
}

/// Resets the source of fresh secrets, so that each history is reproducible.
pub fn begin() {
    GIVEN.set(0);
}

/// A secret that is unique in this history.
fn fresh() -> Secret {
    let given = GIVEN.get() + 1;
    GIVEN.set(given);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&given.to_le_bytes());
    Secret::new(bytes)
}
