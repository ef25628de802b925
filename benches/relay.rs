//! How fast a pipe is, beside a relay that knows nothing: `cargo bench --bench relay`.
//!
//! Bulk: bytes from a pipe through the satellite into a pipe, against two hops of socat with blocks
//! of 256 KiB, in turn, several times, medians. Latency: how long a line takes from the writer's
//! stdin to the waiting listener's stdout. Needs socat. All on loopback, no encryption on either side.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to two digits"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

fn main() {
    let gigabytes = setting("GB", 1.0);
    let rounds = setting("ROUNDS", 5.0) as usize;
    let bytes = (gigabytes * 1e9) as u64;
    let satellite = Satellite::start();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(bytes as f64 / 1e6 / satellite.bulk(bytes).as_secs_f64());
        theirs.push(bytes as f64 / 1e6 / socat(bytes).as_secs_f64());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "bulk: skypipe {ours:.0} MB/s, socat two hops {theirs:.0} MB/s, ratio {:.2}",
        ours / theirs
    );
    let lines = satellite.lines(100);
    println!(
        "first line of a writer: median {:.0} us",
        median(lines.first)
    );
    println!("a line of a live pipe: median {:.0} us", median(lines.next));
}

fn setting(name: &str, default: f64) -> f64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A satellite on a port of its own, which ends with this value.
struct Satellite {
    process: Child,
    endpoint: String,
}

struct Lines {
    first: Vec<f64>,
    next: Vec<f64>,
}

impl Satellite {
    fn start() -> Self {
        let mut process = Command::new(SKYPIPE)
            .args(["--satellite", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the satellite starts");
        let mut line = String::new();
        let stderr = process.stderr.as_mut().expect("its stderr is piped");
        BufReader::new(stderr)
            .read_line(&mut line)
            .expect("it says where it listens");
        let endpoint = line
            .split("listening on ")
            .nth(1)
            .expect("an endpoint")
            .trim()
            .to_owned();
        Self { process, endpoint }
    }

    fn client(&self, args: &[&str]) -> Child {
        Command::new(SKYPIPE)
            .args(args)
            .env("SATELLITE", &self.endpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client starts")
    }

    fn listen(&self, pipe: &str, how: &[&str]) -> Child {
        let child = self.client(&[&["-r", pipe], how].concat());
        self.until_listed(|row| row.starts_with(pipe));
        child
    }

    /// Asks for the pipes until one of them looks like this.
    fn until_listed(&self, good: impl Fn(&str) -> bool) {
        let mut is_there = false;
        while !is_there {
            let list = self.client(&["--list"]).wait_with_output();
            let rows = String::from_utf8(list.expect("a list").stdout).expect("text");
            is_there = rows.lines().any(&good);
        }
    }

    fn bulk(&self, bytes: u64) -> Duration {
        let listener = self.listen("bulk", &[]);
        let writer = self.client(&["-w", "bulk"]);
        pump(bytes, writer, listener)
    }

    fn lines(&self, rounds: usize) -> Lines {
        let mut lines = Lines {
            first: Vec::new(),
            next: Vec::new(),
        };
        let mut listener = self.listen("line", &["-f"]);
        let mut out = listener.stdout.take().expect("its stdout is piped");
        for _ in 0..rounds {
            let mut writer = self.client(&["-w", "line"]);
            let mut input = writer.stdin.take().expect("its stdin is piped");
            // Connected and waiting for its first byte: the time of exec is not the pipe's.
            let has_writer = |row: &str| row.split_whitespace().nth(3) == Some("1");
            self.until_listed(|row| row.starts_with("line") && has_writer(row));
            lines.first.push(one_line(&mut input, &mut out));
            lines.next.push(one_line(&mut input, &mut out));
            drop(input);
            writer.wait().expect("the writer ends");
        }
        end(listener);
        lines
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn one_line(input: &mut ChildStdin, out: &mut ChildStdout) -> f64 {
    let begin = Instant::now();
    input
        .write_all(b"a line of text\n")
        .expect("the writer reads");
    let mut line = [0; 15];
    out.read_exact(&mut line).expect("the line arrives");
    begin.elapsed().as_secs_f64() * 1e6
}

/// Two hops: a sender, a relay, a receiver.
fn socat(bytes: u64) -> Duration {
    let (left, right) = (free_port(), free_port());
    let relay = socat_process(&[
        &format!("TCP-LISTEN:{left},bind=127.0.0.1"),
        &format!("TCP-LISTEN:{right},bind=127.0.0.1"),
    ]);
    let sender = socat_process(&[
        "STDIN",
        &format!("TCP:127.0.0.1:{left},retry=100,interval=0.01"),
    ]);
    let receiver = socat_process(&[
        &format!("TCP:127.0.0.1:{right},retry=100,interval=0.01"),
        "STDOUT",
    ]);
    let time = pump(bytes, sender, receiver);
    end(relay);
    time
}

fn socat_process(addresses: &[&str]) -> Child {
    Command::new("socat")
        .args(["-u", "-b262144"])
        .args(addresses)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat is installed")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("an address").port()
}

/// Writes so many bytes to one process and reads them from the other.
fn pump(bytes: u64, mut writer: Child, mut listener: Child) -> Duration {
    let mut input = writer.stdin.take().expect("its stdin is piped");
    let mut output = listener.stdout.take().expect("its stdout is piped");
    // The first byte is not timed: it waits for connections to stand.
    input.write_all(b"\n").expect("the writer reads");
    output.read_exact(&mut [0]).expect("the first byte arrives");
    let begin = Instant::now();
    let feeder = std::thread::spawn(move || {
        let block = vec![b'x'; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            input.write_all(&block[..size]).expect("the writer reads");
            left -= size as u64;
        }
    });
    let mut block = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let size = output.read(&mut block).expect("the listener writes") as u64;
        assert!(size > 0, "{left} bytes are missing");
        left -= size;
    }
    let time = begin.elapsed();
    feeder.join().expect("the feeder ends");
    writer.wait().expect("the writer ends");
    drop(output);
    listener.wait().expect("the listener ends");
    time
}

fn end(mut process: Child) {
    let _ = process.kill();
    let _ = process.wait();
}
