//! Clients of SKYPIPE/0.1 among themselves: what the original did, and what it should have done.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::Environment;
use crate::peers::lines;
use crate::peers::old::Old;

#[test]
fn a_hello_is_answered() {
    let environment = Environment::sky(&[]);
    Old::new(&environment).settle();
}

#[test]
fn what_is_written_before_anybody_listens_is_kept_and_comes_with_its_end() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    let lines = lines("kept", 100);
    writer.write("p", &lines);
    environment.until_waiting("p", 1);
    assert_eq!(reader.take("p"), lines.concat());
}

#[test]
fn the_pipe_without_a_name_is_one_too() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    reader.listen("");
    writer.write("", &lines("default", 3));
    assert_eq!(reader.read(""), lines("default", 3).concat());
}

/// The original lost the second file, which had come before the reader's UNLISTEN.
#[test]
fn two_stored_files_come_out_one_after_the_other() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    let (first, second) = (lines("first", 1000), lines("second", 1000));
    writer.write("p", &first);
    writer.write("p", &second);
    environment.until_waiting("p", 2);
    assert_eq!(reader.take("p"), first.concat());
    reader.unlisten("p");
    assert!(reader.has_nothing(), "one stream at a time");
    assert_eq!(Old::new(&environment).take("p"), second.concat());
}

/// The original mixed them, and the first end cut both.
#[test]
fn two_writers_at_once_do_not_mix_in_what_waits() {
    let environment = Environment::sky(&[]);
    let files = [lines("a", 5000), lines("b", 5000)];
    thread::scope(|scope| {
        for file in &files {
            let writer = Old::new(&environment);
            scope.spawn(move || writer.write("p", file));
        }
    });
    environment.until_listed("p", "both have finished", |line| {
        (line.waiting, line.writers) == (2, 0)
    });
    let mut read = [(); 2].map(|()| Old::new(&environment).take("p"));
    read.sort();
    assert!(read == files.map(|file| file.concat()));
}

#[test]
fn a_live_listener_gets_each_line_when_it_is_written() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    reader.listen("p");
    reader.settle();
    for line in lines("live", 20) {
        writer.data("p", &line);
        assert_eq!(reader.next(), ("p".to_owned(), line));
    }
    writer.end("p");
    assert_eq!(reader.next(), ("p".to_owned(), Vec::new()));
}

#[test]
fn live_listeners_all_get_everything() {
    let environment = Environment::sky(&[]);
    let mut readers = [(); 5].map(|()| Old::new(&environment));
    for reader in &mut readers {
        reader.listen("p");
        reader.settle();
    }
    let lines = lines("all", 2000);
    Old::new(&environment).write("p", &lines);
    for reader in &mut readers {
        assert_eq!(reader.read("p"), lines.concat());
    }
}

#[test]
fn two_live_writers_are_merged_by_whole_lines_and_end_with_the_last() {
    let environment = Environment::sky(&[]);
    let (a, b, mut reader) = (
        Old::new(&environment),
        Old::new(&environment),
        Old::new(&environment),
    );
    reader.listen("p");
    reader.settle();
    let (a_lines, b_lines) = (lines("a", 1000), lines("b", 1000));
    for (line, other) in a_lines.iter().zip(&b_lines) {
        a.data("p", line);
        b.data("p", other);
    }
    a.end("p");
    b.end("p");
    let read = reader.read("p");
    let of = |name: &[u8]| -> Vec<u8> {
        let own = read.split_inclusive(|byte| *byte == b'\n');
        own.filter(|line| line.starts_with(name))
            .flatten()
            .copied()
            .collect()
    };
    // If the first end came before the other writer's first line, that line waits.
    assert_eq!(of(b"a "), a_lines.concat());
    if !of(b"b ").is_empty() {
        assert_eq!(of(b"b "), b_lines.concat());
    }
}

#[test]
fn after_unlisten_nothing_comes_and_what_is_written_waits() {
    let environment = Environment::sky(&[]);
    let (mut writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    reader.listen("p");
    reader.settle();
    writer.data("p", "before\n");
    assert_eq!(reader.next().1, b"before\n");
    reader.unlisten("p");
    reader.settle();
    writer.data("p", "after\n");
    writer.end("p");
    writer.settle();
    assert!(reader.has_nothing());
    assert_eq!(Old::new(&environment).take("p"), b"after\n");
}

#[test]
fn one_peer_may_listen_to_several_pipes() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    for pipe in ["p", "q", "r"] {
        reader.listen(pipe);
    }
    reader.settle();
    for pipe in ["r", "p", "q"] {
        writer.data(pipe, "text\n");
        assert_eq!(reader.next(), (pipe.to_owned(), b"text\n".to_vec()));
    }
}

#[test]
fn the_message_that_ended_the_original_server_does_nothing() {
    let environment = Environment::sky(&[]);
    let mut peer = Old::new(&environment);
    peer.send(&[b"DATA", b"p"]);
    peer.send(&[]);
    peer.send(&[b"DATA"]);
    peer.send(&[b"LISTEN"]);
    peer.send(&[b"NONSENSE", b"p", b"x"]);
    peer.settle();
    Old::new(&environment).write("p", &lines("still", 3));
    assert_eq!(peer.take("p"), lines("still", 3).concat());
    assert!(environment.on_port().process().runs());
}

/// The original's reader received 14,500 of these lines; ROUTER had dropped the others.
#[test]
fn a_reader_that_pauses_two_seconds_gets_all_50_000_lines() {
    let environment = Environment::sky(&[]);
    let (writer, mut reader) = (Old::new(&environment), Old::new(&environment));
    reader.listen("p");
    reader.settle();
    let lines = lines("log line", 50_000);
    writer.write("p", &lines);
    assert_eq!(reader.next().1, lines[0]);
    let until = Instant::now() + Duration::from_secs(2);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
    assert!(reader.read("p") == lines[1..].concat());
}

#[test]
fn a_writer_is_cut_where_the_room_ends_and_begins_anew_after_its_end() {
    let environment = Environment::sky(&["--memory", "4MiB"]);
    let mut writer = Old::new(&environment);
    let line = [vec![b'x'; 8191], b"\n".to_vec()].concat();
    for _ in 0..600 {
        writer.data("p", &line);
    }
    writer.settle();
    environment
        .on_port()
        .process()
        .complains("a 0.1 writer was cut");
    writer.end("p");
    writer.write("p", &lines("anew", 3));
    let cut = environment.skypipe(&["-r", "p"]).done();
    let read = cut.told(3, "no room was left, and its protocol (0.1) cannot wait");
    assert!(
        read.len() > 3 << 20 && read.len().is_multiple_of(line.len()),
        "{} bytes",
        read.len()
    );
    environment
        .skypipe(&["-r", "p"])
        .done()
        .printed(lines("anew", 3).concat());
}
