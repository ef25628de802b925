//! Tests: a payload that was altered in any way does not open.

use uuid::Uuid;

use super::super::kem::BadKey;
use super::super::record::HEADER;
use super::super::{Fault, OVERHEAD, Opener, Sealer, Suite};
use super::{
    OTHER_STREAM, PIPE, STREAM, SUITES, epoch, epoch_of, open, opener, sealer, sealer_at, secret,
};
use crate::crypto::Epoch;

fn small(suite: Suite) -> Vec<u8> {
    let mut sealer = sealer(suite);
    [sealer.seal(b"first"), sealer.seal(b"next")].concat()
}

/// A listener that has opened something, and so has the key at hand, and one that has not.
fn listeners(suite: Suite) -> [Opener; 2] {
    let mut met = opener();
    met.open(&[epoch(1)], &small(suite), false)
        .expect("it is as it was sealed");
    [met.due_at(0), opener()]
}

fn fault(opener: &mut Opener, wire: &[u8]) -> Fault {
    let due = opener.due();
    let fault = opener
        .open(&[epoch(1), epoch(2)], wire, true)
        .expect_err("it is not as sealed");
    assert_eq!(opener.due(), due, "a fault moves nothing");
    fault
}

#[test]
fn every_bit_counts() {
    for suite in SUITES {
        let wire = small(suite);
        for mut opener in listeners(suite) {
            for bit in 0..wire.len() * 8 {
                let mut flipped = wire.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fault(&mut opener, &flipped);
            }
            open(&mut opener, &wire);
        }
    }
}

/// A cut between records leaves valid records. The missing rest shows at the next payload.
#[test]
fn every_byte_counts() {
    for suite in SUITES {
        let wire = small(suite);
        let boundary = OVERHEAD + b"first".len();
        for mut opener in listeners(suite) {
            for length in (0..wire.len()).filter(|length| *length != boundary) {
                assert_eq!(fault(&mut opener, &wire[..length]), Fault::Altered);
            }
            for start in (1..wire.len()).filter(|start| *start != boundary) {
                fault(&mut opener, &wire[start..]);
            }
            for more in [&[0][..], &[0; OVERHEAD], &wire[..HEADER]] {
                let longer = [&wire, more].concat();
                fault(&mut opener, &longer);
            }
            open(&mut opener, &wire);
        }
    }
}

/// The other half of the test above: the rest of a cut payload is valid, only incomplete.
#[test]
fn a_cut_between_records_shows_later() {
    let mut sealer = sealer(Suite::ChaCha);
    let first = sealer.seal(b"first");
    let _lost = sealer.seal(b"next");
    let (last, proof) = (sealer.seal(b"last"), sealer.end());
    let mut opener = opener();
    open(&mut opener, &first);
    let missing = |found| Some(Fault::Missing { due: 5, found });
    assert_eq!(opener.open(&[epoch(1)], &last, false).err(), missing(9));
    assert_eq!(opener.end(&[epoch(1)], &proof, false).err(), missing(13));
}

#[test]
fn other_streams_and_pipes_are_others() {
    let wire = small(Suite::AesGcm);
    for (stream, pipe) in [
        (OTHER_STREAM, PIPE),
        (STREAM, "build log2"),
        (STREAM, ""),
        (Uuid::nil(), "build log"),
    ] {
        assert_eq!(fault(&mut Opener::new(stream, pipe), &wire), Fault::Altered);
    }
}

#[test]
fn a_record_of_another_stream_is_refused() {
    let mut sealer = sealer(Suite::AesGcm);
    let first = sealer.seal(b"first");
    let foreign = Sealer::new(
        &epoch(1),
        &secret(201),
        OTHER_STREAM,
        PIPE,
        5,
        Suite::AesGcm,
    );
    let foreign = foreign.expect("a good public key").seal(b"next");
    let mut opener = opener();
    open(&mut opener, &first);
    assert_eq!(fault(&mut opener, &foreign), Fault::Altered);
    let both = [first, foreign].concat();
    assert_eq!(fault(&mut self::opener(), &both), Fault::Altered);
}

/// The number of another epoch in the header selects another key, which opens nothing.
#[test]
fn epochs_are_not_exchanged() {
    let mut wire = small(Suite::ChaCha);
    wire[7] = 2;
    assert_eq!(fault(&mut opener(), &wire), Fault::Altered);
    wire[7] = 3;
    assert_eq!(fault(&mut opener(), &wire), Fault::NoKey { epoch: 3 });
}

/// A satellite may know the public key. It lacks the pre-shared key.
#[test]
fn nobody_forges_without_the_psk() {
    let forger = Epoch {
        psk: secret(99),
        secret: None,
        ..epoch(1)
    };
    for suite in SUITES {
        let mut sealer = sealer_at(&forger, 0, suite);
        let wire = sealer.seal(b"a forgery");
        for mut opener in listeners(suite) {
            assert_eq!(fault(&mut opener, &wire), Fault::Altered);
        }
        let end = sealer_at(&forger, 0, suite).end();
        assert_eq!(opener().end(&[epoch(1)], &end, true), Err(Fault::Altered));
    }
}

/// Data sealed for the same psk and another reading key does not open either.
#[test]
fn nobody_reads_without_the_reading_key() {
    let other = epoch_of(1, secret(1), &secret(250));
    let wire = small(Suite::AesGcm);
    assert_eq!(opener().open(&[other], &wire, false), Err(Fault::Altered));
}

#[test]
fn the_records_before_a_bad_one_do_not_come_out() {
    let wire = small(Suite::AesGcm);
    let mut bad = wire.clone();
    *bad.last_mut().unwrap() ^= 1;
    let mut opener = opener();
    assert_eq!(fault(&mut opener, &bad), Fault::Altered);
    let payload = open(&mut opener, &wire);
    assert_eq!(&payload.plain[..], b"firstnext");
}

#[test]
fn unknown_suites_are_named() {
    let mut wire = small(Suite::AesGcm);
    for suite in [0, 3, 255] {
        wire[0] = suite;
        assert_eq!(fault(&mut opener(), &wire), Fault::UnknownSuite { suite });
    }
}

/// Points of small order, with which every shared secret is zero: 0, 1 and p - 1.
#[test]
fn keys_of_small_order_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for weak in [[0; 32], one, minus_one] {
        let epoch = Epoch {
            public: weak,
            ..epoch(1)
        };
        let sealer = Sealer::new(&epoch, &secret(9), STREAM, PIPE, 0, Suite::AesGcm);
        assert_eq!(sealer.err(), Some(BadKey));
        let mut wire = small(Suite::AesGcm);
        wire[16..48].copy_from_slice(&weak);
        assert_eq!(fault(&mut opener(), &wire), Fault::Altered);
    }
}

#[test]
fn absurd_names_are_refused() {
    let pipe = "n".repeat(1 << 20);
    let sealer = Sealer::new(&epoch(1), &secret(9), STREAM, &pipe, 0, Suite::AesGcm);
    assert_eq!(sealer.err(), Some(BadKey));
    let mut opener = Opener::new(STREAM, &pipe);
    assert_eq!(fault(&mut opener, &small(Suite::AesGcm)), Fault::Altered);
}
