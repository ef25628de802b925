//! Tests of the lines of many writers at once.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ChildStdin;
use std::thread;

use crate::common::Environment;
use crate::heavy::{BUDGET, DEADLINE, assert_memory};

const WRITERS: usize = 50;
const LINES: usize = 20_000;

/// A line of about a hundred bytes that names its writer.
fn line(writer: usize, number: usize) -> String {
    format!(
        "{writer} {number} {:.<1$}\n",
        "",
        60 + (writer + number) % 60
    )
}

/// Writes all lines of a writer to its stdin, in pieces that need not end at line ends.
fn tell(writer: usize, stdin: ChildStdin) -> io::Result<()> {
    let mut stdin = BufWriter::with_capacity(10_007, stdin);
    for number in 0..LINES {
        stdin.write_all(line(writer, number).as_bytes())?;
    }
    stdin.flush()
}

/// Reads lines to the end. Returns how many came from each writer, complete and in order.
fn count(source: impl Read) -> Vec<usize> {
    let mut next = vec![0; WRITERS];
    for got in BufReader::with_capacity(1 << 20, source).lines() {
        let got = got.expect("it is text") + "\n";
        let writer: usize = got
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .expect(&got);
        assert_eq!(got, line(writer, next[writer]));
        next[writer] += 1;
    }
    next
}

#[test]
fn rule_13_a_million_lines_of_fifty_writers_arrive_whole() {
    let sky = Environment::sky_within(&[], DEADLINE);
    let follow = sky
        .skypipe(&["--follow", "logs"])
        .held()
        .patient(DEADLINE)
        .start();
    sky.until_listeners("logs", 1);
    let stdout = follow.take_stdout();
    let counted = thread::spawn(|| count(stdout));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let process = sky.skypipe(&["logs"]).piped().patient(DEADLINE).start();
            let stdin = process.take_stdin();
            (process, thread::spawn(move || tell(writer, stdin)))
        })
        .collect();
    for (writer, told) in writers {
        told.join().expect("no panic").expect("all is read");
        writer.outcome().whatever_it_waited_for().printed("");
    }
    sky.skypipe(&["--eof", "logs"]).done().printed("");
    follow.outcome().ended_by_eof("");
    assert_eq!(
        counted.join().expect("lines are whole"),
        vec![LINES; WRITERS]
    );
    assert_memory(&sky, BUDGET);
}
