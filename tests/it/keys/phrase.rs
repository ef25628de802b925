//! Joining with only an access key and a phrase of six words.

use std::time::Duration;

use crate::common::Environment;
use crate::common::outcome::Outcome;
use crate::common::terminal::Terminal;
use crate::keys::arena::{Sky, invitation_words, invite, joined, joined_file, mode, revoke};

/// Makes a phrase and returns it.
fn new_phrase(manager: &Environment) -> String {
    let outcome = manager.skypipe(&["--phrase"]).done();
    let phrase = outcome.told(0, "write these six words down");
    let phrase = String::from_utf8(phrase).expect("it is text");
    let phrase = phrase.strip_suffix('\n').expect("it is a line");
    assert_eq!(phrase.split_whitespace().count(), 6, "{phrase}");
    phrase.to_owned()
}

/// An access key for another machine, made on the satellite's own machine.
fn access_key(sky: &Sky, name: &str) -> String {
    let invited = sky.host().skypipe(&["--invite", name]);
    let outcome = invited.var("SATELLITE", sky.access_key()).done();
    invitation_words(outcome, "which asks for the phrase")
}

/// Joins with an access key and this `SKYPIPE_PHRASE`.
fn join(machine: &Environment, access_key: &str, phrase: &str) -> Outcome {
    let join = machine.skypipe(&["--join"]).var("SKYPIPE_PHRASE", phrase);
    join.patient(Duration::from_secs(40)).fed(access_key)
}

#[test]
fn a_machine_joins_with_an_access_key_and_the_phrase() {
    let sky = Sky::new();
    let desktop = sky.manager();
    let phrase = new_phrase(&desktop);
    desktop.skypipe(&["x"]).fed("waits\n").printed("");
    let laptop = Environment::here();
    let outcome = join(&laptop, &access_key(&sky, "laptop"), &phrase);
    assert_eq!(outcome.told(0, "as laptop (all)"), b"");
    assert_eq!(mode(&joined_file(&laptop)), 0o600);
    laptop.skypipe(&["x"]).done().printed("waits\n");
    // From now on it is a machine like any other, and can invite.
    let phone = joined(&invite(&laptop, &["phone", "--read"]));
    desktop.skypipe(&["x"]).fed("for the phone\n").printed("");
    phone.skypipe(&["x"]).done().printed("for the phone\n");
    revoke(&laptop, "phone");
    laptop.skypipe(&["x"]).fed("renewed\n").printed("");
    desktop.skypipe(&["x"]).done().printed("renewed\n");
}

#[test]
fn the_phrase_is_asked_for_at_the_terminal_and_not_shown() {
    let sky = Sky::new();
    let phrase = new_phrase(&sky.manager());
    let laptop = Environment::here();
    let terminal = Terminal::open();
    let join = laptop.skypipe(&["--join"]).on(&terminal).start();
    terminal.shows("invitation: ");
    terminal.types(&format!("{}\n", access_key(&sky, "laptop")));
    terminal.shows("phrase: ");
    // Users type capitals and extra spaces.
    let typed = phrase.replace(' ', "  ").to_uppercase();
    terminal.types(&format!("{typed}\n"));
    assert_eq!(join.outcome().code, Some(0), "{}", terminal.screen());
    let screen = terminal.screen().to_lowercase();
    let (_, word) = phrase.rsplit_once(' ').expect("there are six");
    assert!(
        !screen.contains(&phrase) && !screen.contains(&format!(" {word}\r")),
        "{screen}"
    );
    laptop.skypipe(&["x"]).fed("in\n").printed("");
}

#[test]
fn the_phrase_can_lie_in_a_file() {
    let sky = Sky::new();
    let phrase = new_phrase(&sky.manager());
    let laptop = Environment::here();
    laptop.put("words", format!("{phrase}\n"));
    let key = access_key(&sky, "laptop");
    let missing = laptop
        .skypipe(&["--join"])
        .var("SKYPIPE_PHRASE_FILE", "nowhere")
        .fed(&key);
    missing.told(1, "nowhere: No such file or directory");
    let joined = laptop
        .skypipe(&["--join"])
        .var("SKYPIPE_PHRASE_FILE", "words")
        .fed(&key);
    joined.told(0, "as laptop (all)");
}

#[test]
fn a_wrong_phrase_is_told_and_nothing_is_kept() {
    let sky = Sky::new();
    let desktop = sky.manager();
    let phrase = new_phrase(&desktop);
    let laptop = Environment::here();
    let key = access_key(&sky, "laptop");
    let words: Vec<&str> = phrase.split(' ').collect();
    let mut reversed = words.clone();
    reversed.reverse();
    for (wrong, sentence) in [
        (reversed.join(" "), "the phrase is wrong"),
        (
            words[..5].join(" "),
            "the phrase has 6 words, but 5 were given",
        ),
        (
            phrase.replacen(words[1], "xyzzy", 1),
            "word 2 is not in the word list",
        ),
        (String::new(), "the phrase has 6 words"),
    ] {
        let outcome = join(&laptop, &key, &wrong);
        assert!(!outcome.stderr.contains(words[5]), "{outcome}");
        outcome.told(1, sentence);
        assert!(!joined_file(&laptop).exists());
    }
    // It can be tried again.
    join(&laptop, &key, &phrase).told(0, "as laptop (all)");
}

#[test]
fn without_a_terminal_nobody_waits_for_a_phrase() {
    let sky = Sky::new();
    new_phrase(&sky.manager());
    let laptop = Environment::here();
    // A process in its own session has no terminal to ask at.
    let key = access_key(&sky, "laptop");
    laptop.put("key", key);
    let outcome = laptop.shell("setsid -w skypipe --join < key").done();
    outcome.told(1, "scripts can set SKYPIPE_PHRASE");
}

#[test]
fn a_new_phrase_or_none_makes_the_old_one_useless() {
    let sky = Sky::new();
    let desktop = sky.manager();
    let laptop = Environment::here();
    let key = access_key(&sky, "laptop");
    let sentence = "the satellite has no phrase: to make one, run skypipe --phrase";
    join(&laptop, &key, "a b c d e f").told(1, sentence);
    let old = new_phrase(&desktop);
    let new = new_phrase(&desktop);
    assert_ne!(old, new);
    join(&laptop, &key, &old).told(1, "the phrase is wrong");
    let outcome = desktop.skypipe(&["--no-phrase"]).done();
    assert_eq!(outcome.told(0, "the phrase is removed"), b"");
    join(&laptop, &key, &new).told(1, sentence);
    assert!(!joined_file(&laptop).exists());
    let newest = new_phrase(&desktop);
    join(&laptop, &key, &newest).told(0, "as laptop (all)");
}

#[test]
fn the_phrase_outlives_renewals_and_restarts() {
    let mut sky = Sky::new();
    let desktop = sky.manager();
    let phrase = new_phrase(&desktop);
    desktop.skypipe(&["x"]).fed("before\n").printed("");
    for name in ["tv", "tablet"] {
        invite(&desktop, &[name, "--read"]);
        revoke(&desktop, name);
    }
    desktop.skypipe(&["x"]).fed("after\n").printed("");
    sky.kill();
    sky.restart();
    let laptop = Environment::here();
    join(&laptop, &access_key(&sky, "laptop"), &phrase).told(0, "as laptop (all)");
    laptop.skypipe(&["x"]).done().printed("before\n");
    laptop.skypipe(&["x"]).done().printed("after\n");
    // A machine that joined by phrase is part of the next renewal.
    invite(&desktop, &["watch", "--read"]);
    revoke(&desktop, "watch");
    desktop.skypipe(&["x"]).fed("later\n").printed("");
    laptop.skypipe(&["x"]).done().printed("later\n");
}

#[test]
fn an_access_key_opens_nothing_before_the_phrase_was_given() {
    let sky = Sky::new();
    let desktop = sky.manager();
    desktop.skypipe(&["x"]).fed("secret\n").printed("");
    let host = |arguments: &[&str]| {
        let run = sky.host().skypipe(arguments);
        run.var("SATELLITE", sky.access_key())
    };
    let sentence = "this machine can reach the satellite but has no key to its pipes: run skypipe \
                    --join and enter the phrase";
    assert_eq!(host(&["-r", "x"]).done().told(1, sentence), b"");
    host(&["-w", "y"]).fed("x\n").told(1, sentence);
    // The access key may manage, which is its purpose.
    let list = host(&["--list"]).done().success();
    assert!(String::from_utf8_lossy(&list).contains("x "));
    let keys = host(&["--keys"]).done().success();
    assert!(String::from_utf8_lossy(&keys).contains("first"));
    host(&["--phrase"]).done().told(1, sentence);
    desktop.skypipe(&["x"]).done().printed("secret\n");
}

#[test]
fn a_reader_that_joins_by_phrase_reads_and_manages_nothing() {
    let sky = Sky::new();
    let desktop = sky.manager();
    let phrase = new_phrase(&desktop);
    let invited = sky.host().skypipe(&["--invite", "tv", "--read"]);
    let outcome = invited.var("SATELLITE", sky.access_key()).done();
    let key = invitation_words(outcome, "which asks for the phrase");
    let tv = Environment::here();
    join(&tv, &key, &phrase).told(0, "as tv (read)");
    desktop.skypipe(&["x"]).fed("news\n").printed("");
    tv.skypipe(&["x"]).done().printed("news\n");
    tv.skypipe(&["--keys"])
        .done()
        .told(1, "your key, tv, does not allow you to manage");
    tv.skypipe(&["-w", "x"])
        .fed("x")
        .told(1, "your key, tv, does not allow you to write");
}
