//! Tests: predicted lengths are right.

use proptest::prelude::*;

use super::super::{MOST_PLAIN, OVERHEAD, Sealer, Suite, plain_room, sealed_len, whole_records};
use super::{records, sealer, text};

fn sealed(suite: Suite, length: usize) -> usize {
    sealer(suite).seal(&text(length)).len()
}

#[test]
fn a_full_record_costs_the_credit_that_is_always_given() {
    assert_eq!(sealed_len(MOST_PLAIN), 3840);
    assert_eq!(sealed_len(MOST_PLAIN) + 256, 4096);
}

#[test]
fn lengths_at_the_edges() {
    let full = MOST_PLAIN + OVERHEAD;
    for (plain, wire) in [
        (0, 0),
        (1, OVERHEAD + 1),
        (MOST_PLAIN - 1, full - 1),
        (MOST_PLAIN, full),
        (MOST_PLAIN + 1, full + OVERHEAD + 1),
        (2 * MOST_PLAIN, 2 * full),
    ] {
        assert_eq!(sealed_len(plain), wire);
        assert_eq!(plain_room(wire), plain);
        for suite in super::SUITES {
            assert_eq!(sealed(suite, plain), wire);
        }
    }
    for nothing_fits in [0, 1, OVERHEAD] {
        assert_eq!(plain_room(nothing_fits), 0);
        assert_eq!(plain_room(full + nothing_fits), MOST_PLAIN);
    }
}

#[test]
fn no_length_overflows() {
    assert_eq!(sealed_len(usize::MAX), usize::MAX);
    assert!(plain_room(usize::MAX) < usize::MAX);
    assert!(sealed_len(plain_room(usize::MAX)) > usize::MAX - OVERHEAD);
}

#[test]
fn a_record_that_does_not_fit_stays_whole() {
    let wire = sealer(Suite::ChaCha).seal(&text(100));
    assert_eq!(whole_records(&wire, 100, wire.len() - 1), (0, 0));
    assert_eq!(whole_records(&wire, 100, wire.len()), (wire.len(), 100));
    assert_eq!(
        whole_records(&wire[..wire.len() - 1], 100, usize::MAX),
        (0, 0)
    );
    assert_eq!(whole_records(&[], 0, usize::MAX), (0, 0));
}

proptest! {
    #[test]
    fn sealed_len_is_exact(length in 0..4 * MOST_PLAIN) {
        prop_assert_eq!(sealed(Suite::AesGcm, length), sealed_len(length));
    }

    #[test]
    fn plain_room_is_the_most_that_fits(wire in 0..1_000_000_usize) {
        let room = plain_room(wire);
        prop_assert!(room == 0 || sealed_len(room) <= wire);
        prop_assert!(sealed_len(room + 1) > wire);
    }

    /// The pieces are as long as possible, and nothing is lost between them.
    #[test]
    fn whole_records_cuts_anywhere(
        lengths in prop::collection::vec(1..2 * MOST_PLAIN, 1..6),
        most in MOST_PLAIN + OVERHEAD..20_000,
    ) {
        let mut sealer: Sealer = sealer(Suite::AesGcm);
        let wire: Vec<u8> = lengths.iter().flat_map(|length| sealer.seal(&text(*length))).collect();
        let (mut rest, mut plain) = (&wire[..], 0);
        while !rest.is_empty() {
            let (length, bytes) = whole_records(rest, lengths.iter().sum::<usize>() - plain, most);
            prop_assert!(0 < length && length <= most);
            let next = records(rest).into_iter().scan(0, |end, record| {
                *end += record.len();
                Some(*end)
            });
            let longest = next.take_while(|end| *end <= most).last();
            prop_assert_eq!(Some(length), longest);
            rest = &rest[length..];
            plain += bytes;
        }
        prop_assert_eq!(plain, lengths.iter().sum::<usize>());
    }
}
