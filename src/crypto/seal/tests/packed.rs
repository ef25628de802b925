//! Tests: packed records decompress to what was packed.

use proptest::prelude::*;

use super::super::packer::Packer;
use super::super::record::{Kind, MOST_RATIO, Record};
use super::super::{Fault, MOST_PLAIN, OVERHEAD, Opened, Opener, Suite, whole_records};
use super::{epoch, opener, records, sealer};

/// Log lines with these numbers.
fn log(lines: std::ops::Range<u32>) -> Vec<u8> {
    let line = |n: u32| {
        let took = n.wrapping_mul(2_654_435_761);
        format!(
            "2026-11-29 08:00:00 host-{} request {n} took {took} us\n",
            n % 7
        )
    };
    lines.map(line).collect::<String>().into_bytes()
}

/// Bytes that do not shrink and contain no line end.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state.to_le_bytes()[3] {
            b'\n' => b'-',
            byte => byte,
        }
    };
    (0..length).map(next).collect()
}

/// Seals everything in payloads of at most `most` bytes, packed where it shrinks.
fn packed(plain: &[u8], most: usize) -> Vec<(Vec<u8>, usize)> {
    let mut packer = Packer::new(1).expect("there is memory");
    let mut sealer = sealer(Suite::best());
    let (mut done, mut payloads) = (0, Vec::new());
    while done < plain.len() {
        let mut wire = Vec::new();
        let length = sealer.seal_packed(&mut packer, &plain[done..], most, &mut wire);
        assert!(length > 0 && wire.len() <= most, "{length}, {}", wire.len());
        payloads.push((wire, length));
        done += length;
    }
    payloads
}

fn try_open(opener: &mut Opener, wire: &[u8]) -> Result<Opened, Fault> {
    opener.open(&[epoch(1)], wire, false)
}

fn unpacked(opener: &mut Opener, payloads: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (wire, length) in payloads {
        let payload = try_open(opener, wire).expect("it is as it was sealed");
        assert_eq!(payload.plain.len(), *length);
        plain.extend_from_slice(&payload.plain);
    }
    plain
}

#[test]
fn a_log_takes_a_third_of_its_room_and_records_are_full() {
    let log = log(0..20_000);
    let payloads = packed(&log, 17 * 3840);
    let wire: usize = payloads.iter().map(|(wire, _)| wire.len()).sum();
    assert!(3 * wire < log.len(), "{wire} of {}", log.len());
    let all: Vec<u8> = payloads.iter().flat_map(|(wire, _)| wire.clone()).collect();
    let records = records(&all);
    let full = records.iter().filter(|record| record.len() > 3400).count();
    assert!(10 * full > 9 * records.len(), "{full} of {}", records.len());
    assert_eq!(unpacked(&mut opener(), &payloads), log);
}

#[test]
fn a_packed_record_ends_with_a_line() {
    for (wire, _) in packed(&log(0..3000), 3840) {
        let opened = try_open(&mut opener(), &wire).expect("it opens wherever one begins");
        assert_eq!(opened.plain.last(), Some(&b'\n'));
    }
}

#[test]
fn what_does_not_shrink_goes_as_it_is() {
    let noise = noise(100_000);
    let payloads = packed(&noise, 3840);
    let kinds = payloads.iter().flat_map(|(wire, _)| records(wire));
    assert!(
        kinds
            .clone()
            .all(|record| record.header.kind == Kind::Bytes)
    );
    assert_eq!(kinds.count(), noise.len().div_ceil(MOST_PLAIN));
    assert_eq!(unpacked(&mut opener(), &payloads), noise);
}

#[test]
fn a_listener_never_keeps_more_than_sixteen_times_what_came() {
    let zeros = vec![0; 3_000_000];
    let payloads = packed(&zeros, 17 * 3840);
    for (wire, plain) in &payloads {
        assert!(*plain <= MOST_RATIO * wire.len());
    }
    assert_eq!(unpacked(&mut opener(), &payloads), zeros);
}

#[test]
fn a_record_that_unpacks_to_too_much_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 1 << 24], 1).expect("it is packed");
    assert!(bomb.len() < MOST_PLAIN);
    for content in [&bomb[..], b"not packed at all", &bomb[..bomb.len() / 2]] {
        let mut wire = Vec::new();
        let mut sealer = sealer(Suite::best());
        sealer.seal_one(Kind::Packed, content, 1 << 24, &mut wire);
        assert_eq!(try_open(&mut opener(), &wire), Err(Fault::Altered));
    }
}

#[test]
fn a_packed_record_that_was_changed_is_refused() {
    let payloads = packed(&log(0..100), 3840);
    let wire = &payloads[0].0;
    for at in [1, 3, 15, 48, wire.len() - 1] {
        let mut changed = wire.clone();
        changed[at] ^= 1;
        assert!(try_open(&mut opener(), &changed).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_sent_again_is_cut_between_packed_records() {
    let log = log(0..3000);
    let payloads = packed(&log, 17 * 3840);
    let (wire, plain) = &payloads[0];
    let (first, length) = whole_records(wire, *plain, 2 * 3840);
    assert!(first > OVERHEAD && length > 2 * MOST_PLAIN);
    let begin = try_open(&mut opener(), &wire[..first]).expect("it opens");
    assert_eq!(begin.plain, log[..length]);
    let rest = try_open(&mut opener(), &wire[first..]).expect("it opens");
    assert_eq!(
        (rest.position, &rest.plain[..]),
        (length as u64, &log[length..*plain])
    );
}

proptest! {
    #[test]
    fn whatever_is_packed_opens(
        pieces in prop::collection::vec((0..3_u8, 1..60_000_usize), 1..6),
        most in prop::sample::select(vec![3840, 5000, 17 * 3840]),
    ) {
        let mut plain = Vec::new();
        for (kind, length) in pieces {
            match kind {
                0 => plain.extend(noise(length)),
                1 => plain.extend(log(0..u32::try_from(length / 50).expect("it is small"))),
                _ => plain.resize(plain.len() + length, b'.'),
            }
        }
        let payloads = packed(&plain, most);
        prop_assert!(unpacked(&mut opener(), &payloads) == plain);
        let length: usize = payloads.iter().map(|(wire, _)| wire.len()).sum();
        prop_assert!(length <= plain.len() + plain.len().div_ceil(MOST_PLAIN / 2) * OVERHEAD);
        let is_sound = |record: &Record<'_>| record.len() <= MOST_PLAIN + OVERHEAD;
        prop_assert!(payloads.iter().flat_map(|(wire, _)| records(wire)).all(|record| is_sound(&record)));
    }
}
