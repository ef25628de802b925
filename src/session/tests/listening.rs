//! Tests of a listener: what it prints, what it confirms, how it ends.

use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{
    Code, Confirm, How, Listen, MAGIC, MAX_CHUNK, MAX_UNCONFIRMED, Mode, Progress, Reply, Request,
    Resume, cost, encode,
};

use uuid::Uuid;

use super::dialogue::{A, B, Dialogue, OWN, just_before};
use crate::session::{Input, Job};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn cut() -> How {
    How::Cut("nothing was heard from it for 60 s".to_owned())
}

/// The connection breaks. A new connection reaches a satellite that knows the listener.
fn come_back(dialogue: &mut Dialogue) {
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.reply(&super::dialogue::LISTENING);
}

#[test]
fn rule_10_only_what_was_written_is_confirmed() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.chunk(1, A, 4, "two\n");
    dialogue.ended(2, A, How::End, 0);
    assert_eq!(dialogue.said(), "");
    dialogue.write_one();
    assert_eq!(dialogue.said(), "confirm 1");
    dialogue.write_one();
    assert_eq!(
        dialogue.said(),
        "confirm 3",
        "the end behind it is written with it"
    );
    assert_eq!(dialogue.printed(), "one\ntwo\n");
}

#[test]
fn rule_15_exit_0_is_after_an_end_that_the_satellite_knows_to_be_confirmed() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "text\n");
    dialogue.ended(1, A, How::End, 0);
    dialogue.done(2);
    dialogue.write_all();
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("confirm 3", None)
    );
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!((dialogue.said().as_str(), dialogue.exit), ("bye", Some(0)));
    assert_eq!(dialogue.notices, [""; 0]);
}

#[test]
fn an_end_without_a_byte_is_an_end() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.ended(0, A, How::End, 0);
    dialogue.done(1);
    assert_eq!(dialogue.said(), "confirm 1, confirm 2");
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!((dialogue.exit, dialogue.printed()), (Some(0), ""));
}

#[test]
fn a_satellite_that_never_answers_the_last_confirmation_is_asked_again_and_left_after_half_a_minute()
 {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.ended(0, A, How::End, 0);
    dialogue.done(1);
    dialogue.pass(just_before(30 * SECOND));
    assert_eq!(dialogue.exit, None);
    dialogue.pass(MILLI);
    assert_eq!(dialogue.exit, Some(0));
}

#[test]
fn rule_15_a_cut_stream_is_exit_3_and_says_which_writer_and_why() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "half");
    dialogue.ended(1, A, cut(), 0);
    dialogue.done(2);
    assert_eq!(
        dialogue.notices, [""; 0],
        "not before its bytes are written"
    );
    dialogue.write_all();
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3));
    let notice = "the stream of ann@host pid 1 was cut: nothing was heard from it for 60 s";
    assert_eq!(dialogue.notices, [notice]);
}

#[test]
fn rule_15_a_remainder_is_exit_3_and_says_how_much_others_had() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 3, "rest\n");
    dialogue.ended(1, A, How::End, 1234);
    dialogue.done(2);
    dialogue.write_all();
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3));
    let notice =
        "this is the rest of the stream of ann@host pid 1: its first 1234 bytes went to others";
    assert_eq!(dialogue.notices, [notice]);
}

#[test]
fn rule_16_a_listener_resumes_at_what_has_arrived_and_confirms_what_was_written() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    for (seq, text) in ["a", "b", "c"].iter().enumerate() {
        dialogue.chunk(seq as u64, A, seq as u64, text);
    }
    dialogue.write_one();
    dialogue.said();
    dialogue.break_off();
    dialogue.write_one();
    assert_eq!(dialogue.said(), "", "there is no connection");
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, listen from 3");
    dialogue.welcome();
    assert_eq!(dialogue.said(), "");
    dialogue.reply(&super::dialogue::LISTENING);
    assert_eq!(dialogue.said(), "confirm 2");
    dialogue.write_one();
    assert_eq!(dialogue.said(), "confirm 3");
}

#[test]
fn rule_16_what_comes_twice_is_dropped() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "a");
    dialogue.ended(1, A, How::End, 0);
    for _ in 0..2 {
        dialogue.chunk(0, A, 0, "a");
        dialogue.ended(1, A, How::End, 0);
        dialogue.chunk(2, B, 0, "b");
    }
    dialogue.done(3);
    dialogue.done(3);
    dialogue.write_all();
    assert_eq!((dialogue.printed(), dialogue.exit), ("a\nb", None));
    assert_eq!(
        dialogue.said(),
        "confirm 2, confirm 4",
        "the newline between them is no seq"
    );
}

#[test]
fn rule_16_a_gap_is_a_failure_never_skipped() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "a");
    dialogue.chunk(2, A, 1, "c");
    assert_eq!(dialogue.exit, Some(1));
    assert_eq!(dialogue.notices, ["got sequence number 2, expected 1"]);

    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 5, "it may begin anywhere");
    dialogue.chunk(1, A, 27, "but not skip");
    assert_eq!(dialogue.exit, Some(3));
    assert_eq!(dialogue.notices, ["part of a stream is missing"]);
    dialogue.write_one();
    assert!(dialogue.to_write.is_empty(), "what is wrong is not printed");
}

#[test]
fn rule_16_what_a_restarted_satellite_repeats_in_other_chunks_is_printed_once() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\ntwo\n");
    dialogue.chunk(1, A, 8, "thr");
    dialogue.write_all();
    come_back(&mut dialogue);
    dialogue.said();
    dialogue.chunk(2, A, 0, "one\n");
    assert_eq!(dialogue.said(), "confirm 3", "there is nothing to write");
    dialogue.chunk(3, A, 4, "two\nthree\n");
    dialogue.chunk(4, A, 4, "two\nthree");
    assert_eq!(dialogue.said(), "", "what is new comes first");
    dialogue.chunk(5, A, 14, "four\n");
    dialogue.write_one();
    assert_eq!(dialogue.said(), "confirm 5");
    dialogue.ended(6, A, How::End, 0);
    dialogue.done(7);
    dialogue.write_all();
    assert_eq!(dialogue.said(), "confirm 8");
    assert_eq!(dialogue.printed(), "one\ntwo\nthree\nfour\n");
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!((dialogue.exit, dialogue.notices.len()), (Some(0), 0));
}

#[test]
fn rule_16_a_stream_that_a_restarted_satellite_repeats_ends_once() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "half");
    dialogue.ended(1, A, cut(), 0);
    dialogue.ended(2, B, How::End, 0);
    dialogue.write_all();
    come_back(&mut dialogue);
    dialogue.said();
    dialogue.chunk(3, A, 0, "ha");
    dialogue.chunk(4, A, 2, "lf");
    dialogue.ended(5, A, cut(), 0);
    dialogue.ended(6, B, How::End, 0);
    dialogue.done(7);
    assert_eq!(
        dialogue.said(),
        "confirm 4, confirm 5, confirm 6, confirm 7, confirm 8"
    );
    assert_eq!((dialogue.printed(), dialogue.notices.len()), ("half", 1));
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3));
}

#[test]
fn rule_16_a_stream_that_goes_on_behind_a_gap_after_a_restart_is_exit_3() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.write_all();
    come_back(&mut dialogue);
    dialogue.chunk(1, A, 8, "three\n");
    assert_eq!(dialogue.exit, Some(3));
    assert_eq!(dialogue.notices, ["part of a stream is missing"]);
    assert!(dialogue.to_write.is_empty(), "what is wrong is not printed");
}

#[test]
fn rule_16_a_listener_says_what_arrived_has_cost_and_what_is_repeated_costs_again() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.chunk(1, A, 4, "three\n");
    dialogue.write_one();
    dialogue.break_off();
    dialogue.pass(SECOND);
    let listen = dialogue.take_sent().pop().map(|(request, _)| request);
    let first = 16 * cost(MAX_CHUNK);
    let Some(Request::Listen(Listen {
        window,
        resume: said,
        ..
    })) = listen
    else {
        panic!("it listens again: {listen:?}");
    };
    let (next_seq, price) = (2, cost(4) + cost(6));
    let resume = Resume {
        next_seq,
        cost: price,
        line: None,
        streams: vec![Progress {
            stream: A,
            at: 4,
            ended: false,
        }],
    };
    assert_eq!(said, Some(resume), "what was printed is said, too");
    assert_eq!(window, first + cost(4), "counted from item 0 on");
    dialogue.welcome();
    dialogue.reply(&super::dialogue::LISTENING);
    dialogue.chunk(2, A, 0, "one\nthree\nfour\n");
    dialogue.write_all();
    let (listener, next_seq, window) = (OWN, 3, first + price + cost(15));
    assert_eq!(
        dialogue.take_sent().pop().unwrap().0,
        Request::Confirm(Confirm {
            listener,
            next_seq,
            window
        })
    );
    assert_eq!(dialogue.printed(), "one\nthree\nfour\n");
    dialogue.break_off();
    dialogue.pass(SECOND);
    let listen = dialogue.take_sent().pop().map(|(request, _)| request);
    let Some(Request::Listen(Listen {
        resume: Some(said), ..
    })) = listen
    else {
        panic!("{listen:?}");
    };
    assert_eq!((said.next_seq, said.cost), (next_seq, price + cost(15)));
}

#[test]
fn rule_13_what_is_repeated_of_another_stream_does_not_break_a_line() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, B, 0, "other\n");
    dialogue.chunk(1, A, 0, "half");
    dialogue.write_all();
    come_back(&mut dialogue);
    dialogue.chunk(2, B, 0, "other\n");
    dialogue.chunk(3, A, 0, "half line\n");
    dialogue.write_all();
    assert_eq!(dialogue.printed(), "other\nhalf line\n");
}

#[test]
fn rule_16_what_is_repeated_is_known_as_long_as_it_may_have_been_unconfirmed() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "text\n");
    dialogue.ended(1, A, cut(), 0);
    let most = MAX_UNCONFIRMED as u64;
    for seq in 2..most {
        dialogue.ended(seq, Uuid::from_u128(1000 + u128::from(seq)), How::End, 0);
    }
    dialogue.write_all();
    come_back(&mut dialogue);
    dialogue.chunk(most, A, 0, "text\n");
    dialogue.ended(most + 1, A, cut(), 0);
    dialogue.write_all();
    assert_eq!((dialogue.printed(), dialogue.notices.len()), ("text\n", 1));
}

#[test]
fn rule_16_however_much_is_repeated_of_one_stream_others_that_ended_are_known() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    let long = Uuid::from_u128(0xc);
    let most = MAX_UNCONFIRMED as u64;
    let text = "x".repeat(2 * MAX_UNCONFIRMED) + "\n";
    dialogue.chunk(0, long, 0, &text);
    dialogue.chunk(1, A, 0, "a\n");
    dialogue.ended(2, A, cut(), 0);
    dialogue.chunk(3, B, 0, "b\n");
    dialogue.ended(4, B, cut(), 0);
    dialogue.write_all();
    come_back(&mut dialogue);
    // Its beginning was confirmed, but the stream is exclusive to this listener, or another listener lacks
    // it.
    for at in 0..2 * most {
        dialogue.chunk(5 + at, long, at, "x");
    }
    let seq = 5 + 2 * most;
    dialogue.chunk(seq, A, 0, "a\n");
    dialogue.ended(seq + 1, A, cut(), 0);
    dialogue.chunk(seq + 2, B, 0, "b\n");
    dialogue.ended(seq + 3, B, cut(), 0);
    dialogue.write_all();
    assert_eq!(&dialogue.printed()[text.len()..], "a\nb\n");
    assert_eq!(dialogue.notices.len(), 2, "{:?}", dialogue.notices);
}

#[test]
fn rule_9_a_tap_counts_what_a_restarted_satellite_does_not_tell() {
    let mut dialogue = Dialogue::listener(Mode::Tap);
    dialogue.chunk(0, A, 0, "one\n");
    come_back(&mut dialogue);
    dialogue.chunk(1, A, 0, "one\n");
    dialogue.chunk(2, A, 14, "four\n");
    dialogue.chunk(3, A, 14, "four\nfive\n");
    dialogue.write_all();
    dialogue.pass(Duration::ZERO);
    assert_eq!(dialogue.printed(), "one\nfour\nfive\n");
    assert_eq!(
        dialogue.notices,
        ["this tap was too slow and missed 10 bytes"]
    );
    assert_eq!(dialogue.exit, None);
}

#[test]
fn rule_9_a_tap_says_what_it_missed_at_most_once_a_second() {
    let mut dialogue = Dialogue::listener(Mode::Tap);
    let missing = |dialogue: &mut Dialogue, seq, at, missed| {
        let chunk = Reply::Chunk {
            listener: OWN,
            seq,
            stream: A,
            at,
            missed,
        };
        dialogue.receive(&[MAGIC, &encode(&chunk), b"x\n"]);
        dialogue.write_all();
        dialogue.pass(Duration::ZERO);
    };
    missing(&mut dialogue, 0, 0, 0);
    missing(&mut dialogue, 1, 102, 100);
    missing(&mut dialogue, 2, 124, 20);
    missing(&mut dialogue, 3, 129, 3);
    assert_eq!(
        dialogue.notices,
        ["this tap was too slow and missed 100 bytes"]
    );
    dialogue.reply(&Reply::Pong);
    dialogue.pass(SECOND);
    assert_eq!(
        dialogue.notices[1..],
        ["this tap was too slow and missed 23 bytes"]
    );
    dialogue.reply(&Reply::Done {
        listener: OWN,
        seq: 4,
        missed: 7,
        eof: Some(Bytes::new()),
    });
    assert_eq!(
        dialogue.notices[2..],
        [
            "this tap was too slow and missed 7 bytes",
            "an --eof ended this reader of \"p\" inside 1 stream"
        ]
    );
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(0));
}

#[test]
fn rule_13_lines_of_different_streams_are_kept_apart() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "no newline");
    dialogue.chunk(1, B, 0, "other");
    dialogue.chunk(2, B, 5, " line\n");
    dialogue.chunk(3, A, 10, "first\n");
    dialogue.ended(4, A, How::End, 0);
    dialogue.chunk(5, B, 11, "last");
    dialogue.write_all();
    assert_eq!(dialogue.printed(), "no newline\nother line\nfirst\nlast");
}

#[test]
fn rule_13_a_stream_alone_is_passed_on_byte_for_byte() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "no");
    dialogue.chunk(1, A, 2, " newline");
    dialogue.ended(2, A, How::End, 0);
    dialogue.done(3);
    dialogue.write_all();
    assert_eq!(dialogue.printed(), "no newline");
}

#[test]
fn rule_7_and_15_who_wants_one_never_gets_a_second() {
    let mut dialogue = Dialogue::listener(Mode::One);
    dialogue.chunk(0, A, 0, "half");
    dialogue.write_all();
    dialogue.chunk(1, B, 0, "another");
    assert_eq!(dialogue.exit, Some(3));
    assert_eq!(dialogue.printed(), "half");
    let notices = dialogue.notices.concat();
    assert!(notices.contains("incomplete"), "{notices}");
}

#[test]
fn rule_13_under_one_nothing_is_added() {
    let mut dialogue = Dialogue::listener(Mode::One);
    dialogue.chunk(0, A, 0, "no newline");
    dialogue.chunk(1, B, 0, "a second stream, as after a lost power");
    dialogue.write_all();
    assert_eq!((dialogue.printed(), dialogue.exit), ("no newline", Some(3)));
}

#[test]
fn rule_15_a_closed_stdout_is_exit_0_and_confirms_nothing_further() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.chunk(1, A, 4, "two\n");
    dialogue.write_one();
    dialogue.said();
    dialogue.happen(Input::OutputClosed);
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("leave, bye", Some(0))
    );
    assert_eq!(dialogue.notices, [""; 0]);
}

#[test]
fn a_stdout_that_fails_is_exit_1_and_says_why() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.happen(Input::OutputFailed("No space left on device".to_owned()));
    assert_eq!(
        (dialogue.said().as_str(), dialogue.exit),
        ("leave, bye", Some(1))
    );
    assert_eq!(
        dialogue.notices,
        ["cannot write to stdout: No space left on device"]
    );
}

#[test]
fn rule_16_a_listener_whose_stream_is_gone_exits_3() {
    for (code, exit) in [
        (Code::Unknown, 3),
        (Code::Lost, 3),
        (Code::Limit, 1),
        (Code::Order, 1),
    ] {
        let mut dialogue = Dialogue::listener(Mode::Default);
        dialogue.chunk(0, A, 0, "half");
        dialogue.write_all();
        dialogue.refuse(code, Some(OWN));
        assert_eq!(dialogue.exit, Some(exit), "{code:?}");
        assert_eq!(dialogue.notices, ["the satellite says why"]);
    }
}

#[test]
fn rule_16_an_idle_listener_begins_anew_at_a_satellite_that_has_nothing_of_it() {
    for mode in [Mode::Default, Mode::One, Mode::Follow, Mode::Tap] {
        let mut dialogue = Dialogue::listener(mode);
        dialogue.take_sent();
        dialogue.refuse(Code::Unknown, Some(OWN));
        let again = dialogue.take_sent().pop().map(|(request, _)| request);
        assert!(
            matches!(again, Some(Request::Listen(Listen { resume: None, .. }))),
            "{mode:?}: {again:?}"
        );
        dialogue.reply(&super::dialogue::LISTENING);
        dialogue.chunk(0, A, 0, "new\n");
        dialogue.write_all();
        assert_eq!(
            (dialogue.printed(), dialogue.exit),
            ("new\n", None),
            "{mode:?}"
        );
        assert_eq!(dialogue.notices, [""; 0]);
    }
}

#[test]
fn rule_16_a_follower_between_two_streams_begins_anew_once_all_is_printed() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.ended(1, A, How::End, 0);
    dialogue.take_sent();
    dialogue.refuse(Code::Unknown, Some(OWN));
    assert!(dialogue.take_sent().is_empty(), "not before it is printed");
    dialogue.write_all();
    let again = dialogue.take_sent().pop().map(|(request, _)| request);
    assert!(matches!(
        again,
        Some(Request::Listen(Listen { resume: None, .. }))
    ));
    dialogue.reply(&super::dialogue::LISTENING);
    dialogue.chunk(0, B, 0, "two\n");
    dialogue.write_all();
    assert_eq!((dialogue.printed(), dialogue.exit), ("one\ntwo\n", None));
}

/// The reply of a satellite that had lost the listener.
fn lost(missed: u64) -> Reply {
    Reply::Listening {
        listener: OWN,
        lost: true,
        missed,
    }
}

#[test]
fn rule_16_a_follower_says_what_passed_by_while_it_was_away_and_goes_on() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.write_all();
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.reply(&lost(2));
    dialogue.chunk(1, A, 10, "three\n");
    dialogue.write_all();
    dialogue.pass(SECOND);
    assert_eq!((dialogue.printed(), dialogue.exit), ("one\nthree\n", None));
    let told = [
        "this reader was disconnected and missed the rest of 2 streams of \"p\"",
        "this reader was disconnected and missed 6 bytes of \"p\"",
    ];
    assert_eq!(dialogue.notices, told);
    dialogue.ended(2, A, How::End, 0);
    dialogue.done(3);
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3), "something came incomplete");
}

#[test]
fn rule_16_without_being_lost_a_follower_puts_up_with_no_gap() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.chunk(1, A, 10, "three\n");
    assert_eq!(dialogue.exit, Some(3));
}

#[test]
fn rule_16_what_comes_again_to_one_that_was_lost_is_printed_once() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.chunk(1, A, 4, "two\n");
    dialogue.write_one();
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.reply(&lost(0));
    dialogue.chunk(2, A, 4, "two\n");
    dialogue.chunk(3, A, 8, "three\n");
    dialogue.write_all();
    assert_eq!(dialogue.printed(), "one\ntwo\nthree\n");
    assert_eq!(dialogue.notices, [""; 0]);
}

#[test]
fn rule_16_a_stream_that_was_cut_and_goes_on_ends_a_second_time() {
    let mut dialogue = Dialogue::listener(Mode::Follow);
    dialogue.chunk(0, A, 0, "one\n");
    dialogue.ended(
        1,
        A,
        How::Cut("nothing was heard from it for 60 s".to_owned()),
        0,
    );
    dialogue.chunk(2, A, 4, "two\n");
    dialogue.write_all();
    dialogue.ended(3, A, How::End, 4);
    assert_eq!(dialogue.printed(), "one\ntwo\n");
    assert_eq!(dialogue.notices.len(), 2, "{:?}", dialogue.notices);
    assert_eq!(dialogue.exit, None);
}

#[test]
fn rule_16_one_that_has_all_needs_no_satellite_that_remembers() {
    let mut dialogue = Dialogue::listener(Mode::Default);
    dialogue.ended(0, A, How::End, 0);
    dialogue.done(1);
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.refuse(Code::Unknown, Some(OWN));
    assert_eq!(dialogue.exit, Some(0));
    assert_eq!(dialogue.notices, [""; 0]);
}

#[test]
fn the_window_moves_on_with_what_was_written() {
    let mut dialogue = Dialogue::new(Job::Listen {
        pipe: "p".to_owned(),
        mode: Mode::Default,
    });
    let first = 16 * cost(MAX_CHUNK);
    let listen = dialogue.take_sent().pop().map(|(request, _)| request);
    assert!(matches!(listen, Some(Request::Listen(Listen { window, .. })) if window == first));
    dialogue.welcome();
    dialogue.reply(&super::dialogue::LISTENING);
    dialogue.chunk(0, A, 0, "four");
    dialogue.write_all();
    let (listener, next_seq, window) = (OWN, 1, first + cost(4));
    assert_eq!(
        dialogue.take_sent().pop().unwrap().0,
        Request::Confirm(Confirm {
            listener,
            next_seq,
            window
        })
    );
}

#[test]
fn a_listener_never_reads_stdin() {
    let dialogue = Dialogue::listener(Mode::Default);
    assert!(!dialogue.session.wants_input());
}

/// An honest satellite says so to a `--follow` or a `--tap` only.
#[test]
fn rule_15_who_hears_that_a_rest_passed_by_does_not_exit_with_0_but_for_a_tap() {
    for (mode, code) in [(Mode::Default, 3), (Mode::Follow, 3), (Mode::Tap, 0)] {
        let mut dialogue = Dialogue::new(Job::Listen {
            pipe: "p".to_owned(),
            mode,
        });
        dialogue.welcome();
        dialogue.reply(&Reply::Listening {
            listener: OWN,
            lost: true,
            missed: 1,
        });
        dialogue.chunk(0, A, 0, "a\n");
        dialogue.ended(1, A, How::End, 0);
        dialogue.done_by_eof(2, Bytes::new());
        dialogue.write_all();
        dialogue.reply(&Reply::Closed { listener: OWN });
        assert_eq!(dialogue.exit, Some(code), "{mode:?}");
        assert!(
            dialogue.notices[0].contains("was disconnected and missed"),
            "{:?}",
            dialogue.notices
        );
    }
}

/// No honest satellite says so.
#[test]
fn a_stream_that_ends_twice_or_beyond_all_numbers_ends_the_listener_and_no_more() {
    let mut dialogue = Dialogue::listener(Mode::Tap);
    dialogue.chunk(0, A, 0, "a\n");
    let ended = |seq, at| Reply::Ended {
        listener: OWN,
        seq,
        stream: A,
        at,
        how: cut(),
        label: "ann@host pid 1".to_owned(),
        before: 0,
        missed: u64::MAX,
    };
    dialogue.reply(&ended(1, 2));
    dialogue.chunk(2, B, 0, "b\n");
    dialogue.reply(&ended(3, 2));
    dialogue.reply(&ended(4, u64::MAX));
    dialogue.done_by_eof(5, Bytes::new());
    dialogue.write_all();
    dialogue.reply(&Reply::Closed { listener: OWN });
    assert_eq!(dialogue.exit, Some(3));
    let last = dialogue.notices.last().expect("there is one");
    assert!(last.contains("inside 1 stream"), "{:?}", dialogue.notices);
    let mut dialogue = Dialogue::listener(Mode::Tap);
    let chunk = Reply::Chunk {
        listener: OWN,
        seq: 0,
        stream: A,
        at: u64::MAX - 1,
        missed: 0,
    };
    dialogue.receive(&[MAGIC, &encode(&chunk), b"more\n"]);
    assert_eq!(dialogue.exit, Some(1));
    assert_eq!(
        dialogue.notices,
        ["the satellite reported an impossible stream length"]
    );
}
