//! The satellite that starts by itself is killed: the next one has the unread data (rule 16).

use rustix::process::{Signal, kill_process};

use crate::common::Environment;
use crate::common::satellite::local_pid;
use crate::common::wait;
use crate::common::watchdog::{is_local_satellite, number};
use crate::faults::lines::content;

/// Kills the running satellite, and waits until it is gone.
fn kill(home: &Environment) -> u32 {
    let pid = local_pid(home).expect("one runs");
    kill_process(number(pid), Signal::KILL).expect("it is ours");
    wait::until("it is gone", || !is_local_satellite(pid));
    pid
}

#[test]
fn rule_16_what_waits_is_there_for_the_next_satellite() {
    let home = Environment::here();
    let stream = content(1, 3_000_000);
    home.skypipe(&["-w", "x"]).fed(&stream).printed("");
    let first = kill(&home);
    home.skypipe(&["-w", "x"])
        .fed("after the crash\n")
        .printed("");
    assert_ne!(local_pid(&home), Some(first));
    assert_eq!(home.listed("x").waiting, 2);
    assert!(home.skypipe(&["x"]).done().success() == stream);
    home.skypipe(&["x"]).done().printed("after the crash\n");
}

/// A command about unread data starts the satellite that has it.
#[test]
fn unread_data_is_listed_discarded_and_asked_about_though_no_satellite_runs() {
    let home = Environment::here();
    home.skypipe(&["-w", "x"]).fed("kept\n").printed("");
    kill(&home);
    let listed = home.skypipe(&["--list"]).done().success();
    let listed = String::from_utf8_lossy(&listed).into_owned();
    assert!(
        listed.lines().any(|line| line.starts_with("x ")),
        "{listed}"
    );
    kill(&home);
    let reset = home.skypipe(&["--reset"]).done();
    reset.told(2, "this would delete 1 unread stream (5 bytes)");
    kill(&home);
    let discard = home.skypipe(&["--discard", "x"]).done();
    discard.told(0, "deleted 1 stream (5 bytes)");
    kill(&home);
    home.skypipe(&["-w", "x"]).fed("new\n").printed("");
    home.skypipe(&["x"]).done().printed("new\n");
}

/// Nothing about this machine matters to who asks another one.
#[test]
fn a_question_to_another_satellite_needs_no_home() {
    let sky = Environment::sky(&[]);
    let list = sky.skypipe(&["--list"]).var("SKYPIPE_DATA", "no path");
    list.without("HOME").done().success();
}

#[test]
fn rule_16_who_listens_and_who_writes_go_on_with_the_next_satellite() {
    let home = Environment::here();
    let listener = home.skypipe(&["x"]).start();
    home.until_listeners("x", 1);
    let writer = home.skypipe(&["x"]).piped().start();
    writer.say("before\n");
    listener.shows("before\n");
    kill(&home);
    writer.say("after\n");
    listener.shows("after\n");
    writer.close_stdin();
    writer.outcome().printed("");
    listener.outcome().printed("before\nafter\n");
}

#[test]
fn what_was_given_up_with_a_reset_does_not_come_back() {
    let home = Environment::here();
    home.skypipe(&["-w", "x"]).fed("lost\n").printed("");
    let reset = home.skypipe(&["--reset", "--yes"]).done();
    reset.told(0, "has stopped");
    home.skypipe(&["-w", "x"]).fed("new\n").printed("");
    home.skypipe(&["x"]).done().printed("new\n");
    assert!(home.is_gone("x"));
}

#[test]
fn its_directory_can_be_elsewhere_or_nowhere() {
    let home = Environment::here();
    let elsewhere = home.home().join("elsewhere");
    let used = home.skypipe(&["-w", "x"]).var("SKYPIPE_DATA", &elsewhere);
    used.fed("kept\n").printed("");
    assert!(elsewhere.is_dir() && !home.home().join(".local/share/skypipe").exists());
    kill(&home);
    let reader = home.skypipe(&["x"]).var("SKYPIPE_DATA", &elsewhere);
    reader.done().printed("kept\n");
    kill(&home);
    let nowhere = home.skypipe(&["-w", "x"]).var("SKYPIPE_DATA", "memory");
    nowhere.fed("lost\n").printed("");
    kill(&home);
    assert_eq!(home.listed("x").waiting, 0);
    assert!(!home.home().join(".local/share/skypipe").exists());
}
