//! Tests of satellites on a real engine: Podman, by its own command, in the test's own network.
//! `SKYPIPE_TEST_DOCKER=/path/to/docker` runs them with Docker's command, over Podman's service.
//!
//! They need root, podman with runc, sshd, ssh and iproute2.

mod broken_off;
mod cut;
mod engine;
mod obstacles;
mod program;
mod quiet;
mod sshd;
mod story;

use std::net::{TcpListener, TcpStream};
use std::path::Path;

use crate::common::launch::Launch as _;
use skypipe::exit::Failure;
use skypipe::provision::docker::Docker;
use skypipe::provision::docker::target::Target;
use skypipe::provision::{Found, Host, Plan, State};

use crate::common::{network, parts};
use crate::docker::engine::Engine;
use crate::docker::program::Programs;
use crate::docker::quiet::Quiet;

/// Public keys that belong to nobody.
fn owner(first: char) -> String {
    format!("{first}{}", "A".repeat(85))
}

fn plan(binary: &Path, version: &str) -> Plan {
    Plan {
        version: version.to_owned(),
        owner: owner('A'),
        port: None,
        public: None,
        binary: Some(binary.to_owned()),
        image: None,
    }
}

fn docker(command: &Path) -> Docker {
    Docker::with_command(Target::Default, command.to_owned())
}

fn find(docker: &mut Docker) -> Option<Found> {
    docker.find(&mut Quiet).expect("the engine can be asked")
}

fn launch(docker: &mut Docker, plan: &Plan) -> Result<Found, Failure> {
    let found = find(docker);
    docker.launch(plan, found.as_ref(), &mut Quiet)
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_satellite_from_its_launch_to_its_end() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    assert_eq!(find(&mut docker), None);

    let made = launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    assert_eq!(
        (made.name.as_str(), made.state),
        ("skypipe-satellite", State::Running)
    );
    assert!(listens(9000));
    assert_eq!(docker.endpoint(&made), Ok("127.0.0.1:9000".to_owned()));

    let mut second = self::docker(&engine.command());
    let found = find(&mut second).expect("another machine finds it");
    assert_eq!(found, made);
    assert_eq!(found.version.as_deref(), Some("1.0.0"));
    assert_eq!(found.owner, Some(owner('A')));

    let said = second.exec(&found, &["--check"]).expect("it works");
    assert!(!said.contains("unexpected"), "{said}");
    let token = ["--invite", "laptop", "--for", &owner('C')];
    second
        .exec(&found, &token)
        .expect("it can be told to let a key in");
    let failure = second
        .exec(&found, &["--no-such-flag"])
        .expect_err("there is no such flag");
    assert!(failure.sentence.contains("no-such-flag"), "{failure}");
    assert!(failure.sentence.contains("exit code 2"), "{failure}");

    second.remove(&found, &mut Quiet).expect("it can be ended");
    assert_eq!(engine.left(), "");
    assert!(!listens(9000));
    assert_eq!(find(&mut docker), None);
    docker
        .remove(&found, &mut Quiet)
        .expect("what is gone is no failure");
}

#[test]
fn the_container_is_locked_up() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    let format = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.SecurityOpt}} {{.EffectiveCaps}} \
        {{.HostConfig.LogConfig.Size}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Healthcheck.Test}}";
    let shown = engine.podman(&["inspect", "skypipe-satellite", "--format", format]);
    assert_eq!(
        shown.trim(),
        "true [no-new-privileges] [] 10MB always [CMD /skypipe --check --data /data]"
    );
}

#[test]
fn an_upgrade_keeps_data_owner_and_address() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let first = Plan {
        port: Some(9100),
        public: Some("sky.example".to_owned()),
        ..plan(&programs.first, "1.0.0")
    };
    launch(&mut docker, &first).expect("it can be launched");
    engine.mark();
    let (image, container) = (engine.images(), engine.container());

    let again = launch(
        &mut docker,
        &Plan {
            public: None,
            port: None,
            ..first.clone()
        },
    );
    again.expect("the same once more is nothing to do");
    assert_eq!(engine.container(), container, "nothing was replaced");

    let upgrade = Plan {
        owner: owner('B'),
        ..plan(&programs.second, "1.1.0")
    };
    let found = launch(&mut docker, &upgrade).expect("it can be upgraded");
    assert_eq!(find(&mut docker), Some(found.clone()));
    assert_eq!(found.version.as_deref(), Some("1.1.0"));
    assert_eq!(
        found.owner,
        Some(owner('A')),
        "whoever launched it stays its owner"
    );
    assert!(engine.is_marked());
    assert_eq!(engine.count(), 1);
    assert_ne!(engine.images(), image);
    assert_eq!(engine.images().lines().count(), 1, "the old image is gone");
    assert_eq!(docker.endpoint(&found), Ok("127.0.0.1:9100".to_owned()));
    assert!(listens(9100));
    let command = engine.podman(&["inspect", "skypipe-satellite", "--format", "{{.Args}}"]);
    assert!(command.contains("--public sky.example:9100"), "{command}");
    assert!(command.contains(&owner('A')), "{command}");

    let moved = Plan {
        port: Some(9200),
        ..plan(&programs.second, "1.1.0")
    };
    let found = launch(&mut docker, &moved).expect("it can be moved to another port");
    assert_eq!(docker.endpoint(&found), Ok("127.0.0.1:9200".to_owned()));
    assert!(listens(9200) && !listens(9100) && engine.is_marked());
}

#[test]
fn one_that_was_stopped_is_started_again() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let plan = plan(&programs.first, "1.0.0");
    launch(&mut docker, &plan).expect("it can be launched");
    let container = engine.container();
    engine.podman(&["stop", "skypipe-satellite"]);
    let found = find(&mut docker).expect("it is there");
    assert_eq!(found.state, State::Stopped);
    assert!(docker.exec(&found, &["--check"]).is_err());
    launch(&mut docker, &plan).expect("it can be started");
    assert!(listens(9000));
    assert_eq!(engine.container(), container);
}

#[test]
fn a_program_that_fails_leaves_no_container() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let failure = launch(&mut docker, &plan(&programs.failing, "1.0.0"));
    let failure = failure.expect_err("it ends at once");
    assert!(failure.sentence.contains("this program fails"), "{failure}");
    assert!(failure.sentence.contains("exit code 1"), "{failure}");
    assert_eq!(engine.count(), 0);
    let found = find(&mut docker).expect("the volume is left");
    assert_eq!(
        (found.state, found.owner.clone()),
        (State::Unfinished, Some(owner('A')))
    );
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it is gone on with");
    assert!(listens(9000));
    docker.remove(&found, &mut Quiet).expect("it can be ended");
    assert_eq!(engine.left(), "");
}

#[test]
fn an_upgrade_that_fails_is_rolled_back() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    engine.mark();
    let container = engine.container();
    let failure = launch(&mut docker, &plan(&programs.failing, "2.0.0"));
    let failure = failure.expect_err("it ends at once");
    assert!(failure.sentence.contains("this program fails"), "{failure}");
    assert!(failure.sentence.contains("was put back"), "{failure}");
    assert_eq!(engine.container(), container);
    assert_eq!(engine.count(), 1);
    let found = find(&mut docker).expect("it is there");
    assert_eq!(
        (found.version.as_deref(), found.state),
        (Some("1.0.0"), State::Running)
    );
    docker.exec(&found, &["--check"]).expect("it works again");
    assert!(engine.is_marked());
    launch(&mut docker, &plan(&programs.second, "2.0.1")).expect("a better one can follow");
    assert_eq!(
        engine.images().lines().count(),
        1,
        "the image that failed is gone, too"
    );
}

#[test]
fn a_port_that_is_taken_is_told() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let taken = TcpListener::bind("0.0.0.0:9000").expect("it is free here");
    let failure = launch(&mut docker, &plan(&programs.first, "1.0.0")).expect_err("it is taken");
    assert!(
        failure.sentence.starts_with("port 9000 is taken"),
        "{failure}"
    );
    assert_eq!(engine.count(), 0);
    drop(taken);
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("now it is free");
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let wanted = plan(&programs.first, "1.0.0");
    launch(&mut docker, &wanted).expect("it can be launched");
    let image = engine.images();
    let image = image.trim();
    engine.podman(&[
        "create",
        "--name",
        "skypipe-satellite-old",
        image,
        "--version",
    ]);
    let upgrade = plan(&programs.second, "1.1.0");
    let failure = launch(&mut docker, &upgrade).expect_err("the name is taken");
    assert!(
        failure.sentence.contains("skypipe-satellite-old"),
        "{failure}"
    );
    assert!(listens(9000), "the satellite runs on");
    engine.podman(&["rm", "skypipe-satellite-old"]);
    engine.podman(&["tag", image, "localhost/elsewhere:1"]);
    let found = find(&mut docker).expect("it is there");
    docker.remove(&found, &mut Quiet).expect("it can be ended");

    engine.podman(&[
        "create",
        "--name",
        "skypipe-satellite",
        "localhost/elsewhere:1",
        "--version",
    ]);
    engine.podman(&["volume", "create", "skypipe-satellite-data"]);
    assert_eq!(find(&mut docker), None);
    let failure = launch(&mut docker, &wanted).expect_err("the name is taken");
    assert!(failure.sentence.contains("not skypipe's"), "{failure}");
    docker
        .remove(&found, &mut Quiet)
        .expect("there is nothing to be done");
    assert_eq!(engine.count(), 1);
    engine.podman(&["rm", "skypipe-satellite"]);
    let failure = launch(&mut docker, &wanted).expect_err("the volume is taken");
    assert!(failure.sentence.contains("volume"), "{failure}");
    docker
        .remove(&found, &mut Quiet)
        .expect("there is nothing to be done");
    assert_eq!(engine.volumes().trim(), "skypipe-satellite-data");
}

#[test]
fn another_owner_is_not_overtaken() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    let container = engine.container();
    let late = Plan {
        owner: owner('B'),
        ..plan(&programs.second, "1.1.0")
    };
    let failure = docker
        .launch(&late, None, &mut Quiet)
        .expect_err("somebody was faster");
    assert!(
        failure.sentence.contains("another machine has just"),
        "{failure}"
    );
    assert_eq!(engine.container(), container);
}

#[test]
fn an_image_from_a_registry_is_deployed() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let mut docker = docker(&engine.command());
    let _registry = engine.registry();
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    let image = engine.images();
    engine.podman(&["push", image.trim(), "127.0.0.1:5000/sky/satellite:7"]);
    let from = |image: &str| Plan {
        image: Some(image.to_owned()),
        ..plan(&programs.first, "1.0.0")
    };
    let failure = launch(&mut docker, &from("127.0.0.1:5000/sky/none:7"));
    let failure = failure.expect_err("there is none of this name");
    assert!(
        failure
            .sentence
            .contains("cannot pull 127.0.0.1:5000/sky/none:7: docker image pull: "),
        "{failure}"
    );
    let found = launch(&mut docker, &from("127.0.0.1:5000/sky/satellite:7"));
    let found = found.expect("it can be deployed");
    docker.exec(&found, &["--check"]).expect("it works");
    docker.remove(&found, &mut Quiet).expect("it can be ended");
    assert_eq!(engine.left(), "");
}

/// The command's own words reach the user, with advice where there is some.
#[test]
fn a_command_that_fails_is_told() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let wanted = plan(&programs.first, "1.0.0");
    let at = |step: &str, says: &str| {
        let real = engine.command();
        let real = real.display();
        let script = format!(
            "case \"$1 $2\" in '{step}'*) echo '{says}' >&2; exit 1;; esac; exec {real} \"$@\""
        );
        let mut docker = docker(&engine.script("failing", &script));
        let failure = docker.launch(&wanted, None, &mut Quiet);
        failure.expect_err("the step fails").sentence
    };
    let daemon = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?";
    let words = at("version", daemon);
    assert!(
        words.contains(daemon) && words.contains("start Docker"),
        "{words}"
    );
    let denied = "permission denied while trying to connect to the Docker daemon socket";
    let words = at("version", denied);
    assert!(
        words.contains(denied) && words.contains("usermod"),
        "{words}"
    );
    let full = "Error response from daemon: write /layer.tar: no space left on device";
    let words = at("image load", full);
    assert!(words.contains("image load: write /layer.tar"), "{words}");
    assert!(words.contains("the disk is full"), "{words}");

    let words = docker(Path::new("/nowhere/docker")).find(&mut Quiet);
    let words = words.expect_err("there is none").sentence;
    assert!(words.contains("/nowhere/docker cannot be run"), "{words}");
    let silent = engine.script("silent", "exit 3");
    let words = docker(&silent)
        .find(&mut Quiet)
        .expect_err("it fails")
        .sentence;
    assert!(words.contains("exit status: 3"), "{words}");
    let odd = engine.script("odd", "echo hello");
    let words = docker(&odd)
        .find(&mut Quiet)
        .expect_err("it is odd")
        .sentence;
    assert!(words.contains("not understood: \"hello\""), "{words}");
    assert_eq!(engine.count(), 0);
}
