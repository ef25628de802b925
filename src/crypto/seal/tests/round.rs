//! Tests: sealed data opens, however it is cut and wherever a listener begins.

use proptest::prelude::*;

use super::super::{MOST_PLAIN, Opener, Sealer, Suite};
use super::{
    PIPE, STREAM, SUITES, cut, epoch, open, opener, records, sealer, sealer_at, secret, text,
};
use crate::crypto::Epoch;

/// Lengths of a writer's pieces: mostly short, at times longer than a record.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![3 => 1..200_usize, 1 => 1..3 * MOST_PLAIN];
    prop::collection::vec(length, 1..12)
}

fn suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(SUITES.as_slice())
}

/// The stream in pieces of these lengths, and its sealed form.
fn sealed(sealer: &mut Sealer, lengths: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let plain = text(lengths.iter().sum());
    let (mut rest, mut wire) = (&plain[..], Vec::new());
    for length in lengths {
        let (piece, after) = rest.split_at(*length);
        wire.extend(sealer.seal(piece));
        rest = after;
    }
    (plain, wire)
}

/// Groups the records into payloads; the numbers are the group sizes.
fn grouped(wire: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let records = cut(wire);
    let (mut rest, mut groups) = (&records[..], Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (group, after) = rest.split_at(rest.len().min(*size));
        groups.push(group.concat());
        rest = after;
    }
    groups
}

/// Opens payloads one after the other, up to the proof of the end.
fn open_all(opener: &mut Opener, payloads: &[Vec<u8>], proof: &[u8]) -> Vec<u8> {
    let epochs = [epoch(2), epoch(1)];
    let mut plain = Vec::new();
    for payload in payloads {
        let payload = opener.open(&epochs, payload, false);
        plain.extend(payload.expect("it is as it was sealed").plain);
    }
    let ended = opener.end(&epochs, proof, false).expect("it is the end");
    assert_eq!(Some(ended.len), opener.due());
    plain
}

proptest! {
    #[test]
    fn any_pieces_in_any_payloads(
        suite in suite(),
        lengths in lengths(),
        sizes in prop::collection::vec(1..5_usize, 1..5),
    ) {
        let mut sealer = sealer(suite);
        let (plain, wire) = sealed(&mut sealer, &lengths);
        prop_assert_eq!(sealer.position(), plain.len() as u64);
        let mut opener = opener().due_at(0);
        let received = open_all(&mut opener, &grouped(&wire, &sizes), &sealer.end());
        prop_assert_eq!(received, plain);
    }

    /// A late listener gets everything from there on, and knows the position.
    #[test]
    fn joining_at_any_record(
        suite in suite(),
        lengths in lengths(),
        from in any::<prop::sample::Index>(),
    ) {
        let mut sealer = sealer(suite);
        let (plain, wire) = sealed(&mut sealer, &lengths);
        let cut = cut(&wire);
        let rest = cut[from.index(cut.len())..].concat();
        let position = records(&rest)[0].header.position;
        let mut opener = opener();
        let first = open(&mut opener, &rest);
        prop_assert_eq!(first.position, position);
        prop_assert_eq!(first.skipped, 0);
        prop_assert_eq!(&first.plain[..], &plain[usize::try_from(position).unwrap()..]);
        opener.end(&[epoch(1)], &sealer.end(), false).expect("it is the end");
    }

    /// The same stream in the same pieces gives the same bytes.
    #[test]
    fn sealing_is_deterministic(suite in suite(), lengths in lengths()) {
        let (mut one, mut two) = (sealer(suite), sealer(suite));
        prop_assert_eq!(sealed(&mut one, &lengths), sealed(&mut two, &lengths));
        prop_assert_eq!(one.end(), two.end());
    }

    /// However a stream is read, no two of its records have the same nonce.
    #[test]
    fn positions_only_grow(lengths in lengths()) {
        let mut sealer = sealer(Suite::AesGcm);
        let (_, mut wire) = sealed(&mut sealer, &lengths);
        wire.extend(sealer.end());
        let positions: Vec<u64> =
            records(&wire).iter().map(|record| record.header.position).collect();
        prop_assert!(positions.is_sorted_by(|before, after| before < after));
    }

    /// A stream continues under new keys at the position where the old keys stopped.
    #[test]
    fn an_epoch_ends_within_a_stream(suite in suite(), lengths in lengths(), at in 0..12_usize) {
        let (before, after) = lengths.split_at(at.min(lengths.len()));
        let mut old = sealer(suite);
        let (mut plain, mut wire) = sealed(&mut old, before);
        let mut new = sealer_at(&epoch(2), old.position(), suite);
        prop_assert_eq!((old.epoch(), new.epoch()), (1, 2));
        let (more, sealed) = sealed(&mut new, after);
        plain.extend(more);
        wire.extend(sealed);
        let received = open_all(&mut opener().due_at(0), &[wire], &new.end());
        prop_assert_eq!(received, plain);
    }
}

#[test]
fn the_best_suite_works() {
    let mut sealer = sealer(Suite::best());
    let wire = sealer.seal(b"here");
    assert_eq!(
        open_all(&mut opener(), &[wire.into()], &sealer.end()),
        b"here"
    );
}

#[test]
fn other_entropy_is_another_stream_of_bytes() {
    let seal = |entropy| {
        let sealer = Sealer::new(&epoch(1), &secret(entropy), STREAM, PIPE, 0, Suite::AesGcm);
        sealer.expect("a good public key").seal(b"the same")
    };
    let (one, two) = (seal(1), seal(2));
    assert_ne!(one[16..48], two[16..48]);
    assert_ne!(one[48..], two[48..]);
}

#[test]
fn the_plaintext_cannot_be_seen() {
    let plain = b"nobody may read this on its way";
    for suite in SUITES {
        let wire = sealer(suite).seal(plain);
        assert!(
            !wire
                .windows(4)
                .any(|seen| plain.windows(4).any(|part| part == seen))
        );
    }
}

#[test]
fn nothing_seals_to_nothing() {
    let mut sealer = sealer(Suite::AesGcm);
    assert!(sealer.seal(b"").is_empty());
    assert_eq!(sealer.position(), 0);
}

#[test]
fn writers_need_no_reading_key() {
    let writer = Epoch {
        secret: None,
        ..epoch(1)
    };
    let wire = sealer_at(&writer, 0, Suite::ChaCha).seal(b"for them");
    let payload = open(&mut opener(), &wire);
    assert_eq!(&payload.plain[..], b"for them");
}
