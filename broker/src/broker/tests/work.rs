//! Expensive queries: whoever asks them waits, and nobody else does.

use std::time::Duration;

use super::story::{Story, peer};
use crate::broker::Input;
use crate::protocol::{Code, Reply, Request};

/// A satellite with this many streams in each of several pipes.
fn crowded() -> Story {
    let mut story = Story::with(|settings| settings.memory = 64 << 20);
    story.meet(&["w", "a", "b"]);
    for stream in 0..5000 {
        story.open("w", &format!("s{stream}"), &format!("{}", stream % 50));
    }
    story.told("w");
    story
}

fn answers(story: &mut Story, who: &str) -> usize {
    let heard = story.hear(who);
    let is_answer = |reply: &Reply| matches!(reply, Reply::Status(_) | Reply::Pipes { .. });
    heard.iter().filter(|(reply, _)| is_answer(reply)).count()
}

#[test]
fn who_asks_for_much_waits_with_the_next_question_and_nobody_else_does() {
    for question in [Request::Status, Request::List { after: None }] {
        let mut story = crowded();
        for _ in 0..5 {
            story.say("a", &question);
        }
        assert_eq!(answers(&mut story, "a"), 1, "{question:?}");
        story.say("b", &question);
        assert_eq!(answers(&mut story, "b"), 1, "{question:?}");
        // Other requests of the same client are answered at once.
        story.say("a", &Request::Ping);
        assert_eq!(story.told("a"), "Pong");
        for _ in 0..4 {
            story.pass(Duration::from_millis(12));
            assert_eq!(answers(&mut story, "a"), 1, "{question:?}");
        }
        story.pass(Duration::from_secs(1));
        assert_eq!(answers(&mut story, "a"), 0, "{question:?}");
    }
}

#[test]
fn questions_that_wait_are_few_and_go_with_who_asked() {
    let mut story = crowded();
    for _ in 0..100 {
        story.say("a", &Request::Status);
    }
    let heard = story.hear("a");
    let is_refusal = |reply: &Reply| {
        matches!(
            reply,
            Reply::Error {
                code: Code::Limit,
                ..
            }
        )
    };
    let refused = heard.iter().filter(|(reply, _)| is_refusal(reply)).count();
    assert_eq!((heard.len(), refused), (84, 83));
    story.happen(Input::Disconnected { peer: peer("a") });
    story.pass(Duration::from_secs(1));
    assert_eq!(answers(&mut story, "a"), 0);
}

#[test]
fn a_satellite_with_little_answers_at_once_however_often() {
    let mut story = Story::new();
    story.meet(&["a"]);
    for _ in 0..100 {
        story.say("a", &Request::Status);
        story.say("a", &Request::List { after: None });
    }
    assert_eq!(answers(&mut story, "a"), 200);
}
