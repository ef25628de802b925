//! The satellite as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The program, which cargo puts one directory above its tests. (The variable that cargo sets for
/// this has a hyphen in its name, and does not survive the shell in `.cargo/rustc`.)
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("skypipe-satellite")
}

fn start(arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

fn end(mut child: Child, mut stderr: BufReader<ChildStderr>) -> (Option<i32>, String) {
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn it_says_where_it_listens_and_stops_in_order_at_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (child, mut stderr) = start(&["127.0.0.1:0"]);
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on tcp://")
            .unwrap()
            .to_owned();
        TcpStream::connect(&address).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let (code, said) = end(child, stderr);
        assert_eq!(code, Some(0), "{said}");
        TcpStream::connect(&address).unwrap_err();
    }
}

#[test]
fn it_ends_by_itself_when_it_has_been_idle() {
    let (child, stderr) = start(&["0", "--idle", "10ms"]);
    let (code, said) = end(child, stderr);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_makes_no_sense_or_is_not_safe_is_a_matter_of_usage() {
    for arguments in [
        &["0.0.0.0:0"][..],
        &["nonsense"],
        &["0", "--memory", "1"],
        &[],
    ] {
        let (child, stderr) = start(arguments);
        let (code, said) = end(child, stderr);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_failure_that_names_it() {
    let (first, mut stderr) = start(&["0"]);
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on tcp://").unwrap();
    let (second, said) = start(&[address]);
    let (code, said) = end(second, said);
    assert_eq!(code, Some(1));
    assert!(said.contains(address) && said.contains("in use"), "{said}");
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    end(first, stderr);
}
