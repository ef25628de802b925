//! The same tests through ssh: the engine is on another machine, which is this one again.

use skypipe::provision::Provider;
use skypipe::provision::docker::Docker;
use skypipe::provision::docker::target::Target;

use crate::docker::engine::Engine;
use crate::docker::parts;
use crate::docker::program::Programs;
use crate::docker::quiet::Quiet;
use crate::docker::sshd::Sshd;
use crate::docker::{find, launch, listens, plan};

#[test]
fn through_ssh_it_is_the_same() {
    if !parts::are_there() {
        return;
    }
    let engine = Engine::start();
    let programs = Programs::get();
    let sshd = Sshd::start(engine.directory());
    let there = |path: &str| {
        let target = Target::parse(&format!("docker+ssh://root@sky{path}")).expect("it is one");
        Docker::through(target, sshd.program().to_owned())
    };
    let socket = engine.socket().to_str().expect("the path is text");

    let nowhere = there("/nowhere.sock")
        .find(&mut Quiet)
        .expect_err("there is none");
    assert!(
        nowhere.sentence.contains("no container engine on sky"),
        "{nowhere}"
    );
    let target = Target::parse("docker+ssh://root@nobody").expect("it is one");
    let failure = Docker::through(target, sshd.program().to_owned()).find(&mut Quiet);
    let failure = failure.expect_err("nobody answers there");
    assert!(
        failure.sentence.contains("ssh to nobody ended"),
        "{failure}"
    );

    let mut docker = there(socket);
    assert_eq!(find(&mut docker), None);
    launch(&mut docker, &plan(&programs.first, "1.0.0")).expect("it can be launched");
    engine.mark();
    let found = launch(&mut docker, &plan(&programs.second, "1.1.0")).expect("it can be upgraded");
    assert!(engine.is_marked());
    assert_eq!(
        docker.endpoint(&found),
        Ok("127.0.0.1:9000".to_owned()),
        "as ssh's config says"
    );
    assert!(listens(9000));
    let command = engine.podman(&["inspect", "skypipe-satellite", "--format", "{{.Args}}"]);
    assert!(command.contains("--public 127.0.0.1:9000"), "{command}");
    docker.beside(&found, &["--check"]).expect("it works");
    docker.destroy(&found, &mut Quiet).expect("it can be ended");
    assert_eq!(engine.left(), "");
    assert!(sshd.clients() > 0);
    drop(docker);
    assert!(sshd.is_left(), "ssh has ended");
}
