//! Tests of what a session says while it waits, and of its receipt.

use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{Mode, Outcome, Reply};

use super::dialogue::{A, Dialogue, LISTENING, OWN, just_before, write_job};
use crate::session::{CommandEnd, Compression, Input, Job, Signal};

const SECOND: Duration = Duration::from_secs(1);

fn listener() -> Dialogue {
    Dialogue::new(Job::Listen {
        pipe: "p".to_owned(),
        mode: Mode::Default,
    })
}

#[test]
fn the_search_for_a_satellite_and_the_wait_for_data_are_told_once_each() {
    let mut dialogue = listener();
    dialogue.pass(just_before(SECOND * 2));
    assert_eq!(dialogue.hints, [""; 0]);
    dialogue.pass(SECOND);
    assert_eq!(
        dialogue.hints,
        ["looking for the satellite at tcp://sky:9000"]
    );
    dialogue.welcome();
    dialogue.reply(&LISTENING);
    dialogue.pass(SECOND * 3);
    assert_eq!(
        dialogue.hints[1..],
        ["waiting for data on \"p\" (Ctrl-C to stop)"]
    );
}

/// What a listener says whose satellite is gone for this long, and then there for two seconds.
fn told_of_a_break(time: Duration) -> Vec<String> {
    let mut dialogue = listener();
    dialogue.welcome();
    dialogue.reply(&LISTENING);
    dialogue.chunk(0, A, 0, "text");
    dialogue.break_off();
    dialogue.pass(time);
    dialogue.welcome();
    dialogue.reply(&LISTENING);
    dialogue.pass(SECOND * 2);
    dialogue.hints
}

#[test]
fn a_lost_satellite_is_told_and_so_is_how_long_it_was_gone() {
    assert_eq!(
        told_of_a_break(SECOND * 12),
        [
            "lost the connection to tcp://sky:9000, retrying (nothing is lost)",
            "reconnected after 12 s"
        ]
    );
}

#[test]
fn a_short_break_is_not_worth_a_word() {
    assert_eq!(told_of_a_break(SECOND), [""; 0]);
}

#[test]
fn a_writer_that_only_inferred_its_direction_says_what_it_waits_for() {
    let mut dialogue = Dialogue::new(write_job(true));
    dialogue.welcome();
    dialogue.pass(just_before(SECOND * 3));
    assert_eq!(dialogue.hints, [""; 0]);
    dialogue.pass(SECOND);
    assert_eq!(
        dialogue.hints,
        ["waiting for data on stdin, to write it to \"p\"; to read instead: -r"]
    );
}

/// A writer that has written three bytes and their end, which the satellite has.
fn written(wait: bool) -> Dialogue {
    let mut dialogue = Dialogue::new(Job::Write {
        pipe: "p".to_owned(),
        wait,
        whole: false,
        compress: Compression::Off,
        inferred: false,
        label: "ann@host pid 1".to_owned(),
    });
    dialogue.welcome();
    dialogue.reply(&Reply::Opened {
        stream: OWN,
        next: 0,
        limit: 1 << 20,
        rest: false,
    });
    dialogue.happen(Input::Read(Bytes::from_static(b"abc").into()));
    dialogue.happen(Input::ReadEnd);
    dialogue.reply(&Reply::Ack {
        stream: OWN,
        next: 3,
        limit: 1 << 20,
        full: None,
    });
    dialogue
}

fn finished(dialogue: &mut Dialogue, outcome: Outcome) {
    dialogue.reply(&Reply::Finished {
        stream: OWN,
        outcome,
    });
}

#[test]
fn a_writer_gives_a_receipt() {
    let mut dialogue = written(false);
    finished(&mut dialogue, Outcome::Kept);
    assert_eq!(
        dialogue.hints,
        ["sent 3 bytes in 0.0 s: safe at the satellite, or read already"]
    );
    assert_eq!(dialogue.exit, Some(0));
}

#[test]
fn a_writer_that_waits_for_readers_says_so() {
    let mut dialogue = written(true);
    dialogue.pass(SECOND * 3);
    finished(&mut dialogue, Outcome::Taken);
    assert_eq!(
        dialogue.hints,
        [
            "everything is sent: waiting until someone reads \"p\"",
            "sent 3 bytes in 3.0 s: read"
        ]
    );
}

/// What is hinted to a writer whose stream was cut in this way.
fn told_of_a_cut(input: Input) -> Vec<String> {
    let mut dialogue = Dialogue::new(write_job(false));
    dialogue.welcome();
    dialogue.reply(&Reply::Opened {
        stream: OWN,
        next: 0,
        limit: 1 << 20,
        rest: false,
    });
    dialogue.happen(Input::Read(Bytes::from_static(b"abc").into()));
    dialogue.happen(input);
    finished(&mut dialogue, Outcome::Kept);
    dialogue.hints
}

#[test]
fn only_who_was_interrupted_is_told_so() {
    let hints = told_of_a_cut(Input::Signal(Signal::Interrupt));
    assert_eq!(
        hints,
        [
            "interrupted: what nobody has read of 3 bytes stays in \"p\", marked incomplete; to delete it: \
             skypipe --discard \"p\""
        ]
    );
    let failed = Input::CommandEnded(CommandEnd::Exited(1));
    assert_eq!(
        told_of_a_cut(failed),
        [""; 0],
        "the command's failure is told"
    );
}
