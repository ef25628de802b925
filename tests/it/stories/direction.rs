//! Reading or writing: the flags decide, else the kind of stdin.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::common::Environment;
use crate::common::terminal::Terminal;

const HINT: &str = "nothing on stdin: use -r to read, or -w to send an empty stream";

#[test]
fn cron_and_a_terminal_reach_the_same_pipe() {
    let home = Environment::here();
    let terminal = Terminal::open();
    let session = home
        .shell("echo from a terminal | skypipe notes")
        .var("TERM", "xterm")
        .var("USER", "somebody")
        .var("XDG_RUNTIME_DIR", "/run/user/1000")
        .on(&terminal)
        .start();
    assert_eq!(session.outcome().code, Some(0), "{}", terminal.screen());
    home.skypipe(&["notes"]).done().printed("from a terminal\n");

    home.shell("echo from cron | skypipe notes")
        .done()
        .printed("");
    let reader = home
        .skypipe(&["notes"])
        .var("TERM", "xterm")
        .stdin(terminal.side());
    reader.done().printed("from cron\n");
}

#[test]
fn nothing_can_come_from_a_terminal_the_null_device_and_a_closed_stdin_so_it_is_read() {
    let sky = Environment::sky(&[]);
    let terminal = Terminal::open();
    for reader in [
        sky.skypipe(&["x"]).stdin(terminal.side()),
        sky.skypipe(&["x"]),
        sky.shell("skypipe x <&-"),
    ] {
        sky.skypipe(&["x"]).fed("text").printed("");
        reader.done().printed("text");
    }
}

#[test]
fn a_file_a_pipe_and_a_socket_are_written() {
    let sky = Environment::sky(&[]);
    let (socket, mut peer) = UnixStream::pair().expect("there are descriptors left");
    peer.write_all(b"by socket").expect("it is open");
    drop(peer);
    sky.put("file", "by file");
    let file = File::open(sky.home().join("file")).expect("it is there");
    sky.skypipe(&["x"]).stdin(file).done().printed("");
    sky.skypipe(&["x"])
        .stdin(OwnedFd::from(socket))
        .done()
        .printed("");
    sky.shell("printf 'by pipe' | skypipe x").done().printed("");
    for expected in ["by file", "by socket", "by pipe"] {
        sky.skypipe(&["x"]).done().printed(expected);
    }
}

#[test]
fn who_only_seems_to_write_and_has_nothing_to_say_sends_nothing() {
    let sky = Environment::sky(&[]);
    sky.put("empty", "");
    let file = File::open(sky.home().join("empty")).expect("it is there");
    sky.skypipe(&["x"]).fed("").told(2, HINT);
    sky.skypipe(&["x"]).stdin(file).done().told(2, HINT);
    sky.shell("true | skypipe x").done().told(2, HINT);
    assert!(sky.is_gone("x"));
    sky.skypipe(&["-w", "x"]).fed("").printed("");
    assert_eq!(sky.listed("x").waiting, 1);
    sky.skypipe(&["x"]).done().printed("");
}

#[test]
fn who_says_so_writes_even_what_a_terminal_or_nothing_gives() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["-w", "x"]).done().printed("");
    sky.shell("skypipe --write x <&-").done().printed("");
    let terminal = Terminal::open();
    let writer = sky.skypipe(&["-w", "x"]).stdin(terminal.side()).start();
    terminal.types("typed\n\u{4}");
    writer.outcome().printed("");
    for expected in ["", "", "typed\n"] {
        sky.skypipe(&["x"]).done().printed(expected);
    }
}

#[test]
fn who_reads_leaves_stdin_alone() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["x"]).fed("first ").printed("");
    let shell = sky.shell("printf rest | { skypipe -r x; cat; }");
    shell.done().printed("first rest");
    sky.shell("echo a | skypipe x; echo b | skypipe x; echo c | skypipe x")
        .done()
        .printed("");
    let each_line =
        sky.shell("printf '1\\n2\\n3\\n' | while read n; do echo $n; skypipe -r x; done");
    each_line.done().printed("1\na\n2\nb\n3\nc\n");
    sky.skypipe(&["x"]).fed("for one").printed("");
    sky.shell("printf rest | { skypipe --one x; cat; }")
        .done()
        .printed("for onerest");
}
