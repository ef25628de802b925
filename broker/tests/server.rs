//! The loop around the broker, with real sockets on this machine alone.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{Broker, Settings};
use skypipe_broker::frame::{self, Sent};
use skypipe_broker::protocol::{MAGIC, MAX_CHUNK, Mode, REVISION, Reply, Request, decode, encode};
use skypipe_broker::server::Server;
use skypipe_broker::store::Memory;
use uuid::Uuid;

/// How long a test waits for what has to come, in milliseconds.
const PATIENCE_MS: i32 = 20_000;

fn settings() -> Settings {
    Settings {
        satellite: Uuid::from_u128(1),
        program: "skypipe test".to_owned(),
        since: 0,
        pid: 1,
        memory: 64 << 20,
        quota: u64::MAX,
        writer_lost: Duration::from_secs(60),
        listener_lost: Duration::from_secs(10),
        idle: None,
        stoppable: false,
        clients: 100,
    }
}

/// Runs `play` with the endpoint of a satellite, and stops the satellite after it.
fn with_satellite(endpoint: &str, play: impl FnOnce(&str)) {
    let server = Server::bind(endpoint).unwrap();
    let endpoint = server.endpoint().to_owned();
    let (reader, writer) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let satellite = scope.spawn(move || {
            let mut broker = Broker::new(settings(), Memory::default());
            server.run(&mut broker, reader.as_fd(), &mut |line| {
                eprintln!("log: {line}");
            })
        });
        play(&endpoint);
        drop(writer);
        satellite.join().unwrap().unwrap();
    });
}

/// A client of SKYPIPE/1 without wits of its own.
struct Client(zmq::Socket);

impl Client {
    fn connect(endpoint: &str) -> Self {
        let socket = zmq::Context::new().socket(zmq::DEALER).unwrap();
        socket.set_ipv6(true).unwrap();
        socket.set_rcvtimeo(PATIENCE_MS).unwrap();
        socket.connect(endpoint).unwrap();
        let mut client = Self(socket);
        client.hello();
        client
    }

    fn hello(&mut self) {
        let client = Uuid::new_v4();
        self.say(&Request::Hello {
            client,
            revision: REVISION,
            program: String::new(),
        });
        assert!(matches!(self.hear().0, Reply::Welcome { .. }));
    }

    fn say(&mut self, request: &Request) {
        self.say_with(request, None);
    }

    fn say_with(&mut self, request: &Request, payload: Option<Bytes>) {
        let mut frames = vec![Bytes::from_static(MAGIC), encode(request).into()];
        frames.extend(payload);
        assert_eq!(
            frame::send(&mut self.0, None, &frames).unwrap(),
            Sent::Taken
        );
    }

    fn hear(&self) -> (Reply, Option<Bytes>) {
        assert_eq!(
            self.0.poll(zmq::POLLIN, PATIENCE_MS.into()),
            Ok(1),
            "an answer comes"
        );
        let mut frames = frame::receive(&self.0, 4).unwrap().unwrap();
        let payload = (frames.len() == 3).then(|| frames.remove(2));
        (decode(&frames[1]).unwrap(), payload)
    }

    /// Opens a stream and puts one chunk in.
    fn write(&mut self, pipe: &str, payload: &'static [u8]) -> Uuid {
        let (stream, pipe) = (Uuid::new_v4(), pipe.to_owned());
        let label = String::new();
        self.say(&Request::Open {
            stream,
            pipe,
            from: 0,
            resume: false,
            wait: false,
            label,
        });
        assert!(matches!(self.hear().0, Reply::Opened { .. }));
        let data = Request::Data {
            stream,
            at: 0,
            tail: 0,
            want: 0,
        };
        self.say_with(&data, Some(Bytes::from_static(payload)));
        stream
    }

    fn listen(&mut self, pipe: &str) -> Uuid {
        let (listener, pipe) = (Uuid::new_v4(), pipe.to_owned());
        let window = 1 << 20;
        self.say(&Request::Listen {
            listener,
            pipe,
            mode: Mode::Default,
            window,
            resume: None,
        });
        assert!(matches!(self.hear().0, Reply::Listening { .. }));
        listener
    }
}

#[test]
fn a_chunk_goes_through_at_every_kind_of_endpoint() {
    let path = std::env::temp_dir().join(format!("skypipe-{}", Uuid::new_v4()));
    let ipc = format!("ipc://{}", path.display());
    for endpoint in ["tcp://127.0.0.1:0", "tcp://[::1]:0", &ipc] {
        with_satellite(endpoint, |endpoint| {
            let (mut writer, mut listener) = (Client::connect(endpoint), Client::connect(endpoint));
            listener.listen("logs");
            writer.write("logs", b"a line\n");
            let (reply, payload) = listener.hear();
            assert!(
                matches!(reply, Reply::Chunk { turn: 0, at: 0, .. }),
                "{reply:?}"
            );
            assert_eq!(payload.as_deref(), Some(&b"a line\n"[..]));
        });
    }
    std::fs::remove_file(path).expect("a socket stays behind, for the next satellite to replace");
}

#[test]
fn a_client_that_breaks_the_limits_is_cut_off_and_nobody_else() {
    with_satellite("tcp://127.0.0.1:0", |endpoint| {
        let (mut rude, mut polite) = (Client::connect(endpoint), Client::connect(endpoint));
        rude.say_with(&Request::Ping, Some(vec![0; MAX_CHUNK + (1 << 16)].into()));
        for _ in 0..3 {
            frame::send(&mut rude.0, None, &[Bytes::new()]).unwrap();
            frame::send(&mut rude.0, None, &vec![Bytes::from_static(b"x"); 1000]).unwrap();
        }
        polite.say(&Request::Ping);
        assert_eq!(polite.hear().0, Reply::Pong);
        Client::connect(endpoint);
    });
}

#[test]
fn a_listener_whose_connection_has_ended_makes_room_for_the_next() {
    with_satellite("tcp://127.0.0.1:0", |endpoint| {
        let (mut writer, mut first) = (Client::connect(endpoint), Client::connect(endpoint));
        first.listen("logs");
        first.say(&Request::Bye);
        drop(first);
        writer.write("logs", b"for the next\n");
        let mut next = Client::connect(endpoint);
        next.listen("logs");
        assert_eq!(next.hear().1.as_deref(), Some(&b"for the next\n"[..]));
    });
}
