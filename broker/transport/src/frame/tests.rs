//! Real sockets, only on this machine.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;

/// How long a test waits for something that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The length of receive queues, in messages.
const RECEIVE_QUEUE: i32 = 8;

/// A payload that reports when it is freed.
struct Probe(Vec<u8>, mpsc::Sender<()>);

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // A test that has failed no longer listens.
        let _ = self.1.send(());
    }
}

fn probe(len: usize) -> (Bytes, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Bytes::from_owner(Probe(vec![7; len], sender)), receiver)
}

/// A ROUTER with notifications enabled, and a DEALER that connects to it.
pub(super) fn pair() -> (Socket, Socket) {
    pair_of(&zmq::Context::new())
}

pub(super) fn pair_of(context: &zmq::Context) -> (Socket, Socket) {
    let mut router = context.socket(zmq::ROUTER).unwrap();
    router.set_router_mandatory(true).unwrap();
    router.set_maxmsgsize(1 << 20).unwrap();
    router.set_rcvhwm(RECEIVE_QUEUE).unwrap();
    notify_disconnects(&mut router).unwrap();
    bind(&mut router, "tcp://127.0.0.1:*").unwrap();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_rcvhwm(RECEIVE_QUEUE).unwrap();
    dealer.set_linger(-1).unwrap();
    dealer
        .connect(&router.get_last_endpoint().unwrap().unwrap())
        .unwrap();
    (router, dealer)
}

pub(super) fn await_message(socket: &Socket, limit: usize) -> Vec<Bytes> {
    let patience = PATIENCE.as_millis().try_into().unwrap();
    assert_eq!(socket.poll(zmq::POLLIN, patience), Ok(1), "a message comes");
    let frames = socket.recv_multipart(0).unwrap().into_iter();
    frames.take(limit).map(Bytes::from).collect()
}

/// The routing id of `dealer`, from a first message.
pub(super) fn greet(router: &Socket, dealer: &mut Socket) -> Bytes {
    assert_eq!(
        send(dealer, None, &[Bytes::from_static(b"hello")]).unwrap(),
        Sent::Taken
    );
    let mut frames = await_message(router, 9);
    assert_eq!(frames[1..], [Bytes::from_static(b"hello")]);
    frames.remove(0)
}

#[test]
fn a_large_payload_is_shared_and_then_freed() {
    let (mut router, mut dealer) = pair();
    let route = greet(&router, &mut dealer);
    let (payload, freed) = probe(1 << 20);
    // Far more than the connection's buffers hold, so that some of it is still queued.
    for _ in 0..64 {
        let frames = [Bytes::from_static(b"x"), payload.clone()];
        assert_eq!(
            send(&mut router, Some(&route), &frames).unwrap(),
            Sent::Taken
        );
    }
    drop(payload);
    assert!(
        freed.try_recv().is_err(),
        "the socket holds references, not copies"
    );
    for _ in 0..64 {
        let frames = await_message(&dealer, 9);
        assert_eq!((frames.len(), frames[1].len()), (2, 1 << 20));
        assert!(frames[1].iter().all(|byte| *byte == 7));
    }
    freed
        .recv_timeout(PATIENCE)
        .expect("the last reference goes when all is sent");
}

#[test]
fn a_payload_that_cannot_be_sent_is_given_back() {
    let (mut router, _) = pair();
    let (payload, freed) = probe(1 << 20);
    let nobody = Bytes::from_static(b"nobody");
    let sent = send(&mut router, Some(&nobody), std::slice::from_ref(&payload)).unwrap();
    assert_eq!(sent, Sent::Unreachable);
    let mut unconnected = zmq::Context::new().socket(zmq::DEALER).unwrap();
    let sent = send(&mut unconnected, None, std::slice::from_ref(&payload)).unwrap();
    assert_eq!(sent, Sent::Full);
    drop(payload);
    assert!(freed.try_recv().is_ok(), "nobody holds a reference");
}

#[test]
fn only_large_messages_are_kept_where_they_are() {
    for (len, moved) in [(COPY_RECEIVED, false), (COPY_RECEIVED - 1, true), (0, true)] {
        let (mut router, mut dealer) = pair();
        send(&mut dealer, None, &[Bytes::from(vec![1; len])]).unwrap();
        let patience = PATIENCE.as_millis().try_into().unwrap();
        assert_eq!(router.poll(zmq::POLLIN, patience), Ok(1));
        receive_frame(&mut router).unwrap();
        let message = receive_frame(&mut router).unwrap().unwrap();
        let place = message.as_ref().as_ptr();
        let bytes = keep(message);
        assert_eq!(bytes.len(), len);
        assert_eq!(bytes.as_ptr() != place, moved);
    }
}

#[test]
fn frames_beyond_the_limit_are_dropped() {
    let (router, mut dealer) = pair();
    let frames: Vec<_> = (0..5_u8).map(|byte| Bytes::from(vec![byte])).collect();
    send(&mut dealer, None, &frames).unwrap();
    assert_eq!(await_message(&router, 3)[1..], frames[..2]);
    greet(&router, &mut dealer);
}

/// Reads until `router` no longer knows `route`. Returns the number of notifications.
fn await_departure(router: &mut Socket, route: &Bytes) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut notices = 0;
    while is_connected(router, route) {
        assert!(Instant::now() < deadline, "the connection is gone at last");
        router.poll(zmq::POLLIN, 1).unwrap();
        while let Some(received) = receive(router, 9).unwrap() {
            notices += usize::from(received.frames[1..] == [Bytes::new()]);
        }
    }
    notices
}

#[test]
fn a_closed_connection_is_announced() {
    let (mut router, mut dealer) = pair();
    let route = greet(&router, &mut dealer);
    assert!(is_connected(&mut router, &route));
    drop(dealer);
    assert_eq!(await_departure(&mut router, &route), 1);
}

/// If this test ever sees a notification, `server/departures.rs` is no longer needed.
#[test]
fn a_connection_that_ends_with_its_queue_full_is_found_out_by_asking() {
    let context = zmq::Context::new();
    let (mut router, mut dealer) = pair_of(&context);
    let route = greet(&router, &mut dealer);
    let ended = zmq::SocketEvent::DISCONNECTED.to_raw();
    router.monitor("inproc://events", ended.into()).unwrap();
    let events = context.socket(zmq::PAIR).unwrap();
    events.connect("inproc://events").unwrap();
    // libzmq counts the greeting as queued until it has been told that a few messages were read.
    for _ in 1..RECEIVE_QUEUE {
        send(&mut dealer, None, &[Bytes::from_static(b"x")]).unwrap();
    }
    drop(dealer);
    await_message(&events, 9);
    assert_eq!(await_departure(&mut router, &route), 0);
}

#[test]
fn a_frame_that_is_too_long_ends_its_connection_and_nothing_else() {
    let (mut router, mut dealer) = pair();
    let route = greet(&router, &mut dealer);
    send(&mut dealer, None, &[Bytes::from(vec![0; (1 << 20) + 1])]).unwrap();
    assert_eq!(await_message(&router, 9), [route.clone(), Bytes::new()]);
    // Messages that the DEALER sends before it notices are lost with its connection.
    let deadline = Instant::now() + PATIENCE;
    let again = loop {
        send(&mut dealer, None, &[Bytes::from_static(b"hello")]).unwrap();
        if router.poll(zmq::POLLIN, 10).unwrap() == 1 {
            break await_message(&router, 9).remove(0);
        }
        assert!(Instant::now() < deadline, "the DEALER is back");
    };
    assert_ne!(again, route, "it is back on a new connection");
    assert!(is_connected(&mut router, &again));
}

#[test]
fn a_refused_address_is_an_error_in_the_systems_words() {
    let context = zmq::Context::new();
    let mut router = context.socket(zmq::ROUTER).unwrap();
    let error = bind(&mut router, "ipc:///dev/null/socket").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    let error = bind(&mut router, "tcp://nonsense").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(bind(&mut router, "a\0b").is_err());
}

#[test]
fn faults_of_libzmq_have_words() {
    let error = fault(zmq_sys::errno::ETERM);
    assert_eq!(error.to_string(), "Context was terminated");
}
