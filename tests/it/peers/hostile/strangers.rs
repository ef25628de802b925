//! Invalid messages, and messages from clients that have not sent `Hello`.

use bytes::Bytes;
use skypipe_broker::v01;
use skypipe_protocol::{Data, Hello, MAGIC, MAX_CHUNK, MAX_COMMAND, Request, encode};
use uuid::Uuid;

use super::flood::{Kind, command, flood};
use super::watch::Watch;
use super::{requests, sky};
use crate::common::chance::Chance;

/// The most frames of a message that libzmq passes on.
const MOST_FRAMES: usize = 5;

fn message(command: impl Into<Bytes>) -> Vec<Bytes> {
    vec![Bytes::from_static(MAGIC), command.into()]
}

/// A request that would be valid after a `Hello`. It is never `Hello` itself.
fn some_request(chance: &mut Chance) -> Vec<u8> {
    let (stream, listener) = (chance.uuid(), chance.uuid());
    let requests = requests(stream, listener, "a pipe with a name");
    encode(&requests[1 + chance.below(requests.len() - 1)])
}

fn truncated(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let mut command = some_request(chance);
    command.truncate(chance.below(command.len()));
    message(command)
}

fn changed(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let mut command = some_request(chance);
    let place = chance.below(command.len());
    command[place] = chance.next().to_le_bytes()[0];
    message(command)
}

fn lengthened(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let mut command = some_request(chance);
    let length = chance.below(100);
    command.extend(chance.bytes(length));
    message(command)
}

fn random_command(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let length = chance.below(200);
    message(chance.bytes(length))
}

fn random_frames(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let count = 1 + chance.below(MOST_FRAMES);
    let frame = |_| {
        let length = chance.below(40);
        Bytes::from(chance.bytes(length))
    };
    (0..count).map(frame).collect()
}

/// One byte more than is decoded.
fn oversized(_: &mut Chance, _: u64) -> Vec<Bytes> {
    static LONG: [u8; MAX_COMMAND + 1] = [0x90; MAX_COMMAND + 1];
    message(Bytes::from_static(&LONG))
}

fn nested(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    // Nested arrays, nested maps, and either of them in an unknown field.
    let bomb = match chance.below(3) {
        0 => vec![0x91; 4000],
        1 => [0x81, 0xa1, b'x'].repeat(1300),
        _ => [&b"\x81\xa5Close\x82\xa1x"[..], &[0x91; 4000]].concat(),
    };
    message(bomb)
}

/// Arrays, maps, strings and bytes that declare a length of up to 4 GiB and have less.
fn huge_lengths(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let kinds: [&[u8]; 6] = [
        b"\xdd",
        b"\xdf",
        b"\xdb",
        b"\xc6",
        b"\xc9",
        b"\x81\xa4Open\xdd",
    ];
    let length = [u32::MAX, u32::MAX - 1, 1 << 31, 1 << 20][chance.below(4)];
    message([kinds[chance.below(kinds.len())], &length.to_be_bytes()].concat())
}

fn unknown_command(_: &mut Chance, _: u64) -> Vec<Bytes> {
    message(&b"\x81\xa7Explode\x81\xa4when\xa3now"[..])
}

fn wrong_version(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let magics = [
        "SKYPIPE/2",
        "SKYPIPE/1.0",
        "SKYPIPE/",
        "skypipe/1",
        "SKYPIPE/0.2",
        "HTTP/1.1",
    ];
    let magic = magics[chance.below(magics.len())];
    vec![
        Bytes::from_static(magic.as_bytes()),
        Bytes::from(some_request(chance)),
    ]
}

fn wrong_revision(chance: &mut Chance, number: u64) -> Vec<Bytes> {
    let revision = [0, 2, 7, u16::MAX][chance.below(4)];
    let client = Uuid::from_u64_pair(1, number);
    command(&Request::Hello(Hello {
        client,
        revision,
        program: "\u{1b}[2Jx".to_owned(),
    }))
}

fn payload_where_none_belongs(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let mut frames = command(&Request::Ping);
    let length = chance.below(2000);
    frames.push(Bytes::from(chance.bytes(length)));
    frames
}

fn one_frame(_: &mut Chance, _: u64) -> Vec<Bytes> {
    vec![Bytes::from_static(MAGIC)]
}

fn four_frames(_: &mut Chance, _: u64) -> Vec<Bytes> {
    [command(&Request::Ping), command(&Request::Ping)].concat()
}

fn empty_frames(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    // libzmq reports a closed connection as a single empty frame, so that one is taken as such.
    vec![Bytes::new(); 1 + chance.below(MOST_FRAMES)]
}

fn empty_command(_: &mut Chance, _: u64) -> Vec<Bytes> {
    message(Bytes::new())
}

fn name_without_utf8(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let requests = requests(chance.uuid(), chance.uuid(), "NAME");
    let mut command = encode(&requests[[3, 8, 11, 13][chance.below(4)]]);
    let place = command
        .windows(4)
        .position(|part| part == b"NAME")
        .expect("it has a name");
    command[place] = 0xff;
    message(command)
}

fn request_of_a_stranger(chance: &mut Chance, number: u64) -> Vec<Bytes> {
    let (stream, listener) = (chance.uuid(), chance.uuid());
    // All requests but `Hello`, in turn.
    let requests = requests(stream, listener, "p");
    let index = usize::try_from(number).expect("it fits") % (requests.len() - 1);
    let request = &requests[1 + index];
    let mut frames = command(request);
    if matches!(request, Request::Data(Data { .. })) {
        frames.push(Bytes::from_static(b"a stranger's\n"));
    }
    frames
}

fn old_nonsense(chance: &mut Chance, _: u64) -> Vec<Bytes> {
    let commands: [&[u8]; 7] = [
        b"DATA",
        b"LISTEN",
        b"UNLISTEN",
        b"data",
        b"",
        b"HELO",
        b"\xff",
    ];
    let mut frames = vec![Bytes::from_static(v01::MAGIC)];
    frames.push(Bytes::from_static(commands[chance.below(commands.len())]));
    // An invalid name, or too few or too many frames.
    match chance.below(4) {
        0 => {}
        1 => frames.push(Bytes::from_static(b"\xff\xfe")),
        2 => frames.extend([&b"a\nb"[..], b"x"].map(Bytes::from_static)),
        _ => frames.extend([&b"p"[..], b"x", b"y"].map(Bytes::from_static)),
    }
    frames
}

fn attack(kinds: &[Kind]) {
    let environment = sky();
    let watch = Watch::over(&environment);
    flood(&environment, kinds);
    watch.all_is_well();
}

#[test]
fn messages_that_are_none() {
    attack(&[
        Kind::new("truncated", truncated),
        Kind::new("changed", changed),
        Kind::new("lengthened", lengthened),
        Kind::new("random command", random_command),
        Kind::new("random frames", random_frames),
        Kind::new("unknown command", unknown_command),
        Kind::new("wrong version", wrong_version),
        Kind::new("wrong revision", wrong_revision),
        Kind::new("name without UTF-8", name_without_utf8),
    ]);
}

#[test]
fn messages_with_too_much_or_too_little() {
    attack(&[
        Kind::new("one frame", one_frame),
        Kind::new("four frames", four_frames),
        Kind::new("empty frames", empty_frames),
        Kind::new("empty command", empty_command),
        Kind::new("payload where none belongs", payload_where_none_belongs),
        Kind::new("nested", nested),
        Kind::new("huge lengths", huge_lengths),
    ]);
}

#[test]
fn commands_that_are_too_long() {
    attack(&[Kind::new("oversized", oversized)]);
}

#[test]
fn requests_of_a_stranger() {
    attack(&[
        Kind::new("stranger", request_of_a_stranger),
        Kind::new("old nonsense", old_nonsense),
    ]);
}

/// libzmq closes such a connection before the frame takes up memory. Ours reconnects each time.
#[test]
fn frames_that_are_too_long_for_any_message() {
    connections_that_are_closed(&message(vec![0; MAX_CHUNK + (1 << 16)]));
}

/// libzmq closes such a connection at the first excess frame.
#[test]
fn messages_of_more_frames_than_any_has() {
    connections_that_are_closed(&vec![Bytes::from_static(MAGIC); 20]);
}

fn connections_that_are_closed(frames: &[Bytes]) {
    let environment = sky();
    let watch = Watch::over(&environment);
    let endpoint = environment.on_port().endpoint();
    let flooders: Vec<_> = (0..200)
        .map(|seed| {
            let mut flooder = super::flood::Flooder::at(endpoint, seed);
            flooder.send(frames);
            flooder
        })
        .collect();
    watch.serves_meanwhile();
    drop(flooders);
    watch.all_is_well();
}
