//! Clients with access that break every rule of the protocol.

use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::v01;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, Hello, How, Listen, Mode, Open, REVISION, Reply, Request, Resume,
    cost, encode,
};
use uuid::Uuid;

use super::flood::{Kind, command, flood};
use super::sky;
use super::watch::Watch;
use crate::common::Environment;
use crate::common::chance::Chance;
use crate::peers::new::New;

/// One of the attackers' few streams and listeners, so that attackers collide with themselves and each
/// other.
fn mine(chance: &mut Chance) -> Uuid {
    Uuid::from_u128(0x5eed << 64 | chance.below(6) as u128)
}

/// A number that is small, or close to a limit of its type.
fn number(chance: &mut Chance) -> u64 {
    match chance.below(4) {
        0 => u64::MAX - chance.next() % 3,
        1 => chance.next(),
        _ => chance.next() % 5,
    }
}

fn name(chance: &mut Chance) -> String {
    ["a", "b", "", "a\nb", &"n".repeat(255), &"n".repeat(256)][chance.below(6)].to_owned()
}

fn mode(chance: &mut Chance) -> Mode {
    [Mode::Default, Mode::One, Mode::Follow, Mode::Tap][chance.below(4)]
}

fn hello(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let client = Uuid::from_u128(0xc11e << 64 | chance.below(3) as u128);
    command(&Request::Hello(Hello {
        client,
        revision: REVISION,
        program: name(chance),
    }))
}

fn ping(_: &mut Chance, _: u64) -> Vec<Bytes> {
    command(&Request::Ping)
}

fn open(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let from = if chance.below(2) == 0 {
        0
    } else {
        number(chance)
    };
    let (stream, pipe, label) = (mine(chance), name(chance), name(chance));
    let (resume, wait) = (chance.below(2) == 0, chance.below(2) == 0);
    command(&Request::Open(Open {
        stream,
        pipe,
        from,
        resume,
        wait,
        whole: false,
        label,
    }))
}

fn data(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let (stream, at) = (mine(chance), number(chance));
    let (tail, requested) = (number(chance), number(chance));
    let mut frames = command(&Request::Data(Data {
        stream,
        at,
        tail,
        requested,
    }));
    frames.push(Bytes::from_static(b"a line\n"));
    frames
}

/// Sends more than the initial credit of a stream.
fn beyond_credit(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    static MUCH: [u8; 8192] = [0; 8192];
    let (stream, at) = (mine(chance), number(chance));
    let mut frames = command(&Request::Data(Data {
        stream,
        at,
        tail: 0,
        requested: 0,
    }));
    frames.push(Bytes::from_static(&MUCH));
    frames
}

fn credit(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let (stream, requested) = (mine(chance), number(chance));
    command(&Request::Credit { stream, requested })
}

fn finish(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let (stream, len) = (mine(chance), number(chance));
    let how = if chance.below(2) == 0 {
        How::End
    } else {
        How::Cut(name(chance))
    };
    command(&Request::Finish(Finish { stream, len, how }))
}

fn close(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let stream = mine(chance);
    command(&Request::Close { stream })
}

fn listen(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let (listener, pipe, mode) = (mine(chance), name(chance), mode(chance));
    let resume = (chance.below(2) == 0).then(|| Resume {
        next_seq: number(chance),
        cost: number(chance),
        ..Resume::default()
    });
    let window = number(chance);
    command(&Request::Listen(Listen {
        listener,
        pipe,
        mode,
        window,
        resume,
    }))
}

fn confirm(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let (listener, next_seq, window) = (mine(chance), number(chance), number(chance));
    command(&Request::Confirm(Confirm {
        listener,
        next_seq,
        window,
    }))
}

fn leave(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let listener = mine(chance);
    command(&Request::Leave { listener })
}

/// An `--eof` without a listener waits, so they are discarded now and then.
fn eof(chance: &mut Chance, count: u64) -> Vec<Bytes> {
    let pipe = ["a", "b"][chance.below(2)].to_owned();
    if count.is_multiple_of(16) {
        return command(&Request::Discard { pipe });
    }
    command(&Request::Eof {
        pipe,
        order: Bytes::new(),
    })
}

fn list(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let after = (chance.below(2) == 0).then(|| name(chance));
    command(&Request::List { after })
}

fn discard(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let pipe = name(chance);
    command(&Request::Discard { pipe })
}

fn status(_: &mut Chance, _: u64) -> Vec<Bytes> {
    command(&Request::Status)
}

fn stop(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    command(&Request::Stop {
        force: chance.below(2) == 0,
    })
}

fn unknown_uuids(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let requests = super::requests(chance.uuid(), chance.uuid(), "p");
    // Data, Want, Finish, Close, Confirm, Leave.
    let request = &requests[[4, 5, 6, 7, 9, 10][chance.below(6)]];
    let mut frames = command(request);
    if matches!(request, Request::Data(Data { .. })) {
        frames.push(Bytes::from_static(b"nobody's\n"));
    }
    frames
}

/// Any of the others, with one byte changed.
fn changed(chance: &mut Chance, count: u64) -> Vec<Bytes> {
    let mut frames = everything(chance, count);
    let mut command = frames[1].to_vec();
    let place = chance.below(command.len());
    command[place] = chance.next().to_le_bytes()[0];
    frames[1] = Bytes::from(command);
    frames
}

/// Any of the others, beginning with `Hello`, so that there is a client that does it.
fn everything(chance: &mut Chance, count: u64) -> Vec<Bytes> {
    let makers = [
        hello,
        ping,
        open,
        open,
        data,
        data,
        credit,
        finish,
        close,
        listen,
        confirm,
        leave,
        eof,
        list,
        discard,
        status,
        unknown_uuids,
    ];
    makers[chance.below(makers.len())](chance, count)
}

#[test]
fn every_request_with_chance_in_every_field() {
    let environment = sky();
    let watch = Watch::over(&environment);
    flood(
        &environment,
        &[
            Kind::new("hello", hello),
            Kind::new("ping", ping),
            Kind::new("open", open),
            Kind::new("data", data),
            Kind::new("beyond credit", beyond_credit),
            Kind::new("credit", credit),
            Kind::new("finish", finish),
            Kind::new("close", close),
            Kind::new("listen", listen),
            Kind::new("confirm", confirm),
            Kind::new("leave", leave),
            Kind::new("eof", eof),
            Kind::new("list", list),
            Kind::new("discard", discard),
            Kind::new("status", status),
            Kind::new("stop", stop),
            Kind::new("unknown UUIDs", unknown_uuids),
            Kind::new("everything", everything),
            Kind::new("changed", changed),
        ],
    );
    tidy_up(&environment);
    watch.all_is_well();
}

/// Discards what the attackers stored.
fn tidy_up(environment: &Environment) {
    for pipe in ["a", "b", "", &"n".repeat(255)] {
        environment.skypipe(&["--discard", pipe]).done();
    }
}

#[test]
fn chunks_out_of_order_and_beyond_the_credit_of_an_open_stream() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let client = New::at(environment.on_port().endpoint());
    let stream = Uuid::new_v4();
    client.open(stream, "p");
    client.hear_until(|reply| matches!(reply, Reply::Opened { .. }));
    for (at, len, code) in [(1, 1, Code::Order), (0, 4000, Code::Credit)] {
        for _ in 0..100 {
            for _ in 0..500 {
                client.data(stream, at, &vec![b'x'; len]);
            }
            for _ in 0..500 {
                let (reply, _) = client.hear();
                let is_refused = matches!(&reply, Reply::Error { code: c, .. } if *c == code);
                assert!(is_refused, "{reply:?}");
            }
        }
    }
    client.data(stream, 0, b"in order\n");
    client.hear_until(|reply| matches!(reply, Reply::Ack { next: 9, .. }));
    client.say(&Request::Finish(Finish {
        stream,
        len: 9,
        how: How::End,
    }));
    client.hear_until(|reply| matches!(reply, Reply::Finished { .. }));
    environment
        .skypipe(&["-r", "p"])
        .done()
        .printed("in order\n");
    drop(client);
    watch.all_is_well();
}

/// Streams and listeners belong to their clients, even if others know their UUIDs.
#[test]
fn what_belongs_to_others() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let endpoint = environment.on_port().endpoint();
    let (victim, thief) = (New::at(endpoint), New::at(endpoint));
    let (stream, listener) = (Uuid::new_v4(), Uuid::new_v4());
    let (pipe, mode, window) = ("p".to_owned(), Mode::Follow, cost(100));
    victim.open(stream, "p");
    victim.hear_until(|reply| matches!(reply, Reply::Opened { .. }));
    victim.say(&Request::Listen(Listen {
        listener,
        pipe,
        mode,
        window,
        resume: None,
    }));
    victim.hear_until(|reply| matches!(reply, Reply::Listening { .. }));
    for round in 0..2000 {
        let requests = super::requests(stream, listener, "p");
        // Requests with an answer: Open, Data, Finish, Listen, Confirm; and without: Want, Close, Leave.
        for index in [3, 4, 6, 8, 9, 5, 7, 10] {
            let frames = command(&requests[index]);
            let mut frames: Vec<&[u8]> = frames.iter().map(AsRef::as_ref).collect();
            if index == 4 {
                frames.push(b"a thief's\n");
            }
            thief.send(&frames);
        }
        for _ in 0..5 {
            let (reply, _) = thief.hear();
            let is_denied = matches!(
                reply,
                Reply::Error {
                    code: Code::Denied,
                    ..
                }
            );
            assert!(is_denied, "round {round}: {reply:?}");
        }
    }
    victim.data(stream, 0, b"its own\n");
    let (_, payload) = victim.hear_until(|reply| matches!(reply, Reply::Chunk { .. }));
    assert_eq!(payload.as_deref(), Some(&b"its own\n"[..]));
    drop((victim, thief));
    watch.all_is_well();
}

/// Both protocols on one connection.
#[test]
fn a_peer_that_changes_its_protocol_back_and_forth() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let endpoint = environment.on_port().endpoint();
    for round in 0..50 {
        let peer = New::stranger(endpoint);
        for _ in 0..100 {
            peer.send(&[v01::MAGIC, b"LISTEN", b"p"]);
            peer.send(&[v01::MAGIC, b"DATA", b"q", b"half"]);
            let (client, program) = (Uuid::new_v4(), String::new());
            let hello = Request::Hello(Hello {
                client,
                revision: REVISION,
                program,
            });
            peer.send(&[skypipe_protocol::MAGIC, &encode(&hello)]);
            peer.say(&Request::Bye);
        }
        assert!(
            peer.hear_within(Duration::from_secs(20)).is_some(),
            "round {round}"
        );
    }
    environment.until_listeners("p", 0);
    environment.skypipe(&["--discard", "q"]).done();
    environment
        .skypipe(&["-w", "p"])
        .fed("not swallowed\n")
        .printed("");
    environment
        .skypipe(&["-r", "p"])
        .done()
        .printed("not swallowed\n");
    watch.all_is_well();
}
