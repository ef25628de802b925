//! Tests: one question has one answer and one exit, and is never sent twice.

use std::time::Duration;

use skypipe_protocol::{Code, MAX_NAME, MAX_PAGE, Outcome, PipeInfo, Reply, Request, Status};
use uuid::Uuid;

use super::dialogue::{BEAT, asker};
use super::sealed::welcome;
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
        let mut dialogue = asker(question);
        assert_eq!(dialogue.said(), "hello");
        dialogue.welcome();
        assert_eq!(dialogue.said(), word);
        dialogue.reply(&answer);
        assert_eq!((dialogue.said().as_str(), dialogue.exit), ("bye", Some(0)));
        assert_eq!(dialogue.answers, [answer]);
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
            let mut dialogue = asker(question.clone());
            dialogue.welcome();
            dialogue.reply(answer);
            assert_eq!(dialogue.exit, Some(1), "{word}: {answer:?}");
            assert_eq!(
                dialogue.notices,
                ["the satellite's answer does not match the question"]
            );
            assert_eq!(dialogue.answers, []);
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
        let mut dialogue = asker(Question::List);
        dialogue.welcome();
        for page in &pages {
            assert_eq!(dialogue.exit, None);
            dialogue.reply(page);
        }
        assert_eq!(dialogue.exit, Some(1), "{pages:?}");
    }
}

#[test]
fn a_refusal_ends_with_the_satellites_sentence() {
    let mut dialogue = asker(Question::Stop(false));
    dialogue.welcome();
    dialogue.refuse(Code::Waiting, None);
    assert_eq!(dialogue.exit, Some(1));
    assert_eq!(dialogue.notices, ["the satellite says why"]);
}

#[test]
fn a_long_list_is_asked_for_page_by_page() {
    let mut dialogue = asker(Question::List);
    dialogue.welcome();
    dialogue.said();
    dialogue.reply(&page(&["a", "b"], true));
    let after = Some("b".to_owned());
    assert_eq!(dialogue.take_sent(), [(Request::List { after }, None)]);
    assert_eq!(dialogue.exit, None);
    dialogue.reply(&page(&["c"], false));
    assert_eq!(dialogue.exit, Some(0));
    assert_eq!(dialogue.answers.len(), 2);
}

#[test]
fn what_was_asked_is_never_asked_again() {
    for (question, ..) in questions() {
        let is_stop = matches!(question, Question::Stop(_));
        let mut dialogue = asker(question);
        dialogue.welcome();
        dialogue.said();
        dialogue.break_off();
        assert_eq!(dialogue.exit, Some(u8::from(!is_stop)));
        assert_eq!(dialogue.said(), "");
    }
}

#[test]
fn a_satellite_that_is_gone_before_its_answer_has_stopped() {
    let mut dialogue = asker(Question::Stop(true));
    dialogue.welcome();
    dialogue.break_off();
    assert_eq!(dialogue.answers, [Reply::Stopping]);
}

#[test]
fn silence_instead_of_an_answer_ends_too() {
    let mut dialogue = asker(Question::Status);
    dialogue.welcome();
    dialogue.pass(3 * BEAT);
    assert_eq!(dialogue.exit, Some(1));
    assert_eq!(
        dialogue.notices,
        ["the connection broke before the satellite answered"]
    );
}

#[test]
fn a_connection_that_breaks_before_the_question_is_made_again() {
    let mut dialogue = asker(Question::Status);
    dialogue.break_off();
    dialogue.pass(Duration::from_secs(1));
    assert_eq!(dialogue.said(), "hello");
    dialogue.welcome();
    assert_eq!(dialogue.said(), "status");
}

#[test]
fn the_own_key_is_what_the_welcome_says() {
    let mut dialogue = asker(Question::Own);
    welcome(&mut dialogue, None);
    assert!(
        matches!(&dialogue.answers[..], [Reply::Welcome { key: Some(key), .. }] if key.name == "first")
    );
    assert_eq!(dialogue.exit, Some(0));
}
