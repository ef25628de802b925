//! The complete use, with the real program: from `--setup` to `--reset`.

use std::fs;
use std::path::PathBuf;

use crate::common::Environment;
use crate::common::deployed::{Platform, Sky, machine};
use crate::common::outcome::Outcome;
use crate::common::parts;
use crate::docker::cut::{Broken, Cut};
use crate::docker::engine::Engine;
use crate::docker::sshd::Sshd;

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

/// The engine that the `docker` of this machine reaches by itself.
fn sky(engine: &Engine) -> Sky {
    let command = engine.command().display().to_string();
    Sky {
        target: "docker".to_owned(),
        vars: vec![("SKYPIPE_DOCKER", command)],
        endpoint: "tcp://127.0.0.1:9000".to_owned(),
    }
}

#[test]
fn an_engine_on_this_machine() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    sky(&engine).whole_story(&engine);
}

#[test]
fn an_engine_behind_a_socket() {
    if !parts::are_there() {
        return;
    }
    let mut engine = Engine::start();
    let mut sky = sky(&engine);
    sky.target = format!("docker+unix://{}", engine.serve().display());
    sky.whole_story(&engine);
}

#[test]
fn an_engine_on_another_machine_through_ssh() {
    if !parts::are_there() {
        return;
    }
    let mut engine = Engine::start();
    let sshd = Sshd::start(engine.directory());
    let mut sky = sky(&engine);
    // The version of podman that Debian has does not read ssh's configuration.
    sky.target = format!("docker+ssh://root@127.0.0.1:22{}", engine.serve().display());
    let command = engine.script("far", &format!("{} exec podman \"$@\"", sshd.settings()));
    let ssh = sshd.program().display().to_string();
    sky.vars = vec![
        ("SKYPIPE_DOCKER", command.display().to_string()),
        ("SKYPIPE_SSH", ssh),
    ];
    sky.whole_story(&engine);
    assert!(sshd.has_served());
}

/// Ctrl-C ends `--setup` in the midst of a step. The next one goes on, and makes nothing twice.
#[test]
fn what_ctrl_c_broke_off_is_gone_on_with() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let machine = machine();
    let mut step = 0;
    loop {
        let broken = Broken::make(&engine, Cut::Interrupt, step);
        let run = sky
            .setup(&machine, &[])
            .var("SKYPIPE_DOCKER", broken.path());
        let outcome = run.done();
        if !broken.was_cut() {
            assert_eq!(outcome.code, Some(0), "{outcome}");
            break;
        }
        assert_ne!(outcome.code, Some(0), "after {step} commands: {outcome}");
        step += 1;
    }
    assert!(step > 3, "a launch has more steps than {step}");
    engine.has_one();
    sky.assert_ready(&sky.setup(&machine, &[]).done(), "first");
}

/// The satellite moves to another port. A machine that knows the old one finds the new one once the
/// old one no longer answers.
#[test]
fn a_satellite_that_has_moved_is_found_again() {
    if !parts::are_there() {
        return;
    }
    let mut engine = Engine::start();
    let mut sky = sky(&engine);
    sky.target = format!("docker+unix://{}", engine.serve().display());
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
    let asks = sky.skypipe(&second, &["-r", "files"]);
    asks.done().printed("kept");
    assert!(kept(&second).contains(":9100/"), "it remembers the new one");
    // A known address is not queried: without the command a pipe works as before.
    second.skypipe(&["-w", "files"]).fed("more").success();
    first.skypipe(&["-r", "files"]).done().printed("more");
}

/// A satellite that replaced the one a machine uses is neither used, nor changed, nor destroyed.
/// Nobody gets a new satellite that this machine could not use.
#[test]
fn what_is_not_ours_stays_unchanged() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let first = sky.first();
    let other = machine();
    let told = |outcome: &Outcome, code, words: &str| {
        assert_eq!(outcome.code, Some(code), "{outcome}");
        assert!(outcome.stderr.contains(words), "no {words:?}: {outcome}");
    };
    // A machine that does not use the satellite destroys it, because the target is named.
    let ended = sky.skypipe(&other, &["--reset", &sky.target]).done();
    told(&ended, 2, "this machine does not use it");
    engine.has_one();
    let ended = sky
        .skypipe(&other, &["--reset", &sky.target, "--yes"])
        .done();
    told(&ended, 0, "the satellite is gone");
    engine.has_none();
    told(&sky.setup(&first, &[]).done(), 1, "is not at docker");
    engine.has_none();

    // Another satellite is deployed in its place.
    sky.assert_ready(&sky.setup(&other, &[]).done(), "first");
    let container = engine.container();
    told(
        &sky.setup(&first, &["--port", "9300"]).done(),
        1,
        "another one is there",
    );
    let reset = sky.skypipe(&first, &["--reset", "--yes"]).done();
    told(&reset, 0, "it is unchanged");
    assert_eq!(engine.container(), container);
    other.skypipe(&["-w", "sky"]).fed("mine").success();
    other.skypipe(&["-r", "sky"]).done().printed("mine");

    // An invitation to one satellite is of no use at another.
    let guest = machine();
    let line = other.skypipe(&["--invite", "guest"]).done().stdout;
    guest.skypipe(&["--join"]).fed(&line).told(0, "now uses");
    sky.assert_ready(&sky.setup(&guest, &[]).done(), "guest");
    let away = "docker+unix:///elsewhere";
    told(
        &guest.skypipe(&["--setup", away]).done(),
        1,
        "skypipe --leave",
    );
}

/// A `docker` that reaches this engine by itself. Where a flag or a variable leads it elsewhere, it reaches
/// an engine with somebody else's satellite, and notes that in the file.
fn two_engines(engine: &Engine) -> (PathBuf, PathBuf) {
    let seen = engine.directory().join("seen");
    let container = r#"[{"Name": "skypipe-satellite", "Image": "0", "State": {"Status": "running"}, "Config": {"Labels":
        {"org.skypipe.satellite": "1", "org.skypipe.owner": "another", "org.skypipe.version": "1.0.0"}}}]"#;
    let script = format!(
        "case $1 in --url=*|--host=*|--connection=*|--context=*) shift; DOCKER_HOST=today;; esac\n\
         [ -n \"$DOCKER_HOST$DOCKER_CONTEXT\" ] || exec {} \"$@\"\n\
         echo \"$@\" >>{}\n\
         case \"$1 $2\" in\n\
         'version --format') echo '{{\"Server\": {{\"Os\": \"linux\", \"Arch\": \"amd64\"}}}}';;\n\
         'container ls') echo skypipe-satellite;;\n\
         'container inspect') echo '{container}';;\n\
         'volume inspect') exit 1;;\n\
         esac",
        engine.command().display(),
        seen.display()
    );
    (engine.script("both", &script), seen)
}

/// The record says `docker`, and was made without `DOCKER_HOST`. What the variable names today is somebody
/// else's satellite.
#[test]
fn a_reset_ends_the_satellite_that_was_deployed_whatever_the_environment_says_today() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let first = sky.first();
    let (command, seen) = two_engines(&engine);
    let reset = sky.skypipe(&first, &["--reset", "--yes"]);
    let reset = reset
        .var("SKYPIPE_DOCKER", &command)
        .var("DOCKER_HOST", "unix:///today");
    let outcome = reset.done();
    let seen = fs::read_to_string(seen).unwrap_or_default();
    assert_eq!(seen, "", "nobody asks for the engine of today: {outcome}");
    assert_eq!(outcome.code, Some(0), "{outcome}");
    engine.has_none();
}

#[test]
fn a_set_up_goes_on_where_it_began_whatever_the_environment_says_today() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let first = sky.first();
    let (command, seen) = two_engines(&engine);
    for (variable, value) in [
        ("DOCKER_HOST", "unix:///today"),
        ("DOCKER_CONTEXT", "today"),
    ] {
        let setup = sky.skypipe(&first, &["--setup"]);
        let setup = setup.var("SKYPIPE_DOCKER", &command).var(variable, value);
        sky.assert_ready(&setup.done(), "first");
    }
    assert!(!seen.exists(), "nobody asks for the engine of today");
}

/// The remains of a satellite still belong to this machine, after an interrupted upgrade and after
/// somebody removed its container. They are repaired, with the unread data.
#[test]
fn what_was_broken_off_is_put_right() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let first = sky.first();
    first.skypipe(&["-w", "files"]).fed("kept").success();
    engine.podman(&["stop", "skypipe-satellite"]);
    engine.podman(&["rename", "skypipe-satellite", "skypipe-satellite-old"]);
    sky.assert_ready(&sky.setup(&first, &[]).done(), "first");
    engine.has_one();
    engine.podman(&["rm", "--force", "skypipe-satellite"]);
    sky.assert_ready(&sky.setup(&first, &[]).done(), "first");
    engine.has_one();
    first.skypipe(&["-r", "files"]).done().printed("kept");
    engine.podman(&["rm", "--force", "skypipe-satellite"]);
    let ended = sky.skypipe(&first, &["--reset", "--yes"]).done();
    assert_eq!(ended.code, Some(0), "{ended}");
    engine.has_none();
}

/// A revoked key cannot be restored. The machine gets a new one, by the phrase.
#[test]
fn a_machine_whose_key_was_revoked_gets_a_new_one_by_the_phrase() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let sky = sky(&engine);
    let first = sky.first();
    let phrase = first.skypipe(&["--phrase"]).done();
    let phrase = String::from_utf8(phrase.told(0, "write these six words down")).unwrap();
    let line = first.skypipe(&["--invite", "second"]).done().stdout;
    let second = machine();
    second.skypipe(&["--join"]).fed(&line).told(0, "now uses");
    sky.assert_ready(&sky.setup(&second, &[]).done(), "second");
    let revoked = first.skypipe(&["--revoke", "second"]).done();
    assert_eq!(revoked.code, Some(0), "{revoked}");
    assert_eq!(second.skypipe(&["-w", "sky"]).fed("no").code, Some(4));
    let without = sky.setup(&second, &[]).done();
    assert_eq!(without.code, Some(2), "{without}");
    let again = sky.setup(&second, &[]).var("SKYPIPE_PHRASE", phrase.trim());
    let again = again.done();
    assert_eq!(again.code, Some(0), "{again}");
    assert!(again.stderr.contains("key was revoked"), "{again}");
    second.skypipe(&["-w", "sky"]).fed("yes").success();
    first.skypipe(&["-r", "sky"]).done().printed("yes");
}

/// The invitation that a machine stores.
fn kept(machine: &Environment) -> String {
    fs::read_to_string(machine.home().join(".config/skypipe/satellite")).expect("it has one")
}
