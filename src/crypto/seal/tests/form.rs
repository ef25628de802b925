//! Tests: the form of records is as documented. The expected bytes come from another program, which was
//! written from RFC 9180 and the documentation alone.

use bytes::Bytes;
use uuid::Uuid;

use super::super::{Opened, Opener, Sealer, Suite};
use super::{bytes, epoch_of, secret};
use crate::crypto::Epoch;

const PLAIN: &[u8] = b"over the sky";
const POSITION: u64 = 0x01_0203_0405;
const PIPE: &str = "müll";

/// (suite, record of bytes, record of the end)
const MADE_ELSEWHERE: [(Suite, &str, &str); 2] = [
    (
        Suite::AesGcm,
        "0100000c000000070000000102030405a04588b74683334f6e7670db45cca1288fc2c1499d78715d9456f5d9\
         9261a8237e35f5e0043048b92ca46167cc3dbd878724ff1c8d496610406f7065",
        "01010000000000070000000102030411a04588b74683334f6e7670db45cca1288fc2c1499d78715d9456f5d9\
         9261a823abf95518794dac6c5fa2182448e9e2bd",
    ),
    (
        Suite::ChaCha,
        "0200000c000000070000000102030405a04588b74683334f6e7670db45cca1288fc2c1499d78715d9456f5d9\
         9261a8231d796a5b939d8de2670b2008cd77697ff086fc61bb89de9a1277a870",
        "02010000000000070000000102030411a04588b74683334f6e7670db45cca1288fc2c1499d78715d9456f5d9\
         9261a823085bfa0c7800e06207618682d12a87d0",
    ),
];

fn stream() -> Uuid {
    Uuid::from_bytes(std::array::from_fn(|i| i.to_le_bytes()[0]))
}

fn epoch() -> Epoch {
    epoch_of(7, secret(0x11), &secret(0x22))
}

#[test]
fn sealed_as_elsewhere() {
    for (suite, record, end) in MADE_ELSEWHERE {
        let sealer = Sealer::new(&epoch(), &secret(0x33), stream(), PIPE, POSITION, suite);
        let mut sealer = sealer.expect("a good public key");
        assert_eq!(sealer.seal(PLAIN), bytes(record));
        assert_eq!(sealer.end(), bytes(end));
    }
}

#[test]
fn opened_as_sealed_elsewhere() {
    for (_, record, end) in MADE_ELSEWHERE {
        let mut opener = Opener::new(stream(), PIPE);
        let payload = opener.open(&[epoch()], &bytes(record), false);
        let expected = Opened {
            plain: Bytes::from_static(PLAIN),
            position: POSITION,
            skipped: 0,
        };
        assert_eq!(payload, Ok(expected));
        let ended = opener.end(&[epoch()], &bytes(end), false);
        assert_eq!(ended.map(|ended| ended.len), Ok(POSITION + 12));
    }
}
