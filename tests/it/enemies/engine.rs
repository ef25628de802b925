//! A `docker` command that answers whatever the test wants, and records what it is told to remove.
//! Other people's objects there stay untouched, and its answers are not trusted before the satellite
//! has proved its identity.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use skypipe_protocol::address::Address;
use skypipe_protocol::token::Token;
use tempfile::TempDir;

use crate::common::Environment;
use crate::common::process::Run;

/// The engine. Nobody listens there, because the fake command answers.
const TARGET: &str = "docker+tcp://127.0.0.1:1";

/// The command. Its objects are files in its directory: `container/NAME`, with what `inspect` shows.
/// A slash in a name is written as `%`. What is in `later` appears when containers are listed for
/// the second time.
const DOCKER: &str = r#"#!/bin/sh
here=${0%/*}
case $1 in --host=*) shift ;; esac
for last; do :; done
file=$here/$1/$(printf %s "$last" | tr / %)
case "$1 $2" in
    '--version ') echo 'Docker version 28.2.2, build e6534b4' ;;
    'version --format') echo '{"Server": {"Arch": "amd64"}}' ;;
    'container ls')
        [ -e "$here/listed" ] && cp -r "$here/later/." "$here"
        : >"$here/listed"
        ls "$here/container"
        ;;
    *' ls') ls "$here/$1" | tr % / ;;
    *' inspect') [ -f "$file" ] && printf '[%s]' "$(cat "$file")" ;;
    *' rm') echo "$1 $last" >>"$here/removed" && rm "$file" ;;
    *) exit 1 ;;
esac
"#;

/// The fake engine.
struct Engine(TempDir);

impl Engine {
    fn new() -> Self {
        let engine = Self(TempDir::new().expect("there is room"));
        let path = engine.0.path();
        for kind in [
            "container",
            "volume",
            "image",
            "later/container",
            "later/volume",
        ] {
            fs::create_dir_all(path.join(kind)).expect("there is room");
        }
        let docker = path.join("docker");
        fs::write(&docker, DOCKER).expect("there is room");
        fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).expect("it is ours");
        engine
    }

    /// Adds an object.
    fn has(&self, kind: &str, name: &str, object: &Value) {
        let file = self.0.path().join(kind).join(name.replace('/', "%"));
        fs::write(file, object.to_string()).expect("there is room");
    }

    /// The removed objects, in order.
    fn removed(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("removed")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The program on a machine that has this command.
    fn skypipe(&self, machine: &Environment, arguments: &[&str]) -> Run {
        let run = machine.skypipe(arguments);
        run.var("SKYPIPE_DOCKER", self.0.path().join("docker"))
    }
}

/// The labels of this owner's satellite.
fn labels(owner: &str) -> Value {
    json!({
        "org.skypipe.satellite": "1",
        "org.skypipe.version": "1.0.0",
        "org.skypipe.owner": owner,
        "org.skypipe.image": "skypipe-satellite:1.0.0-0123456789ab",
    })
}

fn container(name: &str, owner: &str) -> Value {
    json!({
        "Name": format!("/{name}"), "Image": "i", "State": {"Status": "running"},
        "Config": {"Labels": labels(owner)}, "HostConfig": {},
    })
}

fn volume(owner: &str) -> Value {
    json!({"Labels": labels(owner)})
}

#[test]
fn reset_removes_what_it_asked_about_and_nothing_else() {
    let engine = Engine::new();
    // The experiment was made from the satellite's image, so it has the image's labels.
    for name in ["skypipe-satellite", "experiment"] {
        engine.has("container", name, &container(name, "a"));
    }
    for name in ["skypipe-satellite-data", "skypipe-satellite-data-backup"] {
        engine.has("volume", name, &volume("a"));
    }
    for name in [
        "skypipe-satellite:1.0.0-0123456789ab",
        "skypipe-satellite:latest",
        "registry.example.org/skypipe-satellite:1.0.0-0123456789ab",
    ] {
        engine.has("image", name, &json!({"Id": "i"}));
    }
    let here = Environment::here();
    let outcome = engine.skypipe(&here, &["--reset", TARGET]).done();
    let question = "this would remove the satellite skypipe-satellite at docker+tcp://";
    outcome.told_at_last(2, question);
    assert_eq!(engine.removed(), Vec::<String>::new());
    let outcome = engine.skypipe(&here, &["--reset", TARGET, "--yes"]).done();
    outcome.told_at_last(0, "the satellite is gone");
    let mut removed = engine.removed();
    removed.dedup();
    let expected = [
        "container skypipe-satellite",
        "image skypipe-satellite:1.0.0-0123456789ab",
        "volume skypipe-satellite-data",
    ];
    assert_eq!(removed, expected);
}

#[test]
fn reset_does_not_end_a_satellite_that_has_taken_the_place_of_the_one_it_asked_about() {
    let engine = Engine::new();
    for (place, owner) in [("", "a"), ("later/", "b")] {
        let name = "skypipe-satellite";
        engine.has(&format!("{place}container"), name, &container(name, owner));
        let name = "skypipe-satellite-data";
        engine.has(&format!("{place}volume"), name, &volume(owner));
    }
    let here = Environment::here();
    let outcome = engine.skypipe(&here, &["--reset", TARGET, "--yes"]).done();
    let refusal = "another satellite has taken the place of skypipe-satellite";
    outcome.told_at_last(1, refusal);
    assert_eq!(engine.removed(), Vec::<String>::new());
}

/// A machine that has joined a satellite, and remembers an engine for it. The engine reports this
/// port. The satellite does not answer at the address that the machine knows.
fn moved_to(port: u16, invitation: &str) -> (Engine, Environment) {
    let engine = Engine::new();
    let mut running = container("skypipe-satellite", "a");
    running["HostConfig"]["PortBindings"] = json!({"9000/tcp": [{"HostPort": port.to_string()}]});
    engine.has("container", "skypipe-satellite", &running);
    let machine = Environment::here();
    let mut token = Token::parse(invitation).expect("it is one");
    // Nobody listens there: the port was bound and released.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let nobody = nobody.local_addr().expect("it is bound");
    token.address = Address::from(nobody);
    let config = machine.home().join(".config/skypipe");
    fs::create_dir_all(&config).expect("there is room");
    let deployed = json!({"target": TARGET, "name": "skypipe-satellite", "owner": null});
    for (name, text) in [
        ("satellite", token.encode().to_string()),
        ("deployed", deployed.to_string()),
    ] {
        let path = config.join(name);
        fs::write(&path, text).expect("there is room");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    (engine, machine)
}

/// The address at which the machine looks for its satellite first.
fn remembered(machine: &Environment) -> String {
    let file = machine.home().join(".config/skypipe/satellite");
    let text = fs::read_to_string(file).expect("it is there");
    Token::parse(&text).expect("it is one").address.to_string()
}

#[test]
fn a_new_address_is_remembered_when_the_satellite_there_has_proved_its_key() {
    let host = Environment::here();
    let satellite = host.satellite(&["--data", "data", "--private"]);
    satellite.process().shows("\n");
    let invitation = String::from_utf8(satellite.process().shown()).expect("it is text");
    let at = satellite.endpoint().trim_start_matches("tcp://");
    let port = at.rsplit(':').next().and_then(|port| port.parse().ok());
    let (engine, machine) = moved_to(port.expect("it has one"), invitation.trim());
    assert_ne!(remembered(&machine), at);
    engine.skypipe(&machine, &["--list"]).done().success();
    assert_eq!(remembered(&machine), at);
}

#[test]
fn an_address_at_which_somebody_else_answers_is_not_remembered() {
    let [ours, other] = [Environment::here(), Environment::here()];
    let flags = ["--data", "data", "--private"];
    let satellite = ours.satellite(&flags);
    satellite.process().shows("\n");
    let invitation = String::from_utf8(satellite.process().shown()).expect("it is text");
    drop(satellite.kill());
    // Another satellite with keys, which its own platform may well know.
    let other = other.satellite(&flags);
    let port = other.endpoint().rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok());
    let (engine, machine) = moved_to(port.expect("it has one"), invitation.trim());
    let before = remembered(&machine);
    let outcome = engine.skypipe(&machine, &["--list"]).done();
    outcome.told(4, "is not the one in your invitation");
    assert_eq!(remembered(&machine), before);
}
