//! Tests: one question has one answer and one exit, and is never sent twice.

use std::time::Duration;

use skypipe_protocol::{Code, MAX_NAME, MAX_PAGE, Outcome, PipeInfo, Reply, Request, Status};
use uuid::Uuid;

use super::sealed::welcome;
use super::talk::{BEAT, asker};
use crate::session::Question;

fn page(names: &[&str], more: bool) -> Reply {
    let info = |name: &&str| PipeInfo {
        name: (*name).to_owned(),
        waiting: 0,
        bytes: 0,
        writers: 0,
        listeners: 1,
        full: false,
    };
    Reply::Pipes {
        pipes: names.iter().map(info).collect(),
        more,
    }
}

fn status() -> Reply {
    Reply::Status(Status {
        program: String::new(),
        since: 0,
        pid: 0,
        kept: String::new(),
        memory: 0,
        used: 0,
        disk: None,
        trouble: None,
        inherited: Vec::new(),
        pipes: 0,
        waiting: 0,
        bytes: 0,
        clients: 0,
    })
}

fn discarded() -> Reply {
    Reply::Discarded {
        streams: 0,
        bytes: 0,
    }
}

/// Questions, the names of their requests, and their answers.
fn questions() -> [(Question, &'static str, Reply); 5] {
    let pipe = || "p".to_owned();
    [
        (Question::Eof(pipe()), "eof", Reply::EofTaken),
        (Question::List, "list", page(&[], false)),
        (Question::Discard(pipe()), "discard", discarded()),
        (Question::Status, "status", status()),
        (Question::Stop(false), "stop", Reply::Stopping),
    ]
}

#[test]
fn a_question_is_asked_when_the_satellite_is_there() {
    for (question, word, answer) in questions() {
        let mut talk = asker(question);
        assert_eq!(talk.said(), "hello");
        talk.welcome();
        assert_eq!(talk.said(), word);
        talk.reply(&answer);
        assert_eq!((talk.said().as_str(), talk.exit), ("bye", Some(0)));
        assert_eq!(talk.answers, [answer]);
    }
}

#[test]
fn what_answers_another_question_is_no_answer() {
    let id = Uuid::nil();
    let others = [
        Reply::Kept,
        Reply::Revoked,
        Reply::Invited {
            name: String::new(),
        },
        Reply::Listening {
            listener: id,
            lost: false,
            missed: 0,
        },
        Reply::Finished {
            stream: id,
            outcome: Outcome::Kept,
        },
    ];
    let answers = questions().map(|(_, _, answer)| answer);
    for (question, word, right) in questions() {
        for answer in answers.iter().chain(&others) {
            if *answer == right {
                continue;
            }
            let mut talk = asker(question.clone());
            talk.welcome();
            talk.reply(answer);
            assert_eq!(talk.exit, Some(1), "{word}: {answer:?}");
            assert_eq!(
                talk.notices,
                ["the satellite's answer is not to what it was asked"]
            );
            assert_eq!(talk.answers, []);
        }
    }
}

#[test]
fn a_list_that_does_not_go_on_or_is_too_long_is_no_answer() {
    let long = "n".repeat(MAX_NAME + 1);
    let many = vec!["n"; MAX_PAGE + 1];
    for pages in [
        vec![page(&["b"], true), page(&["b"], true)],
        vec![page(&["b"], true), page(&["a"], true)],
        vec![page(&[], true)],
        vec![page(&[&long], false)],
        vec![page(&many, false)],
    ] {
        let mut talk = asker(Question::List);
        talk.welcome();
        for page in &pages {
            assert_eq!(talk.exit, None);
            talk.reply(page);
        }
        assert_eq!(talk.exit, Some(1), "{pages:?}");
    }
}

#[test]
fn a_refusal_ends_with_the_satellites_sentence() {
    let mut talk = asker(Question::Stop(false));
    talk.welcome();
    talk.refuse(Code::Waiting, None);
    assert_eq!(talk.exit, Some(1));
    assert_eq!(talk.notices, ["the satellite says why"]);
}

#[test]
fn a_long_list_is_asked_for_page_by_page() {
    let mut talk = asker(Question::List);
    talk.welcome();
    talk.said();
    talk.reply(&page(&["a", "b"], true));
    let after = Some("b".to_owned());
    assert_eq!(talk.take_sent(), [(Request::List { after }, None)]);
    assert_eq!(talk.exit, None);
    talk.reply(&page(&["c"], false));
    assert_eq!(talk.exit, Some(0));
    assert_eq!(talk.answers.len(), 2);
}

#[test]
fn what_was_asked_is_never_asked_again() {
    for (question, ..) in questions() {
        let is_stop = matches!(question, Question::Stop(_));
        let mut talk = asker(question);
        talk.welcome();
        talk.said();
        talk.break_off();
        assert_eq!(talk.exit, Some(u8::from(!is_stop)));
        assert_eq!(talk.said(), "");
    }
}

#[test]
fn a_satellite_that_is_gone_before_its_answer_has_stopped() {
    let mut talk = asker(Question::Stop(true));
    talk.welcome();
    talk.break_off();
    assert_eq!(talk.answers, [Reply::Stopping]);
}

#[test]
fn silence_instead_of_an_answer_ends_too() {
    let mut talk = asker(Question::Status);
    talk.welcome();
    talk.pass(3 * BEAT);
    assert_eq!(talk.exit, Some(1));
    assert_eq!(
        talk.notices,
        ["the connection broke before the satellite answered"]
    );
}

#[test]
fn a_connection_that_breaks_before_the_question_is_made_again() {
    let mut talk = asker(Question::Status);
    talk.break_off();
    talk.pass(Duration::from_secs(1));
    assert_eq!(talk.said(), "hello");
    talk.welcome();
    assert_eq!(talk.said(), "status");
}

#[test]
fn the_own_key_is_what_the_welcome_says() {
    let mut talk = asker(Question::Own);
    welcome(&mut talk, None);
    assert!(
        matches!(&talk.answers[..], [Reply::Welcome { key: Some(key), .. }] if key.name == "first")
    );
    assert_eq!(talk.exit, Some(0));
}
