//! Tests: no bytes that anybody can send crash a listener.

use proptest::prelude::*;

use super::super::record::{Header, Kind};
use super::super::{MOST_PLAIN, Suite, whole_records};
use super::{SUITES, epoch, open, opener, sealer, text};

/// A header with valid numbers that nobody sealed.
fn header() -> impl Strategy<Value = Header> {
    let suite = prop::sample::select(SUITES.as_slice());
    let plain = prop_oneof![Just(0), 1..300_u16, any::<u16>()];
    let position = prop_oneof![0..100_u64, any::<u64>(), Just(u64::MAX)];
    (
        suite,
        prop::sample::select(vec![Kind::Bytes, Kind::End, Kind::Packed]),
        plain,
        0..4_u32,
        position,
        any::<[u8; 32]>(),
    )
        .prop_map(
            |(suite, kind, length, epoch, position, encapsulated)| Header {
                suite,
                kind,
                length,
                epoch,
                position,
                encapsulated,
            },
        )
}

/// A record that nobody sealed, often of the right length.
fn forged() -> impl Strategy<Value = Vec<u8>> {
    (
        header(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..400),
    )
        .prop_map(|(header, is_whole, mut body)| {
            if is_whole {
                body.resize(usize::from(header.length) + 16, 0);
            }
            [header.encode().as_slice(), &body].concat()
        })
}

/// Checks that nothing opens, with each method.
fn check(wire: &[u8], may_skip: bool) {
    let epochs = [epoch(1), epoch(2)];
    for mut opener in [opener(), opener().due_at(50)] {
        let due = opener.due();
        opener
            .open(&epochs, wire, may_skip)
            .expect_err("nobody sealed it");
        opener
            .end(&epochs, wire, may_skip)
            .expect_err("nobody sealed it");
        assert_eq!(opener.due(), due);
    }
}

fn check_cut(wire: &[u8], most: usize) {
    let (length, plain) = whole_records(wire, 1000, most);
    assert!(length <= most && length <= wire.len());
    assert!(plain <= 1000);
    let again = whole_records(&wire[..length], plain, usize::MAX);
    assert_eq!(again, (length, plain));
}

proptest! {
    #[test]
    fn any_bytes(
        wire in prop::collection::vec(any::<u8>(), 0..500),
        may_skip in any::<bool>(),
        most in 0..600_usize,
    ) {
        check(&wire, may_skip);
        check_cut(&wire, most);
    }

    #[test]
    fn any_headers(
        records in prop::collection::vec(forged(), 1..4),
        may_skip in any::<bool>(),
        most in 0..2 * MOST_PLAIN,
    ) {
        let wire = records.concat();
        check(&wire, may_skip);
        check_cut(&wire, most);
    }

    /// Sealed data with a part of it overwritten, inserted or removed.
    #[test]
    fn any_damage(
        range in (0..200_usize, 0..200_usize),
        with in prop::collection::vec(any::<u8>(), 0..100),
        may_skip in any::<bool>(),
    ) {
        let mut sealer = sealer(Suite::AesGcm);
        let sealed = [sealer.seal(&text(30)), sealer.seal(&text(42))].concat();
        let mut wire = sealed.clone();
        wire.splice(range.0.min(range.1)..range.0.max(range.1), with);
        // Whole records may be left over. They give no more than what was sealed.
        match opener().open(&[epoch(1)], &wire, may_skip) {
            Ok(opened) => {
                let whole = open(&mut opener(), &sealed);
                let from = usize::try_from(opened.position).unwrap();
                prop_assert!(whole.plain[from..].starts_with(&opened.plain));
                prop_assert!(sealed.starts_with(&wire) || sealed.ends_with(&wire));
            }
            Err(fault) => prop_assert!(!fault.to_string().is_empty()),
        }
    }
}
