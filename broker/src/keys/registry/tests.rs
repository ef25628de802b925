//! What the authorized keys permit.

use super::*;

fn key(name: &str, number: u8) -> NewKey {
    NewKey {
        name: name.to_owned(),
        public: PublicKey([number; 32]),
        encryption: PublicKey([number; 32]),
        rights: Rights {
            read: true,
            write: false,
            manage: false,
        },
        pipes: vec!["logs/*".to_owned()],
        expires: Some(100),
        quota: None,
        epoch: 0,
        sealed_keyring: Some(Bytes::from_static(b"box")),
        attestation: None,
    }
}

fn manager(name: &str, number: u8) -> NewKey {
    NewKey {
        rights: Rights::ALL,
        pipes: Vec::new(),
        expires: None,
        quota: None,
        ..key(name, number)
    }
}

#[test]
fn a_key_lets_in_until_it_expires() {
    let mut registry = KeyRegistry::default();
    assert_eq!(registry.invite(key("a", 1), 7), Ok("a".to_owned()));
    let id = registry.admit(&[1; 32], 99).expect("it is on the registry");
    assert_eq!(registry.admit(&[1; 32], 100), None);
    assert_eq!(registry.admit(&[2; 32], 7), None);
    let key = registry.get(id).expect("it is on the registry");
    assert!(!key.has_expired(99) && key.has_expired(100));
    assert!(key.may_read("logs/web") && !key.may_read("logs") && !key.may_write("logs/web"));
}

#[test]
fn who_manages_may_everything() {
    let mut registry = KeyRegistry::default();
    let new = NewKey {
        rights: Rights {
            read: false,
            write: false,
            manage: true,
        },
        ..manager("m", 1)
    };
    registry.invite(new, 0).expect("it is good");
    let key = registry.get(KeyId(0)).expect("it is there");
    assert!(key.may_read("") && key.may_write("x") && key.covers("y"));
}

#[test]
fn a_name_and_a_public_half_are_one_keys_alone() {
    let mut registry = KeyRegistry::default();
    registry.invite(key("a", 1), 0).expect("it is good");
    assert_eq!(registry.invite(key("a", 2), 0), Err(Fault::Taken));
    assert_eq!(registry.invite(key("b", 1), 0), Err(Fault::Taken));
    assert_eq!(registry.invite(key("", 3), 0), Ok("key-2".to_owned()));
    registry.invite(key("key-3", 4), 0).expect("it is good");
    assert_eq!(registry.invite(key("", 5), 0), Ok("key-4".to_owned()));
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let none = Rights {
        read: false,
        write: false,
        manage: false,
    };
    let long = |name: &str| NewKey {
        name: name.to_owned(),
        ..key("", 1)
    };
    let bad = [
        long(&"x".repeat(65)),
        long("a\nb"),
        NewKey {
            rights: none,
            ..key("a", 1)
        },
        NewKey {
            pipes: vec!["x".to_owned()],
            ..manager("a", 1)
        },
        NewKey {
            pipes: vec!["x".to_owned(); 9],
            ..key("a", 1)
        },
        NewKey {
            pipes: vec!["x".repeat(256)],
            ..key("a", 1)
        },
        NewKey {
            pipes: vec!["a\nb".to_owned()],
            ..key("a", 1)
        },
        NewKey {
            sealed_keyring: Some(vec![0; MAX_KEYRING + 1].into()),
            ..key("a", 1)
        },
    ];
    let mut registry = KeyRegistry::default();
    for new in bad {
        assert!(
            matches!(registry.invite(new.clone(), 0), Err(Fault::Malformed(_))),
            "{new:?}"
        );
    }
    assert_eq!(registry, KeyRegistry::default());
}

#[test]
fn a_revoked_key_is_gone_and_may_be_revoked_again() {
    let mut registry = KeyRegistry::default();
    registry.invite(manager("m", 1), 0).expect("it is good");
    registry.invite(key("a", 2), 0).expect("it is good");
    let ended = registry.revoke("a").expect("it is there");
    assert!(ended.1);
    assert_eq!(registry.admit(&[2; 32], 0), None);
    assert_eq!(registry.revoke("a"), Ok((ended.0, false)));
    assert_eq!(registry.revoke("b"), Err(Fault::Unknown));
    // Another key may have the same name. It has another id.
    registry.invite(key("a", 3), 0).expect("the name is free");
    assert_eq!(registry.admit(&[3; 32], 0), Some(KeyId(2)));
}

#[test]
fn somebody_can_always_invite() {
    let mut registry = KeyRegistry::default();
    registry.invite(manager("m", 1), 0).expect("it is good");
    assert_eq!(registry.revoke("m"), Err(Fault::Last));
    let without_keyring = NewKey {
        sealed_keyring: None,
        ..manager("n", 2)
    };
    registry.invite(without_keyring, 0).expect("it is good");
    assert_eq!(
        registry.revoke("m"),
        Err(Fault::Last),
        "n has nothing to hand on"
    );
    registry.invite(manager("o", 3), 0).expect("it is good");
    assert!(registry.revoke("m").is_ok());
}

#[test]
fn sealed_keyrings_of_older_keys_are_refused() {
    let mut registry = KeyRegistry::default();
    registry.invite(manager("m", 1), 0).expect("it is good");
    let sealed_keyring = Bytes::from_static(b"new");
    let new = |name: &str, epoch| NewKeyring {
        name: name.to_owned(),
        epoch,
        renewal: Some(Uuid::nil()),
        sealed_keyring: sealed_keyring.clone(),
        attestation: Some(sealed_keyring.clone()),
    };
    let by = KeyId(0);
    assert!(registry.store_keyring(new("m", 2), by).is_ok());
    assert_eq!(registry.epoch(), 2);
    assert_eq!(
        registry.store_keyring(new("m", 1), by).err(),
        Some(Fault::Old)
    );
    assert_eq!(registry.invite(key("b", 2), 0), Err(Fault::Old));
    assert_eq!(
        registry.store_keyring(new("b", 2), by).err(),
        Some(Fault::Unknown)
    );
    let phrase = Phrase {
        wrapped: sealed_keyring.clone(),
        encryption: PublicKey([0; 32]),
        sealed_keyring: sealed_keyring.clone(),
        attestation: sealed_keyring,
    };
    for epoch in [1, 3] {
        assert_eq!(
            registry.keep_phrase(epoch, Some(phrase.clone())),
            Err(Fault::Old)
        );
    }
    assert_eq!(registry.keep_phrase(2, Some(phrase.clone())), Ok(()));
    assert_eq!(registry.phrase(), Some(&phrase));
    assert_eq!(
        (registry.keep_phrase(0, None), registry.epoch()),
        (Ok(()), 2)
    );
    assert_eq!(registry.phrase(), None);
}

#[test]
fn a_renewal_that_was_broken_off_is_taken_over_by_another_manager() {
    let mut registry = KeyRegistry::default();
    registry.invite(manager("lost", 1), 0).expect("it is good");
    registry.invite(manager("m", 2), 0).expect("it is good");
    let new = |name: &str, epoch, renewal| NewKeyring {
        name: name.to_owned(),
        epoch,
        renewal: Some(Uuid::from_u128(renewal)),
        sealed_keyring: Bytes::from_static(b"new"),
        attestation: None,
    };
    let (lost, m) = (KeyId(0), KeyId(1));
    assert!(registry.store_keyring(new("lost", 1, 7), lost).is_ok());
    // The same epoch would exist in two versions, so the other manager skips it.
    assert_eq!(
        registry.store_keyring(new("m", 1, 8), m).err(),
        Some(Fault::Old)
    );
    assert!(registry.store_keyring(new("m", 2, 8), m).is_ok());
    assert_eq!(registry.epoch(), 2);
    // The lost request arrives too late.
    assert_eq!(
        registry.store_keyring(new("m", 1, 7), lost).err(),
        Some(Fault::Old)
    );
    assert_eq!(
        registry.store_keyring(new("m", 2, 7), lost).err(),
        Some(Fault::Old)
    );
}

#[test]
fn a_roll_survives_the_disk() {
    let mut registry = KeyRegistry::default();
    registry.invite(manager("m", 1), 5).expect("it is good");
    registry.invite(key("a", 2), 6).expect("it is good");
    registry.invite(key("b", 3), 7).expect("it is good");
    registry.revoke("a").expect("it is there");
    registry.note_use(KeyId(2), 9);
    assert_eq!(
        KeyRegistry::decode(&registry.encode()),
        Ok(registry.clone())
    );
    assert!(KeyRegistry::decode(b"").is_err());
    let bytes = registry.encode();
    assert!(KeyRegistry::decode(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn pages_are_in_the_order_of_names() {
    let mut registry = KeyRegistry::default();
    for (number, name) in ["c", "a", "d", "b"].into_iter().enumerate() {
        let number = u8::try_from(number).expect("there are four");
        registry.invite(key(name, number), 0).expect("it is good");
    }
    let names = |(keys, more): (Vec<&Key>, bool)| {
        let names: Vec<_> = keys.iter().map(|key| key.name.clone()).collect();
        (names.concat(), more)
    };
    assert_eq!(names(registry.page(None, 3)), ("abc".to_owned(), true));
    assert_eq!(names(registry.page(Some("c"), 3)), ("d".to_owned(), false));
    assert_eq!(names(registry.page(Some("d"), 3)), (String::new(), false));
}

#[test]
fn a_key_has_one_name_and_no_pattern_in_two_spellings() {
    let mut registry = KeyRegistry::default();
    registry.invite(key("jos\u{e9}", 1), 0).expect("it is good");
    for bad in [
        key("jose\u{301}", 2),
        NewKey {
            pipes: vec!["cafe\u{301}*".to_owned()],
            ..key("b", 2)
        },
    ] {
        assert!(matches!(registry.invite(bad, 0), Err(Fault::Malformed(_))));
    }
    assert!(registry.revoke("jose\u{301}").is_ok());
    assert!(registry.revoke("jose\u{301}").is_ok(), "again");
}

#[test]
fn rolls_that_are_older_than_the_rule_mean_the_same_pipes() {
    let mut registry = KeyRegistry::default();
    registry.invite(key("a", 1), 0).expect("it is good");
    let id = registry.admit(&[1; 32], 0).expect("it is on the registry");
    registry.keys.get_mut(&id).expect("it is there").pipes = vec!["cafe\u{301}*".to_owned()];
    let registry = KeyRegistry::decode(&registry.encode()).expect("it was written just now");
    let key = registry.get(id).expect("it is there");
    assert!(key.covers("caf\u{e9}s") && !key.covers("cafe"));
}
