//! A satellite with keys: permissions, and how keys are added and revoked.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::story::{Story, id, opening, peer};
use crate::keys::{KeyId, KeyRegistry};
use crate::protocol::{
    Code, Finish, Hello, How, MAGIC, Mode, NewKey, NewKeyring, OwnKey, Phrase, PublicKey, REVISION,
    Reply, Request, Rights, encode,
};
use crate::v01;

/// The permissions of each key of the story, by the key's name.
const KINDS: [(&str, Rights, &[&str]); 5] = [
    ("manager", Rights::ALL, &[]),
    ("reader", READ, &[]),
    ("writer", WRITE, &[]),
    ("logreader", READ, &["logs*"]),
    ("logwriter", WRITE, &["logs*"]),
];

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

/// When the satellite started, in seconds since 1970 (UTC).
const START: u64 = 1_700_000_000;

fn new_key(name: &str, rights: Rights, pipes: &[&str], number: u8) -> NewKey {
    NewKey {
        name: name.to_owned(),
        public: PublicKey([number; 32]),
        encryption: PublicKey([number; 32]),
        rights,
        pipes: pipes.iter().map(|&pipe| pipe.to_owned()).collect(),
        expires: None,
        quota: None,
        epoch: 0,
        sealed_keyring: Some(Bytes::copy_from_slice(name.as_bytes())),
        attestation: None,
    }
}

fn new_keyring(name: &str, epoch: u32, renewal: Option<Uuid>, sealed_keyring: &Bytes) -> Request {
    Request::Keyring(NewKeyring {
        name: name.to_owned(),
        epoch,
        renewal,
        sealed_keyring: sealed_keyring.clone(),
        attestation: None,
    })
}

/// A satellite with a key of each kind, each used on one connection that has said hello. One more key keeps
/// the satellite from being without a manager.
fn guarded() -> Story {
    let mut registry = KeyRegistry::default();
    for (number, (name, rights, pipes)) in (0..).zip(KINDS) {
        let new = new_key(name, rights, pipes, number);
        registry.invite(new, START).expect("the kinds are good");
    }
    registry
        .invite(new_key("spare", Rights::ALL, &[], 99), START)
        .expect("it is good");
    let mut story = Story::new();
    story.broker = std::mem::replace(&mut story.broker, Story::new().broker)
        .guarded_by(registry, Some("sky:9000".to_owned()));
    for (number, (name, ..)) in (0..).zip(KINDS) {
        story.keys.insert(peer(name), KeyId(number));
        story.hello(name, name);
    }
    story
}

/// Every command, about `pipe` if the command is about a pipe.
fn commands(pipe: &str) -> Vec<(&'static str, Request)> {
    let pipe = || pipe.to_owned();
    let (stream, listener) = (id("s"), id("l"));
    let sealed_keyring = Bytes::from_static(b"box");
    let new = new_key("new", READ, &[], 50);
    vec![
        ("ping", Request::Ping),
        ("open", opening("s", &pipe())),
        (
            "listen",
            super::story::listening("l", &pipe(), Mode::Default, None),
        ),
        (
            "tap",
            super::story::listening("t", &pipe(), Mode::Tap, None),
        ),
        (
            "eof",
            Request::Eof {
                pipe: pipe(),
                order: Bytes::new(),
            },
        ),
        ("discard", Request::Discard { pipe: pipe() }),
        ("list", Request::List { after: None }),
        ("status", Request::Status),
        (
            "want",
            Request::Credit {
                stream,
                requested: 1,
            },
        ),
        ("close", Request::Close { stream }),
        ("leave", Request::Leave { listener }),
        ("invite", Request::Invite(new)),
        ("keys", Request::Keys { after: None }),
        (
            "revoke",
            Request::Revoke {
                name: "new".to_owned(),
                discard: false,
            },
        ),
        (
            "box",
            new_keyring("spare", 1, Some(id("r")), &sealed_keyring),
        ),
        ("phrase", Request::Phrase),
        (
            "set phrase",
            Request::SetPhrase {
                epoch: 0,
                phrase: None,
            },
        ),
        ("stop", Request::Stop { force: true }),
    ]
}

/// The commands that a key permits, besides those that every key permits. In a pipe other than `logs`, the
/// last two keys permit nothing.
fn allowed(who: &str, is_logs: bool) -> &'static [&'static str] {
    match who {
        "manager" => &[
            "open",
            "listen",
            "tap",
            "eof",
            "discard",
            "invite",
            "keys",
            "revoke",
            "box",
            "phrase",
            "set phrase",
            "stop",
        ],
        "reader" => &["listen", "tap", "discard", "phrase"],
        "writer" => &["open"],
        "logreader" if is_logs => &["listen", "tap", "discard"],
        "logwriter" if is_logs => &["open"],
        _ => &[],
    }
}

#[test]
fn every_command_is_allowed_to_those_alone_who_may() {
    let everybody = ["ping", "list", "status", "want", "close", "leave"];
    for (who, ..) in KINDS {
        for pipe in ["logs/web", "other"] {
            let mut story = guarded();
            for (what, command) in commands(pipe) {
                story.say(who, &command);
                let refused = story.hear(who).iter().any(|(reply, _)| {
                    matches!(
                        reply,
                        Reply::Error {
                            code: Code::Denied,
                            ..
                        }
                    )
                });
                let may = everybody.contains(&what)
                    || allowed(who, pipe.starts_with("logs")).contains(&what);
                assert_eq!(refused, !may, "{who}: {what} {pipe}");
            }
            assert_eq!(story.is_stopped, who == "manager");
        }
    }
}

#[test]
fn without_a_key_on_the_roll_nothing_is_answered_or_done() {
    let mut story = guarded();
    let hello = Request::Hello(Hello {
        client: id("x"),
        revision: REVISION,
        program: String::new(),
    });
    for key in [None, Some(KeyId(77))] {
        story.keys.remove(&peer("x"));
        story.keys.extend(key.map(|key| (peer("x"), key)));
        for command in [vec![hello.clone()], vec![]].concat() {
            story.say("x", &command);
        }
        for (_, command) in commands("logs") {
            story.say("x", &command);
        }
        story.send("x", &[v01::MAGIC, b"LISTEN", b"logs"]);
        let heard = story.hear("x");
        let denied = |(reply, _): &_| {
            matches!(
                reply,
                Reply::Error {
                    code: Code::Denied,
                    ..
                }
            )
        };
        assert!(heard.iter().all(denied), "{heard:?}");
        assert_eq!(heard.is_empty(), key.is_none());
    }
    story.say("manager", &Request::List { after: None });
    assert_eq!(
        story.reply("manager"),
        Reply::Pipes {
            pipes: Vec::new(),
            more: false
        }
    );
    assert!(!story.is_stopped);
}

#[test]
fn the_original_protocol_is_not_served() {
    let mut story = guarded();
    story.send("manager", &[v01::MAGIC, b"DATA", b"logs", b"line\n"]);
    story.say("manager", &Request::Status);
    assert!(matches!(story.reply("manager"), Reply::Status(status) if status.pipes == 0));
}

#[test]
fn a_client_goes_on_only_with_the_key_it_began_with() {
    let mut story = guarded();
    story.open("writer", "s", "logs");
    story.write("writer", "s", 0, b"one\n");
    story.hear("writer");
    // Another client connects with a key of its own, and claims this client and its stream.
    story.keys.insert(peer("thief"), KeyId(4));
    story.say(
        "thief",
        &Request::Hello(Hello {
            client: id("writer"),
            revision: REVISION,
            program: String::new(),
        }),
    );
    assert_eq!(story.refusal("thief").0, Code::Denied);
    story.say("thief", &super::story::reopening("s", "logs", 0));
    assert_eq!(story.refusal("thief").0, Code::Stranger);
    // Then a message with another key arrives on the client's own connection.
    story.keys.insert(peer("writer"), KeyId(4));
    story.write("writer", "s", 4, b"two\n");
    assert_eq!(story.refusal("writer").0, Code::Stranger);
}

#[test]
fn pipes_one_may_not_use_are_not_shown() {
    let mut story = guarded();
    story.store("writer", "s1", "logs/web", "12345");
    story.store("writer", "s2", "secret", "123");
    for (who, names, bytes) in [
        ("manager", "logs/web secret", 8),
        ("reader", "logs/web secret", 8),
        ("logreader", "logs/web", 5),
        ("logwriter", "logs/web", 5),
    ] {
        story.say(who, &Request::List { after: None });
        let Reply::Pipes { pipes, more: false } = story.reply(who) else {
            panic!("a list");
        };
        let seen: Vec<_> = pipes.iter().map(|pipe| pipe.name.as_str()).collect();
        assert_eq!(seen.join(" "), names, "{who}");
        story.say(who, &Request::Status);
        let Reply::Status(status) = story.reply(who) else {
            panic!("a status");
        };
        assert_eq!(
            (status.bytes, status.pipes),
            (bytes, seen.len() as u64),
            "{who}"
        );
    }
}

#[test]
fn a_revoked_key_is_out_at_once_with_all_it_had() {
    let mut story = guarded();
    story.store("writer", "s1", "work", "job");
    story.listen("reader", "l1", "work", Mode::One);
    story.open("writer", "s2", "logs");
    story.listen("manager", "l2", "logs", Mode::Follow);
    story.write("writer", "s2", 0, b"half");
    for who in ["writer", "reader", "manager"] {
        story.hear(who);
    }
    for name in ["writer", "reader", "reader"] {
        story.say(
            "manager",
            &Request::Revoke {
                name: name.to_owned(),
                discard: false,
            },
        );
        let heard = story.hear("manager");
        let is_it = |(reply, _): &_| *reply == Reply::Revoked;
        assert!(heard.iter().any(is_it), "{heard:?}");
    }
    // The clients are told, and refused whatever they say.
    assert_eq!(story.refusal("writer").0, Code::Denied);
    assert_eq!(story.refusal("reader").0, Code::Denied);
    story.write("writer", "s2", 4, b"more\n");
    assert_eq!(story.refusal("writer").0, Code::Denied);
    // The stream that the reader had alone is there for the next listener, and the open stream is cut.
    story.listen("manager", "l3", "work", Mode::One);
    assert!(story.drain("manager", "l3").contains("job"));
    story.say("manager", &Request::Status);
    assert!(matches!(story.reply("manager"), Reply::Status(status) if status.waiting == 1));
    assert_eq!(story.broker.base.access.admit(&[1; 32]), None);
}

#[test]
fn everybody_may_end_his_own_key_and_is_answered_and_out() {
    let mut story = guarded();
    let revoke = |name: &str| Request::Revoke {
        name: name.to_owned(),
        discard: false,
    };
    for who in ["reader", "logwriter", "manager"] {
        if who != "manager" {
            story.say(who, &revoke("writer"));
            assert_eq!(story.refusal(who).0, Code::Denied);
        }
        story.say(who, &revoke(who));
        assert_eq!(story.reply(who), Reply::Revoked);
        story.say(who, &Request::Status);
        let heard = story.hear(who);
        let is_out = |(reply, _): &_| {
            matches!(reply, Reply::Error { code: Code::Denied, message, .. }
                if message.starts_with("your key was revoked"))
        };
        assert!(!heard.is_empty() && heard.iter().all(is_out), "{heard:?}");
    }
    // The last key that can enroll others cannot be revoked.
    story.keys.insert(peer("spare"), KeyId(5));
    story.hello("spare", "spare");
    story.say("spare", &revoke("spare"));
    assert!(story.refusal("spare").1.contains("the last key"));
}

#[test]
fn the_cut_of_a_revoked_writer_is_told() {
    let mut story = guarded();
    story.listen("reader", "l", "logs", Mode::Default);
    story.open("writer", "s", "logs");
    story.write("writer", "s", 0, b"half");
    assert!(story.drain("reader", "l").contains("half"));
    story.say(
        "manager",
        &Request::Revoke {
            name: "writer".to_owned(),
            discard: false,
        },
    );
    let told = story.drain("reader", "l");
    assert!(told.contains("cut (its key was revoked)"), "{told}");
}

#[test]
fn an_expired_key_is_out_at_its_next_sign_of_life() {
    let mut story = guarded();
    let mut new = new_key("guest", READ, &[], 60);
    new.expires = Some(START + 30);
    story.say("manager", &Request::Invite(new));
    assert!(matches!(story.reply("manager"), Reply::Invited { .. }));
    let key = story
        .broker
        .base
        .access
        .admit(&[60; 32])
        .expect("it is new");
    story.keys.insert(peer("guest"), key);
    story.hello("guest", "guest");
    story.listen("guest", "l", "logs", Mode::Follow);
    story.hear("guest");
    story.now += Duration::from_secs(29);
    story.say("guest", &Request::Ping);
    assert_eq!(story.reply("guest"), Reply::Pong);
    story.now += Duration::from_secs(1);
    story.broker.tell_time(START + 30);
    assert_eq!(story.broker.base.access.admit(&[60; 32]), None);
    story.say("guest", &Request::Ping);
    let heard = story.hear("guest");
    assert!(!heard.is_empty());
    for (reply, _) in heard {
        let Reply::Error {
            code: Code::Denied,
            message,
            ..
        } = reply
        else {
            panic!("refused: {reply:?}");
        };
        assert!(message.contains("expired"), "{message}");
    }
    story.say("manager", &Request::List { after: None });
    let Reply::Pipes { pipes, .. } = story.reply("manager") else {
        panic!("a list");
    };
    assert_eq!(pipes, [], "its listener is gone");
}

#[test]
fn who_comes_is_told_its_key_and_its_box() {
    let mut story = guarded();
    story.say(
        "logreader",
        &Request::Hello(Hello {
            client: id("logreader"),
            revision: REVISION,
            program: String::new(),
        }),
    );
    let Reply::Welcome { key, .. } = story.reply("logreader") else {
        panic!("a welcome");
    };
    let expected = OwnKey {
        name: "logreader".to_owned(),
        rights: READ,
        expires: None,
        sealed_keyring: Some(Bytes::from_static(b"logreader")),
        is_attested: false,
        address: Some("sky:9000".to_owned()),
    };
    assert_eq!(key, Some(expected));
}

#[test]
fn a_new_box_reaches_its_holder_once_it_is_saved() {
    let mut story = guarded();
    let (sealed_keyring, ours, theirs) = (Bytes::from_static(b"fresh"), id("ours"), id("theirs"));
    story.disk_fault = Some("no space".to_owned());
    story.say(
        "manager",
        &new_keyring("reader", 1, Some(ours), &sealed_keyring),
    );
    assert_eq!(story.refusal("manager").0, Code::Disk);
    assert_eq!(story.told("reader"), "");
    story.disk_fault = None;
    story.say(
        "manager",
        &new_keyring("reader", 1, Some(ours), &sealed_keyring),
    );
    assert_eq!(story.reply("manager"), Reply::Kept);
    let news = Reply::Keyring {
        sealed_keyring: sealed_keyring.clone(),
    };
    assert_eq!(story.reply("reader"), news);
    assert_eq!(story.told("writer"), "");
    // The same renewal continues. No other renewal may create this epoch again.
    story.say(
        "manager",
        &new_keyring("writer", 1, Some(ours), &sealed_keyring),
    );
    assert_eq!(story.reply("manager"), Reply::Kept);
    for (epoch, renewal) in [(1, Some(theirs)), (1, None), (0, Some(ours)), (2, None)] {
        story.say(
            "manager",
            &new_keyring("reader", epoch, renewal, &sealed_keyring),
        );
        assert_eq!(
            story.refusal("manager").0,
            Code::Denied,
            "{epoch} {renewal:?}"
        );
    }
}

#[test]
fn who_does_not_manage_gives_himself_one_box_and_begins_no_generation() {
    let mut story = guarded();
    let sealed_keyring = Bytes::from_static(b"own");
    story.say("writer", &new_keyring("writer", 0, None, &sealed_keyring));
    assert_eq!(story.refusal("writer").0, Code::Denied, "there is one");
    let mut new = new_key("guest", READ, &[], 60);
    new.sealed_keyring = None;
    story.say("manager", &Request::Invite(new));
    story.hear("manager");
    let key = story
        .broker
        .base
        .access
        .admit(&[60; 32])
        .expect("it is new");
    story.keys.insert(peer("guest"), key);
    story.hello("guest", "guest");
    for (epoch, renewal) in [(u32::MAX, None), (1, Some(id("r")))] {
        story.say(
            "guest",
            &new_keyring("guest", epoch, renewal, &sealed_keyring),
        );
        assert_eq!(story.refusal("guest").0, Code::Denied);
    }
    story.say("guest", &new_keyring("guest", 0, None, &sealed_keyring));
    assert_eq!(story.reply("guest"), Reply::Kept);
    story.say("guest", &new_keyring("guest", 0, None, &sealed_keyring));
    assert_eq!(story.refusal("guest").0, Code::Denied, "once");
    story.say("manager", &Request::Invite(new_key("later", READ, &[], 61)));
    assert!(matches!(story.reply("manager"), Reply::Invited { .. }));
}

#[test]
fn what_was_said_at_once_is_saved_at_once_or_not_at_all() {
    let mut story = guarded();
    let invite = |name: &str, number| Request::Invite(new_key(name, READ, &[], number));
    for (fault, refused) in [(Some("no space".to_owned()), true), (None, false)] {
        story.disk_fault = fault;
        let before = story.saved.len();
        story.say_at_once("manager", &[invite("one", 51), invite("two", 52)]);
        assert_eq!(story.saved.len(), before + 1);
        let told = story.told("manager");
        assert_eq!(
            told.matches("refused: Disk").count(),
            if refused { 2 } else { 0 }
        );
        for number in [51, 52] {
            assert_eq!(
                story.broker.base.access.admit(&[number; 32]).is_none(),
                refused,
                "{told}"
            );
        }
    }
}

#[test]
fn a_key_that_was_revoked_does_not_come_back_with_a_roll_that_was_not_saved() {
    let mut story = guarded();
    let invite = Request::Invite(new_key("new", READ, &[], 50));
    let revoke = Request::Revoke {
        name: "reader".to_owned(),
        discard: false,
    };
    story.disk_fault = Some("no space".to_owned());
    story.say_at_once("manager", &[invite, revoke]);
    assert_eq!(story.broker.base.access.admit(&[1; 32]), None);
    assert_eq!(story.broker.base.access.admit(&[50; 32]), None);
}

#[test]
fn what_else_a_satellite_does_is_told_to_those_who_manage_it() {
    let mut story = guarded();
    for (who, knows) in [("manager", true), ("reader", false), ("logwriter", false)] {
        story.say(who, &Request::Status);
        let Reply::Status(status) = story.reply(who) else {
            panic!("a status");
        };
        let tells = status.pid > 0 && status.clients > 0 && !status.kept.is_empty();
        assert_eq!(tells, knows, "{who}");
    }
}

#[test]
fn what_the_phrase_opens_is_kept_and_let_go() {
    let mut story = guarded();
    let phrase = Phrase {
        wrapped: Bytes::from_static(b"wrapped"),
        encryption: PublicKey([1; 32]),
        sealed_keyring: Bytes::from_static(b"box"),
        attestation: Bytes::from_static(b"attestation"),
    };
    for kept in [Some(phrase), None] {
        story.say(
            "manager",
            &Request::SetPhrase {
                epoch: 0,
                phrase: kept.clone(),
            },
        );
        assert_eq!(story.reply("manager"), Reply::Kept);
        story.say("reader", &Request::Phrase);
        assert_eq!(story.reply("reader"), Reply::Phrase(kept));
    }
}

#[test]
fn nothing_of_keys_is_promised_before_it_is_saved() {
    let mut story = guarded();
    story.disk_fault = Some("no space".to_owned());
    story.say("manager", &Request::Invite(new_key("new", READ, &[], 50)));
    let (code, message) = story.refusal("manager");
    assert_eq!(code, Code::Disk);
    assert!(message.contains("no space"), "{message}");
    assert_eq!(story.broker.base.access.admit(&[50; 32]), None);
    // But the revoked key stays out.
    story.say(
        "manager",
        &Request::Revoke {
            name: "reader".to_owned(),
            discard: false,
        },
    );
    assert_eq!(story.refusal("manager").0, Code::Disk);
    assert_eq!(story.broker.base.access.admit(&[1; 32]), None);
    story.disk_fault = None;
    story.say("manager", &Request::Invite(new_key("new", READ, &[], 50)));
    assert!(matches!(story.reply("manager"), Reply::Invited { name } if name == "new"));
    let saved = story.saved.last().expect("it was saved");
    let registry = KeyRegistry::decode(saved).expect("it is a registry");
    assert!(registry.admit(&[50; 32], START).is_some());
    assert!(registry.admit(&[1; 32], START).is_none());
}

#[test]
fn when_a_key_was_used_last_is_kept_but_not_every_time() {
    let mut story = guarded();
    let before = story.saved.len();
    for _ in 0..10 {
        story.hello("reader", "reader");
    }
    assert_eq!(story.saved.len(), before);
    story.now += Duration::from_secs(61);
    story.hello("reader", "reader");
    assert_eq!(story.saved.len(), before + 1);
    story.say("manager", &Request::Keys { after: None });
    let Reply::Keys {
        keys, more: false, ..
    } = story.reply("manager")
    else {
        panic!("keys");
    };
    let used: Vec<_> = keys
        .iter()
        .map(|key| (key.name.as_str(), key.used, key.is_connected))
        .collect();
    assert!(
        used.contains(&("reader", Some(START + 61), true)),
        "{used:?}"
    );
    assert!(used.contains(&("spare", None, false)), "{used:?}");
}

#[test]
fn a_satellite_without_keys_says_so() {
    let mut story = Story::new();
    story.meet(&["a"]);
    for command in [
        Request::Invite(new_key("new", READ, &[], 50)),
        Request::Keys { after: None },
        Request::Revoke {
            name: "x".to_owned(),
            discard: false,
        },
        Request::SetPhrase {
            epoch: 0,
            phrase: None,
        },
    ] {
        story.say("a", &command);
        let (code, message) = story.refusal("a");
        assert_eq!(code, Code::Denied);
        assert!(message.contains("no keys"), "{message}");
    }
    story.say("a", &Request::Phrase);
    assert_eq!(story.reply("a"), Reply::Phrase(None));
}

#[test]
fn the_proof_of_an_end_goes_to_whoever_listens() {
    let mut story = guarded();
    story.listen("reader", "l", "logs", Mode::Default);
    story.open("writer", "s", "logs");
    let finish = |proof: usize| {
        Request::Finish(Finish {
            stream: id("s"),
            len: 0,
            how: How::Proven(vec![7; proof].into()),
        })
    };
    story.hear("writer");
    story.send("writer", &[MAGIC, &encode(&finish(65))]);
    assert_eq!(story.refusal("writer").0, Code::Malformed);
    story.send("writer", &[MAGIC, &encode(&finish(64))]);
    let heard = story.hear("reader");
    let proven = How::Proven(vec![7; 64].into());
    let is_proven = |(reply, _): &_| matches!(reply, Reply::Ended { how, .. } if *how == proven);
    assert!(heard.iter().any(is_proven), "{heard:?}");
}

#[test]
fn no_other_spelling_of_a_name_gets_a_key_past_its_pipes() {
    let mut story = guarded();
    let both = Rights {
        write: true,
        ..READ
    };
    let new = new_key("cafes", both, &["cafe*"], 60);
    story.say("manager", &Request::Invite(new));
    story.told("manager");
    let spare = u64::try_from(KINDS.len()).expect("there are few");
    story.keys.insert(peer("c"), KeyId(spare + 1));
    story.hello("c", "c");
    let commands = |pipe: &str| {
        let pipe = pipe.to_owned();
        [
            opening("s", &pipe),
            super::story::listening("l", &pipe, Mode::Default, None),
            Request::Eof {
                pipe: pipe.clone(),
                order: Bytes::new(),
            },
            Request::Discard { pipe },
        ]
    };
    // The key's pattern means names that begin with these four letters, and é is none of them.
    for (pipe, answer) in [("caf\u{e9}", "Denied"), ("cafe\u{301}", "Name")] {
        for command in commands(pipe) {
            story.say("c", &command);
        }
        let refused = format!("refused: {answer}");
        assert_eq!(story.told("c"), [&*refused; 4].join(", "), "{pipe}");
    }
    story.say("c", &opening("s", "cafes"));
    assert_eq!(story.told("c"), "opened 0");
}
