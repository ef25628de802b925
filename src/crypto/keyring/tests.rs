use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;

use super::*;

fn owner() -> Keyring {
    Keyring::owner(&Seed::new(Secret::new([1; LENGTH])))
}

/// The owner's keyring, renewed this many times.
fn renewed(times: u8) -> Keyring {
    (0..times).fold(owner(), |keyring, time| {
        keyring.renewed(&[time; 2 * LENGTH]).unwrap()
    })
}

fn contains(bytes: &[u8], key: &Secret) -> bool {
    bytes.windows(LENGTH).any(|window| window == key.as_bytes())
}

/// The epoch numbers of a keyring.
fn numbers(keyring: &Keyring) -> Vec<u32> {
    keyring.epochs().iter().map(|epoch| epoch.number).collect()
}

#[test]
fn the_owner_needs_nothing_but_the_seed() {
    let seed = Seed::new(Secret::new([1; LENGTH]));
    let keyring = Keyring::owner(&seed);
    let reading = seed.first_reading();
    let epoch = Epoch {
        number: 0,
        psk: seed.first_psk(),
        public: reading.public,
        secret: Some(reading.secret),
    };
    assert_eq!(keyring.epochs(), std::slice::from_ref(&epoch));
    assert_eq!(keyring.newest(), &epoch);
    assert_eq!(keyring.managing(), Some(seed.managing()));
    assert_eq!(keyring, Keyring::owner(&seed));
}

#[test]
fn a_renewal_adds_an_epoch_from_the_random_bytes() {
    let mut random = [0x55; 2 * LENGTH];
    random[LENGTH..].fill(0x66);
    let old = owner();
    let new = old.renewed(&random).unwrap();
    assert_eq!(new.epochs()[..1], *old.epochs());
    assert_eq!(new.managing(), old.managing());
    let newest = new.newest();
    assert_eq!(newest.number, 1);
    assert_eq!(newest.psk, Secret::new([0x55; LENGTH]));
    let reading = Pair::derive(&Secret::new([0x66; LENGTH]), b"skypipe 1 reading");
    assert_eq!(newest.public, reading.public);
    assert_eq!(newest.secret, Some(reading.secret));
}

#[test]
fn a_renewal_leaves_out_numbers_that_another_one_has_taken() {
    let number = |taken| {
        let new = renewed(2).renewed_beyond(taken, &[9; 2 * LENGTH]);
        new.map(|new| numbers(&new))
    };
    assert_eq!(number(0), Some(vec![0, 1, 2, 3]));
    assert_eq!(number(2), Some(vec![0, 1, 2, 3]));
    assert_eq!(number(4), Some(vec![0, 1, 2, 5]));
    assert_eq!(number(u32::MAX), None);
    let keyring = renewed(2).renewed_beyond(4, &[9; 2 * LENGTH]).unwrap();
    assert_eq!(Keyring::decode(&keyring.encode()), Some(keyring));
}

#[test]
fn only_managers_renew() {
    let keyring = owner();
    let random = [5; 2 * LENGTH];
    assert_eq!(keyring.for_reader().renewed(&random), None);
    assert_eq!(keyring.for_writer().renewed(&random), None);
    assert!(keyring.for_manager().renewed(&random).is_some());
    let mut last = keyring;
    last.epochs[0].number = u32::MAX;
    assert_eq!(last.renewed(&random), None);
}

#[test]
fn the_oldest_epochs_are_dropped_beyond_the_limit() {
    assert_eq!(numbers(&renewed(63)), (0..=63).collect::<Vec<_>>());
    assert_eq!(numbers(&renewed(64)), (1..=64).collect::<Vec<_>>());
    let keyring = renewed(70);
    assert_eq!(numbers(&keyring), (7..=70).collect::<Vec<_>>());
    assert_eq!(Keyring::decode(&keyring.encode()), Some(keyring));
}

#[test]
fn each_gets_what_is_due_and_no_more() {
    let keyring = renewed(3);
    let managing = keyring.managing().unwrap().secret;

    let writer = keyring.for_writer();
    assert_eq!(numbers(&writer), [3]);
    assert_eq!(writer.newest().psk, keyring.newest().psk);
    assert_eq!(writer.newest().public, keyring.newest().public);
    let bytes = writer.encode();
    assert!(contains(&bytes, &keyring.newest().psk));
    assert!(!contains(&bytes, &managing));
    for epoch in keyring.epochs() {
        assert!(!contains(&bytes, epoch.secret.as_ref().unwrap()));
    }

    let reader = keyring.for_reader();
    assert_eq!(reader.epochs(), keyring.epochs());
    let bytes = reader.encode();
    assert!(!contains(&bytes, &managing));
    for epoch in keyring.epochs() {
        assert!(contains(&bytes, epoch.secret.as_ref().unwrap()));
    }

    assert_eq!(keyring.for_manager(), keyring);
    assert!(contains(&keyring.for_manager().encode(), &managing));
}

#[test]
fn nobody_hands_on_more_than_they_have() {
    let keyring = renewed(3);
    assert_eq!(keyring.for_reader().for_manager(), keyring.for_reader());
    assert_eq!(keyring.for_writer().for_reader(), keyring.for_writer());
}

#[test]
fn what_is_encoded_is_decoded() {
    for times in [0, 1, 20, 70] {
        let keyring = renewed(times);
        for given in [
            keyring.for_writer(),
            keyring.for_reader(),
            keyring.for_manager(),
        ] {
            let bytes = given.encode();
            assert_eq!(bytes.capacity(), MAX_ENCODED);
            assert_eq!(Keyring::decode(&bytes), Some(given));
        }
    }
}

#[test]
fn the_longest_keyring_is_as_long_as_said() {
    let mut keyring = renewed(63);
    for epoch in &mut keyring.epochs {
        epoch.number += 1 << 20;
    }
    assert_eq!(keyring.encode().len(), MAX_ENCODED);
    assert_eq!(Keyring::decode(&keyring.encode()), Some(keyring));
}

#[test]
fn keyrings_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Keyring)| {
        let mut keyring = renewed(3);
        change(&mut keyring);
        Keyring::decode(&keyring.encode()).is_none()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|keyring| keyring.epochs.clear()));
    assert!(refused(|keyring| keyring.epochs.swap(0, 1)));
    assert!(refused(|keyring| keyring.epochs[1].number = 0));
    assert!(refused(|keyring| keyring.epochs[2].public[31] ^= 1));
    assert!(refused(|keyring| keyring.epochs[2].secret = None));
    assert!(refused(|keyring| {
        *keyring = keyring.for_writer();
        keyring.managing = Some(Secret::new([2; LENGTH]));
    }));
    assert!(refused(|keyring| {
        keyring.managing = None;
        for epoch in &mut keyring.epochs {
            epoch.secret = None;
        }
    }));
}

#[test]
fn too_many_epochs_are_refused() {
    let mut keyring = renewed(63);
    let reading = Pair::of(Secret::new([9; LENGTH]));
    keyring
        .epochs
        .push(Epoch::new(64, Secret::new([8; LENGTH]), reading));
    // Without its managing key it is within the longest allowed length.
    keyring.managing = None;
    let bytes = keyring.encode();
    assert!(bytes.len() <= MAX_ENCODED);
    assert_eq!(Keyring::decode(&bytes), None);
}

#[test]
fn cut_or_longer_bytes_are_refused() {
    let bytes = renewed(2).encode();
    for length in 0..bytes.len() {
        assert_eq!(Keyring::decode(&bytes[..length]), None);
    }
    for more in [0, 0xc0, 0xff] {
        assert_eq!(Keyring::decode(&[&*bytes, &[more][..]].concat()), None);
    }
    assert_eq!(
        Keyring::decode(&[&*bytes, &[0; MAX_ENCODED][..]].concat()),
        None
    );
}

fn packed(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).unwrap()
}

#[test]
fn other_ways_to_write_the_same_are_refused() {
    let writer = owner().for_writer();
    let usual = writer.encode();
    // [[[0, psk, public, nil]], nil]
    assert_eq!(usual[..6], [0x92, 0x91, 0x94, 0, 0xc4, 32]);
    let longer_number = [&usual[..3], &[0xcc, 0], &usual[4..]].concat();
    assert_eq!(Keyring::decode(&longer_number), None);
    let longer_array = [&[0xdc, 0, 2], &usual[1..]].concat();
    assert_eq!(Keyring::decode(&longer_array), None);
    let longer_bin = [&usual[..4], &[0xc5, 0], &usual[5..]].concat();
    assert_eq!(Keyring::decode(&longer_bin), None);
    let string = [&usual[..4], &[0xd9], &usual[5..]].concat();
    assert_eq!(Keyring::decode(&string), None);
    let short_key = [&usual[..5], &[31], &usual[7..]].concat();
    assert_eq!(Keyring::decode(&short_key), None);
}

#[test]
fn other_values_are_refused() {
    for bytes in [
        packed(&()),
        packed(&0),
        packed(&"keyring"),
        packed(&([0; 0], ())),
        packed(&([([0; 0], ()); 1], ())),
    ] {
        assert_eq!(Keyring::decode(&bytes), None);
    }
}

#[test]
fn nothing_secret_is_printed() {
    let keyring = renewed(1);
    let printed = format!("{keyring:?}");
    assert!(printed.contains("secret: Some(Secret(…))"));
    for epoch in keyring.epochs() {
        for key in [&epoch.psk, epoch.secret.as_ref().unwrap()] {
            assert!(!printed.contains(&format!("{:?}", key.as_bytes())));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Keyring::decode(&bytes), None);
    }

    #[test]
    fn changed_bytes_are_decoded_without_a_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = renewed(2).encode().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(keyring) = Keyring::decode(&bytes) {
            prop_assert_eq!(&*keyring.encode(), &bytes);
        }
    }
}
