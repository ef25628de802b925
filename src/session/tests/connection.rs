//! Tests of the connection for every job: first contact, silence, reconnecting, `--timeout`, signals.

use std::time::Duration;

use proptest::prelude::*;
use skypipe_protocol::{Code, MAGIC, Mode, Reply, Request, encode};
use uuid::Uuid;

use super::dialogue::{A, BEAT, Dialogue, just_before, write_job};
use crate::session::{Input, Job, Signal};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn listen_job() -> Job {
    Job::Listen {
        pipe: "p".to_owned(),
        mode: Mode::Default,
    }
}

#[test]
fn a_client_goes_on_without_waiting_for_the_welcome() {
    assert_eq!(Dialogue::writer().said(), "hello, open 0");
    assert_eq!(Dialogue::new(listen_job()).said(), "hello, listen");
}

#[test]
fn exit_4_after_nine_and_a_half_seconds_without_any_answer() {
    for job in [write_job(false), listen_job()] {
        let mut dialogue = Dialogue::new(job);
        dialogue.pass(just_before(9500 * MILLI));
        assert_eq!(dialogue.exit, None);
        assert!(dialogue.connects.len() > 1, "it tries more than once");
        dialogue.pass(MILLI);
        assert_eq!(dialogue.exit, Some(4));
        assert_eq!(dialogue.notices, ["no satellite answers at tcp://sky:9000"]);
    }
}

/// A client of a satellite that starts at `up`, and refuses connections before.
fn looks_for_a_satellite_from(up: Duration, limit: Option<Duration>) -> Dialogue {
    let mut dialogue = Dialogue::with(listen_job(), |config| config.connect_timeout = limit);
    while dialogue.exit.is_none() {
        if *dialogue.connects.last().expect("it begins with one") >= up {
            dialogue.welcome();
            break;
        }
        dialogue.break_off();
        dialogue.pass(10 * MILLI);
    }
    dialogue
}

#[test]
fn a_satellite_that_comes_up_at_any_moment_within_the_first_eight_seconds_is_found() {
    for up in (0..8000).step_by(50) {
        let dialogue = looks_for_a_satellite_from(up * MILLI, None);
        assert_eq!(
            (dialogue.exit, dialogue.notices.len()),
            (None, 0),
            "up after {up} ms"
        );
    }
    let dialogue = looks_for_a_satellite_from(3600 * SECOND, None);
    assert_eq!(dialogue.exit, Some(4));
    assert!(
        dialogue.now < 8100 * MILLI,
        "nobody waits where nobody can come"
    );
}

#[test]
fn a_satellite_is_looked_for_as_long_as_was_said() {
    for (up, limit, exit) in [
        (3599, 3600, None),
        (3601, 3600, Some(4)),
        (1, 2, None),
        (3, 2, Some(4)),
    ] {
        let dialogue = looks_for_a_satellite_from(up * SECOND, Some(limit * SECOND));
        assert_eq!(dialogue.exit, exit, "up after {up} s");
        assert!(dialogue.now < (limit + 1) * SECOND);
    }
}

#[test]
fn exit_4_tells_the_last_reason_that_is_known() {
    let mut dialogue = Dialogue::writer();
    while dialogue.exit.is_none() {
        dialogue.break_off();
        dialogue.happen(Input::Disconnected(None));
        dialogue.pass(SECOND);
    }
    assert_eq!(dialogue.exit, Some(4));
    assert_eq!(
        dialogue.notices,
        ["no satellite answers at tcp://sky:9000 (the cable was cut)"]
    );
}

#[test]
fn rule_16_once_it_was_welcome_a_client_looks_for_its_satellite_for_ever() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.break_off();
    dialogue.pass(3600 * SECOND);
    assert_eq!((dialogue.exit, dialogue.notices.len()), (None, 0));
}

#[test]
fn waits_between_attempts_grow_and_stay_below_seven_and_a_half_seconds() {
    let mut dialogue = Dialogue::open_writer();
    let mut waits = Vec::new();
    for attempt in 1..20 {
        dialogue.break_off();
        let before = dialogue.now;
        while dialogue.connects.len() == attempt {
            dialogue.pass(MILLI);
        }
        waits.push(dialogue.now.abs_diff(before));
    }
    assert!(waits[0] <= 200 * MILLI, "{waits:?}");
    assert!(
        waits[..6].is_sorted() && waits[6] >= 5 * SECOND,
        "{waits:?}"
    );
    assert!(waits.iter().all(|wait| *wait < 7500 * MILLI), "{waits:?}");
}

#[test]
fn clients_that_lost_their_satellite_together_do_not_come_back_together() {
    let comes_back_at = |client| {
        let mut dialogue = Dialogue::with(listen_job(), |config| {
            config.client = Uuid::from_u128(client);
        });
        for _ in 0..4 {
            dialogue.break_off();
            dialogue.pass(SECOND);
        }
        dialogue.connects
    };
    assert_ne!(
        comes_back_at(0x1234_5678_9abc_def0),
        comes_back_at(0x0fed_cba9_8765_4321)
    );
}

#[test]
fn progress_makes_the_next_wait_short_again() {
    let mut dialogue = Dialogue::open_writer();
    for _ in 0..5 {
        dialogue.break_off();
        dialogue.pass(8 * SECOND);
    }
    let connects = dialogue.connects.len();
    while dialogue.connects.len() == connects {
        dialogue.pass(100 * MILLI);
    }
    dialogue.welcome();
    dialogue.reply(&Reply::Pong);
    let (before, connects) = (dialogue.now, dialogue.connects.len());
    dialogue.break_off();
    while dialogue.connects.len() == connects {
        dialogue.pass(MILLI);
    }
    assert!(dialogue.now.abs_diff(before) <= 200 * MILLI);
}

#[test]
fn a_client_says_that_it_is_there_and_takes_silence_for_a_broken_connection() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    for _ in 0..100 {
        dialogue.pass(BEAT);
        assert_eq!(dialogue.said(), "ping");
        dialogue.reply(&Reply::Pong);
    }
    dialogue.pass(just_before(3 * BEAT));
    assert_eq!(
        (dialogue.said().as_str(), dialogue.connects.len()),
        ("ping, ping", 1)
    );
    dialogue.pass(SECOND);
    assert_eq!(
        (dialogue.said().as_str(), dialogue.connects.len()),
        ("hello, listen from 0", 2)
    );
}

#[test]
fn a_large_message_on_a_slow_line_is_given_more_time_and_then_twice_that() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.ack(0, 1 << 30);
    dialogue.read(&"unacknowledged".repeat(10_000));
    dialogue.pass(just_before(12 * BEAT));
    assert_eq!(dialogue.connects.len(), 1);
    dialogue.pass(SECOND);
    assert_eq!(dialogue.connects.len(), 2);
    dialogue.welcome();
    dialogue.opened(0, 1 << 30);
    dialogue.pass(just_before(24 * BEAT));
    assert_eq!(dialogue.connects.len(), 2);
    dialogue.pass(SECOND);
    assert_eq!(dialogue.connects.len(), 3);
}

#[test]
fn a_small_message_on_its_way_is_no_reason_for_patience() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("unacknowledged");
    dialogue.pass(3 * BEAT + SECOND);
    assert_eq!(dialogue.connects.len(), 2);
}

#[test]
fn an_attempt_that_nobody_answers_is_given_up_after_three_seconds() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.break_off();
    dialogue.pass(SECOND);
    assert_eq!(dialogue.connects.len(), 2);
    dialogue.pass(4 * SECOND);
    assert_eq!(dialogue.connects.len(), 3);
}

#[test]
fn a_stranger_says_hello_again_and_resumes() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("text\n");
    dialogue.ack(5, 1 << 30);
    dialogue.said();
    dialogue.refuse(Code::Stranger, None);
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, reopen 5");
    assert_eq!(dialogue.connects.len(), 2);
}

#[test]
fn rule_16_what_comes_late_on_a_connection_that_was_given_up_is_no_longer_heard() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\n");
    dialogue.refuse(Code::Stranger, None);
    dialogue.welcome();
    dialogue.opened(4, 1 << 30);
    dialogue.pass(SECOND);
    dialogue.read("two\n");
    assert_eq!(
        dialogue.said(),
        "hello, reopen 0",
        "it waits to be told where to go on"
    );
}

#[test]
fn what_makes_no_sense_to_go_on_with_ends_with_the_satellites_sentence() {
    for (code, exit) in [(Code::Revision, 1), (Code::Name, 2), (Code::Limit, 1)] {
        let mut dialogue = Dialogue::writer();
        dialogue.refuse(code, None);
        assert_eq!(dialogue.exit, Some(exit), "{code:?}");
        assert_eq!(dialogue.notices, ["the satellite says why"]);
    }
}

#[test]
fn what_a_newer_satellite_says_and_this_client_does_not_understand_ends_it() {
    for frames in [&[MAGIC, b"\xc1"], &[MAGIC, &encode(&Request::Ping)[..]]] {
        let mut dialogue = Dialogue::open_writer();
        dialogue.receive(frames);
        assert_eq!(dialogue.exit, Some(1));
    }
}

#[test]
fn messages_of_other_protocols_are_ignored() {
    let mut dialogue = Dialogue::open_writer();
    let pong = encode(&Reply::Pong);
    let strange: [&[&[u8]]; 5] = [
        &[],
        &[b""],
        &[b"SKYPIPE/0.1", b"HELLO"],
        &[b"SKYPIPE/2", &pong],
        &[MAGIC, &pong, b"", b""],
    ];
    for frames in strange {
        dialogue.receive(frames);
    }
    assert_eq!(dialogue.exit, None);
    dialogue.pass(3 * BEAT + SECOND);
    assert_eq!(dialogue.connects.len(), 2, "and are no sign of life");
}

#[test]
fn an_older_satellite_is_told_of_once() {
    for (theirs, is_told) in [
        ("skypipe 0.9.12", true),
        ("skypipe 1.0.0", false),
        ("x", false),
    ] {
        let mut dialogue = Dialogue::writer();
        dialogue.welcome_from(theirs);
        dialogue.welcome_from(theirs);
        assert_eq!(dialogue.hints.len(), usize::from(is_told), "{theirs}");
    }
}

#[test]
fn timeout_ends_a_listener_to_which_nothing_comes() {
    let mut dialogue = Dialogue::with(listen_job(), |config| config.timeout = Some(5 * SECOND));
    dialogue.welcome();
    dialogue.reply(&super::dialogue::LISTENING);
    for seq in 0..3 {
        dialogue.pass(4 * SECOND);
        dialogue.chunk(seq, A, 2 * seq, "x\n");
        dialogue.write_all();
        dialogue.reply(&Reply::Pong);
    }
    dialogue.said();
    dialogue.pass(just_before(5 * SECOND));
    assert_eq!(dialogue.exit, None, "each byte counts anew");
    dialogue.pass(MILLI);
    assert_eq!(dialogue.exit, Some(124));
    let said = dialogue.said();
    assert!(said.ends_with("leave, bye"), "{said}");
    assert_eq!(dialogue.notices, ["timed out: no data on \"p\" for 5s"]);
}

#[test]
fn timeout_ends_a_writer_that_is_not_acknowledged() {
    let mut dialogue = Dialogue::with(write_job(false), |config| config.timeout = Some(5 * SECOND));
    dialogue.welcome();
    dialogue.opened(0, 1 << 20);
    for line in 1..4 {
        dialogue.read("x\n");
        dialogue.pass(4 * SECOND);
        dialogue.ack(2 * line, 1 << 20);
    }
    dialogue.read("x\n");
    dialogue.pass(just_before(5 * SECOND));
    assert_eq!(dialogue.exit, None);
    dialogue.pass(MILLI);
    assert_eq!(dialogue.exit, Some(124));
}

#[test]
fn timeout_counts_while_there_is_no_satellite_too() {
    let mut dialogue = Dialogue::with(listen_job(), |config| config.timeout = Some(5 * SECOND));
    dialogue.welcome();
    dialogue.break_off();
    dialogue.pass(5 * SECOND);
    assert_eq!(dialogue.exit, Some(124));
    let mut dialogue = Dialogue::with(listen_job(), |config| config.timeout = Some(2 * SECOND));
    dialogue.pass(2 * SECOND);
    assert_eq!(dialogue.exit, Some(4), "nobody answered at the start");
}

#[test]
fn rule_15_signals_end_a_listener_at_once() {
    let signals = [
        (Signal::Hangup, 129),
        (Signal::Interrupt, 130),
        (Signal::Terminate, 143),
    ];
    for (signal, code) in signals {
        let mut dialogue = Dialogue::listener(Mode::Default);
        dialogue.chunk(0, A, 0, "written\n");
        dialogue.chunk(1, A, 8, "not written\n");
        dialogue.write_one();
        assert_eq!(dialogue.said(), "confirm 1");
        dialogue.happen(Input::Signal(signal));
        assert_eq!(
            (dialogue.said().as_str(), dialogue.exit),
            ("leave, bye", Some(code))
        );
    }
}

#[test]
fn signals_end_a_client_that_has_not_found_its_satellite() {
    for job in [write_job(false), listen_job()] {
        let mut dialogue = Dialogue::new(job);
        dialogue.happen(Input::Signal(Signal::Interrupt));
        assert_eq!(dialogue.exit, Some(130));
        assert_eq!(dialogue.notices, [""; 0]);
    }
}

#[test]
fn after_its_end_a_session_does_nothing_more() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.happen(Input::Signal(Signal::Interrupt));
    dialogue.pass(SECOND);
    assert_eq!(dialogue.exit, Some(130));
    dialogue.read("more");
    dialogue.welcome();
    dialogue.break_off();
    dialogue.happen(Input::Timeout);
    assert_eq!(dialogue.session.deadline(), None);
    assert!(!dialogue.session.wants_input());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a satellite sends, and however the connection behaves, a session continues or ends with one
    /// exit; time never stands still.
    #[test]
    fn strange_replies_are_survived(
        words in prop::collection::vec((0..9_u8, 0..4_u64, any::<u64>(), 0..4_000_u64), 0..100),
        is_writer in any::<bool>(),
    ) {
        let mut dialogue = Dialogue::new(if is_writer { write_job(false) } else { listen_job() });
        for (kind, small, wild, ms) in words {
            let number = if wild % 4 == 0 { wild } else { small };
            match kind {
                0 => dialogue.welcome(),
                1 => dialogue.break_off(),
                2 => dialogue.opened(number, wild),
                3 => dialogue.ack(number, wild),
                4 => dialogue.chunk(number, A, small, "text"),
                5 => dialogue.done(number),
                6 => dialogue.reply(&super::dialogue::LISTENING),
                7 => dialogue.read("line\n"),
                _ => dialogue.reply(&Reply::Pong),
            }
            if !dialogue.to_write.is_empty() {
                dialogue.write_one();
            }
            dialogue.pass(Duration::from_millis(ms));
        }
    }
}
