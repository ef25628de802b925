//! Tests of the connection for every job: first contact, silence, reconnecting, `--timeout`, signals.

use std::time::Duration;

use proptest::prelude::*;
use skypipe_protocol::{Code, MAGIC, Mode, Reply, Request, encode};
use uuid::Uuid;

use super::talk::{A, BEAT, Talk, just_before, write_job};
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
    assert_eq!(Talk::writer().said(), "hello, open 0");
    assert_eq!(Talk::new(listen_job()).said(), "hello, listen");
}

#[test]
fn exit_4_after_nine_and_a_half_seconds_without_any_answer() {
    for job in [write_job(false), listen_job()] {
        let mut talk = Talk::new(job);
        talk.pass(just_before(9500 * MILLI));
        assert_eq!(talk.exit, None);
        assert!(talk.connects.len() > 1, "it tries more than once");
        talk.pass(MILLI);
        assert_eq!(talk.exit, Some(4));
        assert_eq!(talk.notices, ["no satellite answers at tcp://sky:9000"]);
    }
}

/// A client of a satellite that starts at `up`, and refuses connections before.
fn looks_for_a_satellite_from(up: Duration, limit: Option<Duration>) -> Talk {
    let mut talk = Talk::with(listen_job(), |config| config.connect_timeout = limit);
    while talk.exit.is_none() {
        if *talk.connects.last().expect("it begins with one") >= up {
            talk.welcome();
            break;
        }
        talk.break_off();
        talk.pass(10 * MILLI);
    }
    talk
}

#[test]
fn a_satellite_that_comes_up_at_any_moment_within_the_first_eight_seconds_is_found() {
    for up in (0..8000).step_by(50) {
        let talk = looks_for_a_satellite_from(up * MILLI, None);
        assert_eq!(
            (talk.exit, talk.notices.len()),
            (None, 0),
            "up after {up} ms"
        );
    }
    let talk = looks_for_a_satellite_from(3600 * SECOND, None);
    assert_eq!(talk.exit, Some(4));
    assert!(
        talk.now < 8100 * MILLI,
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
        let talk = looks_for_a_satellite_from(up * SECOND, Some(limit * SECOND));
        assert_eq!(talk.exit, exit, "up after {up} s");
        assert!(talk.now < (limit + 1) * SECOND);
    }
}

#[test]
fn exit_4_tells_the_last_reason_that_is_known() {
    let mut talk = Talk::writer();
    while talk.exit.is_none() {
        talk.break_off();
        talk.happen(Input::Disconnected(None));
        talk.pass(SECOND);
    }
    assert_eq!(talk.exit, Some(4));
    assert_eq!(
        talk.notices,
        ["no satellite answers at tcp://sky:9000 (the cable was cut)"]
    );
}

#[test]
fn rule_16_once_it_was_welcome_a_client_looks_for_its_satellite_for_ever() {
    let mut talk = Talk::open_writer();
    talk.break_off();
    talk.pass(3600 * SECOND);
    assert_eq!((talk.exit, talk.notices.len()), (None, 0));
}

#[test]
fn waits_between_attempts_grow_and_stay_below_seven_and_a_half_seconds() {
    let mut talk = Talk::open_writer();
    let mut waits = Vec::new();
    for attempt in 1..20 {
        talk.break_off();
        let before = talk.now;
        while talk.connects.len() == attempt {
            talk.pass(MILLI);
        }
        waits.push(talk.now.abs_diff(before));
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
        let mut talk = Talk::with(listen_job(), |config| {
            config.client = Uuid::from_u128(client);
        });
        for _ in 0..4 {
            talk.break_off();
            talk.pass(SECOND);
        }
        talk.connects
    };
    assert_ne!(
        comes_back_at(0x1234_5678_9abc_def0),
        comes_back_at(0x0fed_cba9_8765_4321)
    );
}

#[test]
fn progress_makes_the_next_wait_short_again() {
    let mut talk = Talk::open_writer();
    for _ in 0..5 {
        talk.break_off();
        talk.pass(8 * SECOND);
    }
    let connects = talk.connects.len();
    while talk.connects.len() == connects {
        talk.pass(100 * MILLI);
    }
    talk.welcome();
    talk.reply(&Reply::Pong);
    let (before, connects) = (talk.now, talk.connects.len());
    talk.break_off();
    while talk.connects.len() == connects {
        talk.pass(MILLI);
    }
    assert!(talk.now.abs_diff(before) <= 200 * MILLI);
}

#[test]
fn a_client_says_that_it_is_there_and_takes_silence_for_a_broken_connection() {
    let mut talk = Talk::listener(Mode::Default);
    for _ in 0..100 {
        talk.pass(BEAT);
        assert_eq!(talk.said(), "ping");
        talk.reply(&Reply::Pong);
    }
    talk.pass(just_before(3 * BEAT));
    assert_eq!(
        (talk.said().as_str(), talk.connects.len()),
        ("ping, ping", 1)
    );
    talk.pass(SECOND);
    assert_eq!(
        (talk.said().as_str(), talk.connects.len()),
        ("hello, listen from 0", 2)
    );
}

#[test]
fn a_large_message_on_a_slow_line_is_given_more_time_and_then_twice_that() {
    let mut talk = Talk::open_writer();
    talk.ack(0, 1 << 30);
    talk.read(&"unacknowledged".repeat(10_000));
    talk.pass(just_before(12 * BEAT));
    assert_eq!(talk.connects.len(), 1);
    talk.pass(SECOND);
    assert_eq!(talk.connects.len(), 2);
    talk.welcome();
    talk.opened(0, 1 << 30);
    talk.pass(just_before(24 * BEAT));
    assert_eq!(talk.connects.len(), 2);
    talk.pass(SECOND);
    assert_eq!(talk.connects.len(), 3);
}

#[test]
fn a_small_message_on_its_way_is_no_reason_for_patience() {
    let mut talk = Talk::open_writer();
    talk.read("unacknowledged");
    talk.pass(3 * BEAT + SECOND);
    assert_eq!(talk.connects.len(), 2);
}

#[test]
fn an_attempt_that_nobody_answers_is_given_up_after_three_seconds() {
    let mut talk = Talk::open_writer();
    talk.break_off();
    talk.pass(SECOND);
    assert_eq!(talk.connects.len(), 2);
    talk.pass(4 * SECOND);
    assert_eq!(talk.connects.len(), 3);
}

#[test]
fn a_stranger_says_hello_again_and_resumes() {
    let mut talk = Talk::open_writer();
    talk.read("text\n");
    talk.ack(5, 1 << 30);
    talk.said();
    talk.refuse(Code::Stranger, None);
    talk.pass(SECOND);
    assert_eq!(talk.said(), "hello, reopen 5");
    assert_eq!(talk.connects.len(), 2);
}

#[test]
fn rule_16_what_comes_late_on_a_connection_that_was_given_up_is_no_longer_heard() {
    let mut talk = Talk::open_writer();
    talk.read("one\n");
    talk.refuse(Code::Stranger, None);
    talk.welcome();
    talk.opened(4, 1 << 30);
    talk.pass(SECOND);
    talk.read("two\n");
    assert_eq!(
        talk.said(),
        "hello, reopen 0",
        "it waits to be told where to go on"
    );
}

#[test]
fn what_makes_no_sense_to_go_on_with_ends_with_the_satellites_sentence() {
    for (code, exit) in [(Code::Revision, 1), (Code::Name, 2), (Code::Limit, 1)] {
        let mut talk = Talk::writer();
        talk.refuse(code, None);
        assert_eq!(talk.exit, Some(exit), "{code:?}");
        assert_eq!(talk.notices, ["the satellite says why"]);
    }
}

#[test]
fn what_a_newer_satellite_says_and_this_client_does_not_understand_ends_it() {
    for frames in [&[MAGIC, b"\xc1"], &[MAGIC, &encode(&Request::Ping)[..]]] {
        let mut talk = Talk::open_writer();
        talk.receive(frames);
        assert_eq!(talk.exit, Some(1));
    }
}

#[test]
fn messages_of_other_protocols_are_ignored() {
    let mut talk = Talk::open_writer();
    let pong = encode(&Reply::Pong);
    let strange: [&[&[u8]]; 5] = [
        &[],
        &[b""],
        &[b"SKYPIPE/0.1", b"HELLO"],
        &[b"SKYPIPE/2", &pong],
        &[MAGIC, &pong, b"", b""],
    ];
    for frames in strange {
        talk.receive(frames);
    }
    assert_eq!(talk.exit, None);
    talk.pass(3 * BEAT + SECOND);
    assert_eq!(talk.connects.len(), 2, "and are no sign of life");
}

#[test]
fn an_older_satellite_is_told_of_once() {
    for (theirs, is_told) in [
        ("skypipe 0.9.12", true),
        ("skypipe 1.0.0", false),
        ("x", false),
    ] {
        let mut talk = Talk::writer();
        talk.welcome_from(theirs);
        talk.welcome_from(theirs);
        assert_eq!(talk.hints.len(), usize::from(is_told), "{theirs}");
    }
}

#[test]
fn timeout_ends_a_listener_to_which_nothing_comes() {
    let mut talk = Talk::with(listen_job(), |config| config.timeout = Some(5 * SECOND));
    talk.welcome();
    talk.reply(&super::talk::LISTENING);
    for seq in 0..3 {
        talk.pass(4 * SECOND);
        talk.chunk(seq, A, 2 * seq, "x\n");
        talk.write_all();
        talk.reply(&Reply::Pong);
    }
    talk.said();
    talk.pass(just_before(5 * SECOND));
    assert_eq!(talk.exit, None, "each byte counts anew");
    talk.pass(MILLI);
    assert_eq!(talk.exit, Some(124));
    let said = talk.said();
    assert!(said.ends_with("leave, bye"), "{said}");
    assert_eq!(talk.notices, ["timed out: no data on \"p\" for 5s"]);
}

#[test]
fn timeout_ends_a_writer_that_is_not_acknowledged() {
    let mut talk = Talk::with(write_job(false), |config| config.timeout = Some(5 * SECOND));
    talk.welcome();
    talk.opened(0, 1 << 20);
    for line in 1..4 {
        talk.read("x\n");
        talk.pass(4 * SECOND);
        talk.ack(2 * line, 1 << 20);
    }
    talk.read("x\n");
    talk.pass(just_before(5 * SECOND));
    assert_eq!(talk.exit, None);
    talk.pass(MILLI);
    assert_eq!(talk.exit, Some(124));
}

#[test]
fn timeout_counts_while_there_is_no_satellite_too() {
    let mut talk = Talk::with(listen_job(), |config| config.timeout = Some(5 * SECOND));
    talk.welcome();
    talk.break_off();
    talk.pass(5 * SECOND);
    assert_eq!(talk.exit, Some(124));
    let mut talk = Talk::with(listen_job(), |config| config.timeout = Some(2 * SECOND));
    talk.pass(2 * SECOND);
    assert_eq!(talk.exit, Some(4), "nobody answered at the start");
}

#[test]
fn rule_15_signals_end_a_listener_at_once() {
    let signals = [
        (Signal::Hangup, 129),
        (Signal::Interrupt, 130),
        (Signal::Terminate, 143),
    ];
    for (signal, code) in signals {
        let mut talk = Talk::listener(Mode::Default);
        talk.chunk(0, A, 0, "written\n");
        talk.chunk(1, A, 8, "not written\n");
        talk.write_one();
        assert_eq!(talk.said(), "confirm 1");
        talk.happen(Input::Signal(signal));
        assert_eq!(
            (talk.said().as_str(), talk.exit),
            ("leave, bye", Some(code))
        );
    }
}

#[test]
fn signals_end_a_client_that_has_not_found_its_satellite() {
    for job in [write_job(false), listen_job()] {
        let mut talk = Talk::new(job);
        talk.happen(Input::Signal(Signal::Interrupt));
        assert_eq!(talk.exit, Some(130));
        assert_eq!(talk.notices, [""; 0]);
    }
}

#[test]
fn after_its_end_a_session_does_nothing_more() {
    let mut talk = Talk::open_writer();
    talk.happen(Input::Signal(Signal::Interrupt));
    talk.pass(SECOND);
    assert_eq!(talk.exit, Some(130));
    talk.read("more");
    talk.welcome();
    talk.break_off();
    talk.happen(Input::Timeout);
    assert_eq!(talk.session.deadline(), None);
    assert!(!talk.session.wants_input());
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
        let mut talk = Talk::new(if is_writer { write_job(false) } else { listen_job() });
        for (kind, small, wild, ms) in words {
            let number = if wild % 4 == 0 { wild } else { small };
            match kind {
                0 => talk.welcome(),
                1 => talk.break_off(),
                2 => talk.opened(number, wild),
                3 => talk.ack(number, wild),
                4 => talk.chunk(number, A, small, "text"),
                5 => talk.done(number),
                6 => talk.reply(&super::talk::LISTENING),
                7 => talk.read("line\n"),
                _ => talk.reply(&Reply::Pong),
            }
            if !talk.to_write.is_empty() {
                talk.write_one();
            }
            talk.pass(Duration::from_millis(ms));
        }
    }
}
