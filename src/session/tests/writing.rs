//! Tests of a writer: chunks, credit, retransmission, how it ends.

use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{
    BASE_CREDIT, Code, Data, MAX_CHUNK, Open, Outcome, Reply, Request, Shortage, cost,
};

use super::talk::{OWN, Talk, just_before, write_job};
use crate::session::{Compression, Input, Job};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

const ENOUGH: u64 = 1 << 30;

/// The chunks that were sent: offset in the stream, text, unfinished line, requested credit.
fn chunks(talk: &mut Talk) -> Vec<(u64, String, u64, u64)> {
    let chunk = |(request, payload)| match (request, payload) {
        (
            Request::Data(Data {
                at,
                tail,
                requested,
                ..
            }),
            Some(payload),
        ) => {
            let payload: Bytes = payload;
            Some((
                at,
                String::from_utf8(payload.to_vec()).unwrap(),
                tail,
                requested,
            ))
        }
        _ => None,
    };
    talk.take_sent().into_iter().filter_map(chunk).collect()
}

/// The same: offset and text.
fn placed(talk: &mut Talk) -> Vec<(u64, String)> {
    let sent = chunks(talk).into_iter();
    sent.map(|(at, text, ..)| (at, text)).collect()
}

/// The same with the unfinished line.
fn tailed(talk: &mut Talk) -> Vec<(u64, String, u64)> {
    let sent = chunks(talk).into_iter();
    sent.map(|(at, text, tail, _)| (at, text, tail)).collect()
}

/// The connection breaks. A new connection reaches a satellite that expects the byte `next`.
fn come_back(talk: &mut Talk, next: u64, limit: u64) {
    talk.break_off();
    talk.pass(SECOND);
    talk.said();
    talk.welcome();
    talk.opened(next, limit);
}

pub(super) fn opened_with(limit: u64) -> Talk {
    let mut talk = Talk::writer();
    talk.welcome();
    talk.opened(0, limit);
    talk.said();
    talk
}

#[test]
fn what_was_read_is_sent_at_once() {
    let mut talk = Talk::open_writer();
    talk.read("one\n");
    talk.read("two");
    assert_eq!(talk.said(), "0: one/, 4: two");
}

#[test]
fn rule_13_under_small_credit_chunks_are_cut_at_line_ends() {
    let mut talk = opened_with(BASE_CREDIT);
    let line = "x".repeat(999) + "\n";
    talk.read(&line.repeat(10));
    let sent = chunks(&mut talk);
    assert_eq!(sent.len(), 1);
    let (at, text, tail, requested) = &sent[0];
    assert_eq!((*at, text.len(), *tail), (0, 3000, 0));
    assert_eq!(
        *requested,
        cost(3000) + cost(7000),
        "it says what it has in hand"
    );
    talk.ack(3000, cost(3000) + cost(7000));
    let sent = chunks(&mut talk);
    assert_eq!((sent[0].1.len(), sent[0].2, sent[0].3), (7000, 0, 0));
}

#[test]
fn rule_13_a_line_that_does_not_fit_goes_in_parts_that_say_so() {
    let mut talk = opened_with(BASE_CREDIT);
    talk.read(&("short\n".to_owned() + &"x".repeat(10_000) + "\nend\nrest"));
    let mut limit = BASE_CREDIT;
    let mut sent = chunks(&mut talk);
    while let Some((at, text, _, requested)) = sent.last()
        && *requested > 0
    {
        limit += BASE_CREDIT;
        let next = at + text.len() as u64;
        talk.ack(next, limit);
        sent.extend(chunks(&mut talk));
    }
    let text: String = sent.iter().map(|(_, text, ..)| text.as_str()).collect();
    assert_eq!(text.len(), 6 + 10_000 + 9);
    let mut line = 0;
    for (_, text, tail, _) in sent {
        line = text
            .rfind('\n')
            .map_or(line + text.len(), |at| text.len() - at - 1);
        assert_eq!(tail, line as u64, "{text}");
    }
}

#[test]
fn a_scrap_of_credit_is_left_unused_while_more_is_in_hand() {
    let mut talk = opened_with(900);
    talk.read(&"x".repeat(2000));
    assert_eq!(talk.said(), "want");
    talk.ack(0, 1024);
    assert_eq!(chunks(&mut talk)[0].1.len(), 768);
    let mut talk = opened_with(900);
    talk.read("short");
    assert_eq!(talk.said(), "0: short", "what fits goes");
}

#[test]
fn credit_is_asked_for_once_and_again_when_there_is_more() {
    let mut talk = opened_with(0);
    let wants = |talk: &mut Talk| -> Vec<u64> {
        let requested = |(request, _)| match request {
            Request::Credit { requested, .. } => Some(requested),
            _ => None,
        };
        talk.take_sent().into_iter().filter_map(requested).collect()
    };
    talk.read("one\n");
    assert_eq!(wants(&mut talk), [cost(4)]);
    talk.ack(0, 0);
    assert_eq!(wants(&mut talk), [0_u64; 0]);
    talk.read("two\n");
    assert_eq!(wants(&mut talk), [2 * cost(4)]);
}

#[test]
fn no_more_credit_is_asked_for_than_will_be_used() {
    let mut talk = opened_with(0);
    for _ in 0..100 {
        talk.read("line\n");
    }
    talk.said();
    talk.ack(0, 100 * cost(5) - 1);
    assert_eq!(chunks(&mut talk).len(), 99);
    talk.read("line\n");
    let (request, _) = talk.take_sent().pop().expect("it asks");
    assert_eq!(
        request,
        Request::Credit {
            stream: OWN,
            requested: 101 * cost(5)
        }
    );
}

#[test]
fn only_so_much_is_read_ahead() {
    let mut talk = Talk::writer();
    let chunk = Bytes::from(vec![b'x'; MAX_CHUNK]);
    let mut count = 0;
    while talk.session.wants_input() {
        talk.happen(Input::Read(chunk.clone().into()));
        count += 1;
    }
    assert_eq!(count, 8);
    let mut talk = Talk::writer();
    let mut count = 0;
    while talk.session.wants_input() {
        talk.read("x");
        count += 1;
    }
    assert_eq!(count, 1024, "single bytes take room, too");
}

#[test]
fn more_is_read_ahead_on_a_line_that_takes_its_time() {
    for (delay, most) in [(MILLI, 8), (100 * MILLI, 32)] {
        let mut talk = Talk::writer();
        talk.welcome();
        talk.opened(0, 6 + 256);
        talk.read("first\n");
        talk.now += delay;
        talk.ack(6, 6 + 256);
        let chunk = Bytes::from(vec![b'x'; MAX_CHUNK]);
        let mut count = 0;
        while talk.session.wants_input() {
            talk.happen(Input::Read(chunk.clone().into()));
            count += 1;
        }
        assert_eq!(count, most, "an acknowledgement took {delay:?}");
    }
}

#[test]
fn rule_16_what_was_not_acknowledged_is_cut_anew_and_sent_again() {
    let lines = ["one", "two", "three"].map(|word| word.repeat(300) + "\n");
    let mut talk = Talk::open_writer();
    talk.read("first\n");
    talk.read(&lines.concat());
    talk.read("last\n");
    talk.ack(6, ENOUGH);
    let sent = placed(&mut talk);
    let last = "last\n".to_owned();
    assert_eq!(sent[1..], [(6, lines.concat()), (3309, last.clone())]);
    talk.break_off();
    talk.pass(SECOND);
    assert_eq!(talk.said(), "hello, reopen 6");
    talk.welcome();
    talk.opened(6, cost(1000));
    talk.ack(907, ENOUGH);
    assert_eq!(
        placed(&mut talk),
        [
            (6, lines[0].clone()),
            (907, lines[1..].concat()),
            (3309, last)
        ]
    );
}

#[test]
fn rule_16_what_had_arrived_is_not_sent_again() {
    let mut talk = Talk::open_writer();
    for text in ["one\n", "two\n", "three\n"] {
        talk.read(text);
    }
    talk.break_off();
    talk.pass(SECOND);
    talk.said();
    talk.opened(8, ENOUGH);
    assert_eq!(talk.said(), "8: three/");
}

#[test]
fn rule_16_a_satellite_that_has_a_part_of_a_chunk_is_sent_the_rest() {
    let mut talk = Talk::open_writer();
    talk.read("one\ntwo, thr");
    talk.read("ee\n");
    talk.said();
    come_back(&mut talk, 6, ENOUGH);
    let rest = [(6, "o, thr".to_owned(), 8), (12, "ee\n".to_owned(), 0)];
    assert_eq!(tailed(&mut talk), rest);
}

#[test]
fn rule_16_a_part_of_a_chunk_may_be_acknowledged() {
    let mut talk = Talk::open_writer();
    talk.read("one\ntwo, thr");
    talk.read("ee\n");
    talk.ack(6, ENOUGH);
    talk.break_off();
    talk.said();
    talk.pass(SECOND);
    assert_eq!(talk.said(), "hello, reopen 6");
    talk.opened(8, ENOUGH);
    let rest = [(8, " thr".to_owned(), 8), (12, "ee\n".to_owned(), 0)];
    assert_eq!(tailed(&mut talk), rest);
    talk.ack(7, ENOUGH);
    talk.ack(14, ENOUGH);
    talk.break_off();
    talk.pass(SECOND);
    assert_eq!(talk.said(), "hello, reopen 14");
    talk.opened(14, ENOUGH);
    talk.read("four\n");
    assert_eq!(talk.said(), "14: /, 15: four/");
}

#[test]
fn rule_16_what_arrived_is_kept_until_it_is_acknowledged_for_a_satellite_may_lose_it() {
    let mut talk = Talk::open_writer();
    talk.read("one\n");
    talk.read("two\n");
    talk.happen(Input::ReadEnd);
    talk.ack(3, ENOUGH);
    come_back(&mut talk, 8, ENOUGH);
    assert_eq!(talk.said(), "end 8", "all has arrived");
    come_back(&mut talk, 4, ENOUGH);
    assert_eq!(talk.said(), "4: two/, end 8", "and some is lost");
    come_back(&mut talk, 3, ENOUGH);
    assert_eq!(talk.said(), "3: /, 4: two/, end 8", "and more");
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0));
}

#[test]
fn credit_is_counted_from_the_last_opening() {
    let mut talk = opened_with(cost(4));
    talk.read("one\n");
    assert_eq!(talk.said(), "0: one/");
    come_back(&mut talk, 4, cost(4));
    talk.read("two\n");
    assert_eq!(talk.said(), "4: two/");
    talk.read("three\n");
    let wants = talk.take_sent().pop().map(|(request, _)| request);
    let (stream, requested) = (OWN, cost(4) + cost(6));
    assert_eq!(wants, Some(Request::Credit { stream, requested }));
}

#[test]
fn rule_16_the_finish_is_sent_again_too() {
    let mut talk = Talk::open_writer();
    talk.read("text\n");
    talk.happen(Input::ReadEnd);
    talk.said();
    talk.break_off();
    talk.pass(SECOND);
    assert_eq!(talk.said(), "hello, reopen 0");
    talk.welcome();
    talk.opened(5, ENOUGH);
    assert_eq!(talk.said(), "end 5");
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0));
}

/// A restarted satellite forgets what was not safe. Returning listeners may have that data all the same.
#[test]
fn rule_16_what_listeners_had_is_not_sent_again_however_often_the_satellite_was_restarted() {
    let rewound = || {
        let mut talk = Talk::open_writer();
        talk.read("one\n");
        talk.read("two\n");
        talk.happen(Input::ReadEnd);
        talk.break_off();
        talk.pass(SECOND);
        talk.welcome();
        // The next satellite has nothing of it, and no room.
        talk.opened(0, 0);
        talk.said();
        talk
    };
    // It items out that the listeners have all of it.
    let mut talk = rewound();
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0));
    // The same, reported by the satellite after that.
    for (next, rest) in [(8, "end 8"), (6, "6: o/, end 8")] {
        let mut talk = rewound();
        talk.break_off();
        talk.pass(SECOND);
        talk.welcome();
        talk.said();
        talk.opened(next, 1 << 30);
        assert_eq!(talk.said(), rest);
        talk.finished(Outcome::Kept);
        assert_eq!(talk.exit, Some(0));
    }
    let mut talk = rewound();
    talk.break_off();
    talk.pass(SECOND);
    talk.welcome();
    talk.opened(9, 1 << 30);
    assert_eq!(talk.exit, Some(3));
}

#[test]
fn rule_16_a_satellite_that_resumes_where_it_cannot_have_been_is_not_believed() {
    for next in [0, 3, 15, u64::MAX] {
        let mut talk = Talk::open_writer();
        for text in ["one\n", "two\n", "three\n"] {
            talk.read(text);
        }
        talk.ack(4, ENOUGH);
        talk.break_off();
        talk.pass(SECOND);
        talk.opened(next, ENOUGH);
        assert_eq!(talk.exit, Some(3), "{next}");
    }
}

#[test]
fn rule_16_a_stream_that_the_satellite_has_nothing_of_is_exit_3() {
    for (code, exit) in [
        (Code::Unknown, 3),
        (Code::Lost, 3),
        (Code::Order, 1),
        (Code::Denied, 1),
    ] {
        let mut talk = Talk::open_writer();
        talk.read("half a line");
        talk.refuse(code, Some(OWN));
        assert_eq!(talk.exit, Some(exit), "{code:?}");
        assert_eq!(talk.notices, ["the satellite says why"]);
    }
}

#[test]
fn rule_16_a_stream_that_had_nothing_yet_is_opened_anew() {
    let mut talk = Talk::open_writer();
    talk.take_sent();
    talk.refuse(Code::Unknown, Some(OWN));
    let again = talk.take_sent().pop().map(|(request, _)| request);
    assert!(
        matches!(again, Some(Request::Open(Open { resume: false, .. }))),
        "{again:?}"
    );
    assert_eq!((talk.exit, talk.notices.len()), (None, 0));
}

#[test]
fn rule_16_a_writer_whose_stream_was_cut_says_that_the_rest_follows() {
    let mut talk = Talk::open_writer();
    talk.read("one\n");
    talk.ack(4, ENOUGH);
    talk.break_off();
    talk.pass(SECOND);
    talk.welcome();
    talk.reply(&Reply::Opened {
        stream: OWN,
        next: 4,
        limit: ENOUGH,
        rest: true,
    });
    talk.read("two\n");
    talk.happen(Input::ReadEnd);
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0), "rule 11");
    assert_eq!(talk.notices.len(), 1, "{:?}", talk.notices);
    assert!(
        talk.notices[0].contains("after 4 bytes"),
        "{:?}",
        talk.notices
    );
}

fn full(full: Option<Shortage>) -> Reply {
    Reply::Ack {
        stream: OWN,
        next: 0,
        limit: 0,
        full,
    }
}

const AT_ITS_LIMIT: Option<Shortage> = Some(Shortage::Pipe(4 << 20));

#[test]
fn rule_12_a_writer_says_once_that_it_waits_and_once_that_it_goes_on() {
    let mut talk = opened_with(0);
    talk.read("text\n");
    for _ in 0..156 {
        // The pipe is read slowly: again and again there is room for a moment.
        talk.reply(&full(AT_ITS_LIMIT));
        talk.pass(SECOND);
        talk.reply(&full(None));
        talk.pass(SECOND);
        talk.reply(&Reply::Pong);
    }
    assert_eq!(
        talk.notices,
        ["\"p\" has reached its limit of 4 MiB: paused until someone reads from it"]
    );
    talk.pass(SECOND);
    assert_eq!(talk.notices[1..], ["\"p\" has room again: going on"]);
    talk.reply(&full(AT_ITS_LIMIT));
    talk.pass(SECOND);
    assert_eq!(talk.notices.len(), 3, "another pause is told, too");
    talk.happen(Input::ReadEnd);
    talk.reply(&full(None));
    talk.ack(0, 1 << 20);
    talk.ack(5, 1 << 20);
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0));
    assert_eq!(talk.notices.len(), 4, "it went on before its end");
    assert_eq!(talk.hints, [""; 0], "a log is told as well as a terminal");
}

#[test]
fn rule_12_a_writer_says_what_it_waits_for_room_in() {
    for (shortage, said) in [
        (
            Shortage::Memory(64 << 20),
            "\"p\" is paused until someone reads: the satellite's memory of 64 MiB is used up",
        ),
        (
            Shortage::Disk,
            "\"p\" is paused until there is room: the satellite's disk is full",
        ),
    ] {
        let mut talk = opened_with(0);
        talk.read("text\n");
        talk.reply(&full(Some(shortage)));
        talk.pass(just_before(SECOND));
        assert_eq!(talk.notices, [""; 0], "not for a moment");
        talk.pass(MILLI);
        assert_eq!(talk.notices, [said]);
    }
}

#[test]
fn rule_12_a_writer_that_lacks_room_for_moments_says_nothing() {
    let mut talk = opened_with(0);
    talk.read("text\n");
    for _ in 0..20 {
        talk.reply(&full(AT_ITS_LIMIT));
        talk.pass(SECOND / 2);
        talk.reply(&full(None));
        talk.pass(MILLI);
        talk.reply(&Reply::Pong);
    }
    assert_eq!(talk.notices, [""; 0]);
}

/// What a writer says at the end of `--timeout`, after `happen`.
fn timed_out(wait: bool, happen: impl FnOnce(&mut Talk)) -> String {
    let Job::Write { pipe, label, .. } = write_job(false) else {
        unreachable!("it is a writer")
    };
    let job = Job::Write {
        pipe,
        wait,
        whole: false,
        compress: Compression::Off,
        inferred: false,
        label,
    };
    let mut talk = Talk::with(job, |config| config.timeout = Some(SECOND));
    talk.welcome();
    talk.opened(0, 4096);
    happen(&mut talk);
    talk.pass(SECOND);
    assert_eq!(talk.exit, Some(124), "{:?}", talk.notices);
    let told = talk.notices.pop().expect("it says why");
    let told = told.strip_prefix("timed out: ").expect(&told);
    told.strip_suffix(" for 1s").expect(told).to_owned()
}

#[test]
fn timeout_says_what_a_writer_waited_for() {
    assert_eq!(timed_out(false, |_| ()), "no data on stdin");
    let lacks_room = |shortage| {
        timed_out(false, |talk| {
            talk.read("text\n");
            talk.reply(&full(Some(shortage)));
        })
    };
    assert_eq!(
        lacks_room(Shortage::Pipe(4 << 20)),
        "no room in \"p\" (limit 4 MiB)"
    );
    let memory = lacks_room(Shortage::Memory(4 << 20));
    assert_eq!(
        memory,
        "no room for \"p\" (the satellite's memory of 4 MiB is used up)"
    );
    let disk = lacks_room(Shortage::Disk);
    assert_eq!(disk, "no room for \"p\" (the satellite's disk is full)");
    let unread = timed_out(true, |talk| {
        talk.read("text\n");
        talk.happen(Input::ReadEnd);
        talk.ack(5, 4096);
    });
    assert_eq!(unread, "nobody read all of \"p\"");
    let unanswered = timed_out(false, |talk| talk.read("text\n"));
    assert!(
        unanswered.starts_with("no confirmation from "),
        "{unanswered}"
    );
    let lost = timed_out(false, Talk::break_off);
    assert!(lost.starts_with("no connection to "), "{lost}");
}

#[test]
fn rule_16_a_satellite_whose_disk_failed_is_waited_for() {
    let mut talk = opened_with(4096);
    talk.read("text\n");
    for _ in 0..3 {
        talk.refuse(Code::Failed, None);
        talk.pass(SECOND);
        talk.welcome();
        talk.opened(0, 4096);
    }
    let told = "the satellite ended, and is waited for: the satellite says why";
    assert_eq!(talk.notices, [told]);
    talk.happen(Input::ReadEnd);
    talk.ack(5, 4096);
    talk.finished(Outcome::Kept);
    assert_eq!(talk.exit, Some(0));
}

#[test]
fn a_satellite_that_has_all_its_streams_is_asked_again_every_second() {
    let mut talk = Talk::writer();
    talk.welcome();
    talk.read("text\n");
    talk.said();
    for _ in 0..3 {
        talk.refuse(Code::Limit, Some(OWN));
        talk.pass(just_before(SECOND));
        assert!(!talk.said().contains("open"));
        talk.pass(MILLI);
        assert!(talk.said().contains("open 0"));
    }
    assert_eq!(talk.notices, ["waiting: the satellite says why"]);
    talk.opened(0, ENOUGH);
    assert_eq!(talk.said(), "0: text/");
}

#[test]
fn chunks_grow_while_they_are_acknowledged_quickly_and_shrink_on_a_slow_line() {
    let mut talk = Talk::open_writer();
    let much = Bytes::from(vec![b'x'; MAX_CHUNK]);
    let mut next = 0;
    let mut longest = |talk: &mut Talk, delay| {
        talk.happen(Input::Read(much.clone().into()));
        let sent = chunks(talk);
        next += sent
            .iter()
            .map(|(_, text, ..)| text.len() as u64)
            .sum::<u64>();
        talk.now += delay;
        talk.ack(next, ENOUGH);
        sent.iter().map(|(_, text, ..)| text.len()).max().unwrap()
    };
    assert_eq!(longest(&mut talk, MILLI), 256 << 10);
    assert_eq!(longest(&mut talk, MILLI), MAX_CHUNK);
    for _ in 0..8 {
        longest(&mut talk, 3 * SECOND);
    }
    assert_eq!(longest(&mut talk, 3 * SECOND), 4 << 10);
}

#[test]
fn a_satellites_own_limit_for_chunks_is_kept() {
    let mut talk = Talk::writer();
    let Reply::Welcome {
        satellite,
        revision,
        program,
        mut limits,
        key,
    } = welcome()
    else {
        unreachable!("a welcome is a Welcome");
    };
    limits.chunk = 1000;
    talk.reply(&Reply::Welcome {
        satellite,
        revision,
        program,
        limits,
        key,
    });
    talk.opened(0, ENOUGH);
    talk.said();
    talk.read(&"x".repeat(2500));
    let lengths: Vec<_> = chunks(&mut talk)
        .iter()
        .map(|(_, text, ..)| text.len())
        .collect();
    assert_eq!(lengths, [1000, 1000, 500]);
}

fn welcome() -> Reply {
    let limits = skypipe_protocol::Limits {
        chunk: MAX_CHUNK as u64,
        heartbeat_ms: 2500,
        writer_lost_ms: 60_000,
        listener_lost_ms: 10_000,
    };
    let program = "skypipe 1.0.0".to_owned();
    Reply::Welcome {
        satellite: OWN,
        revision: 1,
        program,
        limits,
        key: None,
    }
}
