//! Tests: records open in order, each once, unless bytes may be missing before a payload.

use super::super::{Fault, Opened, Opener, Suite};
use super::{epoch, opener, sealer};

/// Four records of ten bytes.
fn tens() -> [Vec<u8>; 4] {
    let mut sealer = sealer(Suite::AesGcm);
    std::array::from_fn(|i| sealer.seal(&[b'a' + i.to_le_bytes()[0]; 10]).to_vec())
}

fn open(opener: &mut Opener, wire: &[&[u8]], may_skip: bool) -> Result<Opened, Fault> {
    opener.open(&[epoch(1)], &wire.concat(), may_skip)
}

fn missing(due: u64, found: u64) -> Result<Opened, Fault> {
    Err(Fault::Missing { due, found })
}

fn repeated(due: u64, found: u64) -> Result<Opened, Fault> {
    Err(Fault::Repeated { due, found })
}

#[test]
fn between_payloads() {
    let [first, second, third, fourth] = tens();
    let mut opener = opener();
    open(&mut opener, &[&first], false).expect("the first");
    assert_eq!(open(&mut opener, &[&third], false), missing(10, 20));
    assert_eq!(open(&mut opener, &[&first], false), repeated(10, 0));
    open(&mut opener, &[&second], false).expect("the second, after all that");
    assert_eq!(open(&mut opener, &[&second], false), repeated(20, 10));
    assert_eq!(open(&mut opener, &[&fourth], false), missing(20, 30));
    open(&mut opener, &[&third, &fourth], false).expect("the rest");
}

/// Even where bytes may be missing before a payload, none may be missing inside it.
#[test]
fn within_a_payload() {
    let [first, second, third, _] = tens();
    for may_skip in [false, true] {
        let mut listener = opener();
        let mut case = |wire: &[&[u8]]| open(&mut listener, wire, may_skip);
        assert_eq!(case(&[&first, &third]), missing(10, 20));
        assert_eq!(case(&[&first, &first]), repeated(10, 0));
        assert_eq!(case(&[&second, &first]), repeated(20, 0));
        assert_eq!(case(&[&first, &third, &second]), missing(10, 20));
        assert_eq!(case(&[&first, &second, &second, &third]), repeated(20, 10));
        assert_eq!(listener.due(), None);
    }
}

#[test]
fn a_tap_skips_and_says_how_much() {
    let [first, second, third, fourth] = tens();
    let mut tap = opener();
    let payload = open(&mut tap, &[&second], true).expect("any beginning");
    assert_eq!((payload.position, payload.skipped), (10, 0));
    let payload = open(&mut tap, &[&fourth], true).expect("a gap");
    assert_eq!((payload.position, payload.skipped), (30, 10));
    assert_eq!(&payload.plain[..], b"dddddddddd");
    for earlier in [first, second, third] {
        let found = super::records(&earlier)[0].header.position;
        assert_eq!(open(&mut tap, &[&earlier], true), repeated(40, found));
    }
}

#[test]
fn a_listener_that_knows_where_it_begins() {
    let [first, second, third, _] = tens();
    let mut listener = opener().due_at(10);
    assert_eq!(open(&mut listener, &[&third], false), missing(10, 20));
    assert_eq!(open(&mut listener, &[&first], false), repeated(10, 0));
    open(&mut listener, &[&second, &third], false).expect("its part");
    let skipped = open(&mut opener().due_at(0), &[&third], true)
        .expect("a gap")
        .skipped;
    assert_eq!(skipped, 20);
}
