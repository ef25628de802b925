//! Tests: data that only a holder of the keys can send, which is sealed correctly and has an invalid form.
//! It must not crash a listener either.

use super::super::kem::{Proof, Purpose, send};
use super::super::suite::Key;
use super::super::{Ended, Fault, MOST_PLAIN, Suite};
use super::{PIPE, STREAM, epoch, open, opener, sealer_at, secret};

/// A record of [`STREAM`], sealed by a modified program.
fn sealed(kind: u8, position: u64, plain: &[u8]) -> Vec<u8> {
    let keys = epoch(1);
    let id = b"skypipe epoch\0\0\0\x01";
    let proof = Proof::Shared { psk: &keys.psk, id };
    let info = [
        b"skypipe stream 1\0",
        &STREAM.as_bytes()[..],
        PIPE.as_bytes(),
    ]
    .concat();
    let export = b"skypipe stream key";
    let purpose = Purpose {
        info: &info,
        export,
    };
    let sent = send(&keys.public, &proof, purpose, &secret(5));
    let (encapsulated, key) = sent.expect("a good public key");

    let length = u16::try_from(plain.len()).expect("a length that can be written");
    let mut head = vec![1, kind];
    head.extend(length.to_be_bytes());
    head.extend(1_u32.to_be_bytes());
    head.extend(position.to_be_bytes());
    head.extend(encapsulated);
    let mut bytes = plain.to_vec();
    let tag = Key::new(Suite::AesGcm, &key).seal(position, &head, &mut bytes);
    [&head[..], &bytes, &tag].concat()
}

/// Shows that the records below are refused for their form, since they are sealed in the same way.
#[test]
fn what_is_sound_opens() {
    for plain in [&b"x"[..], &[7; MOST_PLAIN]] {
        assert_eq!(open(&mut opener(), &sealed(0, 3, plain)).plain, plain);
    }
    let ended = opener().end(&[epoch(1)], &sealed(1, 3, b""), false);
    assert_eq!(ended, Ok(Ended { len: 3, skipped: 0 }));
}

#[test]
fn what_is_not_does_not() {
    for (kind, plain) in [
        (0, &b""[..]),
        (0, &[7; MOST_PLAIN + 1]),
        (0, &[7; 2 * MOST_PLAIN]),
        (1, b"x"),
        (2, b""),
        (2, b"x"),
        (255, b"x"),
    ] {
        let wire = sealed(kind, 3, plain);
        assert_eq!(opener().open(&[epoch(1)], &wire, true), Err(Fault::Altered));
        assert_eq!(opener().end(&[epoch(1)], &wire, true), Err(Fault::Altered));
    }
}

#[test]
fn a_position_beyond_all_numbers() {
    let mut sealer = sealer_at(&epoch(1), u64::MAX - 3, Suite::AesGcm);
    let last = sealer.seal(b"end");
    assert_eq!(sealer.position(), u64::MAX);
    open(&mut opener(), &last);
    let beyond = sealed(0, u64::MAX - 3, b"ends");
    assert_eq!(
        opener().open(&[epoch(1)], &beyond, true),
        Err(Fault::Altered)
    );
}
