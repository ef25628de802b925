//! Tests: a connection against bare sockets.

mod private;
mod several;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use zmq::{Context, POLLIN, PollItem};

use super::*;
use crate::link::route::Tcp;
use crate::link::wake::Wake;

/// Long enough for anything on one machine.
const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    wake: Wake,
    connection: Connection,
}

impl Bench {
    fn new(route: impl Route + 'static) -> Self {
        let wake = Wake::new().expect("descriptors are left");
        let connection = Connection::new(Arc::new(route), wake.waker());
        Self { wake, connection }
    }

    /// Waits until the handshake has succeeded.
    fn whole(&mut self) {
        self.until(|connection| matches!(connection.state, State::Up(_)).then_some(()));
    }

    /// The next message that `router` receives, while the loop runs.
    fn heard(&mut self, router: &Socket) -> Vec<Vec<u8>> {
        router.set_rcvtimeo(1).expect("an option");
        self.until(|_| router.recv_multipart(0).ok())
    }

    /// Waits and checks until `ask` has an answer.
    fn until<T>(&mut self, mut ask: impl FnMut(&mut Connection) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            self.connection.look();
            if let Some(answer) = ask(&mut self.connection) {
                return answer;
            }
            assert!(Instant::now() < end, "nothing happened");
            let sooner = self.connection.turn().map_or(1000, |due| due.as_millis());
            let mut items = vec![PollItem::from_fd(self.wake.fd(), POLLIN)];
            items.extend(self.connection.watched());
            let patience = i64::try_from(sooner).expect("it is short").min(1000);
            zmq::poll(&mut items, patience).expect("the sockets are good");
            if items[0].is_readable() {
                self.wake.clear();
            }
        }
    }
}

/// A route whose result the test sends, through the search thread.
struct Sent(Receiver<Result<Vec<Way>, String>>);

// A receiver is for one thread at a time, and there is only one search at a time.
struct Told(std::sync::Mutex<Sent>);

impl Route for Told {
    fn known(&self) -> Option<Way> {
        None
    }

    fn find(&self) -> Result<Vec<Way>, String> {
        let told = self.0.lock().expect("no search panics");
        told.0
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| Err("nothing was told".to_owned()))
    }
}

fn router() -> (Socket, String) {
    let router = Context::new().socket(zmq::ROUTER).expect("a socket");
    router.set_linger(1000).expect("an option");
    router.bind("tcp://127.0.0.1:*").expect("loopback is there");
    router.set_rcvtimeo(20_000).expect("an option");
    let endpoint = router
        .get_last_endpoint()
        .expect("it is bound")
        .expect("it is text");
    (router, endpoint)
}

fn tcp(endpoint: &str) -> Tcp {
    Tcp::new(endpoint.parse().expect("it is an endpoint"), None, None)
}

/// Why the connection broke, for a failure that a new connection may avoid.
fn broken(connection: &mut Connection) -> Option<String> {
    connection.breach().map(|breach| match breach {
        Breach::Broken(reason) => reason,
        Breach::Refused(sentence) => panic!("refused: {sentence}"),
    })
}

fn message(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

#[test]
fn nobody_there_is_told_once() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
    let mut bench = Bench::new(tcp(&format!("tcp://{}", free.expect("loopback is there"))));
    bench.connection.connect();
    assert_eq!(bench.until(broken), "nobody answers there");
    bench.connection.look();
    assert_eq!(bench.connection.breach(), None);
    bench.connection.connect();
    assert_eq!(bench.until(broken), "nobody answers there");
}

#[test]
fn what_is_sent_before_the_way_is_found_arrives() {
    let (router, endpoint) = router();
    let (tell, told) = channel();
    let mut bench = Bench::new(Told(std::sync::Mutex::new(Sent(told))));
    bench.connection.connect();
    bench
        .connection
        .send(message("of a connection that is given up"));
    bench.connection.connect();
    bench.connection.send(message("first"));
    tell.send(Ok(vec![Way {
        name: endpoint.clone(),
        endpoint,
        keys: None,
        ipv6: false,
        directory: None,
        tunnel: None,
    }]))
    .expect("it waits");
    bench.whole();
    bench.connection.send(message("second"));
    for text in [&b"first"[..], b"second"] {
        assert_eq!(bench.heard(&router)[1], text);
    }
}

#[test]
fn a_way_that_is_not_found_is_told() {
    let (tell, told) = channel();
    let mut bench = Bench::new(Told(std::sync::Mutex::new(Sent(told))));
    bench.connection.connect();
    tell.send(Err("it is gone".to_owned())).expect("it waits");
    assert_eq!(bench.until(broken), "it is gone");
}

#[test]
fn last_words_are_heard_before_the_end() {
    let (router, endpoint) = router();
    let mut bench = Bench::new(tcp(&endpoint));
    bench.connection.connect();
    bench.connection.send(message("hello"));
    bench.whole();
    let id = bench.heard(&router).swap_remove(0);
    for _ in 0..1000 {
        router
            .send_multipart([id.as_slice(), b"word"], 0)
            .expect("it is connected");
    }
    drop(router);
    let mut heard = 0;
    let reason = bench.until(|connection| {
        while connection.receive().is_some() {
            heard += 1;
        }
        broken(connection)
    });
    assert_eq!((heard, reason.as_str()), (1000, "the connection broke"));
}

#[test]
fn what_is_no_satellite_is_called_so() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let mut bench = Bench::new(tcp(&endpoint));
    bench.connection.connect();
    let (stranger, _): (TcpStream, _) = listener.accept().expect("it connects");
    io::Write::write_all(&mut &stranger, b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it is open");
    drop(stranger);
    let reason = bench.until(broken);
    assert_eq!(reason, "the program there does not answer like a satellite");
}

#[test]
fn what_libzmq_has_to_say_of_a_connection_that_was_given_up_holds_up_no_other() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
    let port = free.expect("loopback is there").port();
    let (_router, satellite) = router();
    let context = Context::new();
    for number in 0..10 {
        let up = up(&context, number, &format!("tcp://127.0.0.1:{port}"));
        // libzmq reports an unreachable peer again and again, even if nobody reads the monitor any more.
        up.socket.set_reconnect_ivl(1).expect("an option");
        for host in 1..=HOSTS {
            let nobody = format!("tcp://127.0.1.{host}:{port}");
            up.socket.connect(&nobody).expect("it is an endpoint");
        }
        up.monitor.set_rcvtimeo(20_000).expect("an option");
        for _ in 0..2 * HOSTS {
            up.monitor.recv_multipart(0).expect("there is news");
        }
    }
    let mut last = up(&context, 10, &satellite);
    let end = Instant::now() + DEADLINE;
    while !last.is_whole() && Instant::now() < end {
        zmq::poll(&mut [last.monitor.as_poll_item(POLLIN)], 1000).expect("it is good");
        last.look();
    }
    assert!(last.is_whole(), "libzmq's thread stands still");
}

/// This many connections have events all the time, and never more than libzmq keeps.
const HOSTS: usize = 200;

fn up(context: &Context, number: u64, endpoint: &str) -> Up {
    let way = Way {
        name: endpoint.to_owned(),
        endpoint: endpoint.to_owned(),
        keys: None,
        ipv6: false,
        directory: None,
        tunnel: None,
    };
    Up::new(context, number, way, None).expect("sockets are left")
}
