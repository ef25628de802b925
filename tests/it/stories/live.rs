//! Live listeners, which get bytes as they are written (rules 4, 5, 6 and 8).

use rustix::process::Signal;

use crate::common::Environment;
use crate::common::process::Process;

#[test]
fn rule_4_who_joins_late_gets_what_comes_from_then_on() {
    let sky = Environment::sky(&[]);
    let early = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("early\n");
    early.shows("early\n");
    sky.until_taken("x");
    let late = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 2);
    writer.say("late\n");
    writer.close_stdin();
    early.outcome().printed("early\nlate\n");
    late.outcome().printed("late\n");
    writer.outcome().printed("");
}

#[test]
fn rule_4_who_is_slow_keeps_its_own_pace_and_loses_nothing() {
    let sky = Environment::sky(&["--lost-listener", "2s"]);
    let slow = sky.skypipe(&["x"]).held().start();
    let fast = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 2);
    let file = crate::stories::text(20_000_000);
    sky.skypipe(&["x"]).fed(&file).printed("");
    fast.outcome().printed(&file);
    // A stdout that stalls for longer than the listener's timeout must not make the listener look lost.
    let twice = std::time::Duration::from_secs(4);
    crate::common::wait::while_passes(twice, "it keeps its place", || slow.runs());
    assert_eq!(sky.listed("x").listeners, 1);
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut slow.take_stdout(), &mut got).expect("it is a pipe");
    assert!(got == file, "{} bytes of {}", got.len(), file.len());
    slow.outcome().printed("");
}

#[test]
fn rule_5_streams_opened_after_the_last_finish_wait() {
    let sky = Environment::sky(&[]);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 1);
    let writers: Vec<_> = ["a\n", "b\n"]
        .map(|line| {
            let writer = sky.skypipe(&["x"]).piped().start();
            writer.say(line);
            listener.shows(line);
            writer
        })
        .into();
    for writer in writers {
        assert!(listener.runs());
        writer.close_stdin();
        writer.outcome().printed("");
    }
    listener.outcome().printed("a\nb\n");
    sky.skypipe(&["x"]).fed("c\n").printed("");
    sky.skypipe(&["x"]).done().printed("c\n");
}

#[test]
fn rule_6_eof_ends_all_listeners_but_who_wants_one_and_streams_go_on() {
    let sky = Environment::sky(&[]);
    let start = |mode: &str, number| {
        let listener = sky.skypipe(&[mode, "x"]).start();
        sky.until_listeners("x", number);
        listener
    };
    let one = start("--one", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("for one\n");
    one.shows("for one\n");
    let other = sky.skypipe(&["x"]).piped().start();
    let others: Vec<Process> = (2..)
        .zip(["-r", "--follow", "--tap"])
        .map(|(number, mode)| start(mode, number))
        .collect();
    other.say("before\n");
    for listener in &others {
        listener.shows("before\n");
    }
    sky.until_listed("x", "all but the claim is taken", |pipe| pipe.bytes <= 8);
    sky.skypipe(&["--eof", "x"]).done().printed("");
    // The default listener was inside a stream and did not see its end.
    let inside = "an --eof ended this reader of \"x\" inside 1 stream";
    for (listener, code) in others.into_iter().zip([3, 0, 0]) {
        assert_eq!(listener.outcome().told(code, inside), b"before\n");
    }
    other.say("after\n");
    other.close_stdin();
    other.outcome().printed("");
    let rest = sky.skypipe(&["x"]).done();
    assert_eq!(rest.told(3, "its first 7 bytes"), b"after\n");
    assert!(one.runs());
    writer.close_stdin();
    writer.outcome().printed("");
    one.outcome().printed("for one\n");
}

#[test]
fn rule_6_eof_waits_like_an_empty_stream() {
    for environment in [Environment::sky(&[]), Environment::here()] {
        environment.skypipe(&["--eof", "x"]).done().printed("");
        assert_eq!(environment.listed("x").waiting, 1);
        environment.skypipe(&["x"]).done().ended_by_eof("");
        assert!(environment.is_gone("x"));
    }
}

#[test]
fn rule_8_follow_takes_the_backlog_and_all_that_comes() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["x"]).fed("1\n").printed("");
    sky.skypipe(&["x"]).fed("2\n").printed("");
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("3\n");
    sky.until_waiting("x", 3);
    let follow = sky.skypipe(&["-f", "x"]).start();
    follow.shows("1\n2\n3\n");
    writer.say("4\n");
    follow.shows("4\n");
    writer.close_stdin();
    writer.outcome().printed("");
    sky.skypipe(&["x"]).fed("5\n").printed("");
    follow.shows("5\n");
    sky.until_taken("x");
    assert!(follow.runs());
    sky.skypipe(&["--eof", "x"]).done().printed("");
    follow.outcome().ended_by_eof("1\n2\n3\n4\n5\n");
}

#[test]
fn rule_8_follow_never_ends_by_itself_and_reports_what_was_cut() {
    let sky = Environment::sky(&[]);
    let follow = sky.skypipe(&["-f", "x"]).start();
    sky.until_listeners("x", 1);
    let writer = sky.skypipe(&["x"]).piped().start();
    writer.say("half\n");
    follow.shows("half\n");
    writer.signal(Signal::TERM);
    assert_eq!(writer.outcome().code, Some(143));
    follow.complains("SIGTERM");
    sky.skypipe(&["x"]).fed("whole\n").printed("");
    follow.shows("whole\n");
    sky.skypipe(&["--eof", "x"]).done().printed("");
    let outcome = follow.outcome();
    let said: Vec<_> = outcome.stderr.lines().collect();
    assert!(
        said[0].contains("was cut") && said[1].contains("an --eof ended"),
        "{outcome}"
    );
    assert_eq!((outcome.code, said.len()), (Some(3), 2), "{outcome}");
    assert_eq!(outcome.stdout, b"half\nwhole\n");
}
