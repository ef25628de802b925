//! The whole story as people have it, with the real program: from `--setup` to `--reset`.

use std::fs;

use crate::common::Environment;
use crate::common::deployed::{Platform, Sky, machine};
use crate::engine::Engine;
use crate::parts;
use crate::sshd::Sshd;

impl Platform for Engine {
    fn has_one(&self) {
        assert_eq!(self.count(), 1, "{}", self.podman(&["ps", "-a"]));
        assert_eq!(self.volumes().lines().count(), 1);
        assert_eq!(self.images().lines().count(), 1);
    }

    fn has_none(&self) {
        assert_eq!(self.left(), "");
    }
}

fn sky(target: String) -> Sky {
    Sky {
        target,
        vars: Vec::new(),
        endpoint: "tcp://127.0.0.1:9000".to_owned(),
    }
}

#[test]
fn an_engine_on_this_machine() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    sky(format!("docker+unix://{}", engine.socket().display())).whole_story(&engine);
}

#[test]
fn an_engine_on_another_machine_through_ssh() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sshd = Sshd::start(engine.directory());
    let mut sky = sky(format!("docker+ssh://sky{}", engine.socket().display()));
    let program = sshd.program().display().to_string();
    sky.vars.push(("SKYPIPE_SSH", program));
    sky.whole_story(&engine);
}

/// The satellite moves to another port; whoever knew the old one finds it when it does not answer there.
#[test]
fn a_satellite_that_has_moved_is_found_again() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let mut sky = sky(format!("docker+unix://{}", engine.socket().display()));
    let first = sky.first();
    first.skypipe(&["-w", "files"]).fed("kept").success();
    let phrase = first.skypipe(&["--phrase"]).done();
    let phrase = String::from_utf8(phrase.told(0, "write these six words down")).unwrap();
    let second = machine();
    let joined = sky.setup(&second, &[]).var("SKYPIPE_PHRASE", phrase.trim());
    assert_eq!(joined.done().code, Some(0));

    sky.endpoint = "tcp://127.0.0.1:9100".to_owned();
    let moved = sky.setup(&first, &["--port", "9100"]).done();
    sky.assert_ready(&moved, "first");
    engine.has_one();
    assert!(kept(&second).contains(":9000/"), "it knows the old one");
    second.skypipe(&["-r", "files"]).done().printed("kept");
    assert!(kept(&second).contains(":9100/"), "it remembers the new one");
    // What is known is not asked for: without the engine a pipe works as before.
    drop(fs::rename(
        engine.socket(),
        engine.socket().with_extension("away"),
    ));
    second.skypipe(&["-w", "files"]).fed("more").success();
    first.skypipe(&["-r", "files"]).done().printed("more");
}

/// The invitation that a machine keeps.
fn kept(machine: &Environment) -> String {
    fs::read_to_string(machine.home().join(".config/skypipe/satellite")).expect("it has one")
}
