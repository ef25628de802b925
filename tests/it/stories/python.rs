//! The client in Python (`tests/python/client.py`), which was written from the specification of the wire
//! alone (`broker/protocol/src/lib.rs`): what it says is enough, and true.

use std::path::Path;
use std::process::Command;

use crate::common::Environment;
use crate::common::outcome::Outcome;
use crate::common::parts;
use crate::common::process::Run;
use crate::stories::text;

/// Where Debian's packages of Python are found.
const PYTHON: &str = "/usr/bin/python3";

/// After how many bytes the client drops its connection.
const DROP_EVERY: &str = "500000";

/// Whether Python and the packages that the client needs are there.
fn is_there() -> bool {
    let imports = Command::new(PYTHON)
        .args(["-c", "import msgpack, zmq"])
        .status();
    imports.is_ok_and(|status| status.success())
        || parts::do_without(
            "the client in Python cannot run: apt-get install python3-zmq python3-msgpack",
        )
}

/// `client.py ENDPOINT ARGUMENTS`.
fn client(sky: &Environment, arguments: &[&str]) -> Run {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/client.py");
    let mut command = Command::new(PYTHON);
    command
        .arg(script)
        .arg(sky.on_port().endpoint())
        .args(arguments);
    sky.run(command, &format!("client.py {}", arguments.join(" ")))
}

/// It exited with 0, having dropped several connections; returns what it wrote to stdout.
#[track_caller]
fn dropped_several(outcome: Outcome) -> Vec<u8> {
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let said = outcome.stderr.strip_prefix("dropped ");
    let count = said.and_then(|said| said.strip_suffix(" connections\n"));
    let count: u32 = count
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| panic!("{outcome}"));
    assert!(count >= 3, "{outcome}");
    outcome.stdout
}

#[test]
fn a_client_from_the_specification_writes_and_reads() {
    if !is_there() {
        return;
    }
    let sky = Environment::sky(&[]);
    // The last line has no end.
    let file = [text(3_000_000), b"rest".to_vec()].concat();
    client(&sky, &["write", "there"]).fed(&file).printed("");
    sky.skypipe(&["-r", "there"]).done().printed(&file);
    sky.skypipe(&["-w", "back"]).fed(&file).printed("");
    client(&sky, &["read", "back"]).done().printed(&file);
    client(&sky, &["write", "empty"]).done().printed("");
    sky.skypipe(&["-r", "empty"]).done().printed("");
    // What was confirmed is gone.
    client(&sky, &["list"]).done().printed("");
}

#[test]
fn a_client_from_the_specification_lists_and_discards() {
    if !is_there() {
        return;
    }
    let sky = Environment::sky(&[]);
    sky.skypipe(&["-w", "a"]).fed("one\n").printed("");
    sky.skypipe(&["-w", "b"]).fed("two").printed("");
    client(&sky, &["write", "b"]).fed("three").printed("");
    client(&sky, &["list"]).done().printed("a 1 4\nb 2 8\n");
    client(&sky, &["discard", "b"]).done().printed("2 8\n");
    client(&sky, &["list"]).done().printed("a 1 4\n");
}

#[test]
fn rule_16_a_client_from_the_specification_resumes_a_stream_that_it_writes() {
    if !is_there() {
        return;
    }
    let sky = Environment::sky(&[]);
    let file = text(6_000_000);
    let listener = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = client(&sky, &["write", "x", "--drop-every", DROP_EVERY]);
    assert_eq!(dropped_several(writer.fed(&file)), b"");
    listener.outcome().printed(&file);
}

#[test]
fn rule_16_a_client_from_the_specification_resumes_a_stream_that_it_reads() {
    if !is_there() {
        return;
    }
    let sky = Environment::sky(&[]);
    let file = text(6_000_000);
    let listener = client(&sky, &["read", "x", "--drop-every", DROP_EVERY]).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["-w", "x"]).fed(&file).printed("");
    assert!(dropped_several(listener.outcome()) == file);
    assert!(sky.is_gone("x"));
}

#[test]
fn rule_16_clients_from_the_specification_outlast_satellites_that_are_killed() {
    if !is_there() {
        return;
    }
    let flags = ["--data", "data"];
    let mut sky = Environment::sky(&flags);
    let file = text(8_000_000);
    let listener = client(&sky, &["read", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = client(&sky, &["write", "x"]).piped().start();
    for part in file.chunks(file.len() / 4) {
        // Whatever of it is under way at the end has to be sent again.
        writer.say(part);
        sky.kill_and_restart_sky(&flags);
    }
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed(&file);
}
