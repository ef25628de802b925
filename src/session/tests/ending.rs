//! Tests: how a writer begins and ends: without data, with its answer, interrupted.

use std::time::Duration;

use skypipe_protocol::{Open, Outcome, Request};

use super::talk::{Talk, just_before, write_job};
use super::writing::opened_with;
use crate::session::{CommandEnd, Compression, Input, Job, Signal};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

const ENOUGH: u64 = 1 << 30;

#[test]
fn rule_11_exit_0_is_the_satellites_answer() {
    let mut talk = Talk::open_writer();
    talk.read("text\n");
    talk.happen(Input::ReadEnd);
    assert_eq!(talk.said(), "0: text/, end 5");
    talk.ack(5, ENOUGH);
    assert_eq!(talk.exit, None);
    talk.finished(Outcome::Kept);
    assert_eq!((talk.said().as_str(), talk.exit), ("close, bye", Some(0)));
}

#[test]
fn rule_11_with_wait_discarded_is_exit_3() {
    for (outcome, code) in [(Outcome::Taken, 0), (Outcome::Discarded, 3)] {
        let mut talk = Talk::open_writer();
        talk.happen(Input::ReadEnd);
        talk.finished(outcome);
        assert_eq!(talk.exit, Some(code));
        assert_eq!(talk.notices.len(), usize::from(code == 3));
    }
}

#[test]
fn rule_11_who_waits_until_all_was_read_is_told_when_the_satellite_does_not_say_so() {
    for (wait, code) in [(false, 0), (true, 1)] {
        let mut job = write_job(false);
        if let Job::Write { wait: waits, .. } = &mut job {
            *waits = wait;
        }
        let mut talk = Talk::new(job);
        talk.welcome();
        talk.opened(0, ENOUGH);
        talk.happen(Input::ReadEnd);
        talk.finished(Outcome::Kept);
        assert_eq!(talk.exit, Some(code));
    }
}

#[test]
fn a_writer_that_nobody_called_one_and_that_has_nothing_sends_nothing_and_exits_2() {
    let mut talk = Talk::new(write_job(true));
    talk.welcome();
    talk.happen(Input::ReadEnd);
    assert_eq!(talk.exit, Some(2));
    assert_eq!(talk.said(), "hello, bye");
    let hint = "nothing on stdin: use -r to read, or -w to send an empty stream";
    assert_eq!(talk.notices, [hint]);
}

#[test]
fn it_does_so_even_before_it_has_found_its_satellite() {
    let mut talk = Talk::new(write_job(true));
    talk.happen(Input::ReadEnd);
    assert_eq!(talk.exit, Some(2));
}

#[test]
fn a_writer_that_nobody_called_one_opens_its_stream_with_its_first_byte() {
    let mut talk = Talk::new(write_job(true));
    talk.welcome();
    talk.read("x");
    assert_eq!(talk.said(), "hello, open 0");
    talk.happen(Input::ReadEnd);
    talk.opened(0, ENOUGH);
    assert_eq!(talk.said(), "0: x, end 1");
}

#[test]
fn a_writer_that_was_called_one_sends_an_empty_stream() {
    let mut talk = Talk::writer();
    talk.welcome();
    talk.happen(Input::ReadEnd);
    talk.opened(0, 0);
    assert_eq!(
        talk.said(),
        "hello, open 0, end 0",
        "an end needs no credit"
    );
}

#[test]
fn rule_15_a_writer_that_is_interrupted_sends_what_it_had_read_then_cuts() {
    let mut talk = opened_with(0);
    talk.read("read\n");
    talk.said();
    talk.happen(Input::Signal(Signal::Interrupt));
    assert_eq!((talk.said().as_str(), talk.exit), ("", None));
    assert!(!talk.session.wants_input());
    talk.ack(0, ENOUGH);
    assert_eq!(talk.said(), "0: read/, cut 5 (interrupted by SIGINT)");
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(130));
}

#[test]
fn rule_15_it_tries_for_a_second_at_most() {
    let mut talk = opened_with(0);
    talk.read("read\n");
    talk.happen(Input::Signal(Signal::Terminate));
    talk.pass(SECOND / 2);
    talk.happen(Input::Signal(Signal::Terminate));
    talk.said();
    talk.pass(just_before(SECOND / 2));
    assert_eq!(talk.exit, None);
    talk.pass(MILLI);
    assert_eq!((talk.said().as_str(), talk.exit), ("bye", Some(143)));
}

#[test]
fn rule_15_a_writer_that_only_waits_for_its_answer_goes_at_once_when_interrupted() {
    let mut talk = Talk::open_writer();
    talk.happen(Input::ReadEnd);
    talk.said();
    talk.happen(Input::Signal(Signal::Hangup));
    assert_eq!((talk.said().as_str(), talk.exit), ("bye", Some(129)));
}

#[test]
fn rule_15_a_writer_that_has_not_begun_ends_without_a_stream() {
    let mut talk = Talk::new(write_job(true));
    talk.welcome();
    talk.happen(Input::Signal(Signal::Interrupt));
    assert_eq!((talk.said().as_str(), talk.exit), ("hello, bye", Some(130)));
}

#[test]
fn rule_15_a_stdin_that_fails_cuts_the_stream() {
    let mut talk = Talk::open_writer();
    talk.read("text\n");
    talk.happen(Input::ReadFailed("Input/output error".to_owned()));
    assert_eq!(talk.said(), "0: text/, cut 5 (its stdin could not be read)");
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(1));
    assert_eq!(talk.notices, ["cannot read stdin: Input/output error"]);
}

#[test]
fn wait_is_asked_for_when_the_stream_is_opened() {
    let Job::Write {
        pipe,
        inferred,
        label,
        ..
    } = write_job(false)
    else {
        unreachable!("a write job is a Write");
    };
    let mut talk = Talk::new(Job::Write {
        pipe,
        wait: true,
        whole: false,
        compress: Compression::Off,
        inferred,
        label,
    });
    let opening = talk.take_sent().pop().map(|(request, _)| request);
    assert!(
        matches!(opening, Some(Request::Open(Open { wait: true, .. }))),
        "{opening:?}"
    );
}

/// An open writer of the pipe `p` that has buffered some of a command's output.
fn commanded() -> Talk {
    let mut talk = Talk::writer();
    assert!(!talk.session.is_open());
    talk.welcome();
    assert!(!talk.session.is_open(), "it may be refused yet");
    talk.opened(0, 1 << 30);
    assert!(talk.session.is_open());
    talk.read("half\n");
    talk.said();
    talk
}

#[test]
fn a_command_that_succeeds_ends_its_stream() {
    let mut talk = commanded();
    talk.happen(Input::CommandEnded(CommandEnd::Exited(0)));
    assert_eq!(talk.said(), "end 5");
    talk.finished(Outcome::Kept);
    assert_eq!((talk.exit, talk.notices.len()), (Some(0), 0));
}

#[test]
fn a_command_that_fails_cuts_its_stream_and_its_code_is_the_writers() {
    for (end, what, code) in [
        (CommandEnd::Exited(3), "exited with code 3", 3),
        (CommandEnd::Killed(9), "was killed by signal 9", 137),
        (CommandEnd::Killed(200), "was killed by signal 200", 255),
    ] {
        let mut talk = commanded();
        talk.happen(Input::CommandEnded(end));
        assert!(!talk.session.is_open());
        assert_eq!(talk.said(), format!("cut 5 (its command {what})"));
        talk.finished(Outcome::Discarded);
        assert_eq!(talk.exit, Some(code));
        let notice = format!("the command {what}: its stream in \"p\" is cut");
        assert_eq!(talk.notices, [notice]);
    }
}

#[test]
fn a_command_that_was_not_started_finishes_nothing() {
    let mut talk = Talk::open_writer();
    talk.said();
    talk.happen(Input::NotStarted("why".to_owned()));
    assert_eq!((talk.said().as_str(), talk.exit), ("bye", Some(126)));
    assert_eq!(talk.notices, ["why"]);
}
