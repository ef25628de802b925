use proptest::collection::vec;
use proptest::prelude::*;
use skypipe_protocol::seed::Seed;

use super::*;

fn seed(byte: u8) -> Seed {
    Seed::new(Secret::new([byte; LENGTH]))
}

fn entropy() -> Secret {
    Secret::new([0x33; LENGTH])
}

/// The owner's managing key pair, and a keyring that was renewed this many times.
fn owner(renewals: u8) -> (Pair, Keyring) {
    let owner = seed(1);
    let keyring = (0..renewals).fold(Keyring::owner(&owner), |keyring, time| {
        keyring.renewed(&[time; 2 * LENGTH]).unwrap()
    });
    (owner.managing(), keyring)
}

/// A sealed keyring that contains these bytes instead of a keyring.
fn sealed_with(content: &[u8], to: &Pair, managing: &Pair) -> Vec<u8> {
    let (encapsulated, key) = kem::send(
        &to.public,
        &Proof::Sender(&managing.secret),
        PURPOSE,
        &entropy(),
    )
    .unwrap();
    let header = [&[VERSION], &encapsulated[..]].concat();
    let mut sealed = content.to_vec();
    aead::seal(&key, &header, &mut sealed);
    [header, sealed].concat()
}

#[test]
fn what_is_sealed_is_opened() {
    let (managing, keyring) = owner(3);
    let own = seed(2).encryption();
    for content in [
        keyring.for_writer(),
        keyring.for_reader(),
        keyring.for_manager(),
    ] {
        let sealed_keyring = seal(&content, &own.public, &managing, &entropy()).unwrap();
        assert_eq!(open(&sealed_keyring, &own, &managing.public), Ok(content));
    }
}

/// The plaintext that a machine would see in a sealed keyring if it decrypted the sealed keyring by itself.
fn clear(sealed_keyring: &[u8], own: &Pair, managing: &Pair) -> Vec<u8> {
    let (header, sealed) = sealed_keyring.split_at(HEADER);
    let encapsulated = header[1..].try_into().unwrap();
    let key = kem::receive(
        &own.secret,
        encapsulated,
        &Proof::Sender(&managing.public),
        PURPOSE,
    )
    .unwrap();
    let mut buffer = sealed.to_vec();
    aead::open(&key, header, &mut buffer).unwrap().to_vec()
}

#[test]
fn a_writers_sealed_keyring_holds_no_reading_secret() {
    let (managing, keyring) = owner(3);
    let own = seed(2).encryption();
    let contains = |content: &Keyring, key: &Secret| {
        let sealed_keyring = seal(content, &own.public, &managing, &entropy()).unwrap();
        let clear = clear(&sealed_keyring, &own, &managing);
        clear.windows(LENGTH).any(|window| window == key.as_bytes())
    };
    for epoch in keyring.epochs() {
        let secret = epoch.secret.as_ref().unwrap();
        assert!(!contains(&keyring.for_writer(), secret));
        assert!(contains(&keyring.for_reader(), secret));
    }
    assert!(contains(&keyring.for_writer(), &keyring.newest().psk));
    assert!(!contains(&keyring.for_writer(), &managing.secret));
    assert!(!contains(&keyring.for_reader(), &managing.secret));
    assert!(contains(&keyring.for_manager(), &managing.secret));
}

/// Satellites keep sealed keyrings while clients are updated, so the form must not change. The bytes were
/// computed apart from this code, from the texts of RFC 9180 and MessagePack.
#[test]
fn the_form_of_a_sealed_keyring_stays() {
    let owner = Seed::new(Secret::new(std::array::from_fn(|at| {
        u8::try_from(at).unwrap()
    })));
    let content = Keyring::owner(&owner).for_writer();
    let own = seed(0x44).encryption();
    let managing = owner.managing();
    let sealed_keyring = seal(&content, &own.public, &managing, &entropy()).unwrap();
    let hex: Vec<_> = sealed_keyring
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex.concat(),
        "01a04588b74683334f6e7670db45cca1288fc2c1499d78715d9456f5d99261a8235f6196b2c\
         51a6ed0e0abd66191fbd48c1fb43d8632b1821c41dc8b2a91aa1b796dd9c7e6da3ef1e6559f\
         f068e6160fc829c58c24d797c0ac245edbb3d3bb1ac9ede5bcb6c5fc390aaaddb649acc834a\
         3b9f24ff1ba7cad964aa7"
    );
}

#[test]
fn every_changed_bit_is_noticed() {
    let (managing, keyring) = owner(0);
    let own = seed(2).encryption();
    let sealed_keyring = seal(&keyring, &own.public, &managing, &entropy()).unwrap();
    for bit in 0..sealed_keyring.len() * 8 {
        let mut changed = sealed_keyring.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let fault = if bit < 8 { Fault::Version } else { Fault::Seal };
        assert_eq!(open(&changed, &own, &managing.public), Err(fault));
    }
}

#[test]
fn every_missing_or_added_byte_is_noticed() {
    let (managing, keyring) = owner(0);
    let own = seed(2).encryption();
    let sealed_keyring = seal(&keyring, &own.public, &managing, &entropy()).unwrap();
    for length in 0..sealed_keyring.len() {
        let cut = open(&sealed_keyring[..length], &own, &managing.public);
        assert_eq!(cut, Err(Fault::Seal));
    }
    for more in [1, MAX_KEYRING] {
        let longer = [&*sealed_keyring, &vec![0; more]].concat();
        let opened = open(&longer, &own, &managing.public);
        assert_eq!(opened, Err(Fault::Seal));
    }
}

#[test]
fn a_sealed_keyring_from_anyone_but_the_manager_is_refused() {
    let (managing, keyring) = owner(1);
    let own = seed(2).encryption();
    let impostor = seed(3).managing();
    let sealed_keyring = seal(&keyring.for_reader(), &own.public, &impostor, &entropy()).unwrap();
    assert_eq!(
        open(&sealed_keyring, &own, &managing.public),
        Err(Fault::Seal)
    );
    assert!(open(&sealed_keyring, &own, &impostor.public).is_ok());
    // Claiming the manager's public key without its secret key does not help.
    let claiming = Pair {
        public: managing.public,
        secret: impostor.secret,
    };
    let sealed_keyring = seal(&keyring.for_reader(), &own.public, &claiming, &entropy()).unwrap();
    assert_eq!(
        open(&sealed_keyring, &own, &managing.public),
        Err(Fault::Seal)
    );
}

#[test]
fn a_sealed_keyring_for_another_machine_is_refused() {
    let (managing, keyring) = owner(1);
    let other = seed(2).encryption();
    let sealed_keyring = seal(&keyring, &other.public, &managing, &entropy()).unwrap();
    for own in [seed(3).encryption(), seed(2).managing(), managing.clone()] {
        assert_eq!(
            open(&sealed_keyring, &own, &managing.public),
            Err(Fault::Seal)
        );
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let (managing, keyring) = owner(0);
    let own = seed(2).encryption();
    let none = [0; LENGTH];
    let made = seal(&keyring, &none, &managing, &entropy());
    assert_eq!(made, Err(Fault::Key));
    let sealed_keyring = seal(&keyring, &own.public, &managing, &entropy()).unwrap();
    assert_eq!(open(&sealed_keyring, &own, &none), Err(Fault::Seal));
    let without = [&[VERSION], &none[..], &sealed_keyring[HEADER..]].concat();
    assert_eq!(open(&without, &own, &managing.public), Err(Fault::Seal));
}

#[test]
fn genuine_sealed_keyrings_of_nonsense_are_refused() {
    let (managing, keyring) = owner(0);
    let own = seed(2).encryption();
    for content in [&b""[..], b"nonsense", &keyring.encode()[1..]] {
        let nonsense = sealed_with(content, &own, &managing);
        let opened = open(&nonsense, &own, &managing.public);
        assert_eq!(opened, Err(Fault::Content));
    }
    let genuine = sealed_with(&keyring.encode(), &own, &managing);
    assert_eq!(open(&genuine, &own, &managing.public), Ok(keyring));
}

#[test]
fn a_managing_key_that_is_not_the_senders_is_refused() {
    let (managing, _) = owner(0);
    let own = seed(2).encryption();
    let foreign = Keyring::owner(&seed(3));
    let sealed_keyring = seal(&foreign, &own.public, &managing, &entropy()).unwrap();
    let opened = open(&sealed_keyring, &own, &managing.public);
    assert_eq!(opened, Err(Fault::Content));
}

#[test]
fn sealed_keyrings_show_nothing_and_differ_with_their_entropy() {
    let (managing, keyring) = owner(1);
    let own = seed(2).encryption();
    let one = seal(&keyring, &own.public, &managing, &entropy()).unwrap();
    let other = Secret::new([0x34; LENGTH]);
    let other = seal(&keyring, &own.public, &managing, &other).unwrap();
    let clear = keyring.encode();
    let pieces = || clear.windows(8);
    for sealed_keyring in [&one, &other] {
        assert!(pieces().all(|piece| sealed_keyring.windows(8).all(|window| window != piece)));
    }
    assert!(
        one[1..]
            .windows(16)
            .all(|mine| other[1..].windows(16).all(|its| mine != its))
    );
}

#[test]
fn no_sealed_keyring_is_longer_than_said() {
    let (managing, keyring) = owner(70);
    let own = seed(2).encryption();
    let sealed_keyring = seal(&keyring, &own.public, &managing, &entropy()).unwrap();
    assert_eq!(
        sealed_keyring.len(),
        HEADER + keyring.encode().len() + aead::TAG
    );
    assert_eq!(sealed_keyring.capacity(), sealed_keyring.len());
    // Only epoch numbers of five bytes would make it longer.
    assert!(sealed_keyring.len() <= MAX_KEYRING && sealed_keyring.len() > MAX_KEYRING - 5 * 64);
    assert_eq!(open(&sealed_keyring, &own, &managing.public), Ok(keyring));
}

proptest! {
    #[test]
    fn any_bytes_are_opened_without_a_panic(mut bytes in vec(any::<u8>(), 1..300)) {
        bytes[0] = VERSION;
        let opened = open(&bytes, &seed(2).encryption(), &seed(1).managing().public);
        prop_assert_eq!(opened, Err(Fault::Seal));
    }
}
