//! A member with few rights takes all it can get, or sends and never reads. Others continue, and the
//! satellite's memory stays within bounds. A manager sees the member, revokes its key, and gets back what the
//! key held.

use bytes::Bytes;
use skypipe_protocol::token::Token;
use skypipe_protocol::{Data, Listen, MAGIC, MAX_CHUNK, Mode, Open, Reply, Request, encode};
use uuid::Uuid;

use crate::common::Environment;
use crate::common::satellite::PEAK;
use crate::common::wait;
use crate::keys::arena::{Sky, invite, joined, keys};
use crate::keys::raw::{Raw, There, word};

/// More than one key may have of anything.
const MANY: usize = 30_000;

/// How many requests are sent before the answers are read.
const AT_ONCE: usize = 250;

/// A key with these rights, and the request that its holder repeats.
struct Hoarder {
    rights: &'static [&'static str],
    says: fn(usize) -> Request,
    /// What the key holds then, as `--keys` shows it.
    holds: &'static str,
}

const HOARDERS: [Hoarder; 5] = [
    Hoarder {
        rights: &["--write"],
        says: open,
        holds: "1 client, 9558 writers, 9558 streams",
    },
    Hoarder {
        rights: &["--read"],
        says: |number| listen(number, Mode::Tap),
        holds: "1 client, 5000 listeners",
    },
    Hoarder {
        rights: &["--read"],
        says: |number| listen(number, Mode::One),
        holds: "1 client, 5000 listeners",
    },
    Hoarder {
        rights: &["--write"],
        says: |number| {
            if number % 3 == 0 {
                open(number)
            } else {
                Request::Status
            }
        },
        holds: "1 client, 9558 writers, 9558 streams",
    },
    Hoarder {
        rights: &["--read", "--write"],
        says: eof,
        holds: "1 client, 9558 streams",
    },
];

/// How many connections of one key send and never read.
const DEAF: usize = 100;

#[track_caller]
fn is_bounded(sky: &Sky) {
    let peak = sky.satellite().peak_memory();
    println!("the satellite had at most {} MiB", peak >> 20);
    assert!(peak <= PEAK, "{peak} bytes");
}

fn eof(number: usize) -> Request {
    Request::Eof {
        pipe: format!("hoard {number}"),
        order: Bytes::new(),
    }
}

fn open(number: usize) -> Request {
    Request::Open(Open {
        stream: Uuid::new_v4(),
        pipe: format!("hoard {}", number % 1000),
        from: 0,
        resume: false,
        wait: false,
        whole: false,
        label: "a hoarder".to_owned(),
    })
}

fn listen(number: usize, mode: Mode) -> Request {
    Request::Listen(Listen {
        listener: Uuid::new_v4(),
        pipe: format!("hoard {}", number % 1000),
        mode,
        window: 1 << 20,
        resume: None,
    })
}

/// Takes as much as possible. Returns the client, which holds it.
fn hoard(invitation: &str, hoarder: &Hoarder) -> Raw {
    let token = Token::parse(invitation).expect("it is an invitation");
    let raw = Raw::at(&There::of(&token), &token.seed);
    let mut refused = 0;
    for first in (0..MANY).step_by(AT_ONCE) {
        for number in first..first + AT_ONCE - 1 {
            raw.say(&(hoarder.says)(number));
        }
        let replies = raw.ask(&(hoarder.says)(first + AT_ONCE - 1));
        let is_limit = |reply: &&Reply| word(reply) == "Limit";
        refused += replies.iter().filter(is_limit).count();
    }
    assert!(refused > 0, "there is no limit");
    raw
}

/// Checks that one machine reads what the other writes.
fn serves(laptop: &Environment, phone: &Environment) {
    let listener = phone.skypipe(&["-r", "ordinary"]).start();
    laptop.until_listeners("ordinary", 1);
    laptop
        .skypipe(&["-w", "ordinary"])
        .fed("a line\n")
        .printed("");
    listener.outcome().printed("a line\n");
}

#[test]
fn one_key_cannot_have_all_there_is_and_is_ended_like_any_other() {
    for hoarder in HOARDERS {
        let sky = Sky::new();
        let laptop = sky.manager();
        let phone = joined(&invite(&laptop, &["phone", "--read"]));
        let rights = [&["hoarder"], hoarder.rights].concat();
        let raw = hoard(&invite(&laptop, &rights), &hoarder);
        serves(&laptop, &phone);
        let table = keys(&laptop);
        let row = table
            .iter()
            .find(|row| row[0] == "hoarder")
            .expect("it is listed");
        assert_eq!(row[5], hoarder.holds);
        laptop.skypipe(&["--check"]).done().success();
        let outcome = laptop.skypipe(&["--revoke", "hoarder", "--discard"]).done();
        println!(
            "{}: it was revoked within {:?}",
            hoarder.holds, outcome.took
        );
        outcome.told(0, "the key hoarder is revoked");
        serves(&laptop, &phone);
        let is_left = || {
            let list = laptop.skypipe(&["--list"]).done().success();
            String::from_utf8_lossy(&list).contains("hoard ")
        };
        wait::until("nothing is left of it", || !is_left());
        is_bounded(&sky);
        drop(raw);
    }
}

/// Each connection sends chunks of a megabyte without credit, and asks and never reads.
#[test]
fn one_key_that_sends_and_never_reads_takes_no_memory_and_is_revoked() {
    let sky = Sky::new();
    let laptop = sky.manager();
    let phone = joined(&invite(&laptop, &["phone", "--read"]));
    let token = Token::parse(&invite(&laptop, &["deaf", "--write"])).expect("it is an invitation");
    let there = There::of(&token);
    let deaf: Vec<_> = (0..DEAF).map(|_| Raw::at(&there, &token.seed)).collect();
    let data = encode(&Request::Data(Data {
        stream: Uuid::nil(),
        at: 0,
        tail: 0,
        requested: 0,
    }));
    let (payload, question) = (
        vec![b'x'; MAX_CHUNK],
        encode(&Request::List { after: None }),
    );
    for _ in 0..4 {
        for raw in &deaf {
            raw.send(&[MAGIC, &data, &payload]);
            for _ in 0..100 {
                raw.send(&[MAGIC, &question]);
            }
        }
    }
    serves(&laptop, &phone);
    laptop.skypipe(&["--check"]).done().success();
    let outcome = laptop.skypipe(&["--revoke", "deaf"]).done();
    println!(
        "{DEAF} connections that do not read: revoked within {:?}",
        outcome.took
    );
    outcome.told(0, "the key deaf is revoked");
    serves(&laptop, &phone);
    is_bounded(&sky);
    drop(deaf);
}
