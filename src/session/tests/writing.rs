//! Tests of a writer: chunks, credit, retransmission, how it ends.

use std::time::Duration;

use bytes::Bytes;
use skypipe_protocol::{
    BASE_CREDIT, Code, Data, MAX_CHUNK, Open, Outcome, Reply, Request, Shortage, cost,
};

use super::dialogue::{Dialogue, OWN, just_before, write_job};
use crate::session::{Compression, Input, Job};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

const ENOUGH: u64 = 1 << 30;

/// The chunks that were sent: offset in the stream, text, unfinished line, requested credit.
fn chunks(dialogue: &mut Dialogue) -> Vec<(u64, String, u64, u64)> {
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
    dialogue.take_sent().into_iter().filter_map(chunk).collect()
}

/// The same: offset and text.
fn placed(dialogue: &mut Dialogue) -> Vec<(u64, String)> {
    let sent = chunks(dialogue).into_iter();
    sent.map(|(at, text, ..)| (at, text)).collect()
}

/// The same with the unfinished line.
fn tailed(dialogue: &mut Dialogue) -> Vec<(u64, String, u64)> {
    let sent = chunks(dialogue).into_iter();
    sent.map(|(at, text, tail, _)| (at, text, tail)).collect()
}

/// The connection breaks. A new connection reaches a satellite that expects the byte `next`.
fn come_back(dialogue: &mut Dialogue, next: u64, limit: u64) {
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.said();
    dialogue.welcome();
    dialogue.opened(next, limit);
}

pub(super) fn opened_with(limit: u64) -> Dialogue {
    let mut dialogue = Dialogue::writer();
    dialogue.welcome();
    dialogue.opened(0, limit);
    dialogue.said();
    dialogue
}

#[test]
fn what_was_read_is_sent_at_once() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\n");
    dialogue.read("two");
    assert_eq!(dialogue.said(), "0: one/, 4: two");
}

#[test]
fn rule_13_under_small_credit_chunks_are_cut_at_line_ends() {
    let mut dialogue = opened_with(BASE_CREDIT);
    let line = "x".repeat(999) + "\n";
    dialogue.read(&line.repeat(10));
    let sent = chunks(&mut dialogue);
    assert_eq!(sent.len(), 1);
    let (at, text, tail, requested) = &sent[0];
    assert_eq!((*at, text.len(), *tail), (0, 3000, 0));
    assert_eq!(
        *requested,
        cost(3000) + cost(7000),
        "it says what it has in hand"
    );
    dialogue.ack(3000, cost(3000) + cost(7000));
    let sent = chunks(&mut dialogue);
    assert_eq!((sent[0].1.len(), sent[0].2, sent[0].3), (7000, 0, 0));
}

#[test]
fn rule_13_a_line_that_does_not_fit_goes_in_parts_that_say_so() {
    let mut dialogue = opened_with(BASE_CREDIT);
    dialogue.read(&("short\n".to_owned() + &"x".repeat(10_000) + "\nend\nrest"));
    let mut limit = BASE_CREDIT;
    let mut sent = chunks(&mut dialogue);
    while let Some((at, text, _, requested)) = sent.last()
        && *requested > 0
    {
        limit += BASE_CREDIT;
        let next = at + text.len() as u64;
        dialogue.ack(next, limit);
        sent.extend(chunks(&mut dialogue));
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
    let mut dialogue = opened_with(900);
    dialogue.read(&"x".repeat(2000));
    assert_eq!(dialogue.said(), "want");
    dialogue.ack(0, 1024);
    assert_eq!(chunks(&mut dialogue)[0].1.len(), 768);
    let mut dialogue = opened_with(900);
    dialogue.read("short");
    assert_eq!(dialogue.said(), "0: short", "what fits goes");
}

#[test]
fn credit_is_asked_for_once_and_again_when_there_is_more() {
    let mut dialogue = opened_with(0);
    let wants = |dialogue: &mut Dialogue| -> Vec<u64> {
        let requested = |(request, _)| match request {
            Request::Credit { requested, .. } => Some(requested),
            _ => None,
        };
        dialogue
            .take_sent()
            .into_iter()
            .filter_map(requested)
            .collect()
    };
    dialogue.read("one\n");
    assert_eq!(wants(&mut dialogue), [cost(4)]);
    dialogue.ack(0, 0);
    assert_eq!(wants(&mut dialogue), [0_u64; 0]);
    dialogue.read("two\n");
    assert_eq!(wants(&mut dialogue), [2 * cost(4)]);
}

#[test]
fn no_more_credit_is_asked_for_than_will_be_used() {
    let mut dialogue = opened_with(0);
    for _ in 0..100 {
        dialogue.read("line\n");
    }
    dialogue.said();
    dialogue.ack(0, 100 * cost(5) - 1);
    assert_eq!(chunks(&mut dialogue).len(), 99);
    dialogue.read("line\n");
    let (request, _) = dialogue.take_sent().pop().expect("it asks");
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
    let mut dialogue = Dialogue::writer();
    let chunk = Bytes::from(vec![b'x'; MAX_CHUNK]);
    let mut count = 0;
    while dialogue.session.wants_input() {
        dialogue.happen(Input::Read(chunk.clone().into()));
        count += 1;
    }
    assert_eq!(count, 8);
    let mut dialogue = Dialogue::writer();
    let mut count = 0;
    while dialogue.session.wants_input() {
        dialogue.read("x");
        count += 1;
    }
    assert_eq!(count, 1024, "single bytes take room, too");
}

#[test]
fn more_is_read_ahead_on_a_line_that_takes_its_time() {
    for (delay, most) in [(MILLI, 8), (100 * MILLI, 32)] {
        let mut dialogue = Dialogue::writer();
        dialogue.welcome();
        dialogue.opened(0, 6 + 256);
        dialogue.read("first\n");
        dialogue.now += delay;
        dialogue.ack(6, 6 + 256);
        let chunk = Bytes::from(vec![b'x'; MAX_CHUNK]);
        let mut count = 0;
        while dialogue.session.wants_input() {
            dialogue.happen(Input::Read(chunk.clone().into()));
            count += 1;
        }
        assert_eq!(count, most, "an acknowledgement took {delay:?}");
    }
}

#[test]
fn rule_16_what_was_not_acknowledged_is_cut_anew_and_sent_again() {
    let lines = ["one", "two", "three"].map(|word| word.repeat(300) + "\n");
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("first\n");
    dialogue.read(&lines.concat());
    dialogue.read("last\n");
    dialogue.ack(6, ENOUGH);
    let sent = placed(&mut dialogue);
    let last = "last\n".to_owned();
    assert_eq!(sent[1..], [(6, lines.concat()), (3309, last.clone())]);
    dialogue.break_off();
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, reopen 6");
    dialogue.welcome();
    dialogue.opened(6, cost(1000));
    dialogue.ack(907, ENOUGH);
    assert_eq!(
        placed(&mut dialogue),
        [
            (6, lines[0].clone()),
            (907, lines[1..].concat()),
            (3309, last)
        ]
    );
}

#[test]
fn rule_16_what_had_arrived_is_not_sent_again() {
    let mut dialogue = Dialogue::open_writer();
    for text in ["one\n", "two\n", "three\n"] {
        dialogue.read(text);
    }
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.said();
    dialogue.opened(8, ENOUGH);
    assert_eq!(dialogue.said(), "8: three/");
}

#[test]
fn rule_16_a_satellite_that_has_a_part_of_a_chunk_is_sent_the_rest() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\ntwo, thr");
    dialogue.read("ee\n");
    dialogue.said();
    come_back(&mut dialogue, 6, ENOUGH);
    let rest = [(6, "o, thr".to_owned(), 8), (12, "ee\n".to_owned(), 0)];
    assert_eq!(tailed(&mut dialogue), rest);
}

#[test]
fn rule_16_a_part_of_a_chunk_may_be_acknowledged() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\ntwo, thr");
    dialogue.read("ee\n");
    dialogue.ack(6, ENOUGH);
    dialogue.break_off();
    dialogue.said();
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, reopen 6");
    dialogue.opened(8, ENOUGH);
    let rest = [(8, " thr".to_owned(), 8), (12, "ee\n".to_owned(), 0)];
    assert_eq!(tailed(&mut dialogue), rest);
    dialogue.ack(7, ENOUGH);
    dialogue.ack(14, ENOUGH);
    dialogue.break_off();
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, reopen 14");
    dialogue.opened(14, ENOUGH);
    dialogue.read("four\n");
    assert_eq!(dialogue.said(), "14: /, 15: four/");
}

#[test]
fn rule_16_what_arrived_is_kept_until_it_is_acknowledged_for_a_satellite_may_lose_it() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\n");
    dialogue.read("two\n");
    dialogue.happen(Input::ReadEnd);
    dialogue.ack(3, ENOUGH);
    come_back(&mut dialogue, 8, ENOUGH);
    assert_eq!(dialogue.said(), "end 8", "all has arrived");
    come_back(&mut dialogue, 4, ENOUGH);
    assert_eq!(dialogue.said(), "4: two/, end 8", "and some is lost");
    come_back(&mut dialogue, 3, ENOUGH);
    assert_eq!(dialogue.said(), "3: /, 4: two/, end 8", "and more");
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0));
}

#[test]
fn credit_is_counted_from_the_last_opening() {
    let mut dialogue = opened_with(cost(4));
    dialogue.read("one\n");
    assert_eq!(dialogue.said(), "0: one/");
    come_back(&mut dialogue, 4, cost(4));
    dialogue.read("two\n");
    assert_eq!(dialogue.said(), "4: two/");
    dialogue.read("three\n");
    let wants = dialogue.take_sent().pop().map(|(request, _)| request);
    let (stream, requested) = (OWN, cost(4) + cost(6));
    assert_eq!(wants, Some(Request::Credit { stream, requested }));
}

#[test]
fn rule_16_the_finish_is_sent_again_too() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("text\n");
    dialogue.happen(Input::ReadEnd);
    dialogue.said();
    dialogue.break_off();
    dialogue.pass(SECOND);
    assert_eq!(dialogue.said(), "hello, reopen 0");
    dialogue.welcome();
    dialogue.opened(5, ENOUGH);
    assert_eq!(dialogue.said(), "end 5");
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0));
}

/// A restarted satellite forgets what was not safe. Returning listeners may have that data all the same.
#[test]
fn rule_16_what_listeners_had_is_not_sent_again_however_often_the_satellite_was_restarted() {
    let rewound = || {
        let mut dialogue = Dialogue::open_writer();
        dialogue.read("one\n");
        dialogue.read("two\n");
        dialogue.happen(Input::ReadEnd);
        dialogue.break_off();
        dialogue.pass(SECOND);
        dialogue.welcome();
        // The next satellite has nothing of it, and no room.
        dialogue.opened(0, 0);
        dialogue.said();
        dialogue
    };
    // It turns out that the listeners have all of it.
    let mut dialogue = rewound();
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0));
    // The same, reported by the satellite after that.
    for (next, rest) in [(8, "end 8"), (6, "6: o/, end 8")] {
        let mut dialogue = rewound();
        dialogue.break_off();
        dialogue.pass(SECOND);
        dialogue.welcome();
        dialogue.said();
        dialogue.opened(next, 1 << 30);
        assert_eq!(dialogue.said(), rest);
        dialogue.finished(Outcome::Kept);
        assert_eq!(dialogue.exit, Some(0));
    }
    let mut dialogue = rewound();
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.opened(9, 1 << 30);
    assert_eq!(dialogue.exit, Some(3));
}

#[test]
fn rule_16_a_satellite_that_resumes_where_it_cannot_have_been_is_not_believed() {
    for next in [0, 3, 15, u64::MAX] {
        let mut dialogue = Dialogue::open_writer();
        for text in ["one\n", "two\n", "three\n"] {
            dialogue.read(text);
        }
        dialogue.ack(4, ENOUGH);
        dialogue.break_off();
        dialogue.pass(SECOND);
        dialogue.opened(next, ENOUGH);
        assert_eq!(dialogue.exit, Some(3), "{next}");
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
        let mut dialogue = Dialogue::open_writer();
        dialogue.read("half a line");
        dialogue.refuse(code, Some(OWN));
        assert_eq!(dialogue.exit, Some(exit), "{code:?}");
        assert_eq!(dialogue.notices, ["the satellite says why"]);
    }
}

#[test]
fn rule_16_a_stream_that_had_nothing_yet_is_opened_anew() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.take_sent();
    dialogue.refuse(Code::Unknown, Some(OWN));
    let again = dialogue.take_sent().pop().map(|(request, _)| request);
    assert!(
        matches!(again, Some(Request::Open(Open { resume: false, .. }))),
        "{again:?}"
    );
    assert_eq!((dialogue.exit, dialogue.notices.len()), (None, 0));
}

#[test]
fn rule_16_a_writer_whose_stream_was_cut_says_that_the_rest_follows() {
    let mut dialogue = Dialogue::open_writer();
    dialogue.read("one\n");
    dialogue.ack(4, ENOUGH);
    dialogue.break_off();
    dialogue.pass(SECOND);
    dialogue.welcome();
    dialogue.reply(&Reply::Opened {
        stream: OWN,
        next: 4,
        limit: ENOUGH,
        rest: true,
    });
    dialogue.read("two\n");
    dialogue.happen(Input::ReadEnd);
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0), "rule 11");
    assert_eq!(dialogue.notices.len(), 1, "{:?}", dialogue.notices);
    assert!(
        dialogue.notices[0].contains("after 4 bytes"),
        "{:?}",
        dialogue.notices
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
    let mut dialogue = opened_with(0);
    dialogue.read("text\n");
    for _ in 0..156 {
        // The pipe is read slowly: again and again there is room for a moment.
        dialogue.reply(&full(AT_ITS_LIMIT));
        dialogue.pass(SECOND);
        dialogue.reply(&full(None));
        dialogue.pass(SECOND);
        dialogue.reply(&Reply::Pong);
    }
    assert_eq!(
        dialogue.notices,
        ["\"p\" has reached its limit of 4 MiB: paused until someone reads from it"]
    );
    dialogue.pass(SECOND);
    assert_eq!(dialogue.notices[1..], ["\"p\" has room again: resuming"]);
    dialogue.reply(&full(AT_ITS_LIMIT));
    dialogue.pass(SECOND);
    assert_eq!(dialogue.notices.len(), 3, "another pause is told, too");
    dialogue.happen(Input::ReadEnd);
    dialogue.reply(&full(None));
    dialogue.ack(0, 1 << 20);
    dialogue.ack(5, 1 << 20);
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0));
    assert_eq!(dialogue.notices.len(), 4, "it went on before its end");
    let hints = dialogue.hints.concat();
    assert!(
        !hints.contains("room"),
        "a log is told as well as a terminal: {hints}"
    );
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
        let mut dialogue = opened_with(0);
        dialogue.read("text\n");
        dialogue.reply(&full(Some(shortage)));
        dialogue.pass(just_before(SECOND));
        assert_eq!(dialogue.notices, [""; 0], "not for a moment");
        dialogue.pass(MILLI);
        assert_eq!(dialogue.notices, [said]);
    }
}

#[test]
fn rule_12_a_writer_that_lacks_room_for_moments_says_nothing() {
    let mut dialogue = opened_with(0);
    dialogue.read("text\n");
    for _ in 0..20 {
        dialogue.reply(&full(AT_ITS_LIMIT));
        dialogue.pass(SECOND / 2);
        dialogue.reply(&full(None));
        dialogue.pass(MILLI);
        dialogue.reply(&Reply::Pong);
    }
    assert_eq!(dialogue.notices, [""; 0]);
}

/// What a writer says at the end of `--timeout`, after `happen`.
fn timed_out(wait: bool, happen: impl FnOnce(&mut Dialogue)) -> String {
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
    let mut dialogue = Dialogue::with(job, |config| config.timeout = Some(SECOND));
    dialogue.welcome();
    dialogue.opened(0, 4096);
    happen(&mut dialogue);
    dialogue.pass(SECOND);
    assert_eq!(dialogue.exit, Some(124), "{:?}", dialogue.notices);
    let told = dialogue.notices.pop().expect("it says why");
    let told = told.strip_prefix("timed out: ").expect(&told);
    told.strip_suffix(" for 1s").expect(told).to_owned()
}

#[test]
fn timeout_says_what_a_writer_waited_for() {
    assert_eq!(timed_out(false, |_| ()), "no data on stdin");
    let lacks_room = |shortage| {
        timed_out(false, |dialogue| {
            dialogue.read("text\n");
            dialogue.reply(&full(Some(shortage)));
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
    let unread = timed_out(true, |dialogue| {
        dialogue.read("text\n");
        dialogue.happen(Input::ReadEnd);
        dialogue.ack(5, 4096);
    });
    assert_eq!(unread, "nobody read all of \"p\"");
    let unanswered = timed_out(false, |dialogue| dialogue.read("text\n"));
    assert!(
        unanswered.starts_with("no confirmation from "),
        "{unanswered}"
    );
    let lost = timed_out(false, Dialogue::break_off);
    assert!(lost.starts_with("no connection to "), "{lost}");
}

#[test]
fn rule_16_a_satellite_whose_disk_failed_is_waited_for() {
    let mut dialogue = opened_with(4096);
    dialogue.read("text\n");
    for _ in 0..3 {
        dialogue.refuse(Code::Failed, None);
        dialogue.pass(SECOND);
        dialogue.welcome();
        dialogue.opened(0, 4096);
    }
    let told = "the satellite stopped, waiting for it to return: the satellite says why";
    assert_eq!(dialogue.notices, [told]);
    dialogue.happen(Input::ReadEnd);
    dialogue.ack(5, 4096);
    dialogue.finished(Outcome::Kept);
    assert_eq!(dialogue.exit, Some(0));
}

#[test]
fn a_satellite_that_has_all_its_streams_is_asked_again_every_second() {
    let mut dialogue = Dialogue::writer();
    dialogue.welcome();
    dialogue.read("text\n");
    dialogue.said();
    for _ in 0..3 {
        dialogue.refuse(Code::Limit, Some(OWN));
        dialogue.pass(just_before(SECOND));
        assert!(!dialogue.said().contains("open"));
        dialogue.pass(MILLI);
        assert!(dialogue.said().contains("open 0"));
    }
    assert_eq!(dialogue.notices, ["waiting: the satellite says why"]);
    dialogue.opened(0, ENOUGH);
    assert_eq!(dialogue.said(), "0: text/");
}

#[test]
fn chunks_grow_while_they_are_acknowledged_quickly_and_shrink_on_a_slow_line() {
    let mut dialogue = Dialogue::open_writer();
    let much = Bytes::from(vec![b'x'; MAX_CHUNK]);
    let mut next = 0;
    let mut longest = |dialogue: &mut Dialogue, delay| {
        dialogue.happen(Input::Read(much.clone().into()));
        let sent = chunks(dialogue);
        next += sent
            .iter()
            .map(|(_, text, ..)| text.len() as u64)
            .sum::<u64>();
        dialogue.now += delay;
        dialogue.ack(next, ENOUGH);
        sent.iter().map(|(_, text, ..)| text.len()).max().unwrap()
    };
    assert_eq!(longest(&mut dialogue, MILLI), 256 << 10);
    assert_eq!(longest(&mut dialogue, MILLI), MAX_CHUNK);
    for _ in 0..8 {
        longest(&mut dialogue, 3 * SECOND);
    }
    assert_eq!(longest(&mut dialogue, 3 * SECOND), 4 << 10);
}

#[test]
fn a_satellites_own_limit_for_chunks_is_kept() {
    let mut dialogue = Dialogue::writer();
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
    dialogue.reply(&Reply::Welcome {
        satellite,
        revision,
        program,
        limits,
        key,
    });
    dialogue.opened(0, ENOUGH);
    dialogue.said();
    dialogue.read(&"x".repeat(2500));
    let lengths: Vec<_> = chunks(&mut dialogue)
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
