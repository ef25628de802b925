//! The event loop around the broker, with real sockets on this machine only.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{Broker, Settings};
use skypipe_broker::keys::KeyRegistry;
use skypipe_broker::server::{Edge, Server};
use skypipe_broker::store::Memory;
use skypipe_protocol::secret::Secret;
use skypipe_protocol::seed::SigningPair;
use skypipe_protocol::{
    Data, Hello, Listen, MAGIC, MAX_CHUNK, Mode, NewKey, Open, PublicKey, REVISION, Reply, Request,
    Rights, decode, encode,
};
use skypipe_transport::frame::{self, Sent};
use skypipe_transport::tls::{Ending, Layer};
use uuid::Uuid;

/// How long a test waits for something that must happen, in milliseconds.
const PATIENCE_MS: i32 = 20_000;

/// The number of connections of each kind from which no message ever arrives.
const STRANGERS: usize = 200;

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
        is_local: false,
        idle: None,
        stoppable: false,
        clients: 100,
    }
}

/// Runs `play` with the endpoint of a satellite, and stops the satellite afterwards.
fn with_satellite(endpoint: &str, play: impl FnOnce(&str)) {
    serve(endpoint, None, &[], play);
}

/// The same with a satellite that admits only the `known` keys. `play` also gets the satellite's public key.
fn with_private_satellite(
    endpoint: &str,
    known: &[&SigningPair],
    play: impl FnOnce(&str, &[u8; 32]),
) {
    let own = pair();
    let known: Vec<_> = known.iter().map(|pair| pair.public).collect();
    serve(endpoint, Some(&own), &known, |endpoint| {
        play(endpoint, &own.public);
    });
}

fn serve(
    endpoint: &str,
    identity: Option<&SigningPair>,
    known: &[[u8; 32]],
    play: impl FnOnce(&str),
) {
    let server = Server::bind(endpoint, identity).unwrap();
    let endpoint = server.endpoint().to_owned();
    let (reader, writer) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let satellite = scope.spawn(move || {
            let mut broker = Broker::new(settings(), Memory::default());
            if identity.is_some() {
                broker = broker.guarded_by(registry(known), None);
            }
            let edge = Edge {
                log: &mut |line| eprintln!("log: {line}"),
                save_keys: &mut |_| Ok(()),
            };
            server.run(&mut broker, reader.as_fd(), edge)
        });
        play(&endpoint);
        drop(writer);
        satellite.join().unwrap().unwrap();
    });
}

/// Authorized keys that may do everything, named by their position.
fn registry(known: &[[u8; 32]]) -> KeyRegistry {
    let mut registry = KeyRegistry::default();
    for (number, public) in known.iter().enumerate() {
        let new = NewKey {
            name: number.to_string(),
            public: PublicKey(*public),
            encryption: PublicKey(*public),
            rights: Rights::ALL,
            pipes: Vec::new(),
            expires: None,
            quota: None,
            epoch: 0,
            sealed_keyring: None,
            attestation: None,
        };
        registry.invite(new, 0).unwrap();
    }
    registry
}

/// A new identity.
fn pair() -> SigningPair {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    SigningPair::of(Secret::new(secret))
}

fn dealer() -> zmq::Socket {
    dealer_in(&zmq::Context::new())
}

fn dealer_in(context: &zmq::Context) -> zmq::Socket {
    let socket = context.socket(zmq::DEALER).unwrap();
    socket.set_ipv6(true).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(PATIENCE_MS).unwrap();
    socket
}

/// Makes `socket` speak to the satellite with this `public` key, as long as the layer exists.
fn set_keys(socket: &mut zmq::Socket, public: &[u8; 32], own: &SigningPair) -> Layer {
    let layer = Layer::client(own, *public).unwrap();
    layer.cover(socket).unwrap();
    layer
}

/// A simple SKYPIPE/1 client that does nothing by itself.
struct Client(zmq::Socket);

impl Client {
    fn connect(endpoint: &str) -> Self {
        Self::introduce(dealer(), endpoint)
    }

    /// Connects to the satellite with this `public` key.
    fn connect_with(endpoint: &str, public: &[u8; 32], own: &SigningPair) -> Self {
        let mut socket = dealer();
        let layer = set_keys(&mut socket, public, own);
        let client = Self::introduce(socket, endpoint);
        drop(layer);
        client
    }

    fn introduce(socket: zmq::Socket, endpoint: &str) -> Self {
        socket.connect(endpoint).unwrap();
        let mut client = Self(socket);
        client.hello();
        client
    }

    fn hello(&mut self) {
        let client = Uuid::new_v4();
        self.say(&Request::Hello(Hello {
            client,
            revision: REVISION,
            program: String::new(),
        }));
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
        let mut frames: Vec<Bytes> = (self.0.recv_multipart(0).unwrap().into_iter())
            .map(Bytes::from)
            .collect();
        let payload = (frames.len() == 3).then(|| frames.remove(2));
        (decode(&frames[1]).unwrap(), payload)
    }

    /// Opens a stream and sends one chunk.
    fn write(&mut self, pipe: &str, payload: &'static [u8]) -> Uuid {
        let (stream, pipe) = (Uuid::new_v4(), pipe.to_owned());
        let label = String::new();
        self.say(&Request::Open(Open {
            stream,
            pipe,
            from: 0,
            resume: false,
            wait: false,
            whole: false,
            label,
        }));
        assert!(matches!(self.hear().0, Reply::Opened { .. }));
        let data = Request::Data(Data {
            stream,
            at: 0,
            tail: 0,
            requested: 0,
        });
        self.say_with(&data, Some(Bytes::from_static(payload)));
        stream
    }

    fn listen(&mut self, pipe: &str) -> Uuid {
        let (listener, pipe) = (Uuid::new_v4(), pipe.to_owned());
        let window = 1 << 20;
        self.say(&Request::Listen(Listen {
            listener,
            pipe,
            mode: Mode::Default,
            window,
            resume: None,
        }));
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
                matches!(reply, Reply::Chunk { seq: 0, at: 0, .. }),
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

#[test]
fn whose_key_is_known_gets_through() {
    for endpoint in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        let (ours, others) = (pair(), pair());
        with_private_satellite(endpoint, &[&ours, &others], |endpoint, public| {
            let mut writer = Client::connect_with(endpoint, public, &ours);
            let mut listener = Client::connect_with(endpoint, public, &others);
            listener.listen("logs");
            writer.write("logs", b"a line\n");
            assert_eq!(listener.hear().1.as_deref(), Some(&b"a line\n"[..]));
        });
    }
}

/// How the handshake with `endpoint` ends for a client with these keys: the satellite's public key and the
/// client's own pair. Also returns TLS's reason.
fn handshake(
    endpoint: &str,
    keys: Option<(&[u8; 32], &SigningPair)>,
) -> (zmq::SocketEvent, Option<Ending>) {
    let context = zmq::Context::new();
    let mut socket = dealer_in(&context);
    let _layer = keys.map(|(public, own)| set_keys(&mut socket, public, own));
    let events = [
        zmq::SocketEvent::HANDSHAKE_SUCCEEDED,
        zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
        zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
        zmq::SocketEvent::DISCONNECTED,
    ];
    let events = events.map(|event| i32::from(event.to_raw()));
    socket
        .monitor("inproc://monitor", events.iter().sum())
        .unwrap();
    let monitor = context.socket(zmq::PAIR).unwrap();
    monitor.connect("inproc://monitor").unwrap();
    monitor.set_rcvtimeo(PATIENCE_MS).unwrap();
    socket.connect(endpoint).unwrap();
    let told = monitor.recv_bytes(0).unwrap();
    let event = zmq::SocketEvent::from_raw(u16::from_ne_bytes([told[0], told[1]]));
    let value = u32::from_ne_bytes([told[2], told[3], told[4], told[5]]);
    frame::end_monitor(&mut socket);
    (event, Ending::of(value))
}

#[test]
fn nobody_else_gets_through() {
    use zmq::SocketEvent as Event;
    let ours = pair();
    with_private_satellite("tcp://127.0.0.1:0", &[&ours], |endpoint, public| {
        let (known, _) = handshake(endpoint, Some((public, &ours)));
        assert_eq!(known, Event::HANDSHAKE_SUCCEEDED);
        let failed = Event::HANDSHAKE_FAILED_NO_DETAIL;
        let unknown = handshake(endpoint, Some((public, &pair())));
        assert_eq!(unknown, (failed, Some(Ending::Refused)));
        let elsewhere = handshake(endpoint, Some((&pair().public, &ours)));
        assert_eq!(elsewhere, (failed, Some(Ending::Impostor)));
        let (plain, _) = handshake(endpoint, None);
        assert_ne!(plain, Event::HANDSHAKE_SUCCEEDED);
    });
}

#[test]
fn a_private_satellite_ends_while_others_are_connected_and_connect() {
    let ours = pair();
    let mut connected = Vec::new();
    let mut connecting = Vec::new();
    with_private_satellite("tcp://127.0.0.1:0", &[&ours], |endpoint, public| {
        for _ in 0..20 {
            connected.push(Client::connect_with(endpoint, public, &ours));
        }
        for _ in 0..20 {
            let mut socket = dealer();
            let layer = set_keys(&mut socket, public, &ours);
            socket.connect(endpoint).unwrap();
            connecting.push((socket, layer));
        }
    });
    assert_eq!((connected.len(), connecting.len()), (20, 20));
}

/// What idle connections send: nothing at all, the beginning of a record, a garbage record, and messages of
/// other protocols.
fn idle_talk() -> Vec<Vec<u8>> {
    let record = [0x16, 3, 1, 1, 0];
    vec![
        Vec::new(),
        record.to_vec(),
        [&record[..], &[0xa5; 300]].concat(),
        vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ]
}

#[test]
fn connections_of_which_nothing_comes_are_closed_and_stop_nobody() {
    let ours = pair();
    with_private_satellite("tcp://127.0.0.1:0", &[&ours], |endpoint, public| {
        let address = endpoint.strip_prefix("tcp://").unwrap();
        let mut strangers = Vec::new();
        let mut listener = Client::connect_with(endpoint, public, &ours);
        listener.listen("logs");
        for said in idle_talk() {
            for _ in 0..STRANGERS {
                let mut stranger = TcpStream::connect(address).unwrap();
                stranger.write_all(&said).unwrap();
                strangers.push(stranger);
            }
            // Meanwhile, a new connection and a transfer work.
            let mut writer = Client::connect_with(endpoint, public, &ours);
            writer.write("logs", b"a line\n");
            assert_eq!(listener.hear().1.as_deref(), Some(&b"a line\n"[..]));
        }
        for stranger in &mut strangers {
            await_end(stranger);
        }
        listener.say(&Request::Ping);
        while listener.hear().0 != Reply::Pong {}
    });
}

/// Waits until the satellite has closed the connection, whatever the satellite sends before.
fn await_end(stranger: &mut TcpStream) {
    let patience = Duration::from_millis(PATIENCE_MS.unsigned_abs().into());
    stranger.set_read_timeout(Some(patience)).unwrap();
    let mut heard = [0; 4096];
    loop {
        match stranger.read(&mut heard) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("it is not closed: {error}"),
        }
    }
}
