//! What a peer can do to a socket with bytes alone, over ZMTP spoken by hand. Each test covers one of
//! libzmq's patches (`broker/libzmq/src/lib.rs`) and fails without it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, iter};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::tests::{PATIENCE, await_message, greet, pair, pair_of};
use super::*;

/// The flags of a frame (RFC 23).
const LAST: u8 = 0;
const MORE: u8 = 1;
const COMMAND: u8 = 4;

/// The maximum length of a frame for the sockets of these tests, in bytes.
const LONGEST: usize = 1 << 20;

/// The maximum length of a command, and of a connection's first frame, in bytes.
const LONGEST_COMMAND: usize = 4096;

/// What an unfinished message may contain besides one frame of the maximum length, in bytes.
const BESIDE: usize = 66 << 10;

/// A version of ZMTP that a peer may greet with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// From before greetings contained a version.
    V1,
    V2,
    V3,
    V31,
}

const VERSIONS: [Version; 4] = [Version::V1, Version::V2, Version::V3, Version::V31];

/// One end of a connection.
struct Peer(TcpStream);

impl Peer {
    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn at(router: &Socket) -> Self {
        let endpoint = router.get_last_endpoint().unwrap().unwrap();
        let address = endpoint.strip_prefix("tcp://").unwrap();
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// A DEALER that is admitted if its name is.
    fn named(router: &Socket, version: Version, name: &[u8]) -> Self {
        let mut peer = Self::at(router);
        peer.say(&greeting(version));
        match version {
            Version::V1 | Version::V2 => peer.old_frame(version, LAST, name),
            Version::V3 | Version::V31 => {
                peer.introduce_itself(&[(b"Socket-Type", b"DEALER"), (b"Identity", name)]);
            }
        }
        peer
    }

    /// Sends the READY command. Nothing else may be sent before the answer arrives.
    fn introduce_itself(&mut self, properties: &[(&[u8], &[u8])]) {
        self.frame(COMMAND, &ready(properties));
        assert!(self.hears(b"\x05READY"));
    }

    /// A DEALER of some version that is admitted.
    fn speaking(router: &Socket, version: Version) -> Self {
        Self::named(router, version, b"")
    }

    /// Sends bytes. A peer that is disconnected in the middle cannot send all of them.
    fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    fn frame(&mut self, flags: u8, payload: &[u8]) {
        self.say(&[&head(flags, payload.len()), payload].concat());
    }

    fn old_frame(&mut self, version: Version, flags: u8, payload: &[u8]) {
        if version == Version::V1 {
            let length = payload.len() as u64 + 1;
            let head = [&[0xff][..], &length.to_be_bytes(), &[flags]].concat();
            self.say(&[&head, payload].concat());
        } else {
            self.frame(flags, payload);
        }
    }

    /// Reads until a whole `answer` has arrived.
    fn hears(&mut self, answer: &[u8]) -> bool {
        let mut heard: Vec<u8> = Vec::new();
        let mut bytes = [0; 4096];
        while !heard.windows(answer.len()).any(|part| part == answer) {
            match self.0.read(&mut bytes) {
                Ok(0) | Err(_) => return false,
                Ok(count) => heard.extend(&bytes[..count]),
            }
        }
        true
    }

    /// Whether the other side closes the connection.
    fn is_turned_away(&mut self) -> bool {
        match self.0.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// The greeting of a peer.
fn greeting(version: Version) -> Vec<u8> {
    let signature = [&[0xff_u8][..], &[0; 7], &[1, 0x7f]].concat();
    let null = [&b"NULL"[..], &[0; 16], &[0; 32]].concat();
    match version {
        Version::V1 => Vec::new(),
        // The socket type of a DEALER.
        Version::V2 => [&signature[..], &[1, 5]].concat(),
        Version::V3 => [&signature[..], &[3, 0], &null].concat(),
        Version::V31 => [&signature[..], &[3, 1], &null].concat(),
    }
}

/// The flags and length of a frame.
fn head(flags: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(length) => vec![flags, length],
        Err(_) => [&[flags | 2][..], &(length as u64).to_be_bytes()].concat(),
    }
}

fn ready(properties: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut command = b"\x05READY".to_vec();
    for (name, value) in properties {
        command.push(name.len().try_into().unwrap());
        command.extend(*name);
        command.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        command.extend(*value);
    }
    command
}

/// Makes a peer send a message, and returns its routing id.
fn route_of(router: &Socket, peer: &mut Peer) -> Bytes {
    route_in(router, Version::V31, peer)
}

fn route_in(router: &Socket, version: Version, peer: &mut Peer) -> Bytes {
    peer.old_frame(version, LAST, b"here");
    let mut frames = await_message(router, 9);
    assert_eq!(frames[1..], [Bytes::from_static(b"here")]);
    frames.remove(0)
}

/// Asserts that a message to this routing id reaches this peer.
fn is_reached(router: &mut Socket, route: &Bytes, peer: &mut Peer) {
    let word = [Bytes::from(format!("to {route:?}"))];
    assert_eq!(send(router, Some(route), &word).unwrap(), Sent::Taken);
    assert!(peer.hears(&word[0]), "the answer comes to whom it is for");
}

#[test]
fn whatever_name_a_peer_gives_itself_it_is_called_otherwise_and_served() {
    let (mut router, _dealer) = pair();
    let names: [&[u8]; 6] = [b"", b"x", b"x", b"\0", b"\0abcd", &[b'n'; 255]];
    let mut known = Vec::new();
    for version in VERSIONS {
        for name in names {
            let mut peer = Peer::named(&router, version, name);
            let route = route_in(&router, version, &mut peer);
            assert_eq!((route.len(), route[0]), (5, 0));
            known.push((route, peer));
        }
    }
    for (route, peer) in &mut known {
        is_reached(&mut router, route, peer);
    }
}

/// The name of the peer that connects this many places later.
fn name_after(route: &Bytes, ahead: u32) -> Vec<u8> {
    let number = u32::from_be_bytes(route[1..].try_into().unwrap());
    [&[0][..], &number.wrapping_add(ahead).to_be_bytes()].concat()
}

#[test]
fn a_peer_that_takes_the_name_of_one_who_is_here_is_served_as_that_one_is() {
    for version in VERSIONS {
        let (mut router, mut dealer) = pair();
        let theirs = greet(&router, &mut dealer);
        let mut peer = Peer::named(&router, version, &theirs);
        let route = route_in(&router, version, &mut peer);
        assert_ne!(route, theirs);
        is_reached(&mut router, &route, &mut peer);
        assert!(is_connected(&mut router, &theirs));
    }
}

/// Before the patch, the arrival of the other peer ended the whole program.
#[test]
fn a_peer_that_takes_the_name_of_one_still_to_come_harms_neither() {
    for version in VERSIONS {
        let (mut router, mut dealer) = pair();
        let first = greet(&router, &mut dealer);
        let mut known = Vec::new();
        for ahead in [1, 2, 3] {
            let mut peer = Peer::named(&router, version, &name_after(&first, ahead));
            known.push((route_in(&router, version, &mut peer), peer));
        }
        for _ in 0..3 {
            let mut peer = Peer::speaking(&router, version);
            known.push((route_in(&router, version, &mut peer), peer));
        }
        for (route, peer) in &mut known {
            is_reached(&mut router, route, peer);
        }
    }
}

/// The socket option `ZMQ_CONNECT_ROUTING_ID`.
const CONNECT_ROUTING_ID: c_int = 61;

/// A ROUTER that connects by itself may choose the name of the other end.
#[test]
fn a_name_that_the_router_has_given_away_is_given_to_nobody_else() {
    let (mut router, mut dealer) = pair();
    let first = greet(&router, &mut dealer);
    let mut peer = Peer::at(&router);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = name_after(&first, 1);
    set_option(&mut router, CONNECT_ROUTING_ID, &taken).unwrap();
    let address = listener.local_addr().unwrap();
    router.connect(&format!("tcp://{address}")).unwrap();
    peer.say(&greeting(Version::V31));
    peer.introduce_itself(&[(b"Socket-Type", b"DEALER")]);
    let route = route_of(&router, &mut peer);
    assert_eq!(route, name_after(&first, 2));
    is_reached(&mut router, &route, &mut peer);
}

#[test]
fn a_name_is_one_frame_and_no_command_or_ends_its_connection() {
    // A flag after a length of nine bytes would look like a later version's greeting.
    let old = [5, MORE, b'n', b'a', b'm', b'e'];
    let more = [&head(MORE, 4)[..], b"name"].concat();
    let command = [&head(COMMAND, 4)[..], b"name"].concat();
    for (version, name) in [
        (Version::V1, &old[..]),
        (Version::V2, &more),
        (Version::V2, &command),
    ] {
        let (router, mut dealer) = pair();
        let mut peer = Peer::at(&router);
        peer.say(&greeting(version));
        peer.say(name);
        assert!(peer.is_turned_away(), "{name:?}");
        greet_notified(&router, &mut dealer);
    }
}

/// Names arrive while a ROUTER ends the connections of its many peers one by one.
#[test]
fn a_router_may_be_closed_while_names_arrive() {
    let context = zmq::Context::new();
    for _ in 0..8 {
        let mut router = context.socket(zmq::ROUTER).unwrap();
        bind(&mut router, "tcp://127.0.0.1:*").unwrap();
        let mut peers: Vec<_> = iter::repeat_with(|| Peer::at(&router)).take(100).collect();
        for peer in &mut peers {
            peer.say(&greeting(Version::V2));
        }
        for peer in &mut peers {
            peer.0.read_exact(&mut [0; 12]).unwrap();
        }
        let names = std::thread::spawn(move || {
            for peer in &mut peers {
                peer.frame(LAST, b"name");
            }
            peers
        });
        drop(router);
        names.join().unwrap();
    }
    let_it_be_seen(&context);
}

#[test]
fn nothing_that_a_peer_says_of_itself_is_believed() {
    let (router, _dealer) = pair();
    let mut peer = Peer::at(&router);
    peer.say(&greeting(Version::V31));
    let said: [(&[u8], &[u8]); 3] = [
        (b"Socket-Type", b"DEALER"),
        (b"User-Id", b"7"),
        (b"X-Long", &[b'x'; 1000]),
    ];
    peer.introduce_itself(&said);
    peer.frame(LAST, b"here");
    let patience = PATIENCE.as_millis().try_into().unwrap();
    assert_eq!(router.poll(zmq::POLLIN, patience), Ok(1));
    let mut first = router.recv_msg(0).unwrap();
    for name in ["User-Id", "X-Long", "Socket-Type"] {
        assert_eq!(first.gets(name), None, "{name}");
    }
}

#[test]
fn a_first_frame_is_small_or_ends_its_connection() {
    for version in VERSIONS {
        let (router, mut dealer) = pair();
        let mut peer = Peer::at(&router);
        peer.say(&greeting(version));
        // The length alone is enough.
        if version == Version::V1 {
            let length = LONGEST_COMMAND as u64 + 2;
            peer.say(&[&[0xff][..], &length.to_be_bytes(), &[LAST]].concat());
        } else {
            peer.say(&head(LAST, LONGEST_COMMAND + 1));
        }
        assert!(peer.is_turned_away(), "{version:?}");
        greet_notified(&router, &mut dealer);
    }
}

#[test]
fn a_name_of_a_megabyte_ends_its_connection_and_nothing_else() {
    let (router, mut dealer) = pair();
    let mut peer = Peer::at(&router);
    peer.say(&greeting(Version::V31));
    let name = vec![b'n'; LONGEST - 100];
    peer.frame(
        COMMAND,
        &ready(&[(b"Socket-Type", b"DEALER"), (b"Identity", &name)]),
    );
    assert!(peer.is_turned_away());
    greet_notified(&router, &mut dealer);
}

#[test]
fn a_command_is_short_or_ends_its_connection() {
    let (router, mut dealer) = pair();
    let mut peer = Peer::speaking(&router, Version::V31);
    // An unknown command is ignored.
    let unknown = [&b"\x04WHAT"[..], &[0; LONGEST_COMMAND - 5]].concat();
    peer.frame(COMMAND, &unknown);
    route_of(&router, &mut peer);
    peer.say(&head(COMMAND, LONGEST_COMMAND + 1));
    assert!(peer.is_turned_away());
    greet_notified(&router, &mut dealer);
}

#[test]
fn a_malformed_command_ends_its_connection() {
    let malformed: [&[u8]; 6] = [
        b"",
        b"\x04PIN",
        b"\xffPING",
        b"\x04PING",
        b"\x04PING\0",
        b"\x01",
    ];
    for command in malformed {
        let (router, mut dealer) = pair();
        let mut peer = Peer::speaking(&router, Version::V31);
        route_of(&router, &mut peer);
        peer.frame(COMMAND, command);
        assert!(peer.is_turned_away(), "{command:?}");
        greet_notified(&router, &mut dealer);
    }
}

#[test]
fn a_ping_is_answered_with_what_it_brought() {
    let (router, _dealer) = pair();
    let mut peer = Peer::speaking(&router, Version::V31);
    route_of(&router, &mut peer);
    peer.frame(COMMAND, b"\x04PING\0\0");
    assert!(peer.hears(b"\x04\x05\x04PONG"));
    peer.frame(COMMAND, b"\x04PING\0\0context of 16 b.");
    assert!(peer.hears(b"\x04\x15\x04PONGcontext of 16 b."));
}

/// Subscriptions are only for publishers.
#[test]
fn a_subscription_is_no_message() {
    let (router, _dealer) = pair();
    let mut peer = Peer::speaking(&router, Version::V31);
    for command in [&b"\x09SUBSCRIBEall"[..], b"\x06CANCELall"] {
        peer.frame(COMMAND, command);
        peer.frame(COMMAND | MORE, command);
    }
    route_of(&router, &mut peer);
}

#[test]
fn a_message_of_too_many_frames_ends_its_connection() {
    for version in VERSIONS {
        let (router, mut dealer) = pair();
        let mut peer = Peer::speaking(&router, version);
        for _ in 0..3 {
            for flags in [MORE, MORE, MORE, MORE, LAST] {
                peer.old_frame(version, flags, b"x");
            }
            assert_eq!(await_message(&router, 9).len(), 6, "{version:?}");
        }
        for _ in 0..6 {
            peer.old_frame(version, MORE, b"x");
        }
        assert!(peer.is_turned_away(), "{version:?}");
        greet_notified(&router, &mut dealer);
    }
}

#[test]
fn a_message_that_does_not_end_takes_no_more_room_than_one_that_does() {
    for version in VERSIONS {
        let (router, mut dealer) = pair();
        let mut peer = Peer::speaking(&router, version);
        for flags in [MORE, LAST] {
            peer.old_frame(version, flags, &vec![0; LONGEST / 2]);
        }
        assert_eq!(await_message(&router, 9).len(), 3, "{version:?}");
        peer.old_frame(version, MORE, &vec![0; LONGEST]);
        peer.old_frame(version, MORE, &vec![0; BESIDE]);
        peer.old_frame(version, MORE, b"x");
        assert!(peer.is_turned_away(), "{version:?}");
        greet_notified(&router, &mut dealer);
    }
}

/// The count starts again. Otherwise there would be no room for the notification.
#[test]
fn an_unfinished_message_of_the_most_frames_leaves_room_for_the_notice_of_its_end() {
    let (router, _dealer) = pair();
    let mut peer = Peer::speaking(&router, Version::V31);
    let route = route_of(&router, &mut peer);
    for _ in 0..5 {
        peer.frame(MORE, b"x");
    }
    drop(peer);
    assert_eq!(await_message(&router, 9), [route, Bytes::new()]);
}

#[test]
fn a_client_that_connects_again_counts_frames_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
    dealer.set_maxmsgsize(LONGEST.try_into().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    dealer.connect(&format!("tcp://{address}")).unwrap();
    for is_finished in [false, true] {
        let mut peer = Peer::of(listener.accept().unwrap().0);
        peer.say(&greeting(Version::V31));
        peer.introduce_itself(&[(b"Socket-Type", b"ROUTER")]);
        for _ in 0..4 {
            peer.frame(MORE, b"x");
        }
        if is_finished {
            peer.frame(LAST, b"x");
            assert_eq!(await_message(&dealer, 9).len(), 5);
        }
    }
}

/// Makes another peer greet. Messages of the previous peer, such as the notification that it has gone, are
/// skipped.
fn greet_notified(router: &Socket, dealer: &mut Socket) {
    send(dealer, None, &[Bytes::from_static(b"hello")]).unwrap();
    while await_message(router, 9)[1..] != [Bytes::from_static(b"hello")] {}
}

/// A DEALER cannot be filled up either, just like a ROUTER.
#[test]
fn a_client_leaves_who_sends_it_a_message_without_end() {
    for payload in [vec![0; 1], vec![0; LONGEST]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
        dealer.set_maxmsgsize(LONGEST.try_into().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        dealer.connect(&format!("tcp://{address}")).unwrap();
        let mut peer = Peer::of(listener.accept().unwrap().0);
        peer.say(&greeting(Version::V31));
        peer.introduce_itself(&[(b"Socket-Type", b"ROUTER")]);
        peer.frame(LAST, b"here");
        assert_eq!(await_message(&dealer, 9), [Bytes::from_static(b"here")]);
        for _ in 0..6 {
            peer.frame(MORE, &payload);
        }
        assert!(peer.is_turned_away());
    }
}

/// A connection over TCP to a port without a listener can reach itself. A client that reached itself would
/// answer itself.
#[test]
fn a_client_speaks_to_no_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
    let address = listener.local_addr().unwrap();
    dealer.connect(&format!("tcp://{address}")).unwrap();
    let mut peer = Peer::of(listener.accept().unwrap().0);
    peer.say(&greeting(Version::V31));
    peer.frame(COMMAND, &ready(&[(b"Socket-Type", b"DEALER")]));
    assert!(peer.is_turned_away());
}

/// How many messages a peer sends. The queue holds fewer.
const QUEUED: usize = 64;

/// A ROUTER that does not read, and a peer whose messages have filled the ROUTER's queue, with more behind
/// them.
fn stuck(router: &Socket, behind: &[u8]) -> Peer {
    let mut peer = Peer::speaking(router, Version::V31);
    route_of(router, &mut peer);
    let messages = [&head(LAST, 1)[..], b"x"].concat().repeat(QUEUED);
    peer.say(&[&messages, behind].concat());
    peer
}

/// Closes a connection so that the other end sees an error.
fn reset(peer: Peer) {
    rustix::net::sockopt::set_socket_linger(&peer.0, Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// Returns when the I/O thread of this context has processed everything that happened before.
fn let_it_be_seen(context: &zmq::Context) {
    for _ in 0..3 {
        let (other, mut dealer) = pair_of(context);
        greet(&other, &mut dealer);
    }
}

/// libzmq tells both ends of a connection about a new limit. One of them may be gone already.
#[test]
fn a_limit_may_be_set_while_a_connection_ends() {
    let context = zmq::Context::new();
    let (mut router, _dealer) = pair_of(&context);
    let (other, mut bystander) = pair_of(&context);
    greet(&other, &mut bystander);
    let mut peer = Peer::speaking(&router, Version::V31);
    route_of(&router, &mut peer);
    drop(peer);
    assert_eq!(await_message(&router, 9)[1..], [Bytes::new()]);
    // The socket releases its end, and the I/O thread then frees the other one.
    assert!(receive(&mut router, 9).unwrap().is_none());
    greet(&other, &mut bystander);
    router.set_rcvhwm(1).unwrap();
    let_it_be_seen(&context);
}

/// Data that was read ahead is processed once there is room again, and it is a PING.
#[test]
fn a_ping_that_waits_behind_a_full_queue_may_outlive_its_connection() {
    let context = zmq::Context::new();
    let (router, mut dealer) = pair_of(&context);
    let ping = [&head(COMMAND, 7)[..], b"\x04PING\0\0"].concat();
    let peer = stuck(&router, &ping.repeat(8));
    let_it_be_seen(&context);
    reset(peer);
    let_it_be_seen(&context);
    for _ in 0..QUEUED {
        assert_eq!(await_message(&router, 9)[1..], [Bytes::from_static(b"x")]);
    }
    let_it_be_seen(&context);
    greet_notified(&router, &mut dealer);
}

/// A broken connection waits until earlier messages are read. Its heartbeat becomes due meanwhile.
#[test]
fn no_sign_of_life_is_asked_of_a_connection_that_has_broken() {
    let context = zmq::Context::new();
    let mut router = context.socket(zmq::ROUTER).unwrap();
    router.set_rcvhwm(8).unwrap();
    router.set_heartbeat_ivl(100).unwrap();
    // The connection is closed with messages that nobody reads.
    router.set_linger(0).unwrap();
    bind(&mut router, "tcp://127.0.0.1:*").unwrap();
    let peer = stuck(&router, b"");
    let_it_be_seen(&context);
    reset(peer);
    // This connection's heartbeat is due later than that of the previous one would have been.
    let mut other = Peer::speaking(&router, Version::V31);
    assert!(other.hears(b"\x04PING"));
    let_it_be_seen(&context);
}

/// Set where a test runs in its own process, whose descriptors it may use up.
const BY_ITSELF: &str = "SKYPIPE_TEST_BY_ITSELF";

/// Runs a test of this module in its own process.
fn run_by_itself(test: &str) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", &format!("frame::hostile::{test}")]);
    let output = child.env(BY_ITSELF, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// The peak memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn most_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes = line.trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<usize>().unwrap() << 10
}

/// How much more memory a connection may keep because of a long name, in bytes.
#[cfg(target_os = "linux")]
const KEPT: usize = 2000;

/// The number of connections of each kind.
#[cfg(target_os = "linux")]
const COUNT: usize = 100;

/// Before the patch, libzmq kept the name for as long as the connection lasted, and twice.
#[test]
#[cfg(target_os = "linux")]
fn a_long_name_takes_no_memory() {
    if env::var_os(BY_ITSELF).is_none() {
        run_by_itself("a_long_name_takes_no_memory");
        return;
    }
    let (router, _dealer) = pair();
    let mut peers = Vec::new();
    // Whatever the peer's name is, this much of its receive buffer has been used.
    let command = [&b"\x04WHAT"[..], &[0; LONGEST_COMMAND - 5]].concat();
    let mut taken = |name: &[u8]| {
        let before = most_memory();
        for _ in 0..COUNT {
            let mut peer = Peer::named(&router, Version::V31, name);
            peer.frame(COMMAND, &command);
            route_of(&router, &mut peer);
            peers.push(peer);
        }
        (most_memory() - before) / COUNT
    };
    let long = [b'n'; LONGEST_COMMAND - 100];
    // What is allocated only once is allocated with the first connections.
    taken(&long);
    let (short, long) = (taken(b""), taken(&long));
    assert!(long < short + KEPT, "{short} and {long} bytes");
}

mod credit;
mod machine;
