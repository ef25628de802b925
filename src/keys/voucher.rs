//! Vouchers: by which managers know each other's invitations.
//!
//! A satellite keeps the list of keys, and could put one of its own on it, or call somebody a manager
//! who is none. So who invites a machine vouches for its boxing key and its rights, with a secret that
//! managers alone have; a renewal gives new keys to nobody else.

use ring::hmac;
use skypipe_broker::keys::seed::Pair;
use skypipe_broker::protocol::{PublicKey, Rights};

/// What a voucher is for, in what it authenticates.
const PURPOSE: &[u8] = b"skypipe voucher 1";

/// Vouches for a machine: HMAC-SHA256 of its boxing key and its rights, by a key that derives from the
/// managing key.
#[must_use]
pub fn vouch(managing: &Pair, boxing: PublicKey, rights: Rights) -> Vec<u8> {
    let tag = hmac::sign(&key(managing), &content(boxing, rights));
    tag.as_ref().to_vec()
}

/// Whether a manager has vouched for a machine.
#[must_use]
pub fn is_vouched(managing: &Pair, boxing: PublicKey, rights: Rights, voucher: &[u8]) -> bool {
    hmac::verify(&key(managing), &content(boxing, rights), voucher).is_ok()
}

fn key(managing: &Pair) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, managing.secret.as_bytes());
    // The managing key itself is for HPKE alone.
    let derived = hmac::sign(&secret, PURPOSE);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

fn content(boxing: PublicKey, rights: Rights) -> Vec<u8> {
    let rights = [rights.read, rights.write, rights.manage].map(u8::from);
    [&boxing.0[..], &rights].concat()
}

#[cfg(test)]
mod tests {
    use skypipe_broker::keys::secret::Secret;
    use skypipe_broker::keys::seed::Seed;

    use super::*;

    const READ: Rights = Rights {
        read: true,
        write: false,
        manage: false,
    };

    #[test]
    fn a_voucher_is_for_one_machine_and_its_rights() {
        let managing = |byte| Seed::new(Secret::new([byte; 32])).managing();
        let (ours, machine) = (managing(1), PublicKey([7; 32]));
        let voucher = vouch(&ours, machine, READ);
        assert!(is_vouched(&ours, machine, READ, &voucher));
        assert!(!is_vouched(&managing(2), machine, READ, &voucher));
        assert!(!is_vouched(&ours, PublicKey([8; 32]), READ, &voucher));
        assert!(!is_vouched(&ours, machine, Rights::ALL, &voucher));
        assert!(!is_vouched(&ours, machine, READ, &voucher[1..]));
        assert!(!is_vouched(&ours, machine, READ, b""));
    }
}
