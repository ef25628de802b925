//! Launches on an engine whose steps fail, and under settings that get in their way.

use std::fs;
use std::path::PathBuf;

use crate::common::launch::Launch as _;
use skypipe::provision::{Host as _, Plan};

use crate::common::{parts, wait};
use crate::docker::engine::Engine;
use crate::docker::program::Programs;
use crate::docker::quiet::Quiet;
use crate::docker::{docker, find, launch, listens, owner, plan};

/// A `docker` with other steps: the branches of a `case` of the shell, over the first two words. In them,
/// `$real` is the engine's own command.
fn with(engine: &Engine, branches: &str) -> PathBuf {
    let real = engine.command();
    let script = format!(
        "real={}\ncase \"$1 $2\" in {branches} esac\nexec $real \"$@\"",
        real.display()
    );
    engine.script("obstacle", &script)
}

/// The satellite would try to reach itself through the proxy.
#[test]
fn the_users_proxy_stays_outside() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let config = engine.directory().join("client");
    fs::create_dir(&config).expect("there is room");
    let proxy = "http://127.0.0.1:1";
    let text = format!(
        r#"{{"proxies": {{"default": {{"httpProxy": "{proxy}", "httpsProxy": "{proxy}", "allProxy": "{proxy}"}}}}}}"#
    );
    fs::write(config.join("config.json"), text).expect("there is room");
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
    let exports = names.map(|name| format!("{name}={proxy}")).join(" ");
    let settings = format!("*) export {exports} DOCKER_CONFIG={};;", config.display());
    let mut docker = docker(&with(&engine, &settings));
    let programs = Programs::get();
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    let format = "{{range .Config.Env}}{{println .}}{{end}}";
    let shown = engine.podman(&["inspect", "skypipe-satellite", "--format", format]);
    assert!(!shown.contains(proxy), "{shown}");
}

#[test]
fn a_first_launch_that_broke_off_keeps_its_port_and_host() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let wanted = plan(&programs.first, "1.0.0");
    let first = Plan {
        port: Some(9100),
        public: Some("sky.example".to_owned()),
        ..wanted.clone()
    };
    let cut = with(&engine, "'container start'|'container rm') exit 1;;");
    launch(&mut docker(&cut), &first).expect_err("it cannot be started");
    assert_eq!(engine.count(), 1, "the container was created");
    launch(&mut docker(&engine.command()), &wanted).expect("it is gone on with");
    assert!(listens(9100) && !listens(9000));
    let command = engine.podman(&["inspect", "skypipe-satellite", "--format", "{{.Args}}"]);
    assert!(command.contains("--public sky.example:9100"), "{command}");
}

#[test]
fn an_upgrade_that_cannot_rename_leaves_the_satellite_running() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    launch(
        &mut docker(&engine.command()),
        &plan(&programs.first, "1.0.0"),
    )
    .expect("it can be launched");
    let container = engine.container();
    let cut = with(&engine, "'container rename') echo no >&2; exit 1;;");
    let failure = launch(&mut docker(&cut), &plan(&programs.second, "1.1.0"));
    let failure = failure.expect_err("it cannot be renamed");
    assert!(failure.sentence.contains("container rename"), "{failure}");
    assert_eq!(engine.container(), container);
    wait::until("the satellite listens again", || listens(9000));
}

#[test]
fn another_owner_leaves_an_upgrade_that_broke_off_as_it_is() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    engine.podman(&["stop", "skypipe-satellite"]);
    engine.podman(&["rename", "skypipe-satellite", "skypipe-satellite-old"]);
    let late = Plan {
        owner: owner('B'),
        ..plan(&programs.second, "1.1.0")
    };
    let failure = docker.launch(&late, None, &mut Quiet);
    let failure = failure.expect_err("somebody was faster");
    assert!(
        failure.sentence.contains("another machine has just"),
        "{failure}"
    );
    let format = "{{.State.Status}}";
    let shown = engine.podman(&["inspect", "skypipe-satellite-old", "--format", format]);
    assert_eq!(shown.trim(), "exited");
    assert_eq!(engine.count(), 1);
}

/// Each container is stopped as soon as it was started, also the one that is to come back.
#[test]
fn a_former_program_that_does_not_come_back_is_told() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    launch(
        &mut docker(&engine.command()),
        &plan(&programs.first, "1.0.0"),
    )
    .expect("it can be launched");
    let ends =
        "'container start') $real \"$@\" && exec $real container stop -t 0 skypipe-satellite;;";
    let mut ending = docker(&with(&engine, ends));
    let failure = launch(&mut ending, &plan(&programs.second, "1.1.0"));
    let sentence = failure.expect_err("it ends at once").sentence;
    assert!(
        sentence.contains("could not be put back either"),
        "{sentence}"
    );
    let found = find(&mut ending).expect("it is there");
    assert_eq!(found.version.as_deref(), Some("1.0.0"));
    ending.remove(&found, &mut Quiet).expect("it can be ended");
}
