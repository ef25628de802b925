//! Tests that a statically linked program loads nothing from the host.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use crate::common::satellite::Satellite;
use crate::common::{SKYPIPE, parts};
use crate::names::machine::Machine;

/// The files that skypipe itself, and not `getent`, opened or tried to open.
fn opened(trace: &str) -> Vec<String> {
    let mut others = HashSet::new();
    let mut opened = Vec::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').expect("each line has a number");
        let path = call.split('"').nth(1).unwrap_or_default();
        if call.contains("execve(") && !path.ends_with("/skypipe") {
            others.insert(pid);
        }
        if call.contains("open") && !path.is_empty() && !others.contains(pid) {
            opened.push(path.to_owned());
        }
    }
    opened
}

/// Runs a command and traces its calls. Returns which files it opened.
fn watched(
    machine: &Machine,
    satellite: Option<&str>,
    path: &str,
    arguments: &[&str],
) -> Vec<String> {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e", "trace=execve,open,openat", "-o", "trace"])
        .arg("-E")
        .arg(format!("PATH={path}"))
        .arg(SKYPIPE)
        .args(arguments);
    let run = machine.home.run(command, &arguments.join(" "));
    let run = match satellite {
        Some(satellite) => run.var("SATELLITE", satellite),
        // The home directory is that of whoever runs the tests. Nothing is to start there.
        None => run.without("HOME").var("SKYPIPE_DATA", "memory"),
    };
    let outcome = run.done();
    assert!(outcome.code.is_some_and(|code| code < 128), "{outcome}");
    let trace = fs::read(machine.home.home().join("trace")).expect("strace wrote it");
    let opened = opened(&String::from_utf8_lossy(&trace));
    assert!(!opened.is_empty(), "nothing was watched: {outcome}");
    opened
}

/// The satellite's first invitation, with the name of its host.
fn invitation(satellite: &Satellite) -> String {
    satellite.process().shows("\n");
    let shown = String::from_utf8(satellite.process().shown()).expect("it is text");
    shown.trim().replace("127.0.0.1", "sky.test")
}

#[test]
fn no_command_loads_a_library_of_the_host_whatever_it_looks_up() {
    let all = "mymachines resolve [!UNAVAIL=return] mdns4_minimal files myhostname dns";
    let Some(machine) = Machine::new(all) else {
        return;
    };
    if machine.home.shell("command -v strace").done().code != Some(0) {
        let _ = parts::do_without("strace is not there: apt-get install strace");
        return;
    }
    machine.home.put(
        "etc/nsswitch.conf",
        format!("passwd: systemd files\ngroup: systemd files\nservices: db files\nhosts: {all}\n"),
    );
    let (_satellite, plain) = machine.satellite("127.0.0.1:0", &[]);
    let (private, _) = machine.satellite("127.0.0.1:0", &["--data", "data", "--private"]);
    let invitation = invitation(&private);
    let (nobody, plain, invited) = (
        Some("tcp://nobody.test:9"),
        Some(&*plain),
        Some(&*invitation),
    );
    let commands: [(Option<&str>, &[&str]); 13] = [
        (plain, &["--check"]),
        (plain, &["-w", "x"]),
        (plain, &["-r", "x"]),
        (plain, &["--list"]),
        (plain, &["--eof", "x"]),
        (plain, &["--discard", "x"]),
        (nobody, &["--connect-timeout", "100ms", "--check"]),
        (invited, &["--check"]),
        (invited, &["--invite", "box"]),
        (invited, &["--revoke", "box"]),
        (invited, &["-w", "x"]),
        (None, &["--check"]),
        (None, &["--list"]),
    ];
    for (satellite, arguments) in commands {
        // With getent, the program uses its answer. Without it, the program looks the name up
        // itself.
        for path in ["/usr/bin:/bin", "/nowhere"] {
            let opened = watched(&machine, satellite, path, arguments);
            let is_library = |path: &&String| path.contains(".so") || path.contains("gconv");
            let loaded = opened.iter().find(is_library);
            assert_eq!(loaded, None, "skypipe {arguments:?}");
            if satellite.is_some() && path == "/nowhere" {
                assert!(
                    opened.iter().any(|path| path == "/etc/hosts"),
                    "{arguments:?}: {opened:?}"
                );
            }
        }
    }
}
