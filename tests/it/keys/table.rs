//! Every command with every kind of key, over real sockets: the answer, and that a refused command has no
//! effect.

use std::fmt::Write as _;

use bytes::Bytes;
use skypipe_broker::v01;
use skypipe_protocol::token::Token;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, Holds, How, KeyInfo, Listen, Mode, NewKey, NewKeyring, Open,
    Phrase, PublicKey, Reply, Request, Resume, Rights,
};
use skypipe_transport::tls::Ending;
use uuid::Uuid;

use crate::common::wait;
use crate::keys::arena::Sky;
use crate::keys::raw::{READ, Raw, There, WRITE, new_key, seed, word};

/// The keys of the table, in the order of its columns.
const KEYS: [&str; 6] = [
    "manager",
    "reader",
    "writer",
    "both",
    "logreader",
    "logwriter",
];

/// The answer to each command. A stream waits in `logs` and in `other`; streams and listeners of `nobody`
/// do not exist. Nobody can stop a satellite that is not this machine's own.
const TABLE: &str = "
command            manager      reader       writer       both         logreader    logwriter
hello              Welcome      Welcome      Welcome      Welcome      Welcome      Welcome
open logs          Opened       Denied       Opened       Opened       Denied       Opened
open other         Opened       Denied       Opened       Opened       Denied       Denied
data nobody's      Unknown      Unknown      Unknown      Unknown      Unknown      Unknown
want nobody's      -            -            -            -            -            -
finish nobody's    Unknown      Unknown      Unknown      Unknown      Unknown      Unknown
close nobody's     -            -            -            -            -            -
listen logs        Listening    Listening    Denied       Listening    Listening    Denied
listen other       Listening    Listening    Denied       Listening    Denied       Denied
one logs           Listening    Listening    Denied       Listening    Listening    Denied
one other          Listening    Listening    Denied       Listening    Denied       Denied
follow logs        Listening    Listening    Denied       Listening    Listening    Denied
follow other       Listening    Listening    Denied       Listening    Denied       Denied
tap logs           Listening    Listening    Denied       Listening    Listening    Denied
tap other          Listening    Listening    Denied       Listening    Denied       Denied
resume nobody's    Unknown      Unknown      Denied       Unknown      Unknown      Denied
confirm nobody's   Unknown      Unknown      Unknown      Unknown      Unknown      Unknown
leave nobody's     -            -            -            -            -            -
eof logs           EofTaken     Denied       Denied       EofTaken     Denied       Denied
eof other          EofTaken     Denied       Denied       EofTaken     Denied       Denied
discard logs       Discarded    Discarded    Denied       Discarded    Discarded    Denied
discard other      Discarded    Discarded    Denied       Discarded    Denied       Denied
list               Pipes        Pipes        Pipes        Pipes        Pipes        Pipes
status             Status       Status       Status       Status       Status       Status
stop               Denied       Denied       Denied       Denied       Denied       Denied
invite             Invited      Denied       Denied       Denied       Denied       Denied
keys               Keys         Denied       Denied       Denied       Denied       Denied
revoke             Revoked      Denied       Denied       Denied       Denied       Denied
revoke manager     Revoked      Denied       Denied       Denied       Denied       Denied
keyring of its own Kept         Kept         Kept         Kept         Kept         Kept
keyring to come    -            Denied       Denied       Denied       Denied       Denied
phrase             Phrase       Phrase       Denied       Phrase       Denied       Denied
set phrase         Kept         Denied       Denied       Denied       Denied       Denied
no phrase          Kept         Denied       Denied       Denied       Denied       Denied
keyring of another Kept         Denied       Denied       Denied       Denied       Denied
0.1 hello          -            -            -            -            -            -
0.1 data           -            -            -            -            -            -
0.1 listen         -            -            -            -            -            -
0.1 unlisten       -            -            -            -            -            -
";

/// A satellite with all these keys, and a client of the first one.
struct Arena {
    there: There,
    owner: Raw,
    _sky: Sky,
}

/// Everything that a manager sees of a satellite.
type View = (Vec<(String, u64, u64)>, Vec<KeyInfo>, u32, Option<Phrase>);

impl Arena {
    fn new() -> Self {
        let sky = Sky::new();
        let token = Token::parse(sky.first()).expect("it is an invitation");
        let there = There::of(&token);
        let owner = Raw::at(&there, &token.seed);
        let arena = Self {
            there,
            owner,
            _sky: sky,
        };
        // With a sealed keyring it counts as a manager that can invite, so that other keys can be revoked.
        let own = Request::Keyring(NewKeyring {
            name: "first".to_owned(),
            epoch: 0,
            renewal: None,
            sealed_keyring: Bytes::from_static(b"keyring"),
            attestation: None,
        });
        assert_eq!(word(&arena.owner.answer(&own)), "Kept");
        for (number, name) in (0..).zip(KEYS) {
            arena.enroll(kind(name, number));
        }
        arena.restore();
        arena
    }

    fn enroll(&self, new: NewKey) {
        let reply = self.owner.answer(&Request::Invite(new));
        assert_eq!(word(&reply), "Invited", "{reply:?}");
    }

    /// What a manager sees, without the use of the keys.
    fn view(&self) -> View {
        let Reply::Pipes { pipes, .. } = self.owner.answer(&Request::List { after: None }) else {
            panic!("a list");
        };
        let pipes = pipes.into_iter();
        let pipes = pipes.map(|pipe| (pipe.name, pipe.waiting, pipe.writers + pipe.listeners));
        let Reply::Keys {
            mut keys, epoch, ..
        } = self.owner.answer(&Request::Keys { after: None })
        else {
            panic!("keys");
        };
        for key in &mut keys {
            (key.used, key.is_connected, key.holds) = (None, false, Holds::default());
        }
        let Reply::Phrase(phrase) = self.owner.answer(&Request::Phrase) else {
            panic!("a phrase");
        };
        (pipes.collect(), keys, epoch, phrase)
    }

    /// Restores the initial state: a stream in each of two pipes, the keys, and a phrase.
    fn restore(&self) {
        for pipe in ["logs", "other"] {
            let pipe = || pipe.to_owned();
            self.owner.ask(&Request::Discard { pipe: pipe() });
            let stream = Uuid::new_v4();
            for request in [open(stream, &pipe()), data(stream), finish(stream, 5)] {
                self.owner.say(&request);
            }
            self.owner.hear_word("Finished");
            self.owner.ask(&Request::Close { stream });
        }
        let (_, keys, epoch, _) = self.view();
        for (number, name) in (0..).zip(KEYS) {
            if !keys.iter().any(|key| key.name == *name) {
                self.enroll(kind(name, number));
            }
        }
        if keys.iter().any(|key| key.name == "new") {
            let name = "new".to_owned();
            let reply = self.owner.answer(&Request::Revoke {
                name,
                discard: false,
            });
            assert_eq!(word(&reply), "Revoked");
        }
        let reply = self.owner.answer(&Request::SetPhrase {
            epoch,
            phrase: Some(a_phrase(1)),
        });
        assert_eq!(word(&reply), "Kept");
    }
}

fn kind(name: &str, number: u8) -> NewKey {
    let (rights, pipes): (_, &[&str]) = match name {
        "manager" => (Rights::ALL, &[]),
        "reader" => (READ, &[]),
        "writer" => (WRITE, &[]),
        "logreader" => (READ, &["logs*"]),
        "logwriter" => (WRITE, &["log?", "logs"]),
        _ => (
            Rights {
                manage: false,
                ..Rights::ALL
            },
            &[],
        ),
    };
    new_key(name, &seed(100 + number), rights, pipes)
}

fn a_phrase(number: u8) -> Phrase {
    Phrase {
        wrapped: Bytes::copy_from_slice(&[number; 9]),
        encryption: PublicKey([number; 32]),
        sealed_keyring: Bytes::copy_from_slice(&[number; 7]),
        attestation: Bytes::copy_from_slice(&[number; 32]),
    }
}

fn open(stream: Uuid, pipe: &str) -> Request {
    Request::Open(Open {
        stream,
        pipe: pipe.to_owned(),
        from: 0,
        resume: false,
        wait: false,
        whole: false,
        label: "a test".to_owned(),
    })
}

fn data(stream: Uuid) -> Request {
    Request::Data(Data {
        stream,
        at: 0,
        tail: 0,
        requested: 0,
    })
}

fn finish(stream: Uuid, len: u64) -> Request {
    let how = How::End;
    Request::Finish(Finish { stream, len, how })
}

fn listen(pipe: &str, mode: Mode, resume: Option<Resume>) -> Request {
    Request::Listen(Listen {
        listener: Uuid::new_v4(),
        pipe: pipe.to_owned(),
        mode,
        window: 1 << 20,
        resume,
    })
}

/// The request of a table row, sent by the holder of the key `own`. `None` for a message of the original
/// protocol.
fn request(row: &str, own: &str, hello: &Request) -> Option<Request> {
    let (verb, pipe) = row.split_once(' ').unwrap_or((row, ""));
    let (stream, listener) = (Uuid::new_v4(), Uuid::new_v4());
    let name = || pipe.to_owned();
    let a_keyring = |name: &str, epoch, renewal| {
        Request::Keyring(NewKeyring {
            name: name.to_owned(),
            epoch,
            renewal,
            sealed_keyring: Bytes::from_static(b"keyring"),
            attestation: None,
        })
    };
    let set = |phrase| Request::SetPhrase { epoch: 0, phrase };
    let (next_seq, window, cost) = (1, 1 << 20, 300);
    Some(match (verb, pipe) {
        ("hello", _) => hello.clone(),
        ("open", _) => open(stream, pipe),
        ("data", _) => data(stream),
        ("want", _) => Request::Credit {
            stream,
            requested: 9,
        },
        ("finish", _) => finish(stream, 0),
        ("close", _) => Request::Close { stream },
        ("listen", _) => listen(pipe, Mode::Default, None),
        ("one", _) => listen(pipe, Mode::One, None),
        ("follow", _) => listen(pipe, Mode::Follow, None),
        ("tap", _) => listen(pipe, Mode::Tap, None),
        ("resume", _) => listen(
            "logs",
            Mode::Default,
            Some(Resume {
                next_seq,
                cost,
                ..Resume::default()
            }),
        ),
        ("confirm", _) => Request::Confirm(Confirm {
            listener,
            next_seq,
            window,
        }),
        ("leave", _) => Request::Leave { listener },
        ("eof", _) => Request::Eof {
            pipe: name(),
            order: Bytes::new(),
        },
        ("discard", _) => Request::Discard { pipe: name() },
        ("list", _) => Request::List { after: None },
        ("status", _) => Request::Status,
        ("stop", _) => Request::Stop { force: true },
        ("invite", _) => Request::Invite(new_key("new", &seed(200), Rights::ALL, &[])),
        ("keys", _) => Request::Keys { after: None },
        ("revoke", "manager") if own != "manager" => Request::Revoke {
            name: name(),
            discard: false,
        },
        // Anybody may revoke their own key, and is out then: see `joining`.
        ("revoke", _) => Request::Revoke {
            name: if own == "both" { "reader" } else { "both" }.to_owned(),
            discard: false,
        },
        ("keyring", "of another") => a_keyring("first", 1, Some(Uuid::from_u128(1))),
        // For a key that may do it, this is replaced by a command without an answer.
        ("keyring", "to come") if own == "manager" => Request::Leave { listener },
        ("keyring", "to come") => a_keyring(own, u32::MAX, Some(Uuid::from_u128(2))),
        ("keyring", _) => a_keyring(own, 0, None),
        ("phrase", _) => Request::Phrase,
        ("set", _) => set(Some(a_phrase(2))),
        ("no", _) => set(None),
        _ => return None,
    })
}

/// The message of the original protocol for a row.
fn original(row: &str) -> Vec<&[u8]> {
    match row {
        "0.1 hello" => vec![v01::MAGIC, b"HELLO"],
        "0.1 data" => vec![v01::MAGIC, b"DATA", b"logs", b"line\n"],
        "0.1 listen" => vec![v01::MAGIC, b"LISTEN", b"logs"],
        "0.1 unlisten" => vec![v01::MAGIC, b"UNLISTEN", b"logs"],
        _ => panic!("no such row: {row}"),
    }
}

/// The names of the rows, and their cells.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = TABLE.trim().lines();
    let head: Vec<_> = lines
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect();
    assert_eq!(head[1..], KEYS);
    lines
        .map(|line| (line[..19].trim(), line[19..].split_whitespace().collect()))
        .collect()
}

/// Sends the requests of all rows.
fn say_all(raw: &Raw) {
    for (row, _) in rows() {
        match request(row, "both", &raw.hello()) {
            Some(request) => raw.say(&request),
            None => raw.send(&original(row)),
        }
    }
}

#[test]
fn every_command_is_for_those_keys_alone_that_allow_it() {
    let arena = Arena::new();
    let mut found = String::new();
    for (row, expected) in rows() {
        for ((number, own), expected) in (0..).zip(KEYS).zip(expected) {
            let before = arena.view();
            let raw = Raw::at(&arena.there, &seed(100 + number));
            let replies = if let Some(request) = request(row, own, &raw.hello()) {
                raw.ask(&request)
            } else {
                raw.send(&original(row));
                raw.ask(&Request::Ping)
            };
            let first = replies.first().map_or("-".to_owned(), word);
            if first != expected {
                let _ = writeln!(found, "{row}, {own}: {replies:?}");
            }
            if ["-", "Denied", "Unknown"].contains(&expected) {
                assert!(replies.len() <= 1, "{row}, {own}: {replies:?}");
                assert_eq!(arena.view(), before, "{row}, {own}");
            } else {
                raw.say(&Request::Bye);
                drop(raw);
                arena.restore();
            }
        }
    }
    assert_eq!(found, "");
}

#[test]
fn who_may_not_see_a_pipe_is_shown_nothing_of_it() {
    let arena = Arena::new();
    for (number, own) in (0..).zip(KEYS) {
        let raw = Raw::at(&arena.there, &seed(100 + number));
        let Reply::Pipes { pipes, .. } = raw.answer(&Request::List { after: None }) else {
            panic!("a list");
        };
        let names: Vec<_> = pipes.iter().map(|pipe| pipe.name.as_str()).collect();
        let Reply::Status(status) = raw.answer(&Request::Status) else {
            panic!("a status");
        };
        let expected: &[&str] = if own.starts_with("log") {
            &["logs"]
        } else {
            &["logs", "other"]
        };
        assert_eq!(names, expected, "{own}");
        let number = expected.len() as u64;
        assert_eq!(
            (status.pipes, status.waiting, status.bytes),
            (number, number, 5 * number)
        );
    }
}

#[test]
fn whose_key_is_unknown_expired_or_revoked_does_not_get_in() {
    let arena = Arena::new();
    let mut expired = new_key("expired", &seed(1), Rights::ALL, &[]);
    expired.expires = Some(1);
    arena.enroll(expired);
    arena.enroll(new_key("revoked", &seed(2), Rights::ALL, &[]));
    let name = "revoked".to_owned();
    arena.owner.answer(&Request::Revoke {
        name,
        discard: false,
    });
    let before = arena.view();
    for (number, what) in [(1, "expired"), (2, "revoked"), (3, "made up")] {
        let raw = Raw::stranger(&arena.there, Some(&seed(number).identity()));
        say_all(&raw);
        let ending = raw.is_shut_out();
        assert_eq!(ending, Some(Ending::Refused), "{what}");
        assert_eq!(arena.view(), before, "{what}");
    }
}

#[test]
fn who_has_no_key_or_takes_the_satellite_for_another_does_not_get_in() {
    let arena = Arena::new();
    let before = arena.view();
    let other = There {
        satellite: seed(9).identity().public,
        ..arena.there.clone()
    };
    let manager = seed(100).identity();
    for (there, pair) in [(&arena.there, None), (&other, Some(&manager))] {
        let raw = Raw::stranger(there, pair);
        say_all(&raw);
        raw.is_shut_out();
        assert_eq!(arena.view(), before);
    }
}

#[test]
fn who_has_not_said_hello_can_do_nothing_with_a_good_key() {
    let arena = Arena::new();
    let before = arena.view();
    let raw = Raw::stranger(&arena.there, Some(&seed(100).identity()));
    let hello = raw.hello();
    for (row, _) in rows().into_iter().skip(1) {
        match request(row, "manager", &hello) {
            Some(request) => {
                raw.say(&request);
                let reply = raw.hear();
                assert_eq!(word(&reply), "Stranger", "{row}: {reply:?}");
            }
            None => raw.send(&original(row)),
        }
    }
    raw.say(&Request::Ping);
    assert_eq!(word(&raw.hear()), "Stranger");
    assert!(raw.heard().is_none());
    assert_eq!(arena.view(), before);
}

/// Checks a key that was revoked or expired while connected: every further request is refused.
fn is_out(arena: &Arena, raw: &Raw, why: &str) {
    let before = arena.view();
    let hello = raw.hello();
    for (row, _) in rows() {
        match request(row, "manager", &hello) {
            Some(request) => raw.say(&request),
            None => raw.send(&original(row)),
        }
        let Reply::Error { code, message, .. } = raw.hear() else {
            panic!("{row} is refused");
        };
        assert_eq!(code, Code::Denied, "{row}");
        assert!(message.contains(why), "{row}: {message}");
    }
    assert!(raw.heard().is_none());
    assert_eq!(arena.view(), before);
}

#[test]
fn whose_key_is_revoked_meanwhile_is_told_and_can_do_nothing_more() {
    let arena = Arena::new();
    let raw = Raw::at(&arena.there, &seed(100));
    let name = "manager".to_owned();
    arena.owner.answer(&Request::Revoke {
        name,
        discard: false,
    });
    let told = raw.hear();
    let is_told = matches!(&told, Reply::Error { code: Code::Denied, message, .. }
        if message == "your key was revoked: ask for a new invitation");
    assert!(is_told, "{told:?}");
    is_out(&arena, &raw, "revoked");
}

#[test]
fn whose_key_expires_meanwhile_can_do_nothing_more() {
    let arena = Arena::new();
    let mut guest = new_key("guest", &seed(50), Rights::ALL, &[]);
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("it is later than 1970");
    guest.expires = Some(now.as_secs() + 2);
    arena.enroll(guest);
    let raw = Raw::at(&arena.there, &seed(50));
    wait::until("the key expires", || {
        raw.say(&Request::Ping);
        word(&raw.hear()) == "Denied"
    });
    // The client was told of the key's end, and then that its request was refused.
    raw.hear();
    is_out(&arena, &raw, "expired");
}
