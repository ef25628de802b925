//! Tests: how a writer begins and ends: without data, with its answer, interrupted.

use std::time::Duration;

use skypipe_protocol::{Open, Outcome, Request};

use super::dialogue::{Dialogue, just_before, write_job};
use super::writing::opened_with;
use crate::session::{CommandEnd, Compression, Input, Job, Signal};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

const ENOUGH: u64 = 1 << 30;

#[test]
fn rule_11_exit_0_is_the_satellites_answer() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("text\n");
    dialogue.happen(Input::ReadEnd);
    assert_eq!(dialogue.said(), "0: text/, end 5");
    dialogue.ack(5, ENOUGH);
    assert_eq!(dialogue.exit, None);
    dialogue.finished(Outcome::Kept);
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("close, bye", Some(0))
    );
}

#[test]
fn rule_11_with_wait_discarded_is_exit_3() {
    for (outcome, code) in [(Outcome::Taken, 0), (Outcome::Discarded, 3)] {
        let mut dialogue = Dialogue::open_writer();
        dialogue.happen(Input::ReadEnd);
        dialogue.finished(outcome);
        assert_eq!(dialogue.exit, Some(code));
        assert_eq!(dialogue.notices.len(), usize::from(code == 3));
    }
}

#[test]
fn rule_11_who_waits_until_all_was_read_is_told_when_the_satellite_does_not_say_so() {
    for (wait, code) in [(false, 0), (true, 1)] {
        let mut job = write_job(false);
        if let Job::Write { wait: waits, .. } = &mut job {
            *waits = wait;
        }
        let mut dialogue = Dialogue::new(job);
        dialogue.welcome();
        dialogue.opened(0, ENOUGH);
        dialogue.happen(Input::ReadEnd);
        dialogue.finished(Outcome::Kept);
        assert_eq!(dialogue.exit, Some(code));
    }
}

#[test]
fn a_writer_that_nobody_called_one_and_that_has_nothing_sends_nothing_and_exits_2() {
    let mut dialogue = Dialogue::new(write_job(true));
    dialogue.welcome();
    dialogue.happen(Input::ReadEnd);
    assert_eq!(dialogue.exit, Some(2));
    assert_eq!(dialogue.said(), "hello, bye");
    let hint = "nothing on stdin: use -r to read, or -w to send an empty stream";
    assert_eq!(dialogue.notices, [hint]);
}

#[test]
fn it_does_so_even_before_it_has_found_its_satellite() {
    let mut dialogue = Dialogue::new(write_job(true));
    dialogue.happen(Input::ReadEnd);
    assert_eq!(dialogue.exit, Some(2));
}

#[test]
fn a_writer_that_nobody_called_one_opens_its_stream_with_its_first_byte() {
    let mut dialogue = Dialogue::new(write_job(true));
    dialogue.welcome();
    dialogue.read("x");
    assert_eq!(dialogue.said(), "hello, open 0");
    dialogue.happen(Input::ReadEnd);
    dialogue.opened(0, ENOUGH);
    assert_eq!(dialogue.said(), "0: x, end 1");
}

#[test]
fn a_writer_that_was_called_one_sends_an_empty_stream() {
    let mut dialogue = Dialogue::writer();
    dialogue.welcome();
    dialogue.happen(Input::ReadEnd);
    dialogue.opened(0, 0);
    assert_eq!(
        dialogue.said(),
        "hello, open 0, end 0",
        "an end needs no credit"
    );
}

#[test]
fn rule_15_a_writer_that_is_interrupted_sends_what_it_had_read_then_cuts() {
    let mut dialogue = opened_with(0);
    dialogue.read("read\n");
    dialogue.said();
    dialogue.happen(Input::Signal(Signal::Interrupt));
    assert_eq!((dialogue.said().as_str(), dialogue.exit), ("", None));
    assert!(!dialogue.session.wants_input());
    dialogue.ack(0, ENOUGH);
    assert_eq!(dialogue.said(), "0: read/, cut 5 (interrupted by SIGINT)");
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(130));
}

#[test]
fn rule_15_it_tries_for_a_second_at_most() {
    let mut dialogue = opened_with(0);
    dialogue.read("read\n");
    dialogue.happen(Input::Signal(Signal::Terminate));
    dialogue.pass(SECOND / 2);
    dialogue.happen(Input::Signal(Signal::Terminate));
    dialogue.said();
    dialogue.pass(just_before(SECOND / 2));
    assert_eq!(dialogue.exit, None);
    dialogue.pass(MILLI);
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("bye", Some(143))
    );
}

#[test]
fn rule_15_a_writer_that_only_waits_for_its_answer_goes_at_once_when_interrupted() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.happen(Input::ReadEnd);
    dialogue.said();
    dialogue.happen(Input::Signal(Signal::Hangup));
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("bye", Some(129))
    );
}

#[test]
fn rule_15_a_writer_that_has_not_begun_ends_without_a_stream() {
    let mut dialogue = Dialogue::new(write_job(true));
    dialogue.welcome();
    dialogue.happen(Input::Signal(Signal::Interrupt));
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("hello, bye", Some(130))
    );
}

#[test]
fn rule_15_a_stdin_that_fails_cuts_the_stream() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("text\n");
    dialogue.happen(Input::ReadFailed("Input/output error".to_owned()));
    assert_eq!(
        dialogue.said(),
        "0: text/, cut 5 (its stdin could not be read)"
    );
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(1));
    assert_eq!(dialogue.notices, ["cannot read stdin: Input/output error"]);
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
    let mut dialogue = Dialogue::new(Job::Write {
        pipe,
        wait: true,
        whole: false,
        compress: Compression::Off,
        inferred,
        label,
    });
    let opening = dialogue.take_sent().pop().map(|(request, _)| request);
    assert!(
        matches!(opening, Some(Request::Open(Open { wait: true, .. }))),
        "{opening:?}"
    );
}

/// An open writer of the pipe `p` that has buffered some of a command's output.
fn commanded() -> Dialogue {
    let mut dialogue = Dialogue::writer();
    assert!(!dialogue.session.is_open());
    dialogue.welcome();
    assert!(!dialogue.session.is_open(), "it may be refused yet");
    dialogue.opened(0, 1 << 30);
    assert!(dialogue.session.is_open());
    dialogue.read("half\n");
    dialogue.said();
    dialogue
}

#[test]
fn a_command_that_succeeds_ends_its_stream() {
    let mut dialogue = commanded();
    dialogue.happen(Input::CommandEnded(CommandEnd::Exited(0)));
    assert_eq!(dialogue.said(), "end 5");
    dialogue.finished(Outcome::Kept);
    assert_eq!((dialogue.exit, dialogue.notices.len()), (Some(0), 0));
}

#[test]
fn a_command_that_fails_cuts_its_stream_and_its_code_is_the_writers() {
    for (end, what, code) in [
        (CommandEnd::Exited(3), "exited with code 3", 3),
        (CommandEnd::Killed(9), "was killed by signal 9", 137),
        (CommandEnd::Killed(200), "was killed by signal 200", 255),
    ] {
        let mut dialogue = commanded();
        dialogue.happen(Input::CommandEnded(end));
        assert!(!dialogue.session.is_open());
        assert_eq!(dialogue.said(), format!("cut 5 (its command {what})"));
        dialogue.finished(Outcome::Discarded);
        assert_eq!(dialogue.exit, Some(code));
        let notice = format!("the command {what}: its stream in \"p\" was cut");
        assert_eq!(dialogue.notices, [notice]);
    }
}

#[test]
fn a_command_that_was_not_started_finishes_nothing() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.said();
    dialogue.happen(Input::NotStarted("why".to_owned()));
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("bye", Some(126))
    );
    assert_eq!(dialogue.notices, ["why"]);
}
