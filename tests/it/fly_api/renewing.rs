//! Tests of upgrades and starts, and of what they keep.

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::provision::{Found, Host, Plan, State};

use crate::fly_api::executable;
use crate::fly_api::person::{Person, Run, plan};
use crate::fly_api::platform::{Platform, Verdict};

fn launched(run: &Run<'_>) -> Found {
    let mut plan = plan();
    plan.port = Some(9443);
    plan.public = Some("sky.example".to_owned());
    run.fly()
        .launch(&plan, None, &mut Person::default())
        .expect("a launch")
}

/// A plan that names no program.
fn same() -> Plan {
    Plan {
        binary: None,
        ..plan()
    }
}

fn upgrade() -> Plan {
    Plan {
        version: "2.0.0".to_owned(),
        owner: "anotherkey".to_owned(),
        image: Some("registry.example/skypipe@sha256:2".to_owned()),
        ..plan()
    }
}

#[test]
fn an_upgrade_keeps_the_owner_the_port_the_host_and_what_others_changed() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    {
        let mut state = platform.state();
        let machine = &mut state.apps.get_mut(&found.name).expect("an app").machines[0];
        machine["config"]["guest"]["memory_mb"] = json!(512);
        machine["config"]["metadata"]["mine"] = json!("kept");
    }
    let renewed = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect("an upgrade");
    assert_eq!(renewed.version.as_deref(), Some("2.0.0"));
    assert_eq!(renewed.owner.as_deref(), Some("ownerkey"));
    assert_eq!(renewed.state, State::Running);
    let app = &platform.state().apps[&found.name];
    assert_eq!(
        (app.volumes.len(), app.ips.len(), app.machines.len()),
        (1, 1, 1)
    );
    let config = &app.machines[0]["config"];
    assert_eq!(config["image"], "registry.example/skypipe@sha256:2");
    assert_eq!(config["init"]["exec"][6], "sky.example:9443");
    assert_eq!(config["init"]["exec"][7], "--owner=ownerkey");
    assert_eq!(config["guest"]["memory_mb"], 512);
    assert_eq!(config["metadata"]["mine"], "kept");
    assert_eq!(
        config["mounts"],
        json!([{ "volume": "vol_1", "path": "/data" }])
    );
}

#[test]
fn an_upgrade_that_does_not_start_is_put_back() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let before = platform.state().apps[&found.name].machines[0]["config"].clone();
    platform
        .state()
        .broken
        .push("registry.example/skypipe@sha256:2".to_owned());
    let mut person = Person::default();
    let failure = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut person)
        .expect_err("it is broken");
    for words in [
        "did not start",
        "it exited with 70",
        "the former program was put back",
    ] {
        assert!(failure.sentence.contains(words), "{failure}");
    }
    assert_eq!(
        platform.state().apps[&found.name].machines[0]["config"],
        before
    );
    let again = run
        .fly()
        .find(&mut person)
        .expect("an answer")
        .expect("a satellite");
    assert_eq!(
        (again.version.as_deref(), again.state),
        (Some("1.0.0"), State::Running)
    );
}

#[test]
fn one_that_did_not_run_is_put_back_without_a_start() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let mut found = launched(&run);
    platform
        .state()
        .apps
        .get_mut(&found.name)
        .expect("an app")
        .machines[0]["state"] = json!("stopped");
    found.state = State::Stopped;
    platform
        .state()
        .broken
        .push("registry.example/skypipe@sha256:2".to_owned());
    let failure = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect_err("broken");
    assert!(failure.sentence.contains("was put back"), "{failure}");
    let found = run
        .fly()
        .find(&mut Person::default())
        .expect("an answer")
        .expect("a satellite");
    assert_eq!(
        (found.version.as_deref(), found.state),
        (Some("1.0.0"), State::Stopped)
    );
}

#[test]
fn when_even_the_former_program_does_not_start_that_is_told() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let former = platform.state().apps[&found.name].machines[0]["config"]["image"]
        .as_str()
        .expect("an image")
        .to_owned();
    platform
        .state()
        .broken
        .extend([former, "registry.example/skypipe@sha256:2".to_owned()]);
    let failure = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect_err("broken");
    assert!(
        failure.sentence.contains("could not be put back either"),
        "{failure}"
    );
}

#[test]
fn a_refused_upgrade_changes_nothing() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.judge(|_, seen, _| {
        let update = seen.method == "POST" && seen.path.contains("/machines/");
        if update {
            Verdict::Answer(409, json!({ "error": "lease currently held by someone" }))
        } else {
            Verdict::Serve
        }
    });
    let failure = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect_err("refused");
    assert!(
        failure.sentence.contains("lease currently held by someone"),
        "{failure}"
    );
    assert_eq!(
        platform
            .state()
            .seen
            .iter()
            .filter(|seen| seen.method == "POST")
            .count(),
        1
    );
}

#[test]
fn an_upgrade_whose_answer_is_lost_is_made_once() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let mut lost = false;
    platform.judge(move |_, seen, _| {
        let update = seen.method == "POST" && seen.path.contains("/machines/") && !lost;
        lost |= update;
        if update {
            Verdict::Lose
        } else {
            Verdict::Serve
        }
    });
    let found = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect("an upgrade");
    assert_eq!(found.version.as_deref(), Some("2.0.0"));
    assert_eq!(
        platform
            .state()
            .seen
            .iter()
            .filter(|seen| seen.method == "POST")
            .count(),
        1
    );
}

#[test]
fn one_that_stopped_is_only_started_and_one_that_runs_is_left_alone() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.be_kind();
    run.fly()
        .launch(&same(), Some(&found), &mut Person::default())
        .expect("nothing to do");
    assert!(
        platform
            .state()
            .seen
            .iter()
            .all(|seen| seen.method == "GET")
    );
    for state in ["stopped", "suspended", "failed"] {
        platform.be_kind();
        platform
            .state()
            .apps
            .get_mut(&found.name)
            .expect("an app")
            .machines[0]["state"] = json!(state);
        let found = run
            .fly()
            .launch(&same(), Some(&found), &mut Person::default())
            .expect("a start");
        assert_eq!(found.state, State::Running);
        let posts: Vec<String> = platform
            .state()
            .seen
            .iter()
            .filter(|seen| seen.method != "GET")
            .map(|seen| seen.path.clone())
            .collect();
        assert!(
            posts.len() == 1 && posts[0].ends_with("/start"),
            "{posts:?}"
        );
    }
}

#[test]
fn a_program_that_is_named_replaces_one_of_the_same_version() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let mut plan = plan();
    plan.binary = Some(executable::file("another"));
    run.fly()
        .launch(&plan, Some(&found), &mut Person::default())
        .expect("an upgrade");
    let pushed = platform
        .state()
        .seen
        .iter()
        .filter(|seen| seen.method == "PUT")
        .count();
    assert_eq!(pushed, 2);
}

#[test]
fn a_host_that_does_not_answer_is_left_alone() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    {
        let mut state = platform.state();
        let machine = &mut state.apps.get_mut(&found.name).expect("an app").machines[0];
        let config = machine["config"].take();
        machine["incomplete_config"] = config;
        machine["host_status"] = json!("unreachable");
    }
    let failure = run
        .fly()
        .launch(&upgrade(), Some(&found), &mut Person::default())
        .expect_err("unreachable");
    assert!(failure.sentence.contains("try again later"), "{failure}");
}
