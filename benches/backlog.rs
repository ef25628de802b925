//! How fast unread data is written: `cargo bench --bench backlog`.
//!
//! Three things are measured in turn, several times; the result is the median. First, `dd` with
//! `conv=fdatasync` into a file. Second, bytes from a pipe through the satellite into a pipe, with
//! a listener that keeps up. Third, the same bytes into a pipe without a listener, until the writer
//! exits with 0 and they are on disk, and then out of the pipe again. All use one directory, below
//! the one that cargo keeps for benchmarks. Unread data must be at least half as fast as the slower
//! of the other two.

#![expect(
    clippy::cast_precision_loss,
    reason = "sizes and times on their way to two digits"
)]

mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Satellite, feed, median, setting};

/// The block size of `dd`, and the unit of the size.
const BLOCK: u64 = 1 << 20;

/// The least speed of unread data, as a share of the slower of the other two.
const WANTED: f64 = 0.5;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers that somebody has written"
)]
fn main() {
    let blocks = setting("MIB", 1024.0) as u64;
    let rounds = setting("ROUNDS", 5.0) as usize;
    let directory = Directory::new();
    let data = directory.0.join("data");
    let satellite = Satellite::start(&["--data", data.to_str().expect("it is text")]);
    let rate = |time: Duration| (blocks * BLOCK) as f64 / 1e6 / time.as_secs_f64();
    let (mut disk, mut live) = (Vec::new(), Vec::new());
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        disk.push(rate(dd(&directory.0, blocks)));
        live.push(rate(satellite.bulk(blocks * BLOCK)));
        let (written, read) = backlog(&satellite, blocks * BLOCK);
        kept.push(rate(written));
        taken.push(rate(read));
    }
    let (disk, live, kept) = (median(disk), median(live), median(kept));
    println!("dd {disk:.0} MB/s, live {live:.0} MB/s, backlog {kept:.0} MB/s");
    println!("the backlog is read with {:.0} MB/s", median(taken));
    let ratio = kept / disk.min(live);
    println!("backlog / min(dd, live): {ratio:.2}, wanted: {WANTED} or more");
}

/// How long writing to the disk itself takes.
fn dd(directory: &Path, blocks: u64) -> Duration {
    let file = directory.join("dd");
    let begin = Instant::now();
    let status = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", file.display()))
        .args([format!("bs={BLOCK}"), format!("count={blocks}")])
        .arg("conv=fdatasync")
        .stderr(Stdio::null())
        .status()
        .expect("dd is installed");
    let time = begin.elapsed();
    assert!(status.success(), "dd failed");
    fs::remove_file(file).expect("it was made");
    time
}

/// How long a writer without a listener takes, and then a listener that reads its data.
fn backlog(satellite: &Satellite, bytes: u64) -> (Duration, Duration) {
    let mut writer = satellite.client(&["-w", "backlog"]);
    let input = writer.stdin.take().expect("its stdin is piped");
    // The client is connected, so that starting it is not measured.
    satellite.until_listed(|row| row.starts_with("backlog"));
    let begin = Instant::now();
    feed(input, bytes);
    let status = writer.wait().expect("it is a child of ours");
    let written = begin.elapsed();
    assert!(status.success(), "the writer failed");
    let begin = Instant::now();
    let mut listener = satellite.client(&["-r", "backlog"]);
    let mut output = listener.stdout.take().expect("its stdout is piped");
    let read = io::copy(&mut output, &mut io::sink()).expect("it can be read");
    assert!(listener.wait().expect("it ends").success());
    assert_eq!(read, bytes);
    (written, begin.elapsed())
}

/// A directory that is removed when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("backlog-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("there is room for a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
