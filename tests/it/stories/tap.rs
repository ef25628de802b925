//! `--tap`: watching without taking (rule 9).

use std::io::Read;

use crate::common::Environment;
use crate::stories::text;

#[test]
fn rule_9_what_is_watched_stays() {
    let sky = Environment::sky(&[]);
    let tap = sky.skypipe(&["--tap", "x"]).start();
    sky.until_listeners("x", 1);
    sky.skypipe(&["x"]).fed("watched\n").printed("");
    tap.shows("watched\n");
    assert_eq!((sky.listed("x").waiting, sky.listed("x").bytes), (1, 8));
    tap.outcome().printed("watched\n");
    sky.skypipe(&["x"]).done().printed("watched\n");
}

#[test]
fn rule_9_a_slow_tap_slows_nobody_and_says_what_it_missed() {
    let sky = Environment::sky(&["--memory", "8MiB"]);
    let tap = sky.skypipe(&["--tap", "x"]).held().start();
    sky.until_listeners("x", 1);
    let listener = sky.skypipe(&["x"]).start();
    sky.until_listeners("x", 2);
    let file = text(40_000_000);
    let writer = sky.skypipe(&["x"]).fed(&file);
    writer.whatever_it_waited_for().printed("");
    listener.outcome().printed(&file);
    sky.skypipe(&["--eof", "x"]).done().printed("");
    let mut seen = Vec::new();
    tap.take_stdout()
        .read_to_end(&mut seen)
        .expect("it is a pipe");
    let outcome = tap.outcome();
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let missed: usize = outcome.stderr.lines().map(missed).sum();
    assert!(missed > 0, "{outcome}");
    assert_eq!(seen.len() + missed, file.len());
}

/// The number of bytes that a tap's line on stderr says it missed.
fn missed(line: &str) -> usize {
    let number = line.split_whitespace().find_map(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("it says how many bytes: {line}"))
}
