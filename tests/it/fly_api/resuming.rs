//! A launch that fails at any of its requests, and the launch after it.

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::provision::{Found, Host, Plan};

use crate::fly_api::person::{Person, Run, plan};
use crate::fly_api::platform::{Platform, Verdict};

/// How many requests a launch sends, including finding and the address.
fn requests() -> usize {
    let platform = Platform::start();
    go(&Run::new(&platform)).expect("a launch");
    let count = platform.state().seen.len();
    assert!(count > 7, "{count}");
    count
}

fn go(run: &Run<'_>) -> Result<String, skypipe::exit::Failure> {
    let mut person = Person {
        confirms: Some(true),
        ..Person::default()
    };
    let mut fly = run.fly();
    let found = fly.find(&mut person)?;
    // The image is in a registry already: how a push is repeated is tested elsewhere.
    let plan = Plan {
        image: Some("registry.example/skypipe@sha256:1".to_owned()),
        ..plan()
    };
    let found = fly.launch(&plan, found.as_ref(), &mut person)?;
    fly.endpoint(&found)
}

fn assert_one_of_each(platform: &Platform, at: usize) {
    let state = platform.state();
    assert_eq!(state.apps.len(), 1, "request {at}");
    let app = state.apps.values().next().expect("an app");
    assert_eq!(
        (app.volumes.len(), app.ips.len(), app.machines.len()),
        (1, 2, 1),
        "request {at}"
    );
    assert_eq!(app.machines[0]["state"], "started", "request {at}");
}

/// The platform goes down at one request, which did or did not take effect. The next launch
/// continues.
#[test]
fn after_a_failure_at_any_request_the_next_launch_goes_on() {
    for at in 1..=requests() {
        for effect in [false, true] {
            let platform = Platform::start();
            platform.judge(move |index, _, _| match index {
                _ if index < at => Verdict::Serve,
                _ if index == at && effect => Verdict::Lose,
                _ => Verdict::Answer(500, json!({ "error": "the platform is down" })),
            });
            let failure = go(&Run::new(&platform)).expect_err("the platform is down");
            assert!(
                failure.sentence.contains("down") || failure.sentence.contains("bad gateway"),
                "{failure}"
            );
            platform.be_kind();
            assert_eq!(
                go(&Run::new(&platform)).expect("a launch"),
                "137.66.0.1:9000",
                "request {at}"
            );
            assert_one_of_each(&platform, at);
        }
    }
}

/// One request is refused for good, which ends the launch. The next launch continues.
#[test]
fn after_a_refusal_at_any_request_the_next_launch_goes_on() {
    for at in 1..=requests() {
        let platform = Platform::start();
        let mut refused = None;
        platform.judge(move |index, seen, _| {
            let what = (seen.method.clone(), seen.path.clone());
            if index == at {
                refused = Some(what.clone());
            }
            if refused == Some(what) {
                return Verdict::Answer(400, json!({ "error": "not today" }));
            }
            Verdict::Serve
        });
        let failure = go(&Run::new(&platform)).expect_err("a refusal");
        assert!(failure.sentence.contains("not today"), "{failure}");
        platform.be_kind();
        go(&Run::new(&platform)).expect("a launch");
        assert_one_of_each(&platform, at);
    }
}

/// One answer is lost, whether or not the request took effect. The launch itself continues.
#[test]
fn one_lost_answer_ends_no_launch_and_makes_nothing_twice() {
    for at in 1..=requests() {
        for effect in [false, true] {
            let platform = Platform::start();
            platform.judge(move |index, _, _| match (index == at, effect) {
                (false, _) => Verdict::Serve,
                (true, true) => Verdict::Lose,
                (true, false) => Verdict::Answer(503, json!({ "error": "a moment please" })),
            });
            go(&Run::new(&platform)).unwrap_or_else(|failure| panic!("request {at}: {failure}"));
            assert_one_of_each(&platform, at);
        }
    }
}

#[test]
fn an_app_whose_creation_was_not_answered_is_known_again_by_its_name() {
    let platform = Platform::start();
    let mut late = 3;
    platform.judge(move |_, seen, _| {
        if seen.method == "POST" && seen.path == "/v1/apps" && late == 3 {
            return Verdict::Lose;
        }
        if seen.method == "GET" && seen.path.starts_with("/v1/apps/") && late > 0 {
            late -= 1;
            return Verdict::Answer(404, json!({ "error": "not known yet" }));
        }
        Verdict::Serve
    });
    go(&Run::new(&platform)).expect("a launch");
    assert_one_of_each(&platform, 0);
}

/// The platform lists no app, though there is one of this owner's name.
fn hide(platform: &Platform) {
    platform.judge(|_, seen, _| {
        if seen.method == "GET" && seen.path.starts_with("/v1/apps?") {
            return Verdict::Answer(200, json!({ "total_apps": 0, "apps": [] }));
        }
        Verdict::Serve
    });
}

/// A satellite at another port and host than the default, in `ams`.
fn launched(run: &Run<'_>) -> Found {
    let plan = Plan {
        port: Some(9443),
        public: Some("sky.example".to_owned()),
        ..plan()
    };
    let launched = run.fly().launch(&plan, None, &mut Person::default());
    launched.expect("a launch")
}

#[test]
fn an_app_that_is_not_listed_keeps_its_port_and_host() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let name = launched(&run).name;
    hide(&platform);
    let again = run.fly().launch(&plan(), None, &mut Person::default());
    again.expect("a launch");
    {
        let state = platform.state();
        let config = &state.apps[&name].machines[0]["config"];
        assert_eq!(config["init"]["exec"][6], "sky.example:9443");
        assert_eq!(config["metadata"]["skypipe_port"], "9443");
        assert_eq!(config["services"][0]["ports"][0]["port"], 9443);
    }
    let moved = Plan {
        port: Some(9555),
        public: Some("other.example".to_owned()),
        ..plan()
    };
    let again = run.fly().launch(&moved, None, &mut Person::default());
    again.expect("a launch");
    let state = platform.state();
    let config = &state.apps[&name].machines[0]["config"];
    assert_eq!(config["init"]["exec"][6], "other.example:9555");
}

#[test]
fn an_app_that_is_not_listed_keeps_its_region() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let name = launched(&run).name;
    hide(&platform);
    let mut other = Run::new(&platform).set("FLY_REGION", "");
    other.options.region = Some("fra".to_owned());
    let failure = other
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect_err("it cannot move");
    assert!(failure.sentence.contains("cannot move to fra"), "{failure}");

    // The launch broke off before there was a machine.
    let created = {
        let mut state = platform.state();
        state.apps.get_mut(&name).expect("an app").machines.clear();
        state.apps[&name].volumes.len()
    };
    let other = Run::new(&platform).set("FLY_REGION", "");
    let mut person = Person {
        picks: vec!["fra"],
        ..Person::default()
    };
    let again = other.fly().launch(&plan(), None, &mut person);
    again.expect("a launch");
    let state = platform.state();
    let app = &state.apps[&name];
    assert_eq!(app.volumes.len(), created, "the volume is used again");
    assert_eq!(app.machines[0]["region"], "ams");
}

#[test]
fn an_app_that_is_not_listed_and_does_not_answer_is_left_alone() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let name = launched(&run).name;
    hide(&platform);
    {
        let mut state = platform.state();
        let machine = &mut state.apps.get_mut(&name).expect("an app").machines[0];
        let config = machine["config"].take();
        machine["incomplete_config"] = config;
    }
    let failure = run
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect_err("it does not answer");
    assert!(failure.sentence.contains("try again later"), "{failure}");
    assert_eq!(platform.state().apps[&name].machines.len(), 1);
}
