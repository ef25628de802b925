//! Tests of which token is used, and that nobody is told the token.

use serde_json::json;
use skypipe::provision::Provider;

use crate::fly_api::person::{Person, Run};
use crate::fly_api::platform::{Platform, Verdict};

/// The header of the first request, to GraphQL, and that of the second, to the Machines API.
fn headers(run: &Run<'_>, person: &mut Person) -> Vec<String> {
    run.platform.be_kind();
    run.fly().find(person).expect("an answer");
    run.platform
        .state()
        .seen
        .iter()
        .map(|seen| seen.authorization.clone())
        .collect()
}

#[test]
fn the_environment_goes_before_flyctl_and_flyctl_before_a_question() {
    let platform = Platform::start();
    let home = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(home.path().join(".fly")).expect("a directory");
    std::fs::write(
        home.path().join(".fly/config.yml"),
        "access_token: fo1_home00\n",
    )
    .expect("a file");
    std::fs::write(
        other.path().join("config.yml"),
        "access_token: fo1_other0\n",
    )
    .expect("a file");
    let mut person = Person {
        secret: Some("fo1_typed0"),
        ..Person::default()
    };
    let mut run = Run::new(&platform)
        .set("FLY_ACCESS_TOKEN", "fo1_access")
        .set("FLY_API_TOKEN", "fo1_api000");
    run = run
        .set("HOME", home.path().to_str().expect("a path"))
        .set("FLY_CONFIG_DIR", other.path().to_str().expect("a path"));
    for (name, token) in [
        ("FLY_ACCESS_TOKEN", "fo1_access"),
        ("FLY_API_TOKEN", "fo1_api000"),
        ("FLY_CONFIG_DIR", "fo1_other0"),
        ("HOME", "fo1_home00"),
        ("nothing", "fo1_typed0"),
    ] {
        assert_eq!(
            headers(&run, &mut person),
            [format!("Bearer {token}"), format!("Bearer {token}")]
        );
        assert_eq!(person.asked.len(), usize::from(name == "nothing"));
        run = run.set(name, "");
    }
    person.secret = None;
    let failure = run.fly().find(&mut person).expect_err("no token");
    assert!(failure.sentence.contains("FLY_API_TOKEN"), "{failure}");
}

#[test]
fn macaroons_that_are_not_taken_give_way_to_the_user_s_token() {
    let platform = Platform::start();
    let run = Run::new(&platform).set("FLY_API_TOKEN", "fm2_expired,fo1_user00");
    platform.judge(|_, seen, _| {
        let expired = seen.authorization == "FlyV1 fm2_expired";
        if expired {
            Verdict::Answer(401, json!({ "error": "expired" }))
        } else {
            Verdict::Serve
        }
    });
    let found = run
        .fly()
        .launch(
            &crate::fly_api::person::plan(),
            None,
            &mut Person::default(),
        )
        .expect("a launch");
    assert!(!found.name.is_empty());
    let state = platform.state();
    assert_eq!(state.seen[0].authorization, "FlyV1 fm2_expired,fo1_user00");
    assert_eq!(
        state
            .seen
            .iter()
            .filter(|seen| seen.authorization == "FlyV1 fm2_expired")
            .count(),
        1
    );
    let push = state
        .seen
        .iter()
        .find(|seen| seen.method == "PUT")
        .expect("a push");
    // base64 of `x:fo1_user00`.
    assert_eq!(push.authorization, "Basic eDpmbzFfdXNlcjAw");
}

#[test]
fn a_token_is_in_no_failure_even_if_the_platform_repeats_it() {
    let platform = Platform::start();
    let run = Run::new(&platform).set("FLY_API_TOKEN", "fm2_verysecret");
    for status in [400, 401, 403, 422] {
        platform.judge(move |_, seen, _| {
            Verdict::Answer(
                status,
                json!({ "error": format!("bad header {}", seen.authorization) }),
            )
        });
        let failure = run
            .fly()
            .find(&mut Person::default())
            .expect_err("a refusal");
        assert!(
            failure.sentence.contains("bad header FlyV1 (token)"),
            "{failure}"
        );
        assert!(!failure.sentence.contains("verysecret"), "{failure}");
    }
    platform.judge(|_, seen, _| {
        let message = format!("Not authorized: {}", seen.authorization);
        Verdict::Answer(
            200,
            json!({ "data": null, "errors": [{ "message": message }] }),
        )
    });
    let failure = run
        .fly()
        .find(&mut Person::default())
        .expect_err("a refusal");
    assert!(failure.sentence.contains("Not authorized"), "{failure}");
    assert!(!failure.sentence.contains("verysecret"), "{failure}");
}

#[test]
fn what_is_no_token_is_refused_before_anybody_is_asked() {
    let platform = Platform::start();
    for token in ["fm2_a b", "fm2_a\nx", "fm2_a\tx"] {
        let run = Run::new(&platform).set("FLY_API_TOKEN", token);
        let failure = run.fly().find(&mut Person::default()).expect_err(token);
        assert_eq!(failure.code, skypipe::exit::USAGE);
    }
    assert_eq!(platform.state().seen.len(), 0);
}
