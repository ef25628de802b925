//! How many instructions the broker's core takes for a message: `cargo bench --bench instructions`.
//!
//! The program runs itself under Callgrind (`valgrind` must be installed), which counts the
//! instructions of one function. Other programs on the machine do not affect such a count, so a
//! small change of the core is visible. The count covers the core's own steps, from the frames of
//! an incoming message to the frames that leave. It includes no socket and no kernel. Each figure
//! is the mean of [`REPETITIONS`] messages, with one pipe and with [`MANY`]. Each of the other
//! pipes has an unread line. A message with many pipes may take at most [`WANTED`] times what it
//! takes with one; otherwise the program fails.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use bytes::Bytes;
use skypipe_broker::broker::{Broker, Input, Output, Peer, Settings};
use skypipe_broker::store::Memory;
use skypipe_protocol::{
    Confirm, Data, Finish, Hello, How, Listen, MAGIC, Mode, Open, REVISION, Request, cost, encode,
};
use uuid::Uuid;

/// Tells the program that Callgrind runs it, and with how many pipes.
const PIPES: &str = "SKYPIPE_BENCH_PIPES";

/// As many pipes as a satellite can have.
const MANY: usize = 100_000;

/// The number of messages of each kind. One growth of a table weighs little in their mean.
const REPETITIONS: u32 = 2_000;

/// The most instructions with many pipes, relative to one pipe.
const WANTED: f64 = 1.05;

/// The kinds of message that are measured.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A chunk of 64 KiB, up to the chunk for the listener.
    Chunk,
    /// A chunk of one line of 100 bytes, up to the chunk for the listener.
    Line,
    /// A listener's confirmation of a line, up to the credit that it returns.
    Confirmation,
}

const KINDS: [Kind; 3] = [Kind::Chunk, Kind::Line, Kind::Confirmation];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Chunk => "a chunk of 64 KiB",
            Self::Line => "a line of 100 bytes",
            Self::Confirmation => "a confirmation",
        }
    }

    fn payload(self) -> Bytes {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        match self {
            Self::Chunk => Bytes::from_static(&ZEROS),
            Self::Line | Self::Confirmation => Bytes::from_static(&ZEROS[..100]),
        }
    }
}

fn main() -> ExitCode {
    if let Some(pipes) = env::var(PIPES).ok().and_then(|text| text.parse().ok()) {
        let mut bench = Bench::new(pipes);
        for kind in KINDS {
            phase(&mut bench, kind);
        }
        return ExitCode::SUCCESS;
    }
    let (few, many) = (count(1), count(MANY));
    println!("| instructions | 1 pipe | {MANY} pipes | ratio |");
    println!("|---|---:|---:|---:|");
    let mut is_good = true;
    for (kind, (few, many)) in KINDS.iter().zip(few.iter().zip(many)) {
        let ratio = many / few;
        is_good &= ratio <= WANTED;
        let name = kind.name();
        println!("| {name} | {few:.0} | {many:.0} | {ratio:.3} |");
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        println!("wanted: a ratio of {WANTED} or less");
        ExitCode::FAILURE
    }
}

/// The instructions for a message of each kind, as Callgrind counts them.
fn count(pipes: usize) -> Vec<f64> {
    let directory = tempfile::tempdir().expect("a directory");
    let dumps = directory.path().join("dump");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--toggle-collect=*counted*"])
        .arg("--dump-after=*phase*")
        .arg(format!("--callgrind-out-file={}", dumps.display()))
        .arg(env::current_exe().expect("this program"))
        .env(PIPES, pipes.to_string())
        .status()
        .expect("valgrind is installed");
    assert!(status.success(), "the run under valgrind failed");
    let total = |index| total(&dumps.with_extension(format!("{index}")));
    (1..=KINDS.len())
        .map(|index| total(index) / f64::from(REPETITIONS))
        .collect()
}

/// The sum in a dump of Callgrind.
fn total(dump: &Path) -> f64 {
    let text = fs::read_to_string(dump).expect("Callgrind leaves a dump after each phase");
    let total = text.lines().find_map(|line| {
        let count = line.strip_prefix("totals: ")?;
        count.trim().parse().ok()
    });
    total.expect("a dump has its sum")
}

/// Makes the broker handle a message as the satellite's loop does. Callgrind counts from the first
/// instruction of this function to its last.
#[inline(never)]
fn counted(broker: &mut Broker<Memory>, input: Input, out: &mut Vec<Output>) {
    drive(broker, input, out);
    black_box(broker.deadline());
}

fn drive(broker: &mut Broker<Memory>, input: Input, out: &mut Vec<Output>) {
    broker.handle(Duration::ZERO, input);
    while let Some(output) = broker.poll() {
        out.push(output);
    }
}

/// Sends the messages of one kind. Callgrind dumps its count after each phase.
#[inline(never)]
fn phase(bench: &mut Bench, kind: Kind) {
    for _ in 0..REPETITIONS {
        let data = bench.data(kind.payload());
        let confirm = bench.confirm();
        match kind {
            Kind::Chunk | Kind::Line => {
                bench.counted(data);
                bench.uncounted(confirm);
            }
            Kind::Confirmation => {
                bench.uncounted(data);
                bench.counted(confirm);
            }
        }
    }
    assert_eq!(bench.chunks, bench.next_seq, "chunks of the listener");
}

/// A broker with a pipe that has a writer and a listener.
struct Bench {
    broker: Broker<Memory>,
    out: Vec<Output>,
    writer: Peer,
    listener: Peer,
    stream: Uuid,
    listening: Uuid,
    /// The number of bytes written.
    at: u64,
    /// The cost of the chunks that hold these bytes.
    spent: u64,
    /// The number of chunks that a listener has to confirm.
    next_seq: u64,
    /// The number of chunks that were sent to it.
    chunks: u64,
}

impl Bench {
    fn new(pipes: usize) -> Self {
        let peer = |name: &'static str| Peer(Bytes::from_static(name.as_bytes()));
        let mut bench = Self {
            broker: Broker::new(settings(), Memory::default()),
            out: Vec::with_capacity(64),
            writer: peer("writer"),
            listener: peer("listener"),
            stream: Uuid::new_v4(),
            listening: Uuid::new_v4(),
            at: 0,
            spent: 0,
            next_seq: 0,
            chunks: 0,
        };
        let (writer, listener) = (bench.writer.clone(), bench.listener.clone());
        for peer in [&writer, &listener] {
            let hello = Request::Hello(Hello {
                client: Uuid::new_v4(),
                revision: REVISION,
                program: "a benchmark".to_owned(),
            });
            bench.say(peer, &hello, None);
        }
        for number in 1..pipes {
            bench.leave_a_line(&writer, &format!("pipe {number}"));
        }
        let listen = Request::Listen(Listen {
            listener: bench.listening,
            pipe: "x".to_owned(),
            mode: Mode::Follow,
            window: 1 << 50,
            resume: None,
        });
        bench.say(&listener, &listen, None);
        let stream = bench.stream;
        bench.open(&writer, stream, "x");
        let requested = cost(Kind::Chunk.payload().len());
        bench.say(&writer, &Request::Credit { stream, requested }, None);
        bench
    }

    /// Writes a line to a pipe and leaves. The line stays unread.
    fn leave_a_line(&mut self, writer: &Peer, pipe: &str) {
        let stream = Uuid::new_v4();
        self.open(writer, stream, pipe);
        let data = Request::Data(Data {
            stream,
            at: 0,
            tail: 0,
            requested: 0,
        });
        self.say(writer, &data, Some(Bytes::from_static(b"line\n")));
        let how = How::End;
        self.say(
            writer,
            &Request::Finish(Finish {
                stream,
                len: 5,
                how,
            }),
            None,
        );
        self.say(writer, &Request::Close { stream }, None);
    }

    fn open(&mut self, writer: &Peer, stream: Uuid, pipe: &str) {
        let open = Request::Open(Open {
            stream,
            pipe: pipe.to_owned(),
            from: 0,
            resume: false,
            wait: false,
            whole: false,
            label: "a benchmark".to_owned(),
        });
        self.say(writer, &open, None);
    }

    /// Sends a request and ignores the answer.
    fn say(&mut self, peer: &Peer, request: &Request, payload: Option<Bytes>) {
        drive(
            &mut self.broker,
            message(peer, request, payload),
            &mut self.out,
        );
        self.out.clear();
    }

    /// The next chunk of the writer, which has as much credit again.
    fn data(&mut self, payload: Bytes) -> Input {
        let price = cost(payload.len());
        let at = self.at;
        self.at += payload.len() as u64;
        self.spent += price;
        self.next_seq += 1;
        let data = Request::Data(Data {
            stream: self.stream,
            at,
            tail: 0,
            requested: self.spent + price,
        });
        message(&self.writer, &data, Some(payload))
    }

    fn confirm(&self) -> Input {
        let confirm = Request::Confirm(Confirm {
            listener: self.listening,
            next_seq: self.next_seq,
            window: 1 << 50,
        });
        message(&self.listener, &confirm, None)
    }

    fn counted(&mut self, input: Input) {
        counted(&mut self.broker, input, &mut self.out);
        self.check();
    }

    fn uncounted(&mut self, input: Input) {
        drive(&mut self.broker, input, &mut self.out);
        self.check();
    }

    /// Asserts that chunks go to the listener, acknowledgements and credit to the writer, and nothing
    /// else anywhere.
    fn check(&mut self) {
        for output in self.out.drain(..) {
            let (peer, frames) = match output {
                Output::Send { peer, frames, .. } => (peer, frames),
                // Chunks of this size need no frame credit, so theirs goes back.
                Output::Credit { peer, .. } if peer == self.writer => continue,
                other => panic!("{other:?}"),
            };
            let is_chunk = frames.len() == 3;
            self.chunks += u64::from(is_chunk);
            let is_ack = frames[1].get(2..5) == Some(b"Ack");
            assert!(
                (is_chunk && peer == self.listener) || (is_ack && peer == self.writer),
                "{frames:?} to {peer:?}"
            );
        }
    }
}

fn message(peer: &Peer, request: &Request, payload: Option<Bytes>) -> Input {
    let mut frames = vec![Bytes::from_static(MAGIC), Bytes::from(encode(request))];
    frames.extend(payload);
    Input::Received {
        peer: peer.clone(),
        key: None,
        frames,
    }
}

fn settings() -> Settings {
    Settings {
        satellite: Uuid::new_v4(),
        program: "a benchmark".to_owned(),
        since: 0,
        pid: 1,
        memory: 1 << 30,
        quota: u64::MAX,
        writer_lost: Duration::from_secs(60),
        listener_lost: Duration::from_secs(10),
        is_local: false,
        idle: None,
        stoppable: false,
        clients: 10,
    }
}
