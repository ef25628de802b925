//! A client that is a bare socket: it holds only what the protocol requires.

use skypipe::config::{Place, invited};
use skypipe_protocol::seed::SigningPair;
use skypipe_protocol::{
    Code, Confirm, Data, Finish, Hello, How, Listen, MAGIC, Mode, Open, REVISION, Reply, Request,
    Resume, decode, encode,
};
use skypipe_transport::tls::Layer;
use uuid::Uuid;

/// More bytes than a listener of these benchmarks ever receives.
const WINDOW: u64 = 16 << 20;

/// A satellite's address, and the keys if it requires any.
pub struct Door {
    endpoint: String,
    keys: Option<(SigningPair, [u8; 32])>,
}

impl Door {
    /// The satellite that `SATELLITE` would name with this text.
    pub fn of(satellite: &str) -> Self {
        match invited(satellite) {
            Ok(Place::Invited(_, token)) => Self {
                endpoint: format!("tcp://{}", token.address),
                keys: Some((token.seed.identity(), token.satellite)),
            },
            _ => Self {
                endpoint: satellite.to_owned(),
                keys: None,
            },
        }
    }
}

/// A connection, and at most one listener on it.
pub struct Client {
    socket: zmq::Socket,
    /// The TLS layer of the connection, if there is one.
    _layer: Option<Layer>,
    id: Uuid,
    listener: Uuid,
    pipe: String,
    /// How often the client had to reconnect.
    pub returns: usize,
    /// The number of streams that were opened.
    pub opened: usize,
    pub is_listening: bool,
    /// The number of streams that the satellite has received completely.
    pub finished: usize,
    pub pings: u64,
    pub pongs: u64,
    pub has_line: bool,
    pub is_done: bool,
}

impl Client {
    pub fn new(door: &Door, context: &zmq::Context) -> Self {
        let mut socket = context.socket(zmq::DEALER).expect("there are sockets left");
        socket.set_linger(0).expect("it is a time");
        socket.set_sndhwm(0).expect("it is a number");
        let layer = door.keys.as_ref().map(|(identity, satellite)| {
            let layer = Layer::client(identity, *satellite).expect("good keys");
            layer.cover(&mut socket).expect("libzmq has a record layer");
            layer
        });
        socket.connect(&door.endpoint).expect("it is an endpoint");
        Self {
            socket,
            _layer: layer,
            id: Uuid::new_v4(),
            listener: Uuid::new_v4(),
            pipe: String::new(),
            returns: 0,
            opened: 0,
            is_listening: false,
            finished: 0,
            pings: 0,
            pongs: 0,
            has_line: false,
            is_done: false,
        }
    }

    pub fn hello(&self) {
        self.say(&Request::Hello(Hello {
            client: self.id,
            revision: REVISION,
            program: "a benchmark".to_owned(),
        }));
    }

    pub fn listen(&mut self, pipe: &str) {
        pipe.clone_into(&mut self.pipe);
        self.listen_again(None);
    }

    fn listen_again(&self, resume: Option<Resume>) {
        self.say(&Request::Listen(Listen {
            listener: self.listener,
            pipe: self.pipe.clone(),
            mode: Mode::Default,
            window: WINDOW,
            resume,
        }));
    }

    /// Does what a client does after it lost its connection. libzmq has made a new one. Unanswered
    /// requests on the old connection will never be answered.
    fn come_back(&mut self) {
        self.returns += 1;
        self.pings = self.pongs;
        self.hello();
        self.listen_again(self.is_listening.then(Resume::default));
    }

    pub fn open(&self, stream: Uuid, pipe: &str) {
        self.say(&Request::Open(Open {
            stream,
            pipe: pipe.to_owned(),
            from: 0,
            resume: false,
            wait: false,
            whole: false,
            label: "a benchmark".to_owned(),
        }));
    }

    pub fn data(&self, stream: Uuid, at: u64, payload: &[u8]) {
        let data = Request::Data(Data {
            stream,
            at,
            tail: 0,
            requested: 0,
        });
        self.send(&[MAGIC, &encode(&data), payload]);
    }

    pub fn finish(&self, stream: Uuid, len: u64, how: How) {
        self.say(&Request::Finish(Finish { stream, len, how }));
    }

    pub fn ping(&mut self) {
        self.pings += 1;
        self.say(&Request::Ping);
    }

    fn confirm(&self, next_seq: u64) {
        self.say(&Request::Confirm(Confirm {
            listener: self.listener,
            next_seq,
            window: WINDOW,
        }));
    }

    pub fn say(&self, request: &Request) {
        self.send(&[MAGIC, &encode(request)]);
    }

    fn send(&self, frames: &[&[u8]]) {
        let sent = self.socket.send_multipart(frames, 0);
        sent.expect("a queue without a limit takes all");
    }

    /// Processes all messages that have arrived.
    pub fn hear(&mut self) {
        while let Ok(frames) = self.socket.recv_multipart(zmq::DONTWAIT) {
            match decode(&frames[1]).expect("the satellite makes sense") {
                Reply::Opened { .. } => self.opened += 1,
                Reply::Listening { .. } => self.is_listening = true,
                Reply::Pong => self.pongs += 1,
                Reply::Finished { stream, .. } => {
                    self.finished += 1;
                    self.say(&Request::Close { stream });
                }
                Reply::Chunk { seq, .. } => {
                    self.has_line = true;
                    self.confirm(seq + 1);
                }
                Reply::Done { seq, .. } => {
                    self.is_done = true;
                    self.confirm(seq + 1);
                }
                Reply::Error {
                    code: Code::Stranger,
                    ..
                } => self.come_back(),
                Reply::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    /// Processes messages until a condition holds.
    pub fn hear_until(&mut self, is_there: impl Fn(&Self) -> bool) {
        while !is_there(self) {
            let _ = self.socket.poll(zmq::POLLIN, 1000);
            self.hear();
        }
    }
}
