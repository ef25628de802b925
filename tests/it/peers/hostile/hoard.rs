//! Peers that use up resources: streams, listeners, and answers that they never read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use skypipe_broker::v01;
use skypipe_protocol::{
    Code, Data, Finish, Hello, How, Listen, MAGIC, Mode, Open, REVISION, Reply, Request, encode,
};
use uuid::Uuid;

use super::flood::{Flooder, MESSAGES, command};
use super::watch::{LEFT_BEHIND, Watch};
use super::{DEADLINE, ON_DISK, sky};
use crate::common::Environment;
use crate::common::dealer::CONTEXT;
use crate::common::wait::{PATIENCE, until};
use crate::peers::new::New;

/// The memory that the allocator may keep of all streams of a satellite with the default budget, in bytes.
/// The streams had names of 200 bytes and labels of 255.
const STREAMS_MEMORY: u64 = 48 << 20;

/// What it may keep besides at a satellite with a disk, whose background thread allocates and frees in between:
/// the blocks that it leaves apart were 2 MiB after the second attack, and 11 MiB after the seventeenth.
const APART_ON_DISK: u64 = 8 << 20;

/// The memory that all streams may take at a satellite with these flags.
fn memory_of_streams(flags: &[&str]) -> u64 {
    let has_disk = !flags.is_empty();
    STREAMS_MEMORY + if has_disk { APART_ON_DISK } else { 0 }
}

/// A distinct long name for each number.
fn name(number: u64) -> String {
    format!("{number:0>200}")
}

/// Opens streams, each in a pipe of its own, until the satellite refuses. Returns their number.
fn open_until_refused(client: &New) -> u64 {
    let mut opened = 0;
    loop {
        for number in 0..1000 {
            let (pipe, stream, label) = (name(opened + number), Uuid::new_v4(), "l".repeat(255));
            let (resume, wait) = (false, false);
            client.say(&Request::Open(Open {
                stream,
                pipe,
                from: 0,
                resume,
                wait,
                whole: false,
                label,
            }));
        }
        for _ in 0..1000 {
            match client.hear().0 {
                Reply::Opened { .. } => opened += 1,
                Reply::Error {
                    code: Code::Limit, ..
                } => return opened,
                other => panic!("neither opened nor refused: {other:?}"),
            }
        }
    }
}

/// Discards all of the many pipes.
fn discard_all(client: &New, count: u64) {
    for thousand in 0..=count / 1000 {
        for number in 0..1000 {
            client.say(&Request::Discard {
                pipe: name(1000 * thousand + number),
            });
        }
        for _ in 0..1000 {
            client.hear_until(|reply| matches!(reply, Reply::Discarded { .. }));
        }
    }
}

#[test]
fn streams_without_a_byte_in_memory() {
    streams_without_a_byte(&[]);
}

#[test]
fn streams_without_a_byte_on_disk() {
    streams_without_a_byte(&ON_DISK);
}

fn streams_without_a_byte(flags: &[&str]) {
    let environment = Environment::sky_within(flags, DEADLINE);
    let endpoint = environment.on_port().endpoint();
    let watch = Watch::alone_over(&environment);
    twice(&watch, memory_of_streams(flags), || {
        let hoarder = New::at(endpoint);
        let opened = open_until_refused(&hoarder);
        answers_at_once(endpoint);
        hoarder.say(&Request::Bye);
        discard_all(&New::when_there_is_room(endpoint), opened);
    });
    watch.all_is_well_but(memory_of_streams(flags));
}

/// Attacks twice. Both take no more memory than `most`, and the second takes little more than the first. The names and labels alone would be 45 MiB.
fn twice(watch: &Watch<'_>, most: u64, attack: impl Fn()) {
    attack();
    let once = watch.more_memory();
    attack();
    let twice = watch.more_memory();
    println!("it took up {} MiB, then {} MiB", once >> 20, twice >> 20);
    assert!(
        twice < most && twice < once + LEFT_BEHIND,
        "{once} bytes, then {twice}"
    );
}

/// Checks that the satellite answers a new client's pings and questions at once.
fn answers_at_once(endpoint: &str) {
    let client = New::at(endpoint);
    for question in [
        Request::Ping,
        Request::Status,
        Request::List { after: None },
    ] {
        let start = Instant::now();
        client.say(&question);
        client.hear();
        assert!(start.elapsed() < Duration::from_secs(2), "{question:?}");
    }
}

/// A peer with a tiny queue that never reads.
fn deaf(endpoint: &str) -> zmq::Socket {
    let socket = CONTEXT.socket(zmq::DEALER).expect("there are sockets left");
    socket.set_rcvhwm(1).expect("it is a number");
    socket.set_rcvbuf(4096).expect("it is a number");
    socket.set_linger(0).expect("it is a time");
    socket
        .set_sndtimeo(PATIENCE.as_millis().try_into().expect("it is short"))
        .expect("it is a time");
    socket.connect(endpoint).expect("it is an endpoint");
    socket
}

/// The memory that unread answers may take, in bytes: a fifth of what all answers may have, and a little
/// overhead.
const ANSWERS_MEMORY: u64 = 4 << 20;

#[test]
fn answers_that_nobody_reads() {
    let environment = sky();
    let endpoint = environment.on_port().endpoint();
    let lister = New::at(endpoint);
    for number in 0..100 {
        let listener = Uuid::new_v4();
        let (pipe, mode, window) = (name(number), Mode::Follow, 0);
        lister.say(&Request::Listen(Listen {
            listener,
            pipe,
            mode,
            window,
            resume: None,
        }));
        lister.hear_until(|reply| matches!(reply, Reply::Listening { .. }));
    }
    let watch = Watch::over(&environment);
    let deaf = deaf(endpoint);
    let program = String::new();
    let hello = Request::Hello(Hello {
        client: Uuid::new_v4(),
        revision: REVISION,
        program,
    });
    let flood = [
        Request::Ping,
        Request::List { after: None },
        Request::Status,
        hello,
    ];
    let flood: Vec<_> = flood.iter().map(encode).collect();
    for _ in 0..MESSAGES {
        for request in &flood {
            deaf.send_multipart([MAGIC, request], 0)
                .expect("the satellite reads on");
        }
        let old: [&[u8]; 2] = [v01::MAGIC, b"HELLO"];
        deaf.send_multipart(old, 0).expect("the satellite reads on");
    }
    let more = watch.more_memory();
    assert!(more < ANSWERS_MEMORY, "{more} bytes");
    drop((deaf, lister));
    watch.all_is_well();
}

#[test]
fn listeners_without_number() {
    let environment = sky();
    let endpoint = environment.on_port().endpoint();
    let watch = Watch::alone_over(&environment);
    let (mut new, mut old) = (Flooder::at(endpoint, 1), Flooder::at(endpoint, 2));
    let (client, program) = (Uuid::new_v4(), String::new());
    new.send(&command(&Request::Hello(Hello {
        client,
        revision: REVISION,
        program,
    })));
    for number in 0..MESSAGES {
        let (listener, pipe) = (Uuid::new_v4(), name(number));
        let (mode, window) = (Mode::Follow, 1 << 20);
        new.send(&command(&Request::Listen(Listen {
            listener,
            pipe,
            mode,
            window,
            resume: None,
        })));
        let listen = [v01::MAGIC, b"LISTEN", name(number).as_bytes()].map(Bytes::copy_from_slice);
        old.send(&listen);
    }
    until("all has been read", || new.is_read());
    drop((new, old));
    let gone = Duration::from_secs(30);
    assert!(crate::common::wait::holds_within(gone, || environment
        .listed(&name(1))
        .listeners
        == 0));
    watch.all_is_well();
}

#[test]
fn ends_without_number_in_memory() {
    ends_without_number(&[]);
}

#[test]
fn ends_without_number_on_disk() {
    ends_without_number(&ON_DISK);
}

fn ends_without_number(flags: &[&str]) {
    let environment = Environment::sky_within(flags, DEADLINE);
    let endpoint = environment.on_port().endpoint();
    let watch = Watch::alone_over(&environment);
    twice(&watch, memory_of_streams(flags), || {
        let mut flooder = Flooder::at(endpoint, 1);
        let (client, program) = (Uuid::new_v4(), String::new());
        flooder.send(&command(&Request::Hello(Hello {
            client,
            revision: REVISION,
            program,
        })));
        for number in 0..MESSAGES + 1000 {
            flooder.send(&command(&Request::Eof {
                pipe: name(number),
                order: Bytes::new(),
            }));
        }
        until("all has been read", || flooder.is_read());
        answers_at_once(endpoint);
        discard_all(&New::when_there_is_room(endpoint), MESSAGES);
    });
    watch.all_is_well_but(memory_of_streams(flags));
}

#[test]
fn bytes_one_by_one_fill_the_memory_and_no_more() {
    bytes_one_by_one(&["--memory", "16MiB"], 0);
}

#[test]
fn bytes_one_by_one_fill_the_disk_and_no_more() {
    let flags = ["--memory", "16MiB", "--disk", "16MiB"];
    // A disk joins chunks when it makes room, so a byte takes up little more than one byte there. Long
    // chunks fill most of the disk, so that a quarter of a million short ones suffice for the rest.
    bytes_one_by_one(&[&ON_DISK[..], &flags].concat(), (12 << 20) - (256 << 10));
}

/// One-byte chunks, after `before` bytes in long ones, are charged for what they really take up.
fn bytes_one_by_one(flags: &[&str], before: u64) {
    const LONG: &[u8] = &[b'x'; 64 << 10];
    let environment = Environment::sky_within(flags, DEADLINE);
    let endpoint = environment.on_port().endpoint();
    let watch = Watch::alone_over(&environment);
    let client = New::at(endpoint);
    let stream = Uuid::new_v4();
    client.open(stream, "p");
    let requested = Request::Credit {
        stream,
        requested: u64::MAX,
    };
    client.say(&requested);
    let (mut sent, mut paid, mut is_full) = (0, 0, false);
    while !is_full {
        let limit = match client.hear().0 {
            Reply::Opened { limit, .. } => limit,
            Reply::Ack { limit, full, .. } => {
                is_full = full.is_some();
                limit
            }
            other => panic!("an honest writer is told {other:?}"),
        };
        loop {
            let chunk = if sent < before { LONG } else { b"x" };
            let len = chunk.len() as u64;
            if paid + len + 256 > limit {
                break;
            }
            let data = Request::Data(Data {
                stream,
                at: sent,
                tail: len,
                requested: u64::MAX,
            });
            client.send(&[MAGIC, &encode(&data), chunk]);
            sent += len;
            paid += len + 256;
        }
    }
    let more = watch.more_memory();
    assert!(more < 32 << 20, "{sent} bytes, one by one, take {more}");
    client.say(&Request::Finish(Finish {
        stream,
        len: sent,
        how: How::End,
    }));
    client.hear_until(|reply| matches!(reply, Reply::Finished { .. }));
    drop(client);
    environment
        .skypipe(&["-r", "p"])
        .done()
        .printed("x".repeat(usize::try_from(sent).expect("it fits")));
    watch.all_is_well();
}
