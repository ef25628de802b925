//! Stdin, stdout and stderr that are closed, full, or have lost their other end (rules 10 and 15).

use std::fs::{self, OpenOptions};
use std::io::{Read as _, pipe};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::common::Environment;

const CLOSED: &str = "stdout is closed";
const READ_ONLY: &str = "stdout is not open for writing";

#[test]
fn rule_10_a_listener_without_a_stdout_takes_nothing() {
    let sky = Environment::sky(&[]);
    for text in ["text", ""] {
        sky.skypipe(&["-w", "x"]).fed(text).printed("");
        for mode in ["-r", "--one", "--follow", "--tap"] {
            let closed = sky.shell(&format!("skypipe {mode} x >&-")).done();
            assert_eq!(closed.told(1, CLOSED), b"");
            let read_only = sky.shell(&format!("skypipe {mode} x 1</dev/null")).done();
            assert_eq!(read_only.told(1, READ_ONLY), b"");
        }
        assert_eq!(sky.listed("x").waiting, 1);
        sky.skypipe(&["x"]).done().printed(text);
    }
}

#[test]
fn what_was_asked_for_and_cannot_be_printed_is_a_failure() {
    let sky = Environment::sky(&[]);
    for asked in ["--help", "--version", "--list", "--check"] {
        let closed = sky.shell(&format!("skypipe {asked} >&-")).done();
        closed.told(1, CLOSED);
        let read_only = sky.shell(&format!("skypipe {asked} 1</dev/null")).done();
        read_only.told(1, READ_ONLY);
        let full = OpenOptions::new().write(true).open("/dev/full");
        let full = full.expect("Linux has it");
        let full = sky.skypipe(&[asked]).stdout(full).done();
        full.told(1, "cannot write to stdout: No space left on device");
        // A reader that closes the pipe has seen enough.
        let (reader, writer) = pipe().expect("descriptors are left");
        drop(reader);
        sky.skypipe(&[asked]).stdout(writer).done().printed("");
    }
}

#[test]
fn no_connection_gets_the_number_of_a_closed_descriptor() {
    let sky = Environment::sky(&[]);
    let listener = sky.shell("exec skypipe -r x <&- 2>&-").start();
    sky.until_listeners("x", 1);
    for number in [0, 2] {
        let link = fs::read_link(format!("/proc/{}/fd/{number}", listener.pid()));
        assert_eq!(link.expect("it runs"), PathBuf::from("/dev/null"));
    }
    sky.shell("echo a | skypipe x >&- 2>&-").done().printed("");
    listener.outcome().printed("a\n");
    sky.shell("skypipe -w x <&- >&- 2>&-").done().printed("");
    sky.skypipe(&["x"]).done().printed("");
}

/// A listener with stdout `ours` ends as soon as `theirs` is closed, and takes nothing more.
fn ends_with_its_reader(sky: &Environment, ours: OwnedFd, theirs: impl Sized) {
    let listener = sky.skypipe(&["x"]).stdout(ours).start();
    sky.until_listeners("x", 1);
    drop(theirs);
    listener.outcome().printed("");
    sky.skypipe(&["x"]).fed("not lost").printed("");
    sky.skypipe(&["x"]).done().printed("not lost");
}

#[test]
fn rule_15_a_listener_ends_when_the_reader_of_its_socket_is_gone() {
    let sky = Environment::sky(&[]);
    let (ours, theirs) = UnixStream::pair().expect("descriptors are left");
    ends_with_its_reader(&sky, ours.into(), theirs);
    let listening = TcpListener::bind("127.0.0.1:0").expect("ports are left");
    let address = listening.local_addr().expect("it is bound");
    let theirs = TcpStream::connect(address).expect("somebody listens");
    let (ours, _) = listening.accept().expect("somebody connects");
    ends_with_its_reader(&sky, ours.into(), theirs);
}

#[test]
fn a_reader_of_a_socket_that_has_nothing_to_send_still_reads() {
    let sky = Environment::sky(&[]);
    let (ours, mut theirs) = UnixStream::pair().expect("descriptors are left");
    theirs.shutdown(Shutdown::Write).expect("it is open");
    let listener = sky.skypipe(&["x"]).stdout(OwnedFd::from(ours)).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["x"]).fed("text").printed("");
    listener.outcome().printed("");
    let mut read = String::new();
    theirs.read_to_string(&mut read).expect("it is open");
    assert_eq!(read, "text");
}
