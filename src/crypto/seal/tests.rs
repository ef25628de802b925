//! Tests of sealed streams. Each file tests one promise.

mod end;
mod forged;
mod form;
mod garbage;
mod holder;
mod keys;
mod lengths;
mod order;
mod packed;
mod round;
mod vectors;

use uuid::Uuid;

use super::kem;
use super::record::{Record, Records};
use super::{Opened, Opener, Sealer, Suite};
use crate::crypto::Epoch;
use skypipe_protocol::secret::Secret;

const SUITES: [Suite; 2] = [Suite::AesGcm, Suite::ChaCha];
const STREAM: Uuid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);
const OTHER_STREAM: Uuid = Uuid::from_u128(7);
const PIPE: &str = "build log";

/// 32 bytes of this value.
fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

/// A distinct epoch for each number from 1 to 99.
fn epoch(number: u32) -> Epoch {
    let byte = u8::try_from(number).expect("a small number");
    epoch_of(number, secret(byte), &secret(100 + byte))
}

/// The epoch of those who may write and read. Its key pair is made from the seed.
fn epoch_of(number: u32, psk: Secret, seed: &Secret) -> Epoch {
    let (secret, public) = kem::key_pair(seed);
    Epoch {
        number,
        psk,
        public,
        secret: Some(secret),
    }
}

/// A sealer for [`STREAM`] from its beginning, in epoch 1.
fn sealer(suite: Suite) -> Sealer {
    sealer_at(&epoch(1), 0, suite)
}

fn sealer_at(epoch: &Epoch, position: u64, suite: Suite) -> Sealer {
    Sealer::new(epoch, &secret(200), STREAM, PIPE, position, suite).expect("a good public key")
}

/// A listener to [`STREAM`] that accepts any beginning.
fn opener() -> Opener {
    Opener::new(STREAM, PIPE)
}

/// Opens data sealed for epoch 1, which must succeed.
fn open(opener: &mut Opener, wire: &[u8]) -> Opened {
    let payload = opener.open(&[epoch(1)], wire, false);
    payload.expect("it is as it was sealed")
}

/// The records of a payload that was sealed here.
fn records(wire: &[u8]) -> Vec<Record<'_>> {
    Records::of(wire)
        .collect::<Result<_, _>>()
        .expect("whole records")
}

/// The records of a payload, as one slice each.
fn cut(wire: &[u8]) -> Vec<&[u8]> {
    let mut rest = wire;
    let mut pieces = Vec::new();
    for record in records(wire) {
        let (piece, after) = rest.split_at(record.len());
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Bytes that differ from all others near them.
fn text(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i * 31 + i / 251).to_le_bytes()[0])
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).expect("a hexadecimal digit");
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).expect("a byte");
    hex.as_bytes().chunks_exact(2).map(byte).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().expect("so many bytes")
}
