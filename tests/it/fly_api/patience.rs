//! Tests of what the provider waits for, and how long.

use std::time::Duration;

use crate::common::launch::Launch as _;
use serde_json::json;
use skypipe::provision::{Host, State};

use crate::fly_api::person::{Person, Run, plan};
use crate::fly_api::platform::{Platform, Verdict};

#[test]
fn a_limited_rate_is_kept_to() {
    let platform = Platform::start();
    let mut left = 2;
    platform.judge(move |_, seen, _| {
        if left > 0 && seen.method == "POST" && seen.path.ends_with("/volumes") {
            left -= 1;
            return Verdict::Answer(429, json!({ "error": "rate limit exceeded" }));
        }
        Verdict::Serve
    });
    let run = Run::new(&platform);
    run.fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    assert_eq!(*run.sleeps.borrow(), [Duration::from_secs(7); 2]);
    assert_eq!(platform.count("POST", "/volumes"), 3);
}

#[test]
fn patience_has_an_end() {
    let platform = Platform::start();
    platform.judge(|_, _, _| Verdict::Answer(429, json!({ "error": "rate limit exceeded" })));
    let failure = Run::new(&platform)
        .fly()
        .find(&mut Person::default())
        .expect_err("too much");
    assert!(
        failure
            .sentence
            .contains("rate limit exceeded (status 429, request 01TEST-ams)"),
        "{failure}"
    );
    assert_eq!(platform.state().seen.len(), 5);
}

#[test]
fn an_app_created_just_now_may_be_unknown_for_a_while() {
    let platform = Platform::start();
    let mut unknown = 12;
    platform.judge(move |_, seen, _| {
        if unknown > 0 && seen.method == "POST" && seen.path.ends_with("/volumes") {
            unknown -= 1;
            return Verdict::Answer(
                if unknown % 2 == 0 { 401 } else { 404 },
                json!({ "error": "app not found" }),
            );
        }
        Verdict::Serve
    });
    Run::new(&platform)
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    assert_eq!(platform.state().apps.len(), 1);
}

#[test]
fn an_app_that_was_there_before_is_not_waited_for() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let found = run
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    platform.judge(|_, _, _| {
        Verdict::Answer(
            401,
            json!({ "error": "Authenticate: token validation error" }),
        )
    });
    let failure = run.fly().endpoint(&found).expect_err("no token");
    for words in [
        "token validation error",
        "01TEST-ams",
        "FLY_API_TOKEN",
        "fly tokens create org",
        "fly auth login",
    ] {
        assert!(failure.sentence.contains(words), "{failure}");
    }
    assert_eq!(platform.state().seen.len(), 1);
}

#[test]
fn a_slow_machine_is_waited_for() {
    let platform = Platform::start();
    platform.state().slow = 2;
    let found = Run::new(&platform)
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    assert_eq!(found.state, State::Running);
}

#[test]
fn a_machine_that_does_not_start_is_told_of_and_started_by_the_next_launch() {
    let platform = Platform::start();
    platform.state().slow = 99;
    let run = Run::new(&platform);
    let mut person = Person::default();
    let failure = run
        .fly()
        .launch(&plan(), None, &mut person)
        .expect_err("it does not start");
    assert!(
        failure
            .sentence
            .contains("within 3 minutes: the machine is created"),
        "{failure}"
    );
    let waits = platform
        .state()
        .seen
        .iter()
        .filter(|seen| seen.path.contains("/wait?"))
        .count();
    assert!((3..=4).contains(&waits), "{waits}");
    platform.state().slow = 0;
    let found = run
        .fly()
        .find(&mut person)
        .expect("an answer")
        .expect("a machine");
    assert_eq!(found.state, State::Unfinished);
    let found = run
        .fly()
        .launch(&plan(), Some(&found), &mut person)
        .expect("a launch");
    assert_eq!(found.state, State::Running);
    assert_eq!(platform.count("POST", "/machines"), 1);
}

#[test]
fn a_check_that_is_not_passing_is_waited_for() {
    let platform = Platform::start();
    let mut looks = 0;
    platform.judge(move |_, seen, state| {
        if seen.method == "GET" && seen.path.contains("/machines/m") && !seen.path.contains("wait")
        {
            looks += 1;
            let status = if looks < 4 { "critical" } else { "passing" };
            for machine in state.apps.values_mut().flat_map(|app| &mut app.machines) {
                machine["checks"] =
                    json!([{ "name": "satellite", "status": status, "output": "refused" }]);
            }
        }
        Verdict::Serve
    });
    let run = Run::new(&platform);
    run.fly()
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    assert_eq!(run.sleeps.borrow().len(), 3);
}

#[test]
fn the_words_of_a_trial_are_explained() {
    let platform = Platform::start();
    platform.judge(|_, seen, _| {
        let refused = seen.method == "POST" && seen.path.ends_with("/machines");
        let words = "trial organizations can not do that";
        if refused {
            Verdict::Answer(403, json!({ "error": words }))
        } else {
            Verdict::Serve
        }
    });
    let failure = Run::new(&platform)
        .fly()
        .launch(&plan(), None, &mut Person::default())
        .expect_err("a trial");
    assert!(
        failure
            .sentence
            .contains("trial organizations can not do that"),
        "{failure}"
    );
    assert!(failure.sentence.contains("after 5 minutes"), "{failure}");
}

#[test]
fn a_platform_that_is_not_there_is_told_of() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let mut fly = run.fly();
    let url = platform.url.clone();
    let found = fly
        .launch(&plan(), None, &mut Person::default())
        .expect("a launch");
    let settings = skypipe::provision::fly::Profile::read(&|name| match name {
        // A port that was bound and released, so that nobody listens there.
        "FLY_FLAPS_BASE_URL" => Some(format!("http://{}", free_address())),
        "FLY_API_TOKEN" => Some("fm2_secret".to_owned()),
        _ => None,
    });
    let options = skypipe::provision::fly::Options::default();
    let mut fly = skypipe::provision::fly::Fly::with(options, settings, Box::new(Still));
    let failure = fly.endpoint(&found).expect_err("nobody there");
    assert!(failure.sentence.contains("could not be asked"), "{failure}");
    assert!(
        !failure.sentence.contains("secret") && !failure.sentence.contains(&url),
        "{failure}"
    );
}

struct Still;

impl skypipe::provision::fly::Env for Still {
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn sleep(&self, _span: Duration) {}

    fn has_route(&self, _address: std::net::IpAddr) -> bool {
        true
    }
}

fn free_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
