//! Tests. Stretching a phrase takes a moment each time, so the tests share one stretched phrase.

use super::*;

const MANAGING: [u8; LENGTH] = [7; LENGTH];

/// The seed of the bytes 0, 1, 2 and so on, wrapped with the salt 100, 101 and so on and [`phrase`]. It was
/// computed apart from this code, with the reference implementation of Argon2.
const WRAPPED_SEED: &str = "\
    010001000003046465666768696a6b6c6d6e6f70717273492ab84e5dc77f7c945b3cf036613ec9b389be159962\
    f73f3b7fa13ab35b706b2d2a9bbe1190ccc4bc9d3608bbce8759f6c50e16dfb0eb954c6b501faaf5adf2f76e4d\
    0e7d0a3fecd2ddb3fc507b3d4224632a9d";

fn phrase() -> Phrase {
    Phrase::parse("abacus zoom unicorn wobble yoyo zipping").unwrap()
}

fn seed() -> Seed {
    Seed::new(Secret::new(counting(0)))
}

fn counting<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|at| from + u8::try_from(at).unwrap())
}

fn bytes() -> Vec<u8> {
    let digits = (0..WRAPPED_SEED.len()).step_by(2);
    let byte = |at| u8::from_str_radix(&WRAPPED_SEED[at..at + 2], 16).unwrap();
    digits.map(byte).collect()
}

/// [`bytes`] after a change, with a corrected checksum.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes();
    bytes.truncate(WRAPPED - CHECKSUM);
    change(&mut bytes);
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_be_bytes());
    bytes
}

#[test]
fn what_is_wrapped_stays_as_it_is() {
    let wrapped = Wrapped::new(&phrase(), counting(100), &seed(), &MANAGING).unwrap();
    assert_eq!(wrapped.to_bytes(), bytes());
    assert_eq!(Wrapped::from_bytes(&bytes()), Ok(wrapped));
}

#[test]
fn the_phrase_opens_it_until_anything_is_changed() {
    let wrapped = Wrapped::from_bytes(&bytes()).unwrap();
    let key = wrapped.key(&phrase()).unwrap();
    assert_eq!(wrapped.unseal(&key), Ok((seed(), MANAGING)));
    for at in 1..WRAPPED - CHECKSUM {
        let other = Wrapped::from_bytes(&changed(|bytes| bytes[at] ^= 1));
        // Some changes are refused for their cost. All others must not open.
        if let Ok(other) = other {
            assert_eq!(other.unseal(&key), Err(Fault::Phrase));
        }
    }
}

#[test]
fn another_phrase_is_told_to_be_wrong() {
    let wrapped = Wrapped::from_bytes(&bytes()).unwrap();
    let other = Phrase::parse("zoom abacus unicorn wobble yoyo zipping").unwrap();
    assert_eq!(wrapped.open(&other), Err(Fault::Phrase));
    assert_eq!(Fault::Phrase.to_string(), "the phrase is wrong");
}

#[test]
fn damage_is_told_before_the_phrase_is_asked_for() {
    let bytes = bytes();
    assert_eq!(bytes.len(), WRAPPED);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Wrapped::from_bytes(&damaged), Err(Fault::Damaged));
    }
    for length in 0..bytes.len() {
        assert_eq!(Wrapped::from_bytes(&bytes[..length]), Err(Fault::Damaged));
    }
    for length in [1, 7, HEADER, WRAPPED - CHECKSUM - 1] {
        let cut = changed(|bytes| bytes.truncate(length));
        assert_eq!(Wrapped::from_bytes(&cut), Err(Fault::Damaged));
    }
    let longer = changed(|bytes| bytes.push(0));
    assert_eq!(Wrapped::from_bytes(&longer), Err(Fault::Damaged));
    let empty = changed(Vec::clear);
    assert_eq!(Wrapped::from_bytes(&empty), Err(Fault::Damaged));
}

#[test]
fn other_versions_are_told() {
    for version in [0, 2, 255] {
        let other = changed(|bytes| bytes[0] = version);
        assert_eq!(Wrapped::from_bytes(&other), Err(Fault::Version));
    }
}

#[test]
fn no_satellite_makes_a_client_work_too_little_or_too_much() {
    let asking = |memory: u32, passes: u8, lanes: u8| {
        let bytes = changed(|bytes| {
            bytes[1..5].copy_from_slice(&memory.to_be_bytes());
            bytes[5..7].copy_from_slice(&[passes, lanes]);
        });
        Wrapped::from_bytes(&bytes).map(|_| ())
    };
    let (least, most) = (64 << 10, 256 << 10);
    for (memory, passes, lanes) in [(least, 3, 4), (least, 3, 1), (most, 10, 8), (most, 3, 4)] {
        assert_eq!(asking(memory, passes, lanes), Ok(()));
    }
    for (memory, passes, lanes) in [
        (least - 1, 3, 4),
        (most + 1, 3, 4),
        (0, 3, 4),
        (u32::MAX, 3, 4),
        (100 << 20, 3, 4),
        (least, 2, 4),
        (least, 11, 4),
        (least, 0, 4),
        (least, 255, 4),
        (least, 3, 0),
        (least, 3, 9),
        (least, 3, 255),
    ] {
        assert_eq!(asking(memory, passes, lanes), Err(Fault::Cost));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let wrapped = Wrapped::from_bytes(&bytes()).unwrap();
    let printed = format!("{wrapped:?}");
    assert!(!printed.contains(&format!("{:?}", &seed().secret().as_bytes()[..8])));
    for fault in [Fault::Damaged, Fault::Version, Fault::Cost, Fault::Memory] {
        assert!(!fault.to_string().contains("wrong"));
    }
}
