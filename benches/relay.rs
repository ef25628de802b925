//! How fast a pipe is, next to a simple relay: `cargo bench --bench relay`.
//!
//! Bulk: bytes from a pipe through the satellite into a pipe, against two hops of socat with blocks
//! of 256 KiB, in turn, several times, medians. Latency: the time of a line from the writer's stdin
//! to the waiting listener's stdout. Needs socat. Everything is on loopback, without encryption on
//! either side.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to two digits"
)]

mod common;

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use common::{Satellite, end, free_port, median, pump, setting, socat_process};

fn main() {
    let gigabytes = setting("GB", 1.0);
    let rounds = setting("ROUNDS", 5.0) as usize;
    let bytes = (gigabytes * 1e9) as u64;
    let satellite = Satellite::start(&[]);
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
    let lines = lines(&satellite, 100);
    println!(
        "first line of a writer: median {:.0} us",
        median(lines.first)
    );
    println!("a line of a live pipe: median {:.0} us", median(lines.next));
}

struct Lines {
    first: Vec<f64>,
    next: Vec<f64>,
}

fn lines(satellite: &Satellite, rounds: usize) -> Lines {
    let mut lines = Lines {
        first: Vec::new(),
        next: Vec::new(),
    };
    let mut listener = satellite.listen("line", &["-f"]);
    let mut out = listener.stdout.take().expect("its stdout is piped");
    for _ in 0..rounds {
        let mut writer = satellite.client(&["-w", "line"]);
        let mut input = writer.stdin.take().expect("its stdin is piped");
        // The client is connected and waits for its first byte, so that starting it is not
        // measured.
        let has_writer = |row: &str| row.split_whitespace().nth(3) == Some("1");
        satellite.until_listed(|row| row.starts_with("line") && has_writer(row));
        lines.first.push(one_line(&mut input, &mut out));
        lines.next.push(one_line(&mut input, &mut out));
        drop(input);
        writer.wait().expect("the writer ends");
    }
    end(listener);
    lines
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
