//! Tests: satellites with keys, satellites without keys, and hosts that are neither.

use std::io::{PipeWriter, Read as _, pipe};
use std::os::fd::AsRawFd as _;
use std::thread::JoinHandle;

use skypipe_protocol::KeyId;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::SigningPair;
use skypipe_transport::tls::Layer;

use super::*;
use crate::link::route::Keys;

/// How soon the user must be told, whatever is wrong with a satellite that answers.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How often something is tried that may happen in several ways.
const TRIES: usize = 20;

/// A ROUTER behind TLS that admits one key and echoes everything. It ends when this is dropped.
pub(super) struct Satellite {
    pub(super) endpoint: String,
    pub(super) public: [u8; 32],
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Satellite {
    pub(super) fn start(at: &str, admitted: [u8; 32]) -> Self {
        Self::start_with(at, &pair(), admitted)
    }

    pub(super) fn start_with(at: &str, identity: &SigningPair, admitted: [u8; 32]) -> Self {
        let context = Context::new();
        let mut router = context.socket(zmq::ROUTER).expect("a socket");
        router.set_linger(0).expect("an option");
        router.set_ipv6(true).expect("an option");
        let admit = move |public: &[u8; 32]| (*public == admitted).then_some(KeyId(1));
        let layer = Layer::satellite(identity, Arc::new(admit)).expect("good keys");
        layer.open();
        layer.cover(&mut router).expect("it has a record layer");
        router.bind(at).expect("loopback is there");
        let bound = router.get_last_endpoint().expect("it is bound");
        let (hears, stop) = pipe().expect("descriptors are left");
        let serve = move || {
            // The layer must live as long as there are to be connections.
            let _layer = layer;
            loop {
                let mut items = [
                    PollItem::from_fd(hears.as_raw_fd(), POLLIN),
                    router.as_poll_item(POLLIN),
                ];
                zmq::poll(&mut items, -1).expect("the sockets are good");
                if items[0].is_readable() || items[0].is_error() {
                    return;
                }
                if items[1].is_readable() {
                    let frames = router.recv_multipart(0).expect("it is there");
                    router.send_multipart(frames, 0).expect("it goes");
                }
            }
        };
        Self {
            endpoint: bound.expect("it is text"),
            public: identity.public,
            stop: Some(stop),
            thread: Some(thread::spawn(serve)),
        }
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A test that fails reports the reason by itself.
            let _ = thread.join();
        }
    }
}

/// A fresh identity.
pub(super) fn pair() -> SigningPair {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&number.to_le_bytes());
    SigningPair::of(Secret::new(secret))
}

pub(super) fn keys(satellite: [u8; 32], identity: &SigningPair) -> Keys {
    Keys {
        satellite,
        identity: identity.clone(),
    }
}

fn bench(endpoint: &str, keys: Option<Keys>) -> Bench {
    Bench::new(Tcp::new(
        endpoint.parse().expect("it is an endpoint"),
        None,
        keys,
    ))
}

/// The refusal that a connection reports at once.
pub(super) fn refused(bench: &mut Bench) -> String {
    let began = Instant::now();
    bench.connection.connect();
    let breach = bench.until(Connection::breach);
    assert!(began.elapsed() < AT_ONCE, "{breach:?}");
    match breach {
        Breach::Refused(sentence) => sentence,
        Breach::Broken(reason) => panic!("not refused, but broken: {reason}"),
    }
}

pub(super) fn echo(bench: &mut Bench) {
    bench.connection.connect();
    bench.connection.send(message("word"));
    assert_eq!(bench.until(Connection::receive), message("word"));
}

#[test]
fn who_is_known_gets_through_over_both_protocols_of_the_internet() {
    for at in ["tcp://127.0.0.1:*", "tcp://[::1]:*"] {
        let ours = pair();
        let satellite = Satellite::start(at, ours.public);
        echo(&mut bench(
            &satellite.endpoint,
            Some(keys(satellite.public, &ours)),
        ));
    }
}

#[test]
fn a_plain_client_of_a_private_satellite_is_told_at_once() {
    for at in ["tcp://127.0.0.1:*", "tcp://[::1]:*"] {
        let satellite = Satellite::start(at, [0; 32]);
        for _ in 0..TRIES {
            let sentence = refused(&mut bench(&satellite.endpoint, None));
            let expected = format!("the satellite at {} is private", satellite.endpoint);
            assert!(sentence.starts_with(&expected), "{sentence}");
        }
    }
}

#[test]
fn a_client_with_keys_at_a_satellite_without_any_is_told_at_once() {
    let (_router, endpoint) = router();
    for _ in 0..TRIES {
        let sentence = refused(&mut bench(&endpoint, Some(keys(pair().public, &pair()))));
        let expected = format!("the satellite at {endpoint} has no keys");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
}

#[test]
fn whose_key_is_not_known_is_told_at_once() {
    for at in ["tcp://127.0.0.1:*", "tcp://[::1]:*"] {
        let satellite = Satellite::start(at, pair().public);
        let mut bench = bench(&satellite.endpoint, Some(keys(satellite.public, &pair())));
        let sentence = refused(&mut bench);
        assert!(
            sentence.contains("does not know this machine's key"),
            "{sentence}"
        );
    }
}

#[test]
fn whose_key_is_revoked_is_told_when_the_connection_is_made_anew() {
    let (ours, theirs) = (pair(), pair());
    let satellite = Satellite::start_with("tcp://127.0.0.1:*", &theirs, ours.public);
    let mut bench = bench(&satellite.endpoint, Some(keys(satellite.public, &ours)));
    echo(&mut bench);
    let endpoint = satellite.endpoint.clone();
    drop(satellite);
    assert_eq!(bench.until(broken), "the connection broke");
    let _satellite = Satellite::start_with(&endpoint, &theirs, pair().public);
    let sentence = refused(&mut bench);
    assert!(
        sentence.contains("does not know this machine's key"),
        "{sentence}"
    );
}

#[test]
fn another_satellite_in_the_place_of_ours_is_told_at_once() {
    for at in ["tcp://127.0.0.1:*", "tcp://[::1]:*"] {
        let ours = pair();
        let satellite = Satellite::start(at, ours.public);
        let mut bench = bench(&satellite.endpoint, Some(keys(pair().public, &ours)));
        let sentence = refused(&mut bench);
        assert!(sentence.contains("it has another key"), "{sentence}");
    }
}

/// What a host does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Closes it, as a proxy does whose satellite is down.
    Close,
    /// Closes it in the middle of the handshake.
    Listen,
}

/// A host that does this with its connections, one after another, and then is gone.
fn host(acts: &'static [Act]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for act in acts {
            let (mut stream, _) = listener.accept().expect("it connects");
            if matches!(act, Act::Listen) {
                // The first bytes that a client sends.
                let _ = stream.read_exact(&mut [0; 11]);
            }
        }
    });
    format!("tcp://{address}")
}

#[test]
fn a_proxy_whose_satellite_is_down_and_a_satellite_killed_in_the_handshake_are_tried_again() {
    use Act::{Close, Listen};
    let endpoint = host(&[Close, Close, Listen, Listen, Close, Listen]);
    let mut bench = bench(&endpoint, Some(keys(pair().public, &pair())));
    for _ in 0..6 {
        bench.connection.connect();
        bench.until(broken);
    }
}
