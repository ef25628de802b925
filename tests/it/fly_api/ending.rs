//! Tests of commands next to a satellite, and of destroying it.

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::provision::{Found, Host, State};

use crate::fly_api::person::{Person, Run, plan};
use crate::fly_api::platform::{Platform, Verdict};

fn launched(run: &Run<'_>) -> Found {
    run.fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch")
}

#[test]
fn a_command_runs_beside_it() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let output = run
        .fly()
        .exec(&found, &["--invite", "a b; c", "--for", "key"])
        .expect("an output");
    assert_eq!(output, "done\n");
    assert_eq!(
        platform.last("POST", "/exec"),
        json!({ "command": ["/skypipe", "--invite", "a b; c", "--for", "key", "--data", "/data"], "timeout": 30 })
    );
}

#[test]
fn a_command_that_fails_is_told_with_its_words() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.state().exec = json!({ "exit_code": 2, "stderr": "no such flag\n" });
    let failure = run
        .fly()
        .exec(&found, &["--nonsense"])
        .expect_err("a failure");
    assert!(
        failure
            .sentence
            .contains("failed with exit code 2: no such flag"),
        "{failure}"
    );
    platform.state().exec = json!({ "exit_signal": 9, "stdout": "half" });
    run.fly()
        .exec(&found, &["--invite"])
        .expect_err("it was killed");
}

#[test]
fn a_command_is_never_made_twice() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.judge(|_, seen, _| {
        if seen.path.ends_with("/exec") {
            Verdict::Lose
        } else {
            Verdict::Serve
        }
    });
    run.fly()
        .exec(&found, &["--invite"])
        .expect_err("a lost answer");
    assert_eq!(platform.count("POST", "/exec"), 1);
}

/// The platform runs no command in a machine that has not started.
#[test]
fn a_machine_that_is_about_to_start_is_waited_for() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    for state in ["starting", "restarting", "updating", "replacing"] {
        platform.be_kind();
        platform
            .state()
            .apps
            .get_mut(&found.name)
            .expect("an app")
            .machines[0]["state"] = json!(state);
        let output = run.fly().exec(&found, &["--check"]).expect(state);
        assert_eq!(output, "done\n");
        assert_eq!(platform.count("POST", "/exec"), 1, "{state}");
    }
}

/// A machine can be restarted between the look at it and the command. The refusal says that nothing ran.
#[test]
fn a_command_that_was_refused_for_a_machines_state_is_run_once_more() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let app = found.name.clone();
    let mut is_restarted = false;
    platform.judge(move |_, seen, state| {
        if seen.path.ends_with("/exec") && !is_restarted {
            is_restarted = true;
            state.apps.get_mut(&app).expect("an app").machines[0]["state"] = json!("starting");
        }
        Verdict::Serve
    });
    let output = run.fly().exec(&found, &["--check"]).expect("an output");
    assert_eq!(output, "done\n");
    assert_eq!(platform.count("POST", "/exec"), 2);

    platform.judge(|_, seen, _| {
        if seen.path.ends_with("/exec") {
            Verdict::Answer(412, json!({ "error": "never" }))
        } else {
            Verdict::Serve
        }
    });
    let failure = run.fly().exec(&found, &["--check"]).expect_err("never");
    assert!(failure.sentence.contains("never"), "{failure}");
    assert_eq!(platform.count("POST", "/exec"), 2);
}

/// The list still names the instance that is being replaced, and the platform knows it no more.
#[test]
fn a_machine_that_is_being_replaced_is_waited_for_under_its_new_instance() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.judge(|_, seen, state| {
        if seen.path.ends_with("/machines") {
            let mut machines = state.apps.values().next().expect("an app").machines.clone();
            machines[0]["state"] = json!("replacing");
            machines[0]["instance_id"] = json!("former");
            return Verdict::Answer(200, json!(machines));
        }
        Verdict::Serve
    });
    platform
        .state()
        .apps
        .get_mut(&found.name)
        .expect("an app")
        .machines[0]["state"] = json!("replacing");
    let output = run.fly().exec(&found, &["--check"]).expect("an output");
    assert_eq!(output, "done\n");
    assert_eq!(platform.count("POST", "/exec"), 1);
}

#[test]
fn nothing_runs_beside_one_that_is_stopped_or_gone() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform
        .state()
        .apps
        .get_mut(&found.name)
        .expect("an app")
        .machines[0]["state"] = json!("stopped");
    let failure = run.fly().exec(&found, &["--check"]).expect_err("stopped");
    assert!(
        failure.sentence.contains("is stopped") && failure.sentence.contains("--setup fly"),
        "{failure}"
    );
    platform
        .state()
        .apps
        .get_mut(&found.name)
        .expect("an app")
        .machines
        .clear();
    let failure = run.fly().exec(&found, &["--check"]).expect_err("gone");
    assert!(failure.sentence.contains("has no satellite"), "{failure}");
    assert_eq!(platform.count("POST", "/exec"), 0);
}

#[test]
fn the_end_is_waited_for() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.state().lasting = 5;
    run.fly()
        .remove(&found, &mut Person::default())
        .expect("an end");
    assert!(platform.state().apps.is_empty());
    assert_eq!(
        run.fly().find(&mut Person::default()).expect("an answer"),
        None
    );
    run.fly()
        .remove(&found, &mut Person::default())
        .expect("gone already");
}

#[test]
fn what_is_left_is_told() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    platform.state().lasting = 1000;
    let failure = run
        .fly()
        .remove(&found, &mut Person::default())
        .expect_err("it stays");
    assert!(failure.sentence.contains(&found.name), "{failure}");
    platform.judge(|_, seen, _| {
        let refused = seen.method == "DELETE";
        if refused {
            Verdict::Answer(403, json!({ "error": "not yours" }))
        } else {
            Verdict::Serve
        }
    });
    let failure = run
        .fly()
        .remove(&found, &mut Person::default())
        .expect_err("refused");
    assert!(failure.sentence.contains("not yours"), "{failure}");
}

#[test]
fn an_app_without_addresses_is_told_of() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = launched(&run);
    let shared =
        json!([{ "ip": "66.241.1.1", "shared": true }, { "ip": "fdaa:0:1::3", "shared": false }]);
    platform
        .state()
        .apps
        .get_mut(&found.name)
        .expect("an app")
        .ips = shared.as_array().expect("a list").clone();
    let failure = run.fly().endpoint(&found).expect_err("none that is of use");
    assert!(failure.sentence.contains("no public address"), "{failure}");
    assert_eq!(found.state, State::Running);
}

#[test]
fn a_launch_that_is_ended_at_once_is_not_waited_for_as_if_it_came() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let mut fly = run.fly();
    let found = fly
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    fly.remove(&found, &mut Person::default()).expect("an end");
    assert!(run.sleeps.borrow().is_empty());
}
