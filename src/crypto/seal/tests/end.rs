//! Tests: a stream ends exactly where its proof says so.

use super::super::{Ended, Fault, OVERHEAD, Opener, Sealer, Suite};
use super::{OTHER_STREAM, PIPE, SUITES, epoch, opener, sealer, secret};

/// Two records of five bytes each, and the proof of the end.
fn stream(suite: Suite) -> [Vec<u8>; 3] {
    let mut sealer = sealer(suite);
    [
        sealer.seal(b"first").into(),
        sealer.seal(b"other").into(),
        sealer.end().into(),
    ]
}

/// A listener that has opened these payloads.
fn listener(payloads: &[&[u8]]) -> Opener {
    let mut opener = opener().due_at(0);
    for payload in payloads {
        opener
            .open(&[epoch(1)], payload, false)
            .expect("it is as it was sealed");
    }
    opener
}

fn end(opener: &mut Opener, proof: &[u8], may_skip: bool) -> Result<Ended, Fault> {
    let due = opener.due();
    let ended = opener.end(&[epoch(1)], proof, may_skip);
    let expected = ended.map_or(due, |ended| Some(ended.len));
    assert_eq!(opener.due(), expected, "a fault moves nothing");
    ended
}

#[test]
fn at_the_end() {
    for suite in SUITES {
        let [first, other, proof] = stream(suite);
        assert_eq!(proof.len(), OVERHEAD);
        let mut opener = listener(&[&first, &other]);
        for _again in 0..2 {
            assert_eq!(
                end(&mut opener, &proof, false),
                Ok(Ended {
                    len: 10,
                    skipped: 0
                })
            );
        }
    }
}

/// The satellite withholds the last record and shows the proof.
#[test]
fn too_early() {
    let [first, _, proof] = stream(Suite::AesGcm);
    let mut opener = listener(&[&first]);
    assert_eq!(
        end(&mut opener, &proof, false),
        Err(Fault::Missing { due: 5, found: 10 })
    );
    assert_eq!(
        end(&mut opener, &proof, true),
        Ok(Ended {
            len: 10,
            skipped: 5
        })
    );
}

/// Only a holder of the keys can make two ends. The first one is still wrong afterwards.
#[test]
fn too_late() {
    let [first, other, _] = stream(Suite::AesGcm);
    let mut sealer = sealer(Suite::AesGcm);
    let _first = sealer.seal(b"first");
    let early = sealer.end();
    let mut opener = listener(&[&first, &other]);
    for may_skip in [false, true] {
        let fault = Fault::Repeated { due: 10, found: 5 };
        assert_eq!(end(&mut opener, &early, may_skip), Err(fault));
    }
}

#[test]
fn of_another_stream() {
    let [first, other, _] = stream(Suite::AesGcm);
    let foreign = Sealer::new(
        &epoch(1),
        &secret(201),
        OTHER_STREAM,
        PIPE,
        10,
        Suite::AesGcm,
    );
    let proof = foreign.expect("a good public key").end();
    let mut opener = listener(&[&first, &other]);
    assert_eq!(end(&mut opener, &proof, true), Err(Fault::Altered));
}

#[test]
fn none_and_others() {
    let [first, other, proof] = stream(Suite::ChaCha);
    let mut opener = listener(&[&first, &other]);
    for no_proof in [
        Vec::new(),
        proof[..OVERHEAD - 1].to_vec(),
        [&proof[..], &[0]].concat(),
        [&proof[..], &proof].concat(),
        [&proof[..], &first].concat(),
        first.clone(),
        vec![0; OVERHEAD].into_iter().chain([1]).collect(),
    ] {
        end(&mut opener, &no_proof, true).expect_err("it is no proof");
    }
    end(&mut opener, &proof, false).expect("the opener is as it was");
}

#[test]
fn every_bit_counts() {
    for suite in SUITES {
        let [first, other, proof] = stream(suite);
        for mut opener in [listener(&[&first, &other]), opener()] {
            for bit in 0..proof.len() * 8 {
                let mut flipped = proof.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                end(&mut opener, &flipped, true).expect_err("it is not as it was sealed");
            }
        }
    }
}

/// An end is no record of bytes, not even at the end of them, and the other way round: neither header
/// matches the other record's seal.
#[test]
fn an_end_is_no_bytes() {
    let [first, other, proof] = stream(Suite::AesGcm);
    for wire in [proof.clone(), [&first[..], &other, &proof].concat()] {
        assert_eq!(opener().open(&[epoch(1)], &wire, true), Err(Fault::Altered));
    }
    let mut due = listener(&[&first]);
    assert_eq!(end(&mut due, &other, true), Err(Fault::Altered));
    let mut as_end = first[..OVERHEAD].to_vec();
    as_end[1..4].copy_from_slice(&[1, 0, 0]);
    assert_eq!(end(&mut opener(), &as_end, true), Err(Fault::Altered));
}

#[test]
fn of_a_stream_without_bytes() {
    let proof = sealer(Suite::ChaCha).end();
    let empty = Ok(Ended { len: 0, skipped: 0 });
    assert_eq!(end(&mut opener().due_at(0), &proof, false), empty);
    assert_eq!(end(&mut opener(), &proof, false), empty);
}

/// A listener that only sees the end learns the stream's length. A listener that was there from the
/// beginning is not told that anything was skipped.
#[test]
fn before_anything_was_opened() {
    let [_, _, proof] = stream(Suite::AesGcm);
    assert_eq!(
        end(&mut opener(), &proof, false),
        Ok(Ended {
            len: 10,
            skipped: 0
        })
    );
    let missing = Fault::Missing { due: 0, found: 10 };
    assert_eq!(end(&mut opener().due_at(0), &proof, false), Err(missing));
}
