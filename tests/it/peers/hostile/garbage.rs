//! Peers that do not speak ZeroMQ, or speak it badly, on a bare TCP connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::sky;
use super::watch::Watch;
use crate::common::Environment;
use crate::common::chance::Chance;
use crate::common::wait::PATIENCE;

/// The number of simultaneous connections.
const CONNECTIONS: usize = 500;

/// A ZMTP 3.0 greeting without security (RFC 23), and the READY of a DEALER.
fn greeting() -> Vec<u8> {
    let signature = [&[0xff_u8][..], &[0; 8], &[0x7f, 3, 0]].concat();
    let mechanism = [&b"NULL"[..], &[0; 16]].concat();
    let ready = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER";
    [&signature[..], &mechanism, &[0; 32], ready].concat()
}

fn connect(environment: &Environment) -> TcpStream {
    let endpoint = environment.on_port().endpoint();
    let address = endpoint.strip_prefix("tcp://").expect("it is on a port");
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it is a time");
    stream
}

/// Opens the connections, and sends on each what `make` returns. A connection that is closed meanwhile is
/// fine.
fn say_everywhere(environment: &Environment, make: impl Fn(usize) -> Vec<u8>) -> Vec<TcpStream> {
    let say = |number| {
        let mut stream = connect(environment);
        let _ = stream.write_all(&make(number));
        stream
    };
    (0..CONNECTIONS).map(say).collect()
}

/// Waits until the satellite has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Each costs a descriptor for ten seconds, and no longer.
#[test]
fn five_hundred_connections_that_say_nothing_or_half_a_greeting() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let whole = greeting();
    let mut streams = say_everywhere(&environment, |number| whole[..number % 64].to_vec());
    for stream in &mut streams {
        assert!(is_closed(stream));
    }
    watch.all_is_well();
}

#[test]
fn five_hundred_connections_that_speak_something_else() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let others: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: satellite\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\r\n\r\n",
        b"SKYPIPE/1\n",
    ];
    let streams = say_everywhere(&environment, |number| {
        others[number % others.len()].to_vec()
    });
    drop(streams);
    watch.all_is_well();
}

#[test]
fn five_hundred_connections_of_random_bytes_behind_a_part_of_a_greeting() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let whole = greeting();
    let streams = say_everywhere(&environment, |number| {
        let mut chance = Chance::new(number as u64);
        let known = chance.below(whole.len() + 1);
        [whole[..known].to_vec(), chance.bytes(100_000)].concat()
    });
    drop(streams);
    watch.all_is_well();
}

#[test]
fn frames_that_claim_to_be_huge() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let streams = say_everywhere(&environment, |number| {
        let length = [u64::MAX, u64::MAX >> 1, 1 << 40, 1 << 32, 2 << 20][number % 5];
        // A long frame, one with more frames to follow, and a long command.
        let flags = [2, 3, 6][number % 3];
        [&greeting()[..], &[flags], &length.to_be_bytes(), &[0; 1000]].concat()
    });
    for mut stream in streams {
        assert!(is_closed(&mut stream));
    }
    watch.all_is_well();
}

/// Connections that open and close without a byte.
#[test]
fn ten_thousand_connections_one_after_the_other() {
    let environment = sky();
    let watch = Watch::over(&environment);
    for _ in 0..10_000 {
        drop(connect(&environment));
    }
    watch.all_is_well();
}

/// A whole greeting, followed by incomplete messages.
#[test]
fn messages_that_break_off() {
    let environment = sky();
    let watch = Watch::over(&environment);
    let streams = say_everywhere(&environment, |number| {
        let frame = b"\x01\x09SKYPIPE/1";
        let rest = &b"\x00\x05\xa4Ping"[..number % 7];
        [&greeting()[..], frame, rest].concat()
    });
    drop(streams);
    watch.all_is_well();
}
