//! Tests that the satellite does not inherit from its first user, and that it notices when its
//! files are removed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::common::Environment;
use crate::common::watchdog::{is_local_satellite, number};
use crate::common::{parts, wait};
use crate::local::{the_satellite, until_none_runs};

/// A line of a file in the process's `/proc` directory: the text after its name.
fn line(pid: u32, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("Linux tells").trim().to_owned()
}

/// The directory with the satellite's unread data.
fn data(home: &Environment) -> PathBuf {
    home.home().join(".local/share/skypipe")
}

#[test]
fn the_first_user_s_limits_signals_umask_and_secrets_are_not_everybody_s() {
    let home = Environment::here();
    let script = "ulimit -S -f 64; ulimit -S -t 600; ulimit -S -v 4000000; trap '' TERM HUP INT USR1 XFSZ; \
        umask 0777; TOKEN=secret; export TOKEN; echo first | skypipe x";
    home.shell(script).done().printed("");
    let pid = the_satellite(&home);
    for limit in ["Max file size", "Max cpu time", "Max address space"] {
        let soft = line(pid, "limits", limit);
        assert!(soft.starts_with("unlimited"), "{limit}: {soft}");
    }
    // Rust programs ignore SIGPIPE, signal 13. The C library uses signals 32 and 33 itself.
    let ignored = u64::from_str_radix(&line(pid, "status", "SigIgn:"), 16);
    assert_eq!(ignored.expect("it is a number") & !(3 << 31), 1 << 12);
    assert_eq!(line(pid, "status", "SigBlk:"), "0000000000000000");
    assert_eq!(line(pid, "status", "Umask:"), "0077");
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("the process is ours");
    let environment = String::from_utf8(environment).expect("it is text");
    assert_eq!(environment, format!("HOME={}\0", home.home().display()));
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).expect("the process is ours");
    assert_eq!(cwd, PathBuf::from("/"));
    // Other users, who are not root, can use it too.
    let mode = |path: PathBuf| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode(home.state()), mode(data(&home))), (0o700, 0o700));
    let much = "more than the limit was\n".repeat(4000);
    home.skypipe(&["y"]).fed(&much).printed("");
    home.skypipe(&["y"]).done().printed(&much);
    home.skypipe(&["x"]).done().printed("first\n");
}

#[test]
fn check_says_what_the_satellite_could_not_put_off() {
    let home = Environment::here();
    let script = "ulimit -f 204800; echo a | skypipe x";
    let mut command = if rustix::process::geteuid().is_root() {
        if !parts::are_there() {
            return;
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-sys_resource,-sys_nice", "nice"]);
        command
    } else {
        Command::new("nice")
    };
    command.args(["-n", "7", "sh", "-c", script]);
    home.run(command, script).done().printed("");
    let check = home.skypipe(&["--check"]).done();
    let told = String::from_utf8(check.told(0, "kill PID")).expect("it is text");
    for part in [
        "inherited  its files can be no longer than",
        "inherited  it runs at nice ",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

#[test]
fn its_log_keeps_what_was_there_before_its_start() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("a").printed("");
    let log = home.state().join("satellite.log");
    let read = || fs::read_to_string(&log).expect("it is there");
    kill_process(number(the_satellite(&home)), Signal::KILL).expect("it is ours");
    until_none_runs(&home);
    let before = read() + "thread 'main' panicked\n";
    fs::write(&log, &before).expect("there is room");
    home.skypipe(&["x"]).done().printed("a");
    assert!(
        read().starts_with(&before) && read().len() > before.len(),
        "{}",
        read()
    );

    // The log does not grow without limit.
    home.skypipe(&["--reset"]).done().told(0, "has stopped");
    until_none_runs(&home);
    let full = "x".repeat(1 << 20);
    fs::write(&log, &full).expect("there is room");
    home.skypipe(&["x"]).fed("a").printed("");
    assert!(read().len() < 1000, "{}", read());
    let aside = fs::read_to_string(home.state().join("satellite.log.1"));
    assert!(aside.expect("it is there") == full);
}

#[test]
fn a_writer_is_not_told_that_all_is_well_where_the_data_directory_was_taken_away() {
    for replace in [false, true] {
        let home = Environment::here();
        home.skypipe(&["x"]).fed("before").printed("");
        let first = the_satellite(&home);
        fs::remove_dir_all(data(&home)).expect("it is ours");
        if replace {
            fs::create_dir(data(&home)).expect("there is room");
            fs::set_permissions(data(&home), Permissions::from_mode(0o700)).expect("it is ours");
        }
        let writer = home.skypipe(&["y"]).fed("text");
        let _ = kill_process(number(first), Signal::KILL);
        until_none_runs_but_others(first);
        if writer.code == Some(0) {
            let reader = home.skypipe(&["-r", "--timeout", "10s", "y"]).done();
            reader.printed("text");
        } else {
            assert!(!writer.stderr.is_empty(), "{writer}");
        }
    }
}

/// Waits until this satellite has exited.
#[track_caller]
fn until_none_runs_but_others(first: u32) {
    wait::until("the first satellite ends", || !is_local_satellite(first));
}

#[test]
fn a_satellite_whose_data_directory_was_taken_away_ends_and_the_next_use_starts_another() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("before").printed("");
    let first = the_satellite(&home);
    fs::rename(data(&home), home.home().join("elsewhere")).expect("it is ours");
    until_none_runs_but_others(first);
    let log = fs::read_to_string(home.state().join("satellite.log")).expect("it is there");
    assert!(
        log.contains("share/skypipe was removed while it was in use"),
        "{log}"
    );
    home.skypipe(&["y"]).fed("text").printed("");
    home.skypipe(&["y"]).done().printed("text");
}

#[test]
fn what_waits_is_found_by_the_next_where_the_satellite_s_own_directory_was_taken_away() {
    for what in ["", "satellite.sock", "satellite.lock"] {
        let home = Environment::here();
        home.skypipe(&["x"]).fed("kept").printed("");
        let first = the_satellite(&home);
        let path = home.state().join(what);
        if what.is_empty() {
            fs::remove_dir_all(path).expect("it is ours");
        } else {
            fs::remove_file(path).expect("it is ours");
        }
        home.skypipe(&["x"]).done().printed("kept");
        until_none_runs_but_others(first);
    }
}

#[test]
fn a_satellite_on_a_port_fails_when_its_data_directory_was_taken_away() {
    let mut sky = Environment::sky(&["--data", "data"]);
    sky.skypipe(&["x"]).fed("before").printed("");
    fs::remove_dir_all(sky.home().join("data")).expect("it is ours");
    let satellite = sky.take_sky();
    let outcome = satellite.ended();
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("was removed while it was in use"),
        "{outcome}"
    );
}
