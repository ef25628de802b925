//! A launch that fails at any of its requests, and the launch after it.

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::provision::{Host, Plan};

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
