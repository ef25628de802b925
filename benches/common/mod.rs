//! What benchmarks share: a satellite, its clients, and bytes through them.

#![allow(dead_code, reason = "each benchmark uses another part of what is here")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const SKYPIPE: &str = env!("CARGO_BIN_EXE_skypipe");

/// A number from the environment.
pub fn setting(name: &str, default: f64) -> f64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A satellite on its own port, which is stopped when this is dropped.
pub struct Satellite {
    process: Child,
    endpoint: String,
}

impl Satellite {
    /// Starts a satellite with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(SKYPIPE)
            .args(["--satellite", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the satellite starts");
        let stderr = process.stderr.take().expect("its stderr is piped");
        let endpoint = BufReader::new(stderr).lines().find_map(|line| {
            let line = line.expect("it says where it listens");
            line.strip_prefix("listening on ").map(str::to_owned)
        });
        let endpoint = endpoint.expect("an endpoint");
        Self { process, endpoint }
    }

    /// Starts a satellite that stores unread data in this directory, and accepts only whoever has
    /// its first invitation.
    pub fn private(data: &Path, flags: &[&str]) -> Self {
        let mut process = Command::new(SKYPIPE)
            .args(["--satellite", "127.0.0.1:0", "--private", "--data"])
            .arg(data)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the satellite starts");
        let stdout = process.stdout.take().expect("its stdout is piped");
        let mut endpoint = String::new();
        BufReader::new(stdout)
            .read_line(&mut endpoint)
            .expect("it prints its first invitation");
        let endpoint = endpoint.trim().to_owned();
        Self { process, endpoint }
    }

    /// The satellite's address, as in `SATELLITE`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The satellite's process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts `skypipe ARGUMENTS`.
    pub fn client(&self, args: &[&str]) -> Child {
        Command::new(SKYPIPE)
            .args(args)
            .env("SATELLITE", &self.endpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client starts")
    }

    /// Starts a listener, and waits until the satellite knows it.
    pub fn listen(&self, pipe: &str, how: &[&str]) -> Child {
        let child = self.client(&[&["-r", pipe], how].concat());
        self.until_listed(|row| row.starts_with(pipe));
        child
    }

    /// Lists the pipes repeatedly until one row satisfies the condition.
    pub fn until_listed(&self, good: impl Fn(&str) -> bool) {
        let mut is_there = false;
        while !is_there {
            let list = self.client(&["--list"]).wait_with_output();
            let rows = String::from_utf8(list.expect("a list").stdout).expect("text");
            is_there = rows.lines().any(&good);
        }
    }

    /// How long this many bytes take from a writer to a waiting listener.
    pub fn bulk(&self, bytes: u64) -> Duration {
        let listener = self.listen("bulk", &[]);
        let writer = self.client(&["-w", "bulk"]);
        pump(bytes, writer, listener)
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes this many bytes to one process and reads them from the other.
pub fn pump(bytes: u64, mut writer: Child, mut listener: Child) -> Duration {
    let mut input = writer.stdin.take().expect("its stdin is piped");
    let mut output = listener.stdout.take().expect("its stdout is piped");
    // The first byte is not timed, because it waits for the connections.
    input.write_all(b"\n").expect("the writer reads");
    output.read_exact(&mut [0]).expect("the first byte arrives");
    let begin = Instant::now();
    let feeder = std::thread::spawn(move || feed(input, bytes));
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
    // Read to the end: a reader that leaves before that leaves the rest in the pipe.
    let rest = std::io::copy(&mut output, &mut std::io::sink());
    assert_eq!(rest.expect("the listener ends"), 0, "no byte too many");
    listener.wait().expect("the listener ends");
    time
}

/// Writes this many bytes to a process.
pub fn feed(mut input: ChildStdin, bytes: u64) {
    let block = vec![b'x'; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        input.write_all(&block[..size]).expect("the writer reads");
        left -= size as u64;
    }
}

/// Kills a process, and waits for its end.
pub fn end(mut process: Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// A socat in one direction, with blocks of 256 KiB.
pub fn socat_process(addresses: &[&str]) -> Child {
    Command::new("socat")
        .args(["-u", "-b262144"])
        .args(addresses)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("socat is installed")
}

/// A free loopback port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("an address").port()
}
