//! `skypipe NAME -- COMMAND…`: a command's output looks whole only if the command succeeded.

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::terminal::Terminal;
use crate::common::wait;
use crate::stories::text;

#[test]
fn what_a_command_writes_is_a_stream_that_ends_when_it_succeeds() {
    let sky = Environment::sky(&[]);
    sky.put("file", text(3_000_000));
    let writer = sky.skypipe(&["x", "--", "cat", "file"]).done();
    writer.printed("");
    let reader = sky.skypipe(&["x"]).done();
    reader.printed(text(3_000_000));
    // An empty stream counts: it fires a trigger.
    sky.skypipe(&["-w", "x", "--", "true"]).done().printed("");
    sky.skypipe(&["-r", "x"]).done().printed("");
    // Without a name, the default pipe is used.
    let all = sky.skypipe(&["--", "printf", "%s\\n", "a b", "--", "-r"]);
    all.done().printed("");
    sky.skypipe(&[]).done().printed("a b\n--\n-r\n");
}

#[test]
fn a_dump_that_failed_never_looks_whole() {
    let sky = Environment::sky(&[]);
    for (script, code, what) in [
        ("echo half; exit 5", 5, "exited with code 5"),
        ("echo half; kill -KILL $$", 137, "was killed by signal 9"),
        ("echo half; exec >&-; exit 1", 1, "exited with code 1"),
    ] {
        let writer = sky.skypipe(&["x", "--", "sh", "-c", script]).done();
        let said = format!("the command {what}: its stream in \"x\" was cut");
        assert_eq!(writer.told(code, &said), b"");
        let reader = sky.skypipe(&["x"]).done();
        assert_eq!(
            reader.told(3, &format!("was cut: its command {what}")),
            b"half\n"
        );
    }
}

#[test]
fn a_command_that_cannot_be_run_makes_no_stream_and_no_satellite() {
    let here = Environment::here();
    here.put("data", "no program");
    let run = |words: &[&str]| {
        let words = [&["x", "--"], words].concat();
        here.skypipe(&words).done()
    };
    run(&["no-such-command"]).told(127, "cannot run no-such-command: there is no such command");
    run(&["./nothing/there"]).told(127, "cannot run ./nothing/there");
    run(&[""]).told(127, "there is no such command");
    run(&["./data"]).told(126, "cannot run ./data: it is not executable");
    here.skypipe(&["--check"])
        .done()
        .told(4, "no satellite is running");
}

#[test]
fn a_command_that_the_system_does_not_run_leaves_no_stream() {
    let sky = Environment::sky(&[]);
    let script = "printf '\\177ELFno' > bad; chmod +x bad; skypipe x -- ./bad";
    sky.shell(script).done().told(126, "cannot run ./bad: ");
    wait::until("there is no stream", || sky.is_gone("x"));
}

#[test]
fn without_a_satellite_the_command_is_not_started() {
    let mut sky = Environment::sky(&[]);
    sky.end_sky();
    let writer = sky.skypipe(&["x", "--", "touch", "started"]).done();
    writer.told(4, "no satellite answers");
    assert!(!sky.home().join("started").exists());
}

#[test]
fn what_a_command_writes_travels_at_once() {
    let sky = Environment::sky(&[]);
    let reader = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let script = "echo first; read line; echo \"$line\"";
    let writer = sky.skypipe(&["-w", "x", "--", "sh", "-c", script]);
    let writer = writer.piped().start();
    reader.shows("first\n");
    // The command has skypipe's own stdin.
    writer.say("second\n");
    writer.outcome().printed("");
    reader.outcome().printed("first\nsecond\n");
}

#[test]
fn sigterm_is_passed_on_and_the_last_words_of_the_command_are_taken() {
    let sky = Environment::sky(&[]);
    let script = "trap 'echo last; exit 0' TERM; echo first; while :; do sleep 0.01; done";
    let reader = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x", "--", "sh", "-c", script]).start();
    reader.shows("first\n");
    writer.signal(Signal::TERM);
    let outcome = writer.outcome();
    assert_eq!(
        (outcome.code, &*outcome.stderr),
        (Some(143), ""),
        "{outcome}"
    );
    assert_eq!(reader.outcome().told(3, "SIGTERM"), b"first\nlast\n");
}

#[test]
fn a_command_that_does_not_heed_a_signal_is_left_behind_after_a_moment() {
    let sky = Environment::sky(&[]);
    let script = "trap '' TERM; echo first; while [ ! -e over ]; do sleep 0.01; done";
    let writer = sky.skypipe(&["x", "--", "sh", "-c", script]).start();
    sky.until_listed("x", "it waits", |pipe| pipe.bytes == 6);
    writer.signal(Signal::TERM);
    wait::until("it goes", || !writer.runs());
    // The command has skypipe's stderr.
    sky.put("over", "");
    assert_eq!(writer.outcome().code, Some(143));
    assert_eq!(sky.skypipe(&["x"]).done().told(3, "SIGTERM"), b"first\n");
}

#[test]
fn the_interrupt_key_reaches_both_and_the_stream_is_cut() {
    let sky = Environment::sky(&[]);
    let reader = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let terminal = Terminal::open();
    let script = "trap 'echo last; exit 0' INT; echo first; while :; do sleep 0.01; done";
    let writer = sky.skypipe(&["x", "--", "sh", "-c", script]);
    let writer = writer.on(&terminal).start();
    reader.shows("first\n");
    terminal.types("\u{3}");
    assert_eq!(reader.outcome().told(3, "SIGINT"), b"first\nlast\n");
    assert_eq!(writer.outcome().code, Some(130));
}

#[test]
fn the_stream_ends_with_the_last_who_holds_the_pipe_and_its_fate_is_the_commands() {
    let sky = Environment::sky(&[]);
    let script = "(while [ ! -e go ]; do sleep 0.01; done; echo child) & echo parent; exit 6";
    let reader = sky.skypipe(&["-r", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x", "--", "sh", "-c", script]).start();
    reader.shows("parent\n");
    assert!(writer.runs());
    sky.put("go", "");
    writer.outcome().told(6, "exited with code 6");
    assert_eq!(reader.outcome().told(3, "code 6"), b"parent\nchild\n");
}

#[test]
fn a_command_has_no_descriptor_of_skypipes_and_dies_of_a_broken_pipe() {
    let sky = Environment::sky(&[]);
    // The shell opens a descriptor for skypipe, which the command inherits.
    let script = "exec 9< /dev/null; ls /proc/self/fd > ours; skypipe x -- ls /proc/self/fd";
    sky.shell(script).done().printed("");
    let ours = sky.get("ours");
    assert!(String::from_utf8_lossy(&ours).contains("9\n"));
    sky.skypipe(&["x"]).done().printed(ours);
    let ignored = sky.skypipe(&["x", "--", "grep", "SigIgn", "/proc/self/status"]);
    ignored.done().printed("");
    let ignored = sky.skypipe(&["x"]).done().success();
    let ignored = String::from_utf8_lossy(&ignored).into_owned();
    let mask = ignored.trim_start_matches("SigIgn:").trim();
    let mask = u64::from_str_radix(mask, 16).expect("it is a mask");
    assert_eq!(mask >> 12 & 1, 0, "SIGPIPE is 13: {ignored}");
}
