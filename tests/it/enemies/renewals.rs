//! A satellite that sides with a revoked member: it lists keys that differ from what managers made. None of
//! them gets a new reading key.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use skypipe::crypto::attestation::Claim;
use skypipe::crypto::{Keyring, sealed_keyring};
use skypipe_protocol::seed::{Pair, Seed};
use skypipe_protocol::{
    Hello, Holds, KeyInfo, Limits, NewKeyring, PublicKey, REVISION, Reply, Request, Rights,
};
use uuid::Uuid;

use crate::common::terminal::Terminal;
use crate::enemies::liar::{Liar, own_key, secret};

const READ: Rights = Rights {
    read: true,
    write: false,
    manage: false,
};

const WRITE: Rights = Rights {
    read: false,
    write: true,
    manage: false,
};

/// A time in the past.
const OVER: u64 = 1_000_000_000;

/// A key as a manager made it, with its attestation.
fn key(managing: &Pair, name: &str, seed: &Seed, rights: Rights, expires: Option<u64>) -> KeyInfo {
    let mut key = KeyInfo {
        name: name.to_owned(),
        encryption: PublicKey(seed.encryption().public),
        rights,
        pipes: Vec::new(),
        expires,
        quota: None,
        holds: Holds::default(),
        made: 0,
        used: None,
        is_connected: false,
        has_keyring: true,
        attestation: None,
    };
    key.attestation = Some(Claim::of(&key).attest(managing, 0).into());
    key
}

/// The same key after another renewal has reached it.
fn renewed(managing: &Pair, key: KeyInfo) -> KeyInfo {
    let attestation = Claim::of(&key).attest(managing, 1);
    KeyInfo {
        attestation: Some(attestation.into()),
        ..key
    }
}

/// A dishonest satellite, and the sealed keyrings that it has received.
struct Story {
    liar: Liar,
    kept: Rc<RefCell<Vec<NewKeyring>>>,
}

impl Story {
    /// The satellite lists these keys, the newest in generation `epoch`, and reports these rights of the
    /// owner's own key.
    fn of(keys: impl FnOnce(&Pair) -> Vec<KeyInfo>, epoch: u32, own: Rights) -> Self {
        Self::after(0, keys, epoch, own)
    }

    /// The same after this many renewals by the owner.
    fn after(
        renewals: u8,
        keys: impl FnOnce(&Pair) -> Vec<KeyInfo>,
        epoch: u32,
        own: Rights,
    ) -> Self {
        let mut liar = Liar::new();
        let keys = keys(&liar.seed.managing());
        let kept = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&kept);
        let mut welcome = own_key(None);
        welcome.rights = own;
        let keyring = (0..renewals).fold(Keyring::owner(&liar.seed), |keyring, number| {
            keyring.renewed(&[number; 64]).expect("the owner manages")
        });
        let to = liar.seed.encryption().public;
        let sealed_keyring = sealed_keyring::seal(&keyring, &to, &liar.seed.managing(), &secret());
        welcome.sealed_keyring = Some(sealed_keyring.expect("the keys are good").into());
        liar.retort = Some(Box::new(move |request| match request {
            Request::Hello(Hello { .. }) => vec![Reply::Welcome {
                satellite: Uuid::from_u128(1),
                revision: REVISION,
                program: "skypipe 99.0.0".to_owned(),
                limits: Limits {
                    chunk: 1 << 20,
                    heartbeat_ms: 5000,
                    writer_lost_ms: 60_000,
                    listener_lost_ms: 60_000,
                },
                key: Some(welcome.clone()),
            }],
            Request::Ping => vec![Reply::Pong],
            Request::Keys { .. } => vec![Reply::Keys {
                keys: keys.clone(),
                more: false,
                epoch,
            }],
            Request::Revoke { .. } => vec![Reply::Revoked],
            Request::Keyring(new) => {
                // The keyring without a renewal is the owner's own: a manager stores it first.
                noted.borrow_mut().extend(new.renewal.map(|_| new.clone()));
                vec![Reply::Kept]
            }
            Request::Phrase => vec![Reply::Phrase(None)],
            _ => Vec::new(),
        }));
        Self { liar, kept }
    }

    /// The names for which it has received sealed keyrings, in order.
    fn names(&self) -> Vec<String> {
        let kept = self.kept.borrow();
        kept.iter().map(|new| new.name.clone()).collect()
    }

    /// The keyring sealed for this member.
    fn keyring(&self, name: &str, seed: &Seed) -> Keyring {
        let kept = self.kept.borrow();
        let new = kept.iter().find(|new| new.name == name);
        let sealed_keyring: Bytes = new.expect("it has one").sealed_keyring.clone();
        let managing = self.liar.seed.managing().public;
        sealed_keyring::open(&sealed_keyring, &seed.encryption(), &managing).expect("it is good")
    }
}

#[test]
fn a_renewal_goes_by_what_managers_attested() {
    let [phone, web, tv, spy] = [(); 4].map(|()| Seed::new(secret()));
    let story = |managing: &Pair| {
        let tv_itself = key(managing, "tv", &tv, READ, None);
        let spys = key(&spy.managing(), "spy", &spy, Rights::ALL, None);
        vec![
            // A revoked key is listed as if it were valid, and again under another name.
            tv_itself.clone(),
            KeyInfo {
                name: "tablet".to_owned(),
                ..tv_itself
            },
            // A key of the satellite's own, with a stranger's attestation or none.
            spys.clone(),
            KeyInfo {
                name: "spy2".to_owned(),
                attestation: None,
                ..spys
            },
            // A writer is listed as a manager, and an expired key as one without expiry.
            KeyInfo {
                rights: Rights::ALL,
                ..key(managing, "risen", &web, WRITE, None)
            },
            KeyInfo {
                expires: None,
                ..key(managing, "undead", &tv, READ, Some(OVER))
            },
            key(managing, "over", &tv, READ, Some(OVER)),
            key(managing, "web", &web, WRITE, None),
            key(managing, "phone", &phone, READ, Some(u64::MAX)),
        ]
    };
    let mut story = Story::of(story, 0, Rights::ALL);
    let client = story.liar.environment.skypipe(&["--revoke", "tv"]).start();
    let outcome = story.liar.serve(client);
    for name in ["tablet", "spy", "spy2", "risen", "undead"] {
        let told = format!("the key {name} gets no new reading key: no manager attests it");
        assert!(outcome.stderr.contains(&told), "no {told:?}: {outcome}");
    }
    assert!(
        outcome
            .stderr
            .contains("the key over gets no new reading key: it has expired"),
        "{outcome}"
    );
    outcome.told_at_last(0, "sealed with a new reading key");
    assert_eq!(story.names(), ["first", "phone", "web"]);
    let numbers = |keyring: &Keyring| -> Vec<u32> {
        keyring.epochs().iter().map(|epoch| epoch.number).collect()
    };
    let phones = story.keyring("phone", &phone);
    assert_eq!((numbers(&phones), phones.managing()), (vec![0, 1], None));
    let webs = story.keyring("web", &web);
    assert_eq!(numbers(&webs), [1]);
    assert!(webs.newest().secret.is_none());
}

#[test]
fn a_manager_keeps_its_keys_whatever_is_said_of_its_rights() {
    for lie in [READ, WRITE] {
        let mut story = Story::of(|_| Vec::new(), 0, lie);
        let client = story.liar.environment.skypipe(&["--revoke", "tv"]).start();
        let outcome = story.liar.serve(client);
        outcome.told_at_last(0, "sealed with a new reading key");
        let own = story.keyring("first", &story.liar.seed);
        assert!(own.managing().is_some() && own.epochs().len() == 2);
    }
}

#[test]
fn no_generation_is_so_far_away_that_there_is_none_after_it() {
    for epoch in [5000, u32::MAX - 1, u32::MAX] {
        let mut story = Story::of(|_| Vec::new(), epoch, Rights::ALL);
        let client = story
            .liar
            .environment
            .skypipe(&["--revoke", "tv", "--yes"])
            .start();
        let outcome = story.liar.serve(client);
        outcome.told_at_last(1, "a reading key that cannot exist yet");
        assert_eq!(story.names(), Vec::<String>::new());
    }
}

#[test]
fn what_was_revoked_before_gets_nothing_however_long_it_is_shown() {
    let [phone, tv] = [(); 2].map(|()| Seed::new(secret()));
    let shown = |managing: &Pair| {
        vec![
            renewed(managing, key(managing, "phone", &phone, READ, None)),
            // This key was revoked when generation 1 was made.
            key(managing, "tv", &tv, READ, None),
        ]
    };
    let story = || Story::after(1, shown, 1, Rights::ALL);
    let mut first = story();
    let revoke = ["--revoke", "web"];
    let client = first.liar.environment.skypipe(&revoke).start();
    let outcome = first.liar.serve(client);
    outcome.told_at_last(
        1,
        "the last renewal did not reach tv: it was interrupted, or the",
    );
    assert_eq!(first.names(), Vec::<String>::new());
    // Nobody was asked.
    let mut unasked = story();
    let client = unasked
        .liar
        .environment
        .skypipe(&["--revoke", "web", "--yes"]);
    let outcome = unasked.liar.serve(client.start());
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let told = "the key tv gets no new reading key: the last renewal did not reach it";
    assert!(outcome.stderr.contains(told), "{outcome}");
    assert_eq!(unasked.names(), ["first", "phone"]);
    // The user sees whose key it is.
    for (answer, names) in [
        ("n", &["first", "phone"][..]),
        ("y", &["first", "phone", "tv"]),
    ] {
        let mut story = story();
        let terminal = Terminal::open();
        let client = story
            .liar
            .environment
            .skypipe(&revoke)
            .on(&terminal)
            .start();
        terminal.types(&format!("{answer}\n"));
        let outcome = story.liar.serve(client);
        assert_eq!(outcome.code, Some(0), "{}", terminal.screen());
        assert!(
            terminal.screen().contains("did not reach tv"),
            "{}",
            terminal.screen()
        );
        assert_eq!(story.names(), names);
    }
}
