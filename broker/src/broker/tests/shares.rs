//! Fair shares: what one key may hold, what is kept for managing keys, and what a revocation releases.

use std::collections::HashMap;

use super::story::{MEMORY, Story, id, opening, peer};
use crate::broker::budget::upkeep::{MAX_LISTENERS, MAX_STREAMS};
use crate::keys::{KeyId, KeyRegistry};
use crate::protocol::{
    Code, Hello, Holds, Mode, NewKey, PublicKey, REVISION, Reply, Request, Rights, Shortage,
};

const WRITE: Rights = Rights {
    read: false,
    write: true,
    manage: false,
};

const READ: Rights = Rights {
    read: true,
    ..WRITE_NOT
};

const WRITE_NOT: Rights = Rights {
    read: false,
    write: false,
    manage: false,
};

/// The keys, in the order of their ids.
const KEYS: [(&str, Rights, Option<u64>); 4] = [
    ("owner", Rights::ALL, None),
    ("host", WRITE, None),
    ("small", WRITE, Some(10_000)),
    ("tv", READ, None),
];

fn number(name: &str) -> KeyId {
    let place = KEYS.iter().position(|(key, ..)| *key == name);
    KeyId(place.expect("there is such a key") as u64)
}

/// A satellite with these keys that serves forty clients.
fn shared() -> Story {
    shared_within(MEMORY)
}

fn shared_within(memory: u64) -> Story {
    let mut registry = KeyRegistry::default();
    for (number, (name, rights, quota)) in (0..).zip(KEYS) {
        let new = NewKey {
            name: name.to_owned(),
            public: PublicKey([number; 32]),
            encryption: PublicKey([number; 32]),
            rights,
            pipes: Vec::new(),
            expires: None,
            quota,
            epoch: 0,
            sealed_keyring: None,
            attestation: None,
        };
        registry.invite(new, 0).expect("the kinds are good");
    }
    let mut story = Story::with(|settings| (settings.clients, settings.memory) = (40, memory));
    let broker = std::mem::replace(&mut story.broker, Story::new().broker);
    story.broker = broker.guarded_by(registry, None);
    story
}

/// A client connects with a key. Returns what it is told.
fn come(story: &mut Story, who: &str, key: &str) -> Reply {
    story.keys.insert(peer(who), number(key));
    let hello = Request::Hello(Hello {
        client: id(who),
        revision: REVISION,
        program: "skypipe 1.0.0".to_owned(),
    });
    story.say(who, &hello);
    last(story, who)
}

fn last(story: &mut Story, who: &str) -> Reply {
    story.hear(who).pop().expect("it was told something").0
}

/// Asserts that a reply refuses more because the key has its share, and names the key.
#[track_caller]
fn assert_share(reply: &Reply, key: &str) {
    let Reply::Error {
        code: Code::Limit,
        message,
        ..
    } = reply
    else {
        panic!("it was not refused: {reply:?}");
    };
    assert!(
        message.starts_with(&format!("your key, {key}, has reached its limit")),
        "{message}"
    );
}

fn holds(story: &Story, key: &str) -> Holds {
    story.broker.holds(number(key))
}

#[test]
fn one_key_has_a_quarter_of_the_connections_and_others_find_some() {
    let mut story = shared();
    let is_in = |reply: &Reply| matches!(reply, Reply::Welcome { .. });
    for client in 0..10 {
        assert!(is_in(&come(&mut story, &format!("c{client}"), "host")));
    }
    assert_share(&come(&mut story, "one more", "host"), "host");
    assert_eq!(holds(&story, "host").clients, 10);
    // A client that reconnects is not counted twice.
    assert!(is_in(&come(&mut story, "c3", "host")));
    let keys = ["small", "tv", "tv", "small"].into_iter().cycle();
    let others: Vec<_> = (0..20).zip(keys).collect();
    for (client, key) in &others[..20] {
        assert!(
            is_in(&come(&mut story, &format!("d{client}"), key)),
            "{client}"
        );
    }
    story.say("d0", &Request::Bye);
    for client in 0..6 {
        assert!(is_in(&come(&mut story, &format!("o{client}"), "owner")));
    }
    // The last eighth is for managing keys.
    let refused = come(&mut story, "d0", "small");
    assert!(
        matches!(
            refused,
            Reply::Error {
                code: Code::Limit,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(is_in(&come(&mut story, "o7", "owner")));
    story.say("c0", &Request::Bye);
    story.say("o1", &Request::Bye);
    story.say("o2", &Request::Bye);
    assert!(is_in(&come(&mut story, "c10", "host")));
    assert_eq!(holds(&story, "host").clients, 10);
}

#[test]
fn one_key_has_a_quarter_of_the_streams_and_of_the_listeners() {
    let mut story = shared_within(1 << 30);
    for (who, key) in [("w", "host"), ("v", "host"), ("r", "tv"), ("o", "owner")] {
        come(&mut story, who, key);
    }
    for stream in 0..MAX_STREAMS / 4 {
        story.open(["w", "v"][stream % 2], &format!("s{stream}"), "p");
    }
    assert!(matches!(last(&mut story, "w"), Reply::Opened { .. }));
    story.open("w", "one more", "p");
    assert_share(&last(&mut story, "w"), "host");
    story.open("o", "mine", "p");
    assert!(matches!(last(&mut story, "o"), Reply::Opened { .. }));
    for listener in 0..MAX_LISTENERS / 4 {
        story.listen(
            "r",
            &format!("l{listener}"),
            &format!("{listener}"),
            Mode::Tap,
        );
    }
    assert!(matches!(last(&mut story, "r"), Reply::Listening { .. }));
    story.listen("r", "one more", "q", Mode::Tap);
    assert_share(&last(&mut story, "r"), "tv");
    story.listen("o", "mine too", "q", Mode::Tap);
    assert!(matches!(last(&mut story, "o"), Reply::Listening { .. }));
    let share = (MAX_STREAMS / 4) as u64;
    let held = holds(&story, "host");
    assert_eq!((held.streams, held.writers), (share, share));
    // Revoking the keys releases everything.
    for key in ["host", "tv"] {
        let revoke = Request::Revoke {
            name: key.to_owned(),
            discard: false,
        };
        story.say("o", &revoke);
        assert_eq!(last(&mut story, "o"), Reply::Revoked);
        assert_eq!(holds(&story, key), Holds::default(), "{key}");
    }
}

#[test]
fn what_a_key_wrote_waits_up_to_its_quota_and_no_further() {
    let mut story = shared();
    come(&mut story, "w", "small");
    come(&mut story, "o", "owner");
    let quota = 10_000;
    story.open("w", "s", "p");
    let (mut at, mut full) = (0, None);
    let mut limit = match last(&mut story, "w") {
        Reply::Opened { limit, .. } => limit,
        other => panic!("{other:?}"),
    };
    let text = "x".repeat(1000);
    while full.is_none() {
        let requested = (at + 1) * 1256;
        if requested <= limit {
            story.write_requesting("w", "s", at * 1000, text.as_bytes(), requested + 1256);
            at += 1;
        }
        if let Some((
            Reply::Ack {
                limit: more,
                full: lacks,
                ..
            },
            _,
        )) = story.hear("w").pop()
        {
            (limit, full) = (more, lacks);
        }
    }
    assert_eq!(full, Some(Shortage::Key(quota)));
    let held = holds(&story, "small");
    assert!(held.bytes <= quota && held.bytes >= quota / 2, "{held:?}");
    // Others have room. The key has room again once somebody takes what was written with it.
    story.open("o", "mine", "q");
    assert!(matches!(
        last(&mut story, "o"),
        Reply::Opened { limit: 1.., .. }
    ));
    let discard = Request::Discard {
        pipe: "p".to_owned(),
    };
    story.say("o", &discard);
    assert_eq!(holds(&story, "small").bytes, 0);
    assert!(matches!(
        last(&mut story, "w"),
        Reply::Ack { full: None, .. }
    ));
    assert!(story.broker.used() <= MEMORY);
}

#[test]
fn many_writers_of_one_key_have_its_quota_together() {
    let mut story = shared();
    come(&mut story, "w", "small");
    for stream in 0..50 {
        let name = format!("s{stream}");
        story.open("w", &name, &name);
        story.say(
            "w",
            &Request::Credit {
                stream: id(&name),
                requested: 1 << 20,
            },
        );
    }
    let mut limits = HashMap::new();
    for (reply, _) in story.hear("w") {
        if let Reply::Opened { stream, limit, .. } | Reply::Ack { stream, limit, .. } = reply {
            limits.insert(stream, limit);
        }
    }
    let given: u64 = limits.values().sum();
    assert!((1..=10_000).contains(&given), "{given}");
}

#[test]
fn a_revocation_drops_what_the_key_wrote_if_that_is_asked_for() {
    for discard in [false, true] {
        let mut story = shared_within(1 << 30);
        come(&mut story, "w", "host");
        come(&mut story, "o", "owner");
        for stream in ["a", "b"] {
            story.open("w", stream, "p");
            story.write("w", stream, 0, b"text\n");
        }
        story.finish("w", "a", 5);
        story.open("o", "mine", "p");
        story.write("o", "mine", 0, b"mine\n");
        assert_eq!(holds(&story, "host").bytes, 10);
        let name = "host".to_owned();
        story.say("o", &Request::Revoke { name, discard });
        assert_eq!(last(&mut story, "o"), Reply::Revoked);
        story.say("o", &Request::List { after: None });
        let Reply::Pipes { pipes, .. } = last(&mut story, "o") else {
            panic!("a list");
        };
        let left = if discard { (1, 5) } else { (3, 15) };
        assert_eq!((pipes[0].waiting, pipes[0].bytes), left);
        let held = holds(&story, "host");
        let expected = if discard { (0, 0) } else { (2, 10) };
        assert_eq!((held.streams, held.bytes), expected);
    }
}

#[test]
fn without_keys_the_share_is_by_client() {
    let mut story = Story::with(|settings| settings.memory = 1 << 30);
    story.meet(&["w", "x"]);
    for stream in 0..MAX_STREAMS / 4 {
        story.open("w", &format!("s{stream}"), "p");
    }
    story.told("w");
    let more = opening("one more", "p");
    story.say("w", &more);
    assert!(matches!(
        last(&mut story, "w"),
        Reply::Error {
            code: Code::Limit,
            ..
        }
    ));
    story.say("x", &more);
    assert!(matches!(last(&mut story, "x"), Reply::Opened { .. }));
}
