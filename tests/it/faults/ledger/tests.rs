//! Tests of the ledger: it finds faulty histories, and only those.

use super::*;
use crate::faults::lines::content;

const LENGTH: usize = 5_000;

fn one_writer() -> Writers {
    let end = End::Exited(0, String::new());
    let writer = Writer {
        content: content(7, LENGTH),
        end,
    };
    Writers::from([(7, writer)])
}

/// Listeners that came one after the other and printed these parts of the writer's data.
fn listeners(writers: &Writers, mode: Mode, parts: &[&[(usize, usize)]]) -> Vec<Listener> {
    let text = |(start, end): &(usize, usize)| writers[&7].content[*start..*end].to_vec();
    let numbered = parts.iter().zip(1..);
    numbered
        .map(|(parts, number)| Listener {
            mode,
            printed: parts.iter().flat_map(text).collect(),
            end: End::Killed,
            started: number * 10,
            ended: number * 10 + 5,
        })
        .collect()
}

#[track_caller]
fn fault(verdict: Result<Summary, String>, words: &str) {
    let why = verdict.expect_err("it is a fault");
    assert!(why.contains(words), "{why}");
}

#[test]
fn a_history_of_parts_that_meet_anywhere_is_well() {
    let writers = one_writer();
    let all = writers[&7].content.len();
    for place in 0..all {
        let parts: [&[_]; 2] = [&[(0, place)], &[(place, all)]];
        let heard = listeners(&writers, Mode::Default, &parts);
        let summary = check(&writers, &heard);
        // A part too short to identify may count as missing, but never as another kind of fault.
        if let Err(why) = summary {
            assert!(why.contains("was never printed"), "{place}: {why}");
        }
    }
    let heard = listeners(&writers, Mode::Default, &[&[(0, 3_000)], &[(2_000, all)]]);
    assert!(check(&writers, &heard).is_ok_and(|summary| summary.again > 900));
}

#[test]
fn gaps_repeats_and_what_is_missing_are_found() {
    let writers = one_writer();
    let all = writers[&7].content.len();
    let lines: Vec<_> = memchr::memchr_iter(b'\n', &writers[&7].content)
        .map(|at| at + 1)
        .collect();
    let (one, two) = (lines[10], lines[20]);
    let heard = |parts: &[&[_]]| listeners(&writers, Mode::Default, parts);
    fault(check(&writers, &heard(&[&[(0, one), (two, all)]])), "a gap");
    fault(
        check(&writers, &heard(&[&[(0, two), (one, all)]])),
        "a repeat",
    );
    fault(
        check(&writers, &heard(&[&[(0, one)], &[(two, all)]])),
        "was never printed",
    );
    fault(check(&writers, &heard(&[&[(0, two)]])), "was never printed");
    let mut twice = heard(&[&[(0, two)], &[(one, all)]]);
    twice[0].end = End::Exited(3, "the rest was cut".to_owned());
    fault(check(&writers, &twice), "had ended with");
    twice[0].end = End::Exited(0, String::new());
    fault(check(&writers, &twice), "which has");
}

#[test]
fn work_that_is_done_twice_is_found() {
    let writers = one_writer();
    let all = writers[&7].content.len();
    let mut heard = listeners(&writers, Mode::One, &[&[(0, all)], &[(0, all)]]);
    assert!(check(&writers, &heard).is_ok());
    for listener in &mut heard {
        listener.end = End::Exited(0, String::new());
    }
    fault(check(&writers, &heard), "have both done the work");
}
