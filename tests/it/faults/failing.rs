//! A disk that fails under a satellite (rules 11 and 16). The satellite reports why and ends, a supervisor
//! restarts it, and nothing that was promised is lost. The errors are real: `strace` replaces the kernel's
//! answers.

use std::process::Command;
use std::time::Duration;

use crate::common::Environment;
use crate::common::process::Process;
use crate::common::satellite::local_pid;
use crate::common::wait;

const DEADLINE: Duration = Duration::from_secs(120);
const DURABLE: [&str; 4] = ["--data", "data", "--disk", "16MiB"];

/// Whether system calls can be made to fail here. Otherwise the test reports why not and is skipped. If
/// `SKYPIPE_NO_SKIP` is set, as in the review of a change, the test fails instead.
pub fn can_fail(sky: &Environment) -> bool {
    let trial = "strace -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:error=EIO true";
    if sky.shell(trial).done().code == Some(0) {
        return true;
    }
    let why = "strace is not there (apt-get install strace), or is not allowed here";
    let must = std::env::var_os("SKYPIPE_NO_SKIP").is_some();
    assert!(!must, "{why}");
    eprintln!("SKIPPED: {why}");
    false
}

/// Makes these calls of a process fail with this error from now on.
fn make_fail(sky: &Environment, pid: u32, calls: &str, error: &str) -> Process {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-p", &pid.to_string()]);
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error={error}")]);
    let name = format!("strace of {calls}");
    let strace = sky.run(command, &name).start();
    strace.complains(&format!("Process {pid} attached"));
    strace
}

/// More than one segment of a disk of 16 MiB, so that a new segment begins.
fn much() -> String {
    "a line of a stream that waits on the satellite's disk\n".repeat(30_000)
}

/// A satellite gets an error from these calls while a stream is written. Then it is restarted.
fn meets(calls: &str, error: &str, said: &str) {
    let mut sky = Environment::sky_within(&DURABLE, DEADLINE);
    if !can_fail(&sky) {
        return;
    }
    sky.skypipe(&["-w", "kept"]).fed("promised\n").printed("");
    let idle = sky.skypipe(&["-r", "idle"]).start();
    sky.until_listeners("idle", 1);
    let writer = sky.skypipe(&["-w", "x"]).piped().start();
    writer.say("first\n");
    sky.until_listed("x", "it is there", |pipe| pipe.bytes == 6);

    let strace = make_fail(&sky, sky.on_port().process().pid(), calls, error);
    writer.say(much());
    let ended = sky.take_sky().outcome();
    drop(strace);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(
        ended.stderr.contains(said) && ended.stderr.contains("data"),
        "{ended}"
    );
    for client in [&writer, &idle] {
        client.complains("skypipe: the satellite stopped, waiting for it to return: ");
        assert!(client.said().contains(said), "{}", client.said());
        assert!(client.runs());
    }

    sky.restart_sky(&DURABLE);
    writer.say("last\n");
    writer.close_stdin();
    let outcome = writer.outcome();
    assert_eq!(
        (outcome.code, outcome.stderr.lines().count()),
        (Some(0), 1),
        "{outcome}"
    );
    sky.skypipe(&["-r", "kept"]).done().printed("promised\n");
    let whole = format!("first\n{}last\n", much());
    sky.skypipe(&["-r", "x"]).done().printed(whole);
    sky.skypipe(&["-w", "idle"]).fed("awake\n").printed("");
    let outcome = idle.outcome();
    assert_eq!(
        (outcome.code, &*outcome.stdout),
        (Some(0), &b"awake\n"[..]),
        "{outcome}"
    );
}

#[test]
fn rule_11_a_sync_that_fails_ends_the_satellite_and_loses_nothing() {
    meets("fdatasync", "EIO", "Input/output error");
}

#[test]
fn rule_11_a_write_that_fails_ends_the_satellite_and_loses_nothing() {
    meets("pwrite64,pwritev", "EIO", "Input/output error");
    meets("pwrite64,pwritev", "EROFS", "Read-only file system");
}

#[test]
fn rule_11_a_file_that_cannot_be_made_ends_the_satellite_and_loses_nothing() {
    meets("openat", "EROFS", "Read-only file system");
}

#[test]
fn rule_11_a_file_that_cannot_be_named_ends_the_satellite_and_loses_nothing() {
    meets("?rename,?renameat,?renameat2", "EIO", "Input/output error");
    meets("fsync", "EIO", "Input/output error");
}

#[test]
fn rule_11_the_satellite_that_starts_by_itself_is_started_again_by_who_waits_for_it() {
    let sky = Environment::here_within(DEADLINE);
    if !can_fail(&sky) {
        return;
    }
    sky.skypipe(&["-w", "kept"]).fed("promised\n").printed("");
    let writer = sky.skypipe(&["-w", "x"]).piped().start();
    writer.say("first\n");
    sky.until_listed("x", "it is there", |pipe| pipe.bytes == 6);
    let pid = local_pid(&sky).expect("it runs");
    let strace = make_fail(&sky, pid, "fdatasync", "EIO");
    writer.say("second\n");
    writer.complains("the satellite stopped, waiting for it to return: the disk failed");
    wait::until("another one runs", || {
        local_pid(&sky).is_some_and(|other| other != pid)
    });
    drop(strace);
    writer.close_stdin();
    assert_eq!(writer.outcome().code, Some(0));
    sky.skypipe(&["-r", "x"]).done().printed("first\nsecond\n");
    sky.skypipe(&["-r", "kept"]).done().printed("promised\n");
}
