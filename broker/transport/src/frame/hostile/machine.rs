//! What the network, or a machine without file descriptors or memory, can do to a socket.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

#[cfg(target_os = "linux")]
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

/// A listener pauses for longer than this in total between four failures. Without pauses, it would fail
/// thousands of times in this time; over ipc, that ended the program.
const PAUSES: Duration = Duration::from_millis(250);

#[test]
fn without_descriptors_who_is_there_is_served_and_others_wait_in_peace() {
    if env::var_os(BY_ITSELF).is_some() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        others_wait("tcp://127.0.0.1:*", |bound| {
            let address = bound.strip_prefix("tcp://").unwrap();
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Box::new(stream)
        });
        others_wait(&format!("ipc://{}", path.display()), |_| {
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Box::new(stream)
        });
        return;
    }
    run_by_itself("machine::without_descriptors_who_is_there_is_served_and_others_wait_in_peace");
}

fn others_wait(endpoint: &str, connect: impl Fn(&str) -> Box<dyn Read>) {
    let context = zmq::Context::new();
    let (mut router, failures) = watched(&context, endpoint);
    let bound = router.get_last_endpoint().unwrap().unwrap();
    let mut dealer = context.socket(zmq::DEALER).unwrap();
    dealer.connect(&bound).unwrap();
    greet(&router, &mut dealer);

    let mut held = use_up_descriptors();
    held.pop();
    let start = Instant::now();
    let mut other = connect(&bound);
    await_message(&failures, 9);
    for _ in 0..3 {
        await_message(&failures, 9);
        greet(&router, &mut dealer);
    }
    assert!(start.elapsed() > PAUSES, "it spins");
    drop(held);
    // The connection is accepted and greeted.
    other.read_exact(&mut [0; 10]).unwrap();
    end_monitor(&mut router);
}

fn use_up_descriptors() -> Vec<File> {
    let rlimit = Rlimit {
        current: Some(128),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, rlimit).unwrap();
    let files = iter::from_fn(|| File::open("/dev/null").ok());
    files.collect()
}

/// Without the patch, the timer would fire for a listener that no longer exists.
#[test]
fn a_listener_that_waits_for_descriptors_may_be_closed() {
    if env::var_os(BY_ITSELF).is_none() {
        run_by_itself("machine::a_listener_that_waits_for_descriptors_may_be_closed");
        return;
    }
    let context = zmq::Context::new();
    let mut lively = context.socket(zmq::ROUTER).unwrap();
    lively.set_heartbeat_ivl(100).unwrap();
    bind(&mut lively, "tcp://127.0.0.1:*").unwrap();
    let mut peer = Peer::speaking(&lively, Version::V31);
    let (mut router, failures) = watched(&context, "tcp://127.0.0.1:*");
    let mut held = use_up_descriptors();
    held.pop();
    let stranger = Peer::at(&router);
    await_message(&failures, 9);
    end_monitor(&mut router);
    drop(router);
    for _ in 0..3 {
        assert!(peer.hears(b"\x04PING"));
        peer.frame(COMMAND, b"\x04PONG");
    }
    drop((stranger, held));
}

/// A ROUTER, and a monitor that reports failures to accept a connection.
fn watched(context: &zmq::Context, endpoint: &str) -> (Socket, Socket) {
    let mut router = context.socket(zmq::ROUTER).unwrap();
    let failed = zmq::SocketEvent::ACCEPT_FAILED.to_raw();
    router.monitor("inproc://failures", failed.into()).unwrap();
    let failures = context.socket(zmq::PAIR).unwrap();
    failures.connect("inproc://failures").unwrap();
    bind(&mut router, endpoint).unwrap();
    (router, failures)
}

/// libzmq gets a listener of another kind, and fails to set up every connection of it.
#[test]
fn a_connection_that_cannot_be_set_up_is_closed() {
    let context = zmq::Context::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut router = context.socket(zmq::ROUTER).unwrap();
    set_int(&mut router, USE_FD, listener.as_raw_fd()).unwrap();
    bind(&mut router, "tcp://127.0.0.1:*").unwrap();
    let _ = listener.into_raw_fd();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
    let_it_be_seen(&context);
}

/// The last error is a reset after the end of the stream, which gives EPIPE.
#[test]
fn a_stream_to_connect_over_may_have_ended_twice() {
    let context = zmq::Context::new();
    let mut dealer = context.socket(zmq::DEALER).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = Peer::of(listener.accept().unwrap().0);
    peer.0.shutdown(Shutdown::Write).unwrap();
    reset(peer);
    connect_over(&mut dealer, stream.into()).unwrap();
    let_it_be_seen(&context);
}

/// A packet that is too long for its socket is an error of its connection only.
#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_written_ends_nothing_else() {
    let context = zmq::Context::new();
    let mut dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_linger(0).unwrap();
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (near, far) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
    connect_over(&mut dealer, near).unwrap();
    let mut far = UnixStream::from(far);
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    // libzmq reads this many bytes of a greeting at a time.
    let greeting = greeting(Version::V31);
    let (first, rest) = greeting.split_at(12);
    for packet in [first, rest] {
        far.write_all(packet).unwrap();
    }
    let command = ready(&[(b"Socket-Type", b"ROUTER")]);
    let packet = [&head(COMMAND, command.len())[..], &command].concat();
    far.write_all(&packet).unwrap();
    send(&mut dealer, None, &[Bytes::from(vec![0; 8 << 20])]).unwrap();
    // The first packet of the frame fills this buffer, and the second one is too long.
    let mut packet = [0; 256];
    while far.read(&mut packet).unwrap() < packet.len() {}
    let_it_be_seen(&context);
}

/// If somebody else shuts down a listening socket, every accept fails.
#[test]
fn a_listener_that_can_accept_nobody_ends_nothing_else() {
    let context = zmq::Context::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut router = context.socket(zmq::ROUTER).unwrap();
    let failed = zmq::SocketEvent::ACCEPT_FAILED.to_raw();
    router.monitor("inproc://failures", failed.into()).unwrap();
    let failures = context.socket(zmq::PAIR).unwrap();
    failures.connect("inproc://failures").unwrap();
    let descriptor = OwnedFd::from(listener.try_clone().unwrap());
    set_int(&mut router, USE_FD, descriptor.as_raw_fd()).unwrap();
    bind(
        &mut router,
        &format!("tcp://{}", listener.local_addr().unwrap()),
    )
    .unwrap();
    let _ = descriptor.into_raw_fd();
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    await_message(&failures, 9);
    end_monitor(&mut router);
    drop(router);
    let_it_be_seen(&context);
}

/// `poll` refuses every descriptor in a process that may not open any.
#[test]
#[cfg(target_os = "linux")]
fn a_look_into_an_empty_socket_takes_no_system_call() {
    if env::var_os(BY_ITSELF).is_none() {
        run_by_itself("machine::a_look_into_an_empty_socket_takes_no_system_call");
        return;
    }
    let (mut router, mut dealer) = pair();
    greet(&router, &mut dealer);
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none).unwrap();
    for _ in 0..10 {
        assert!(receive(&mut router, 9).unwrap().is_none());
    }
    setrlimit(Resource::Nofile, before).unwrap();
}
