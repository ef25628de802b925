//! Tests of a thousand programs that write at once while nobody reads.

use std::fs::File;
use std::io::{BufReader, Read};
use std::process::Stdio;

use crate::common::Environment;
use crate::heavy::on_disk::OnDisk;
use crate::heavy::{BUDGET, DEADLINE, assert_memory};

const WRITERS: usize = 1000;

/// The length of a line in bytes, and the number of lines of a writer: 4 MiB.
const LINE: usize = 1 << 10;
const LINES: usize = 4 << 10;

fn line(number: usize) -> Vec<u8> {
    let mut line = format!("{number} ").into_bytes();
    line.resize(LINE - 1, b'.');
    line.push(b'\n');
    line
}

/// A writer that reads from a file which all writers share. Its stderr goes to another shared file.
fn writer(sky: &Environment) -> crate::common::process::Process {
    let open = |name| {
        File::options()
            .append(true)
            .read(true)
            .open(sky.home().join(name))
    };
    sky.skypipe(&["-w", "x"])
        .stdin(open("lines").expect("it was made"))
        .stdout(Stdio::null())
        .stderr(open("said").expect("it was made"))
        .patient(DEADLINE)
        .start()
}

/// Reads the lines of all writers to the end. Each line is complete, and comes once for each
/// writer. It never comes before the line that precedes it.
fn read_all(source: impl Read) {
    let mut source = BufReader::with_capacity(1 << 20, source);
    let (mut got, mut times) = (vec![0; LINE], vec![0; LINES]);
    for count in 0..WRITERS * LINES {
        let read = source.read_exact(&mut got);
        read.unwrap_or_else(|error| panic!("after {count} lines: {error}"));
        let number = got.split(|byte| *byte == b' ').next();
        let number = number.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let number: usize = number.expect("a line begins with its number");
        assert!(got == line(number), "line {count}: {}", got.escape_ascii());
        times[number] += 1;
        assert!(
            number == 0 || times[number] <= times[number - 1],
            "line {number} of a writer came before the one that precedes it"
        );
    }
    assert!(times.iter().all(|times| *times == WRITERS), "{times:?}");
    let more = source.read(&mut got).expect("it is a pipe");
    assert_eq!(more, 0, "more bytes than were written");
}

#[test]
fn rule_12_a_thousand_writers_of_4_mib_into_a_pipe_whose_only_listener_sleeps() {
    let sky = OnDisk::sky();
    sky.put("lines", (0..LINES).flat_map(line).collect::<Vec<_>>());
    sky.put("said", "");
    let listener = sky.skypipe(&["-r", "-f", "x"]).held().patient(DEADLINE);
    let listener = listener.start();
    sky.until_listeners("x", 1);
    let writers: Vec<_> = (0..WRITERS).map(|_| writer(&sky)).collect();
    for writer in writers {
        let outcome = writer.outcome();
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }
    let said = sky.get("said");
    let said = String::from_utf8_lossy(&said);
    let waits = |line: &str| line.contains(" paused until ") || line.ends_with(": resuming");
    assert!(said.lines().all(waits), "{said}");
    assert_memory(&sky, BUDGET);
    sky.skypipe(&["--eof", "x"]).done().printed("");
    read_all(listener.take_stdout());
    listener.outcome().whatever_ended_it().printed("");
    assert!(sky.is_gone("x"));
    assert_memory(&sky, BUDGET);
}
