//! Tests of the satellite that starts by itself (part 5 of the pipe's issue).

mod independence;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process};

use crate::common::Environment;
use crate::common::process::Run;
use crate::common::satellite::local_pid;
use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::common::watchdog::{is_local_satellite, number};

/// The process ids of all satellites that started by themselves in this home.
fn satellites(home: &Environment) -> Vec<u32> {
    let theirs = format!("HOME={}", home.home().display());
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_local_satellite(*pid))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == theirs.as_bytes())
        })
        .collect()
}

/// The running satellite. Asserts that there is exactly one.
#[track_caller]
fn the_satellite(home: &Environment) -> u32 {
    let all = satellites(home);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(local_pid(home), all.first().copied());
    all[0]
}

/// Waits until no satellite runs. An exiting process releases its lock last.
#[track_caller]
fn until_none_runs(home: &Environment) {
    let lock = File::open(home.state().join("satellite.lock")).expect("one has run");
    let is_free = || flock(&lock, FlockOperation::NonBlockingLockShared).is_ok();
    wait::until("no satellite runs", || {
        satellites(home).is_empty() && is_free()
    });
}

#[test]
fn first_uses_at_the_same_instant_start_one_satellite() {
    for _ in 0..6 {
        let home = Environment::here();
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let script = format!("echo {number} | skypipe x");
                home.shell(&script).start()
            })
            .collect();
        for writer in writers {
            writer.outcome().printed("");
        }
        the_satellite(&home);
        assert_eq!(home.listed("x").waiting, 8);
        let mut all: Vec<_> = (0..8)
            .map(|_| home.skypipe(&["x"]).done().success())
            .collect();
        all.sort();
        let expected: Vec<_> = (0..8)
            .map(|number| format!("{number}\n").into_bytes())
            .collect();
        assert_eq!(all, expected);
    }
}

#[test]
fn readers_who_come_first_start_it_as_well() {
    let home = Environment::here();
    let readers: Vec<_> = (0..4).map(|_| home.skypipe(&["x"]).start()).collect();
    home.until_listeners("x", 4);
    the_satellite(&home);
    home.skypipe(&["x"]).fed("to all\n").printed("");
    for reader in readers {
        reader.outcome().printed("to all\n");
    }
}

#[test]
fn it_outlives_the_terminal_of_its_first_use() {
    let home = Environment::here();
    let terminal = Terminal::open();
    let session = home
        .shell("echo kept | skypipe x; echo stored; cat")
        .on(&terminal)
        .start();
    terminal.shows("stored");
    let satellite = the_satellite(&home);
    drop(terminal);
    assert_eq!(session.outcome().code, Some(129), "the hangup came");
    assert_eq!(the_satellite(&home), satellite);
    home.skypipe(&["x"]).done().printed("kept\n");
}

#[test]
fn it_outlives_the_group_of_its_first_use() {
    for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::KILL] {
        let home = Environment::here();
        let job = home
            .shell("echo kept | skypipe x; echo stored; cat")
            .piped()
            .start();
        job.say("cat runs\n");
        job.shows("stored\ncat runs\n");
        job.signal_group(signal);
        assert_ne!(job.outcome().code, Some(0));
        home.skypipe(&["x"]).done().printed("kept\n");
    }
}

#[test]
fn it_keeps_no_descriptor_of_who_started_it() {
    let home = Environment::here();
    let scripts = [
        "x=$(printf a | skypipe x 3>&1); echo done",
        "x=$(printf a | skypipe x 9>&1 2>&1); echo done",
        "{ printf a | skypipe x 4>&1; } | cat; echo done",
    ];
    for script in scripts {
        home.shell(script).done().printed("done\n");
        home.skypipe(&["x"]).done().printed("a");
        home.skypipe(&["--reset"]).done().told(0, "has stopped");
        until_none_runs(&home);
    }
}

#[test]
fn it_ends_when_nothing_waits_and_nobody_is_there() {
    let home = Environment::here();
    let satellite = home.skypipe(&["--local-satellite", "--idle", "1s"]).start();
    satellite.shows("ready");
    let twice = Duration::from_secs(2);
    home.skypipe(&["x"]).fed("waits").printed("");
    wait::while_passes(twice, "it stays while something waits", || satellite.runs());
    home.skypipe(&["x"]).done().printed("waits");
    let listener = home.skypipe(&["x"]).start();
    wait::while_passes(twice, "it stays while somebody is there", || {
        satellite.runs()
    });
    home.skypipe(&["-w", "x"]).fed("").printed("");
    listener.outcome().printed("");
    assert_eq!(satellite.outcome().code, Some(0));
    until_none_runs(&home);
    home.skypipe(&["x"]).fed("another one").printed("");
    home.skypipe(&["x"]).done().printed("another one");
}

#[test]
fn what_a_crash_left_behind_is_no_obstacle() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("before the crash").printed("");
    let first = the_satellite(&home);
    kill_process(number(first), Signal::KILL).expect("it is ours");
    until_none_runs(&home);
    assert!(home.state().join("satellite.sock").exists());
    home.skypipe(&["--check"])
        .done()
        .told(4, "no satellite is running");
    home.skypipe(&["x"]).fed("after the crash").printed("");
    assert_ne!(the_satellite(&home), first);
    home.skypipe(&["x"]).done().printed("before the crash");
    home.skypipe(&["x"]).done().printed("after the crash");
}

#[test]
fn a_number_that_another_process_has_after_a_reboot_is_no_obstacle() {
    let home = Environment::here();
    fs::create_dir_all(home.state()).expect("there is room");
    let innocent = home.run(Command::new("cat"), "cat").piped().start();
    let lock = home.state().join("satellite.lock");
    fs::write(lock, format!("{}\n", innocent.pid())).expect("there is room");
    fs::write(home.state().join("satellite.sock"), "no socket").expect("there is room");
    home.skypipe(&["--check"])
        .done()
        .told(4, "no satellite is running");
    home.skypipe(&["--reset", "--yes"])
        .done()
        .told(0, "no satellite is running");
    home.skypipe(&["x"]).fed("text").printed("");
    home.skypipe(&["x"]).done().printed("text");
    assert!(innocent.runs());
}

#[test]
fn a_satellite_that_dies_is_started_anew_by_who_still_listens() {
    let home = Environment::here();
    let listener = home.skypipe(&["x"]).start();
    home.until_listeners("x", 1);
    let first = the_satellite(&home);
    kill_process(number(first), Signal::KILL).expect("it is ours");
    // The next satellite reads the stream from the disk, and the stream continues.
    home.skypipe(&["x"]).fed("text").printed("");
    listener.outcome().printed("text");
    assert_ne!(the_satellite(&home), first);
}

#[test]
fn a_long_home_path_is_no_obstacle() {
    let home = Environment::with_home(&format!(
        "{}/{}",
        "long".repeat(20),
        "and longer".repeat(20)
    ));
    assert!(home.home().as_os_str().len() > 250);
    home.skypipe(&["x"]).fed("text").printed("");
    the_satellite(&home);
    home.skypipe(&["x"]).done().printed("text");
    let check = home.skypipe(&["--check"]).done().success();
    let path = home.state();
    assert!(String::from_utf8_lossy(&check).contains(path.to_str().expect("it is plain")));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn only_its_user_can_open_its_directory() {
    let home = Environment::here();
    home.shell("umask 0; echo text | skypipe x")
        .done()
        .printed("");
    assert_eq!(mode(&home.state()), 0o700);
    for entry in fs::read_dir(home.state()).expect("it is ours").flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{:?}", entry.path());
    }
    fs::set_permissions(home.state(), Permissions::from_mode(0o755)).expect("it is ours");
    home.skypipe(&["x"]).done().printed("text\n");
    assert_eq!(mode(&home.state()), 0o700, "it is closed again");
}

#[test]
fn the_session_s_variables_make_no_difference() {
    let home = Environment::here();
    let elsewhere = home.home().join("elsewhere");
    fs::create_dir(&elsewhere).expect("there is room");
    home.skypipe(&["x"]).fed("text").printed("");
    let names = [
        "RUNTIME_DIR",
        "STATE_HOME",
        "DATA_HOME",
        "CONFIG_HOME",
        "CACHE_HOME",
    ];
    let reader = names.iter().fold(home.skypipe(&["x"]), |run: Run, name| {
        run.var(&format!("XDG_{name}"), &elsewhere)
    });
    reader.var("TMPDIR", &elsewhere).done().printed("text");
    the_satellite(&home);
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
}

#[test]
fn questions_start_none() {
    let home = Environment::here();
    home.skypipe(&["--check"])
        .done()
        .told(4, "one starts at the next use");
    let list = home.skypipe(&["--list"]).done();
    list.printed("PIPE  WAITING  BYTES  WRITERS  LISTENERS\n");
    home.skypipe(&["--discard", "x"])
        .done()
        .told(0, "\"x\" has no unread data");
    home.skypipe(&["--reset"])
        .done()
        .told(0, "no satellite is running");
    assert_eq!(satellites(&home), [0_u32; 0]);
}

#[test]
fn check_says_where_it_runs_since_when_and_which_version() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("12345").printed("");
    let check = home.skypipe(&["--check"]).done().success();
    let check = String::from_utf8(check).expect("it is text");
    let satellite = the_satellite(&home);
    for part in [
        format!("on this machine, in {}\n", home.state().display()),
        format!("skypipe {}\n", env!("CARGO_PKG_VERSION")),
        format!("{satellite}\n"),
        "1 stream with 5 bytes\n".to_owned(),
        "second".to_owned(),
        format!(
            "disk ({})\n",
            home.home().join(".local/share/skypipe").display()
        ),
    ] {
        assert!(check.contains(&part), "no {part:?} in {check}");
    }
}

#[test]
fn one_that_hangs_is_told_of_and_left_alone() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("text").printed("");
    let satellite = the_satellite(&home);
    kill_process(number(satellite), Signal::STOP).expect("it is ours");
    let reset = home.skypipe(&["--reset"]).start();
    let check = home.skypipe(&["--check"]).done();
    assert!(check.took < Duration::from_secs(10), "{:?}", check.took);
    let hangs = format!("process {satellite}, is running but does not answer");
    check.told(4, &hangs);
    reset.outcome().told(2, &hangs);
    kill_process(number(satellite), Signal::CONT).expect("it is ours");
    home.skypipe(&["x"]).done().printed("text");
}

#[test]
fn one_that_hangs_can_be_reset() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("text").printed("");
    kill_process(number(the_satellite(&home)), Signal::STOP).expect("it is ours");
    home.skypipe(&["--reset", "--yes"])
        .done()
        .told(0, "has stopped");
    until_none_runs(&home);
    home.skypipe(&["x"]).fed("text").printed("");
    home.skypipe(&["x"]).done().printed("text");
}

#[test]
fn reset_stops_it_at_once_if_nothing_waits() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("text").printed("");
    home.skypipe(&["x"]).done().printed("text");
    home.skypipe(&["--reset"]).done().told(0, "has stopped");
    until_none_runs(&home);
}

#[test]
fn reset_stops_it_though_others_listen_and_start_another_one() {
    let home = Environment::here();
    for _ in 0..4 {
        let listeners: Vec<_> = (0..3).map(|_| home.skypipe(&["x"]).start()).collect();
        home.until_listeners("x", 3);
        let first = the_satellite(&home);
        let reset = home.skypipe(&["--reset"]).done();
        assert!(
            reset.took < Duration::from_secs(3),
            "{:?} {reset}",
            reset.took
        );
        reset.told(0, "has stopped");
        assert!(!is_local_satellite(first));
        // The next satellite reads the streams from the disk, and they continue.
        home.skypipe(&["x"]).fed("text").printed("");
        for listener in listeners {
            listener.outcome().printed("text");
        }
    }
}

#[test]
fn reset_without_a_terminal_wants_yes_if_something_waits() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("waits").printed("");
    let refused = home.skypipe(&["--reset"]).done();
    refused.told(
        2,
        "this would delete 1 unread stream (5 bytes); to do it anyway: skypipe --reset --yes",
    );
    home.skypipe(&["--reset"])
        .fed("y\n")
        .told(2, "this would delete 1 unread stream (5 bytes)");
    home.skypipe(&["x"]).done().printed("waits");
    home.skypipe(&["x"]).fed("waits").printed("");
    home.skypipe(&["--reset", "--yes"])
        .done()
        .told(0, "has stopped");
    until_none_runs(&home);
    assert_eq!(home.listed("x").waiting, 0);
}

#[test]
fn reset_asks_on_a_terminal_if_something_waits() {
    let home = Environment::here();
    home.skypipe(&["x"]).fed("waits").printed("");
    for answer in ["n\n", "\n", "\u{4}"] {
        let terminal = Terminal::open();
        let reset = home.skypipe(&["--reset"]).on(&terminal).start();
        terminal.shows("this would delete 1 unread stream (5 bytes). Stop the satellite? [y/N] ");
        terminal.types(answer);
        assert_eq!(reset.outcome().code, Some(1), "{answer:?}");
        terminal.shows("the satellite is unchanged");
    }
    the_satellite(&home);
    let terminal = Terminal::open();
    let reset = home.skypipe(&["--reset"]).on(&terminal).start();
    terminal.shows("[y/N] ");
    terminal.types("y\n");
    assert_eq!(reset.outcome().code, Some(0));
    terminal.shows("has stopped");
    until_none_runs(&home);
}

#[test]
fn the_first_use_tells_a_terminal_in_one_line_where_it_is() {
    let home = Environment::here();
    let terminal = Terminal::open();
    let first = home.shell("echo a | skypipe x").on(&terminal).start();
    assert_eq!(first.outcome().code, Some(0));
    terminal.shows("--setup");
    let screen = terminal.screen();
    let lines = terminal.lines(200);
    assert_eq!(
        lines.len(),
        2,
        "one line, and the writer's receipt: {lines:?}"
    );
    assert!(
        screen.contains(home.state().to_str().expect("it is plain")),
        "{screen}"
    );
    let terminal = Terminal::open();
    let second = home.shell("echo b | skypipe x").on(&terminal).start();
    assert_eq!(second.outcome().code, Some(0));
    terminal.shows("read already\r\n");
    let lines = terminal.lines(200);
    assert_eq!(lines.len(), 1, "the receipt alone: {lines:?}");
}
