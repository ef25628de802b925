//! Tests: who has which keys, and which keys a listener keeps.

use super::super::{Fault, Opener, Sealer, Suite};
use super::{PIPE, STREAM, epoch, epoch_of, open, opener, sealer, sealer_at, secret};
use crate::crypto::Epoch;

#[test]
fn those_who_may_only_write_cannot_read_what_they_wrote() {
    let writer = Epoch {
        secret: None,
        ..epoch(1)
    };
    let mut sealer = sealer_at(&writer, 0, Suite::AesGcm);
    let wire = sealer.seal(b"written");
    let writer = [writer];
    let fault = Fault::WriteOnly { epoch: 1 };
    assert_eq!(opener().open(&writer, &wire, false), Err(fault));
    assert_eq!(opener().end(&writer, &sealer.end(), false), Err(fault));
}

#[test]
fn the_missing_epoch_is_named() {
    let wire = sealer_at(&epoch(3), 0, Suite::AesGcm).seal(b"for epoch 3");
    let mut opener = opener();
    let fault = Fault::NoKey { epoch: 3 };
    assert_eq!(opener.open(&[], &wire, false), Err(fault));
    assert_eq!(opener.open(&[epoch(1), epoch(2)], &wire, false), Err(fault));
    opener
        .open(&[epoch(1), epoch(3)], &wire, false)
        .expect("the epoch came");
}

/// A key that has opened something opens without its epoch, because it was kept. Invented keys, however
/// many, do not replace it.
#[test]
fn the_last_keys_are_kept() {
    let mut sealer = sealer(Suite::ChaCha);
    let (first, second) = (sealer.seal(b"first"), sealer.seal(b"second"));
    let mut opener = opener();
    open(&mut opener, &first);
    for made_up in 0..10 {
        let mut forged = second.to_vec();
        forged[20] ^= 1 + made_up;
        assert_eq!(
            opener.open(&[epoch(1)], &forged, false),
            Err(Fault::Altered)
        );
    }
    opener
        .open(&[], &second, false)
        .expect("the key is at hand");
}

/// A writer has one key for each epoch. A key agreement for each record would keep a listener busy until it
/// is given up.
#[test]
fn an_epoch_has_one_key_in_a_stream() {
    let mut one = sealer(Suite::AesGcm);
    let first = one.seal(b"first");
    let two = Sealer::new(&epoch(1), &secret(9), STREAM, PIPE, 5, Suite::AesGcm);
    let second = two.expect("a good public key").seal(b"second");
    let mut opener = opener();
    open(&mut opener, &first);
    let again = opener.open(&[epoch(1)], &second, false);
    assert_eq!(again, Err(Fault::Altered));
    let newer = sealer_at(&epoch(2), 5, Suite::AesGcm).seal(b"newer");
    let epochs = [epoch(1), epoch(2)];
    let newer = opener.open(&epochs, &newer, false).expect("it is newer");
    assert_eq!(&newer.plain[..], b"newer");
}

#[test]
fn only_the_last_keys_are_kept() {
    let mut opener = opener();
    for number in 1..=4 {
        let wire = sealer_at(&epoch(number), u64::from(number), Suite::AesGcm).seal(b"x");
        opener
            .open(&[epoch(number)], &wire, false)
            .expect("it is as it was sealed");
    }
    let mut again = |number| {
        let wire = sealer_at(&epoch(number), 100, Suite::AesGcm).seal(b"x");
        opener
            .open(&[], &wire, false)
            .expect_err("there is a gap before it")
    };
    assert_eq!(again(1), Fault::Altered, "epochs never go back");
    for number in 2..=4 {
        assert_eq!(again(number), Fault::Missing { due: 5, found: 100 });
    }
}

/// Another psk is another epoch, even under the same number.
#[test]
fn a_key_belongs_to_its_psk() {
    let wire = sealer(Suite::AesGcm).seal(b"sealed");
    let other = Epoch {
        psk: secret(77),
        ..epoch(1)
    };
    assert_eq!(opener().open(&[other], &wire, false), Err(Fault::Altered));
}

#[test]
fn an_epoch_is_made_of_its_seed() {
    assert_eq!(epoch(1), epoch(1));
    assert_ne!(epoch(1).public, epoch(2).public);
    assert_eq!(epoch_of(8, secret(1), &secret(101)).public, epoch(1).public);
}

/// Sessions are printed for debugging; their keys must not be.
#[test]
fn keys_are_never_printed() {
    let epoch = epoch_of(1, secret(0xab), &secret(0xcd));
    let mut sealer = sealer_at(&epoch, 0, Suite::AesGcm);
    let mut opener = Opener::new(STREAM, PIPE);
    let keys = [epoch.clone()];
    opener
        .open(&keys, &sealer.seal(b"x"), false)
        .expect("it is as it was sealed");
    let printed = format!("{epoch:?} {sealer:?} {opener:?}").replace(' ', "");
    let reading = epoch.secret.as_ref().expect("it was made with one");
    for secret in [&epoch.psk, reading, &secret(200)] {
        let bytes = format!("{:?}", &secret.as_bytes()[..4]).replace(' ', "");
        assert!(
            !printed.contains(bytes.trim_matches(['[', ']'])),
            "{printed}"
        );
    }
    assert!(printed.contains("Secret(…)"));
}

#[test]
fn faults_are_sentences() {
    for (fault, sentence) in [
        (
            Fault::Altered,
            "the stream does not match its seal: it was altered or cut on the way, or sealed by \
             somebody without the key",
        ),
        (
            Fault::Missing { due: 3, found: 9 },
            "part of the stream is missing: expected byte 3, got byte 9",
        ),
        (
            Fault::Repeated { due: 9, found: 3 },
            "the stream goes back: expected byte 9, got byte 3",
        ),
        (Fault::Endless, "the stream breaks off without an end"),
        (
            Fault::NoKey { epoch: 4 },
            "the stream is sealed for reading key 4, which this machine does not have",
        ),
        (
            Fault::WriteOnly { epoch: 4 },
            "the stream is sealed for reading key 4, but this machine may only write",
        ),
        (
            Fault::UnknownSuite { suite: 5 },
            "the stream uses cipher suite 5, which this version of skypipe does not know",
        ),
    ] {
        assert_eq!(fault.to_string(), sentence);
    }
}
