//! No key is created if nobody could see its invitation.

use std::fs::{File, OpenOptions};
use std::io::{PipeWriter, pipe};

use crate::common::Environment;
use crate::keys::arena::{Sky, invitation_of, names};

fn full() -> File {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.expect("Linux has it")
}

fn unread() -> PipeWriter {
    pipe().expect("descriptors are left").1
}

#[test]
fn an_invitation_that_was_not_printed_lets_nobody_in() {
    let sky = Sky::new();
    let manager = sky.manager();
    let before = names(&manager);
    let closed = manager.shell("skypipe --invite a >&-").done();
    closed.told(1, "stdout is closed");
    let full = manager.skypipe(&["--invite", "b"]).stdout(full()).done();
    full.told(1, "No space left on device: the new key b was revoked");
    let unread = manager.skypipe(&["--invite", "c"]).stdout(unread()).done();
    unread.told(1, "nobody reads stdout anymore: the new key c was revoked");
    assert_eq!(names(&manager), before);
}

#[test]
fn a_phrase_that_was_not_printed_is_none() {
    let sky = Sky::new();
    let manager = sky.manager();
    let closed = manager.shell("skypipe --phrase >&-").done();
    closed.told(1, "stdout is closed");
    for run in [
        manager.skypipe(&["--phrase"]).stdout(full()),
        manager.skypipe(&["--phrase"]).stdout(unread()),
    ] {
        run.done().told(1, "there is no new phrase");
    }
    let laptop = Environment::here();
    let join = laptop
        .skypipe(&["--join"])
        .var("SKYPIPE_PHRASE", "a b c d e f");
    join.fed(sky.access_key())
        .told(1, "the satellite has no phrase");
}

#[test]
fn a_satellite_whose_first_invitation_was_not_printed_begins_anew() {
    let host = Environment::here();
    let start = "skypipe --satellite 127.0.0.1:0 --data data --private";
    let closed = host.shell(&format!("{start} >&-")).done();
    closed.told(1, "stdout is closed");
    let satellite = host.satellite(&["--data", "data", "--private"]);
    invitation_of(&satellite);
}
