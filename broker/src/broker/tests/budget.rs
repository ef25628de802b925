//! Rule 12: the memory budget, how much each writer may send, and that a full satellite can always be
//! drained.

use super::pen::{Ear, Pen, flow};
use super::story::{MEMORY, Story, id, peer, reopening};
use crate::broker::budget::ASKED_AT_ONCE;
use crate::broker::{Input, Now};
use crate::protocol::{
    BASE_CREDIT, CHUNK_OVERHEAD, Code, MAX_CHUNK, Mode, PipeInfo, Reply, Request, Shortage, cost,
};

/// The reserve of a satellite with this little memory: a quarter of it.
const RESERVE: u64 = MEMORY / 4;

/// What taps may hold: two chunks.
const TAPS: u64 = 2 * (MAX_CHUNK as u64 + CHUNK_OVERHEAD);

/// A satellite whose memory is used up by a file that waits in the pipe `waiting`.
fn full_story() -> Story {
    let mut story = Story::new();
    let mut file = Pen::open(&mut story, "file", "waiting");
    file.fill(&mut story);
    file.finish(&mut story);
    story
}

#[track_caller]
fn assert_within_budget(story: &Story) {
    let used = story.broker.used();
    assert!(used <= MEMORY + RESERVE + TAPS, "{used} bytes are used");
}

fn listed(story: &mut Story, pipe: &str) -> PipeInfo {
    story.hello("lister", "lister");
    story.say("lister", &Request::List { after: None });
    let Reply::Pipes { pipes, .. } = story.reply("lister") else {
        panic!("no list")
    };
    pipes
        .into_iter()
        .find(|info| info.name == pipe)
        .expect("the pipe is listed")
}

#[test]
fn rule_14_a_line_can_go_at_once() {
    let mut story = Story::new();
    let mut pen = Pen::open(&mut story, "w", "p");
    assert_eq!(pen.limit, BASE_CREDIT);
    assert!(pen.may_write(4096 - 256));
    pen.write(&mut story, 3000);
    assert!(
        pen.limit >= pen.spent + BASE_CREDIT / 2,
        "and the next one too"
    );
}

#[test]
fn a_writer_is_given_no_more_than_it_wants_and_never_all_there_is() {
    let mut story = Story::with(|settings| settings.memory = 64 << 20);
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.want(&mut story, 100_000);
    assert_eq!(pen.limit, cost(100_000));
    pen.want(&mut story, 60 << 20);
    assert_eq!(pen.limit, 16 * cost(MAX_CHUNK));
    assert_eq!(
        story.broker.used(),
        pen.limit,
        "what is given counts as used"
    );
}

#[test]
fn a_chunk_without_credit_for_it_is_refused_and_the_stream_goes_on() {
    let mut story = Story::new();
    story.meet(&["w"]);
    story.open("w", "s", "p");
    story.write("w", "s", 0, &[b'x'; 4096]);
    story.write_requesting("w", "s", 0, b"text\n", u64::MAX);
    assert_eq!(story.told("w"), "opened 0, refused: Credit, ack 5");
}

#[test]
fn rule_12_writers_stop_where_the_room_ends_and_are_told_why() {
    let mut story = Story::new();
    let mut pen = Pen::open(&mut story, "w", "p");
    let written = pen.fill(&mut story);
    assert!(written as u64 > MEMORY * 9 / 10, "{written}");
    assert!(pen.full.is_some());
    assert!(listed(&mut story, "p").full);
    assert!(story.broker.used() <= MEMORY);

    let mut ear = Ear::listen(&mut story, "r", "p", Mode::Default);
    ear.confirm(&mut story);
    pen.take_in(&mut story);
    assert!(pen.full.is_none(), "somebody took something");
    flow(&mut story, &mut pen, &mut ear, 1 << 20);
    assert!(!listed(&mut story, "p").full);
}

#[test]
fn rule_12_a_stream_that_opens_when_all_is_used_up_waits_for_its_first_credit() {
    let mut story = full_story();
    let mut pen = Pen::open(&mut story, "w", "p");
    assert!(pen.limit < BASE_CREDIT, "{}", pen.limit);
    pen.write(&mut story, 4000);
    assert!(pen.in_hand > 0 && pen.full.is_some());
    story.hello("d", "d");
    story.say(
        "d",
        &Request::Discard {
            pipe: "waiting".to_owned(),
        },
    );
    pen.push(&mut story);
    assert!(pen.in_hand == 0 && pen.full.is_none());
}

#[test]
fn rule_12_a_finish_needs_no_room() {
    let mut story = full_story();
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.fill(&mut story);
    assert!(pen.full.is_some());
    pen.finish(&mut story);
    assert!(pen.outcome.is_some());
}

#[test]
fn rule_12_what_is_being_taken_flows_though_all_memory_is_used_up() {
    for mode in [Mode::Default, Mode::One, Mode::Follow] {
        let mut story = full_story();
        let mut ear = Ear::listen(&mut story, "r", "p", mode);
        let mut pen = Pen::open(&mut story, "w", "p");
        for len in [1, 10_000, 100_000, 10, 2_000_000] {
            flow(&mut story, &mut pen, &mut ear, len);
            assert_within_budget(&story);
        }
    }
}

#[test]
fn rule_12_writers_with_nothing_to_say_do_not_stop_the_one_that_has() {
    let mut story = full_story();
    let mut ear = Ear::listen(&mut story, "r", "p", Mode::Follow);
    let mut idle: Vec<_> = (0..50)
        .map(|i| Pen::open(&mut story, &format!("idle{i}"), "p"))
        .collect();
    for pen in &mut idle {
        flow(&mut story, pen, &mut ear, 10);
    }
    let mut pen = Pen::open(&mut story, "w", "p");
    for _ in 0..20 {
        flow(&mut story, &mut pen, &mut ear, 100_000);
        assert_within_budget(&story);
    }
}

#[test]
fn rule_12_writers_that_all_want_are_served_in_turn() {
    let mut story = full_story();
    let mut ear = Ear::listen(&mut story, "r", "p", Mode::Follow);
    let mut pens: Vec<_> = (0..20)
        .map(|i| Pen::open(&mut story, &format!("w{i}"), "p"))
        .collect();
    for _ in 0..500 {
        for pen in &mut pens {
            pen.write(&mut story, 5000);
        }
        ear.confirm(&mut story);
        assert_within_budget(&story);
    }
    let written = || pens.iter().map(|pen| pen.written);
    let (least, most) = (written().min(), written().max());
    assert!(least > Some(100_000), "from {least:?} to {most:?} bytes");
}

#[test]
fn rule_12_a_stream_under_one_lets_go_what_was_confirmed_when_it_does_not_fit() {
    let mut story = Story::new();
    let mut ear = Ear::listen(&mut story, "r", "p", Mode::One);
    let mut pen = Pen::open(&mut story, "w", "p");
    let mut written = 0;
    while (written as u64) < 3 * MEMORY {
        let more = pen.fill(&mut story);
        assert!(more > 0, "{written} bytes went, then no more");
        written += more;
        ear.confirm(&mut story);
        pen.take_in(&mut story);
        assert_within_budget(&story);
    }
    pen.finish(&mut story);
    ear.confirm(&mut story);
    ear.confirm(&mut story);
    assert_eq!(ear.bytes, written);
    assert!(ear.is_closed);
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn rule_12_a_slow_listener_stops_the_writer_and_loses_nothing() {
    let mut story = Story::new();
    let mut quick = Ear::listen(&mut story, "quick", "p", Mode::Default);
    let mut slow = Ear::listen(&mut story, "slow", "p", Mode::Default);
    let mut pen = Pen::open(&mut story, "w", "p");
    let mut written = 0;
    loop {
        let more = pen.fill(&mut story);
        quick.confirm(&mut story);
        pen.take_in(&mut story);
        written += more;
        if more == 0 {
            break;
        }
    }
    assert_within_budget(&story);
    assert_eq!(quick.bytes, written);
    pen.finish(&mut story);
    while !slow.is_closed {
        slow.confirm(&mut story);
        assert_within_budget(&story);
    }
    assert_eq!(slow.bytes, written);
}

#[test]
fn rule_9_a_slow_tap_never_slows_a_writer() {
    let mut story = Story::new();
    let mut ear = Ear::listen(&mut story, "r", "p", Mode::Default);
    let mut tap = Ear::listen(&mut story, "t", "p", Mode::Tap);
    let mut pen = Pen::open(&mut story, "w", "p");
    for _ in 0..20 {
        flow(&mut story, &mut pen, &mut ear, 1 << 20);
        assert_within_budget(&story);
    }
    pen.finish(&mut story);
    ear.confirm(&mut story);
    ear.confirm(&mut story);
    assert!(ear.is_closed);
    while !tap.is_closed {
        tap.confirm(&mut story);
    }
    assert!(
        tap.bytes > 0 && tap.bytes < ear.bytes,
        "{} of {}",
        tap.bytes,
        ear.bytes
    );
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn a_connection_that_ends_gives_its_credit_back() {
    let mut story = Story::new();
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.want(&mut story, 3 << 20);
    assert!(story.broker.used() > 3 << 20);
    story.happen(Input::Disconnected { peer: peer("w") });
    assert_eq!(story.broker.used(), 0);
    story.hello("again", "w");
    story.say("again", &reopening("w", "p", 0));
    let Reply::Opened { next: 0, limit, .. } = story.reply("again") else {
        panic!("not opened")
    };
    assert_eq!(
        limit, BASE_CREDIT,
        "where it is lower, it counts all the same"
    );
}

#[test]
fn credit_is_counted_anew_from_each_opening() {
    let mut story = Story::new();
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.write(&mut story, 1000);
    story.hello("again", "w");
    story.say("again", &reopening("w", "p", 0));
    let (Reply::Opened { next, limit, .. }, _) = story.hear("again").remove(0) else {
        panic!("not opened")
    };
    assert_eq!(next, 1000);
    assert_eq!(limit, BASE_CREDIT);
    assert_eq!(story.broker.used(), cost(1000) + BASE_CREDIT);
}

#[test]
fn nonsense_about_credit_is_harmless() {
    let mut story = Story::new();
    story.meet(&["w", "x"]);
    story.open("w", "s", "p");
    for want in [0, 1, u64::MAX, u64::MAX - 1] {
        story.say(
            "w",
            &Request::Credit {
                stream: id("s"),
                requested: want,
            },
        );
        story.say(
            "x",
            &Request::Credit {
                stream: id("s"),
                requested: want,
            },
        );
        story.say(
            "x",
            &Request::Credit {
                stream: id("nobody's"),
                requested: want,
            },
        );
    }
    assert!(story.broker.used() <= MEMORY);
    assert_eq!(story.told("x"), "");
    story.say("w", &Request::Bye);
    assert_eq!(story.broker.used(), 0);
    story.write("w", "s", 0, b"x");
    let refused = story.hear("w").pop().map(|(reply, _)| reply);
    assert!(matches!(
        refused,
        Some(Reply::Error {
            code: Code::Stranger,
            ..
        })
    ));
}

#[test]
fn rule_12_what_is_taken_from_a_full_satellite_costs_no_walk_over_all_who_wait() {
    let mut story = Story::with(|settings| {
        (settings.clients, settings.memory) = (10_000, 256 << 20);
    });
    let mut file = Pen::open(&mut story, "file", "waiting");
    file.fill(&mut story);
    file.finish(&mut story);
    let writers = 8 * ASKED_AT_ONCE;
    for number in 0..writers {
        let mut pen = Pen::open(&mut story, &format!("w{number}"), "p");
        pen.want(&mut story, 100_000);
    }
    let mut ear = Ear::listen(&mut story, "r", "waiting", Mode::Default);
    ear.take_in(&mut story);
    story.pass(Now::from_secs(1));
    let before = story.broker.base.budget.looks();
    story.confirm("r", "r", 1);
    let looks = story.broker.base.budget.looks() - before;
    assert!(
        (1..=2 * ASKED_AT_ONCE).contains(&looks),
        "{looks} of {writers}"
    );
    // Every writer still has its turn.
    story.pass(Now::from_secs(1));
    let looks = story.broker.base.budget.looks() - before;
    assert!(looks >= writers, "{looks} of {writers}");
}

#[test]
fn rule_12_a_writer_is_told_in_what_room_is_used_up() {
    let mut story = full_story();
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.fill(&mut story);
    assert_eq!(pen.full, Some(Shortage::Memory(MEMORY)));
    let mut story = Story::with(|settings| settings.quota = 100_000);
    let mut pen = Pen::open(&mut story, "w", "p");
    pen.fill(&mut story);
    assert_eq!(pen.full, Some(Shortage::Pipe(100_000)));
}
