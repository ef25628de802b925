//! After a crash, the disk contains no core dump of a memory with keys in it.

use std::fs;

use rustix::process::{Signal, kill_process};
use skypipe_protocol::token::Token;

use crate::common::Environment;
use crate::common::process::Run;
use crate::common::satellite::local_pid;
use crate::common::watchdog::number;

/// A shell prefix that lets the system write core dumps of any length.
const UNLIMITED: &str = "ulimit -S -c $(ulimit -H -c); exec ";

/// A satellite with keys, started in a shell that allows core dumps.
fn careless(environment: &Environment, words: &str) -> Run {
    environment.shell(&format!("{UNLIMITED}{words}"))
}

/// The greatest length of a core dump of a process, in bytes.
fn longest(pid: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process runs");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.expect("Linux tells").to_owned()
}

/// The files that look like core dumps.
fn images(environment: &Environment) -> Vec<String> {
    let files = fs::read_dir(environment.home()).expect("it is there");
    let names = files.map(|file| file.expect("it can be read").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("core")).collect()
}

#[test]
fn a_crash_leaves_no_image_of_a_client_or_a_satellite_with_keys() {
    let host = Environment::here();
    let words = "skypipe --satellite 127.0.0.1:0 --data data --private";
    let satellite = careless(&host, words).start();
    satellite.shows("\n");
    let invitation = String::from_utf8(satellite.shown()).expect("it is text");
    let invitation = invitation.trim();
    assert!(Token::parse(invitation).is_ok());
    let mut laptop = Environment::here();
    laptop.leads_to(invitation);
    let listener = careless(&laptop, "skypipe --follow x").start();
    laptop.until_listeners("x", 1);
    for (environment, process) in [(&laptop, listener), (&host, satellite)] {
        // 0 where the hard limit is 0. Otherwise 1, which also keeps core dumps from programs that collect
        // them.
        let longest = longest(process.pid());
        assert!(["0", "1"].contains(&&*longest), "{longest}");
        process.signal(Signal::ABORT);
        process.outcome();
        assert_eq!(images(environment), Vec::<String>::new());
    }
}

#[test]
fn a_crash_leaves_no_image_of_the_satellite_that_started_by_itself() {
    let home = Environment::here();
    careless(&home, "skypipe x").fed("a").printed("");
    let pid = local_pid(&home).expect("it runs");
    let longest = longest(pid);
    assert!(["0", "1"].contains(&&*longest), "{longest}");
    kill_process(number(pid), Signal::ABORT).expect("it is ours");
}

#[test]
fn a_command_crashes_as_it_would_without_skypipe() {
    let sky = Environment::sky(&[]);
    let script = "skypipe x -- sh -c 'ulimit -S -c'; ulimit -S -c > before";
    sky.shell(&format!("ulimit -S -c $(ulimit -H -c); {script}"))
        .done()
        .printed("");
    sky.skypipe(&["-r", "x"]).done().printed(sky.get("before"));
}
