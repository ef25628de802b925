//! Queries and commands, and how a satellite ends.

use bytes::Bytes;
use std::time::Duration;

use super::story::{LISTENER_LOST, MEMORY, Story, id, just_before};
use crate::broker::Input;
use crate::protocol::{Code, MAX_PAGE, Mode, PipeInfo, Reply, Request, Status};

fn page(story: &mut Story, after: Option<&str>) -> (Vec<PipeInfo>, bool) {
    story.say(
        "q",
        &Request::List {
            after: after.map(str::to_owned),
        },
    );
    match story.reply("q") {
        Reply::Pipes { pipes, more } => (pipes, more),
        other => panic!("no list: {other:?}"),
    }
}

fn status(story: &mut Story) -> Status {
    story.say("q", &Request::Status);
    match story.reply("q") {
        Reply::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

fn discard(story: &mut Story, pipe: &str) -> (u64, u64) {
    story.say(
        "q",
        &Request::Discard {
            pipe: pipe.to_owned(),
        },
    );
    match story.reply("q") {
        Reply::Discarded { streams, bytes } => (streams, bytes),
        other => panic!("nothing discarded: {other:?}"),
    }
}

#[test]
fn a_list_says_what_waits_and_who_is_there() {
    let mut story = Story::new();
    story.meet(&["q", "w", "r"]);
    story.store("w", "s1", "logs", "one\n");
    story.open("w", "s2", "logs");
    story.write("w", "s2", 0, b"two\n");
    story.open("w", "s3", "logs");
    story.listen("r", "l", "idle", Mode::Follow);
    let expected = [("idle", 0, 0, 0, 1), ("logs", 2, 8, 2, 0)].map(
        |(name, waiting, bytes, writers, listeners)| PipeInfo {
            name: name.to_owned(),
            waiting,
            bytes,
            writers,
            listeners,
            full: false,
        },
    );
    assert_eq!(page(&mut story, None), (expected.to_vec(), false));
}

#[test]
fn a_long_list_comes_in_pages_by_name() {
    let mut story = Story::new();
    story.meet(&["q", "w"]);
    let count = 2 * MAX_PAGE + 7;
    for pipe in 0..count {
        story.open("w", &format!("s{pipe}"), &format!("{pipe:04}"));
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let (pipes, more) = page(&mut story, after.as_deref());
        assert!(pipes.len() == MAX_PAGE || !more);
        names.extend(pipes.into_iter().map(|info| info.name));
        after = names.last().cloned();
        if !more {
            break;
        }
    }
    let expected: Vec<_> = (0..count).map(|pipe| format!("{pipe:04}")).collect();
    assert_eq!(names, expected);
    assert_eq!(page(&mut story, Some("zzz")), (Vec::new(), false));
    let (pipes, more) = page(&mut story, Some(&format!("{:04}", count - MAX_PAGE - 1)));
    assert_eq!(
        (pipes.len(), more),
        (MAX_PAGE, false),
        "a full page that is the last"
    );
}

#[test]
fn rule_1_a_pipe_is_listed_as_long_as_it_is_used() {
    let mut story = Story::new();
    story.meet(&["q", "w"]);
    assert_eq!(page(&mut story, None), (Vec::new(), false));
    assert_eq!(discard(&mut story, "nothing"), (0, 0));
    story.store("w", "s", "p", "text\n");
    assert_eq!(page(&mut story, None).0.len(), 1);
    assert_eq!(discard(&mut story, "p"), (1, 5));
    assert_eq!(page(&mut story, None), (Vec::new(), false));
    assert_eq!(story.broker.used(), 0);
}

#[test]
fn discard_leaves_what_is_being_taken_and_lets_open_streams_go_on() {
    let mut story = Story::new();
    story.meet(&["q", "w", "r"]);
    story.store("w", "taken", "p", "taken\n");
    story.store("w", "waits", "p", "waits\n");
    story.open("w", "open", "p");
    story.write("w", "open", 0, b"before\n");
    story.listen("r", "l", "p", Mode::One);
    assert_eq!(discard(&mut story, "p"), (2, 13));
    assert_eq!(
        story.drain("r", "l"),
        "listening, taken/, end, done, closed"
    );
    story.write("w", "open", 7, b"after\n");
    story.listen("r", "m", "p", Mode::Default);
    assert_eq!(story.told("r"), "listening, after/");
}

#[test]
fn rule_6_eof_is_answered_and_waits_if_nobody_listens() {
    let mut story = Story::new();
    story.meet(&["q", "r"]);
    story.say(
        "q",
        &Request::Eof {
            pipe: "p".to_owned(),
            order: Bytes::new(),
        },
    );
    assert_eq!(story.told("q"), "EofTaken");
    assert_eq!(page(&mut story, None).0[0].waiting, 1);
    story.listen("r", "l", "p", Mode::Default);
    assert_eq!(story.drain("r", "l"), "listening, end, done, closed");
    story.listen("r", "m", "p", Mode::Follow);
    story.say(
        "q",
        &Request::Eof {
            pipe: "p".to_owned(),
            order: Bytes::new(),
        },
    );
    assert_eq!(story.drain("r", "m"), "listening, done, closed");
    story.told("q");
    assert_eq!(page(&mut story, None).0, []);
}

#[test]
fn status_tells_how_the_satellite_is() {
    let mut story = Story::new();
    story.meet(&["q", "w"]);
    story.store("w", "s", "p", "text\n");
    let expected = Status {
        program: "skypipe 1.0.0".to_owned(),
        since: 1_700_000_000,
        pid: 7,
        kept: "memory".to_owned(),
        memory: MEMORY,
        used: 256 + 5,
        disk: None,
        trouble: None,
        inherited: Vec::new(),
        pipes: 1,
        waiting: 1,
        bytes: 5,
        clients: 2,
    };
    assert_eq!(status(&mut story), expected);
}

#[test]
fn a_satellite_that_was_started_by_somebody_is_stopped_by_nobody_else() {
    let mut story = Story::with(|settings| settings.stoppable = false);
    story.meet(&["q"]);
    story.say("q", &Request::Stop { force: true });
    assert_eq!(story.refusal("q").0, Code::Denied);
    assert!(!story.is_stopped);
    story.happen(Input::Stop);
    assert!(story.is_stopped, "a signal stops it");
}

#[test]
fn a_satellite_with_something_waiting_stops_only_by_force() {
    let mut story = Story::new();
    story.meet(&["q", "w"]);
    story.store("w", "s", "p", "text\n");
    story.say("q", &Request::Stop { force: false });
    let (code, message) = story.refusal("q");
    assert_eq!(code, Code::Waiting);
    assert!(message.contains("1 stream with 5 bytes waits"), "{message}");
    assert!(!story.is_stopped);
    story.say("q", &Request::Stop { force: true });
    assert_eq!(story.told("q"), "Stopping");
    assert!(story.is_stopped);
}

#[test]
fn a_satellite_in_which_nothing_waits_stops_when_asked() {
    let mut story = Story::new();
    story.meet(&["q", "w"]);
    story.open("w", "s", "p");
    story.say("q", &Request::Stop { force: false });
    assert_eq!(story.told("q"), "Stopping");
    assert!(story.is_stopped);
}

#[test]
fn a_satellite_ends_when_nothing_waits_and_nobody_was_there_for_its_time() {
    let idle = Duration::from_secs(600);
    let mut story = Story::with(|settings| settings.idle = Some(idle));
    story.happen(Input::Timeout);
    story.pass(idle / 2);
    story.meet(&["w"]);
    story.store("w", "s", "p", "text\n");
    story.say("w", &Request::Bye);
    story.pass(10 * idle);
    assert!(!story.is_stopped, "something waits");
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Default);
    story.drain("r", "l");
    story.disconnect("r");
    story.pass(just_before(idle));
    assert!(!story.is_stopped);
    story.pass(Duration::from_millis(1));
    assert!(story.is_stopped);
}

#[test]
fn a_client_that_is_connected_keeps_a_satellite_from_ending() {
    let idle = Duration::from_secs(600);
    let mut story = Story::with(|settings| settings.idle = Some(idle));
    story.meet(&["r"]);
    story.listen("r", "l", "p", Mode::Follow);
    for _ in 0..1000 {
        story.pass(LISTENER_LOST / 4);
        story.say("r", &Request::Ping);
    }
    assert!(!story.is_stopped);
    story.say("r", &Request::Leave { listener: id("l") });
    story.pass(LISTENER_LOST + idle);
    assert!(
        story.is_stopped,
        "one that is silent is not connected for ever"
    );
}
