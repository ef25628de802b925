//! Mutations of valid bytes.

use crate::common::chance::Chance;

/// The most mutations of one message.
const MOST: usize = 4;

/// The longest part that is removed, duplicated or inserted, in bytes.
const PART: usize = 64;

/// Lengths that an implementation may handle wrongly.
const LENGTHS: [u64; 8] = [
    0,
    1,
    0xff,
    0xffff,
    1 << 20,
    (1 << 31) - 1,
    u64::MAX >> 1,
    u64::MAX,
];

/// Boundary values of a byte.
const EDGES: [u8; 8] = [0, 1, 2, 4, 0x7f, 0x80, 0xfe, 0xff];

/// Mutates the bytes at random places.
pub fn change(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..=chance.below(MOST) {
        change_once(chance, bytes);
    }
}

fn change_once(chance: &mut Chance, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.extend(chance.bytes(PART));
        return;
    }
    let place = chance.below(bytes.len());
    let part = place..bytes.len().min(place + 1 + chance.below(PART));
    match chance.below(8) {
        0 => bytes[place] ^= 1 << chance.below(8),
        1 => bytes[place] = chance.of_these(&EDGES),
        2 => bytes[place] = chance.next().to_le_bytes()[0],
        3 => bytes.truncate(place),
        4 => drop(bytes.drain(part)),
        5 => {
            let doubled = bytes[part].to_vec();
            bytes.splice(place..place, doubled);
        }
        6 => {
            let new = chance.bytes(part.len());
            bytes.splice(place..place, new);
        }
        _ => overwrite(bytes, place, &chance.of_these(&LENGTHS).to_be_bytes()),
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    for (byte, new) in bytes[place..].iter_mut().zip(with) {
        *byte = *new;
    }
}
