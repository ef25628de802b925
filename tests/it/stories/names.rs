//! Names of pipes, and how they are shown.

use crate::common::Environment;

/// `café` as most programs write it, and as the file system of a Mac does.
const COMPOSED: &str = "caf\u{e9}";
const DECOMPOSED: &str = "cafe\u{301}";

#[test]
fn a_word_in_two_spellings_is_one_pipe() {
    let sky = Environment::sky(&[]);
    sky.skypipe(&["-w", DECOMPOSED]).fed("one\n").printed("");
    sky.skypipe(&["-r", COMPOSED]).done().printed("one\n");
    sky.skypipe(&["-w", COMPOSED]).fed("two\n").printed("");
    let list = sky.skypipe(&["--list"]).done().success();
    let list = String::from_utf8(list).expect("it is text");
    assert!(
        list.contains(COMPOSED) && list.lines().count() == 2,
        "{list}"
    );
    let discarded = sky.skypipe(&["--discard", DECOMPOSED]).done();
    discarded.told(0, "deleted 1 stream (4 bytes) from \"caf\u{e9}\"");
    let reader = sky.skypipe(&["-r", COMPOSED]).start();
    sky.until_listeners(COMPOSED, 1);
    sky.skypipe(&["--eof", DECOMPOSED]).done().printed("");
    assert_eq!(reader.outcome().code, Some(0));
}

#[test]
fn the_default_pipe_and_one_that_is_called_so_are_told_apart() {
    let sky = Environment::sky(&[]);
    for name in ["", "(default)", "the default pipe", "a \"b\"", "x\u{202e}y"] {
        sky.skypipe(&["-w", name]).fed("x").printed("");
    }
    let list = sky.skypipe(&["--list"]).done().success();
    let list = String::from_utf8(list).expect("it is text");
    let mut names: Vec<_> = list
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once("  ")?.0))
        .collect();
    names.sort_unstable();
    let expected = [
        "\"(default)\"",
        "\"a \\\"b\\\"\"",
        "\"the default pipe\"",
        "\"x\\u{202e}y\"",
        "(default)",
    ];
    assert_eq!(names, expected);
    let discard = |name: &str| sky.skypipe(&["--discard", name]).done();
    discard("").told(0, "(1 byte) from the default pipe");
    discard("(default)").told(0, "(1 byte) from \"(default)\"");
    discard("the default pipe").told(0, "(1 byte) from \"the default pipe\"");
    discard("x\u{202e}y").told(0, "(1 byte) from \"x\\u{202e}y\"");
}
