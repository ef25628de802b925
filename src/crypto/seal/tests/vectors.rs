//! Tests: published test vectors of HPKE, through the calls that seal and open streams.
//!
//! Source: RFC 9180, appendix A.7: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only AEAD. A.7.2 is mode
//! PSK, A.7.3 mode Auth. All of them export 32 bytes, for the same three contexts.

use super::{array, bytes};
use crate::crypto::seal::kem::{Proof, Public, Purpose, key_pair, receive, send};
use skypipe_protocol::secret::Secret;

const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
const CONTEXTS: [&str; 3] = ["", "00", "54657374436f6e74657874"];

struct Vector {
    entropy: &'static str,
    receiver_seed: &'static str,
    receiver: &'static str,
    encapsulated: &'static str,
    exported: [&'static str; 3],
}

const PSK: Vector = Vector {
    entropy: "c51211a8799f6b8a0021fcba673d9c4067a98ebc6794232e5b06cb9febcbbdf5",
    receiver_seed: "5e0516b1b29c0e13386529da16525210c796f7d647c37eac118023a6aa9eb89a",
    receiver: "d53af36ea5f58f8868bb4a1333ed4cc47e7a63b0040eb54c77b9c8ec456da824",
    encapsulated: "d3805a97cbcd5f08babd21221d3e6b362a700572d14f9bbeb94ec078d051ae3d",
    exported: [
        "be6c76955334376aa23e936be013ba8bbae90ae74ed995c1c6157e6f08dd5316",
        "1721ed2aa852f84d44ad020c2e2be4e2e6375098bf48775a533505fd56a3f416",
        "7c9d79876a288507b81a5a52365a7d39cc0fa3f07e34172984f96fec07c44cba",
    ],
};
const PSK_ITSELF: &str = "0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82";
const PSK_ID: &str = "456e6e796e20447572696e206172616e204d6f726961";
/// `skRm` of A.7.2.
const PSK_RECEIVER_SECRET: &str =
    "98f304d4ecb312689690b113973c61ffe0aa7c13f2fbe365e48f3ed09e5a6a0c";

const AUTH: Vector = Vector {
    entropy: "43b078912a54b591a7b09b16ce89a1955a9dd60b29fb611e044260046e8b061b",
    receiver_seed: "fc9407ae72ed614901ebf44257fb540f617284b5361cfecd620bafc4aba36f73",
    receiver: "ffd7ac24694cb17939d95feb7c4c6539bb31621deb9b96d715a64abdd9d14b10",
    encapsulated: "5ac1671a55c5c3875a8afe74664aa8bc68830be9ded0c5f633cd96400e8b5c05",
    exported: [
        "83c1bac00a45ed4cb6bd8a6007d2ce4ec501f55e485c5642bd01bf6b6d7d6f0a",
        "08a1d1ad2af3ef5bc40232a64f920650eb9b1034fac3892f729f7949621bf06e",
        "ff3b0e37a9954247fea53f251b799e2edd35aac7152c5795751a3da424feca73",
    ],
};
const AUTH_SENDER_SEED: &str = "2ff4c37a17b2e54046a076bf5fea9c3d59250d54d0dc8572bc5f7c046307040c";
const AUTH_SENDER: &str = "89eb1feae431159a5250c5186f72a15962c8d0debd20a8389d8b6e4996e14306";

impl Vector {
    /// Checks both sides: the sender makes the published encapsulated key and exports the published values,
    /// and so does the receiver.
    fn check(&self, sender: &Proof<'_, Secret>, receiver: &Proof<'_, Public>) {
        let (secret, public) = key_pair(&hidden(self.receiver_seed));
        assert_eq!(public, array(self.receiver));
        let encapsulated: Public = array(self.encapsulated);
        for (context, exported) in CONTEXTS.iter().zip(self.exported) {
            let (info, context) = (bytes(INFO), bytes(context));
            let purpose = Purpose {
                info: &info,
                export: &context,
            };
            let expected = Secret::new(array(exported));
            let sent = send(&public, sender, purpose, &hidden(self.entropy));
            assert_eq!(sent, Ok((encapsulated, expected.clone())));
            assert_eq!(
                receive(&secret, &encapsulated, receiver, purpose),
                Ok(expected)
            );
        }
    }
}

fn hidden(hex: &str) -> Secret {
    Secret::new(array(hex))
}

#[test]
fn mode_psk() {
    let (psk, id) = (hidden(PSK_ITSELF), bytes(PSK_ID));
    PSK.check(
        &Proof::Shared { psk: &psk, id: &id },
        &Proof::Shared { psk: &psk, id: &id },
    );
}

#[test]
fn mode_auth() {
    let (secret, public) = key_pair(&hidden(AUTH_SENDER_SEED));
    assert_eq!(public, array(AUTH_SENDER));
    AUTH.check(&Proof::Sender(&secret), &Proof::Sender(&public));
}

/// RFC 9180, 7.1.2: an X25519 secret key is written clamped; the published one is not.
#[test]
fn secret_keys_are_those_published() {
    let mut published: [u8; 32] = array(PSK_RECEIVER_SECRET);
    published[0] &= 0xf8;
    published[31] = published[31] & 0x7f | 0x40;
    assert_eq!(
        key_pair(&hidden(PSK.receiver_seed)).0,
        Secret::new(published)
    );
}

#[test]
fn another_proof_gives_another_key() {
    let (info, export) = (bytes(INFO), Vec::new());
    let purpose = Purpose {
        info: &info,
        export: &export,
    };
    let (reader, _) = key_pair(&hidden(PSK.receiver_seed));
    let (psk, id) = (hidden(PSK_ITSELF), bytes(PSK_ID));
    let other = hidden(AUTH_SENDER_SEED);
    let received =
        |proof: &Proof<'_, Public>| receive(&reader, &array(PSK.encapsulated), proof, purpose);
    let right = received(&Proof::Shared { psk: &psk, id: &id }).expect("a good key");
    for wrong in [
        Proof::Shared {
            psk: &other,
            id: &id,
        },
        Proof::Shared {
            psk: &psk,
            id: &id[1..],
        },
        Proof::Sender(&array(AUTH_SENDER)),
    ] {
        assert_ne!(received(&wrong).expect("a good key"), right);
    }
}
