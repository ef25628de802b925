//! Tests of which app is the satellite.

use serde_json::json;
use skypipe::exit::USAGE;
use skypipe::provision::{Found, Host, State};

use crate::fly_api::person::{Person, Run};
use crate::fly_api::platform::{App, Platform};

fn found(run: &Run<'_>) -> Option<Found> {
    run.fly().find(&mut Person::default()).expect("an answer")
}

fn insert(
    platform: &Platform,
    org: &str,
    name: &str,
    machines: serde_json::Value,
    volumes: serde_json::Value,
) {
    let list = |value: serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let app = App {
        org: org.to_owned(),
        machines: list(machines),
        volumes: list(volumes),
        ..App::default()
    };
    platform.state().apps.insert(name.to_owned(), app);
}

fn satellite(version: &str, state: &str) -> serde_json::Value {
    let metadata = json!({ "skypipe": "satellite", "skypipe_version": version, "skypipe_owner": "key", "skypipe_port": "9000" });
    json!([{ "id": "m1", "state": state, "config": { "metadata": metadata } }])
}

#[test]
fn what_is_not_ours_is_passed_over() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    insert(
        &platform,
        "personal",
        "website",
        satellite("1.0.0", "started"),
        json!([]),
    );
    insert(
        &platform,
        "personal",
        "skypipe-website",
        json!([{ "id": "m1", "state": "started", "config": {} }]),
        json!([]),
    );
    insert(&platform, "personal", "skypipe-empty", json!([]), json!([]));
    insert(
        &platform,
        "personal",
        "skypipe-other",
        json!([]),
        json!([{ "id": "v", "name": "data", "state": "created" }]),
    );
    insert(
        &platform,
        "another",
        "skypipe-abcdefghij",
        satellite("1.0.0", "started"),
        json!([]),
    );
    assert_eq!(found(&run), None);
    assert_eq!(
        platform
            .state()
            .seen
            .iter()
            .filter(|seen| seen.path.contains("website/"))
            .count(),
        1
    );
}

#[test]
fn a_satellite_is_found_in_any_organisation() {
    let platform = Platform::start();
    platform.state().orgs = vec!["personal", "work"];
    insert(
        &platform,
        "work",
        "skypipe-sky",
        satellite("0.9.0", "stopped"),
        json!([]),
    );
    let expected = Found {
        name: "skypipe-sky".to_owned(),
        version: Some("0.9.0".to_owned()),
        owner: Some("key".to_owned()),
        state: State::Stopped,
    };
    assert_eq!(found(&Run::new(&platform)), Some(expected));
    assert_eq!(found(&Run::new(&platform).set("FLY_ORG", "personal")), None);
}

#[test]
fn a_complete_one_goes_before_beginnings() {
    let platform = Platform::start();
    let run = Run::new(&platform);
    let volume =
        json!([{ "id": "v", "name": "skypipe_data", "state": "created", "region": "ams" }]);
    insert(
        &platform,
        "personal",
        "skypipe-aaaaaaaaaa",
        json!([]),
        json!([]),
    );
    insert(
        &platform,
        "personal",
        "skypipe-begun",
        json!([]),
        volume.clone(),
    );
    let mut person = Person::default();
    let begun = run
        .fly()
        .find(&mut person)
        .expect("an answer")
        .expect("a beginning");
    assert_eq!(
        (begun.name.as_str(), begun.state),
        ("skypipe-begun", State::Unfinished)
    );
    assert!(
        person
            .said
            .iter()
            .any(|sentence| sentence.contains("skypipe-aaaaaaaaaa")),
        "{:?}",
        person.said
    );
    insert(
        &platform,
        "personal",
        "skypipe-sky",
        satellite("1.0.0", "started"),
        volume,
    );
    assert_eq!(
        found(&run).map(|found| found.name).as_deref(),
        Some("skypipe-sky")
    );
}

#[test]
fn of_several_one_must_be_named() {
    let platform = Platform::start();
    let mut run = Run::new(&platform);
    insert(
        &platform,
        "personal",
        "skypipe-one",
        satellite("1.0.0", "started"),
        json!([]),
    );
    insert(
        &platform,
        "personal",
        "skypipe-two",
        satellite("1.0.0", "started"),
        json!([]),
    );
    let failure = run.fly().find(&mut Person::default()).expect_err("several");
    for words in ["skypipe-one", "skypipe-two", "--app"] {
        assert!(failure.sentence.contains(words), "{failure}");
    }
    run.options.app = Some("skypipe-two".to_owned());
    platform.be_kind();
    assert_eq!(
        found(&run).map(|found| found.name).as_deref(),
        Some("skypipe-two")
    );
    assert_eq!(platform.count("POST", "/graphql"), 0);
}

#[test]
fn an_app_that_is_remembered_may_be_gone_or_another_s() {
    let platform = Platform::start();
    let mut run = Run::new(&platform);
    run.options.app = Some("skypipe-gone".to_owned());
    assert_eq!(found(&run), None);
    insert(
        &platform,
        "personal",
        "skypipe-sky",
        satellite("1.0.0", "started"),
        json!([]),
    );
    assert_eq!(found(&run), None, "another one is not taken for it");
    run.options.is_app_named = true;
    let failure = run.fly().find(&mut Person::default()).expect_err("none");
    assert_eq!(failure.code, USAGE);
    platform.state().foreign.push("skypipe-gone".to_owned());
    let failure = run
        .fly()
        .find(&mut Person::default())
        .expect_err("another's");
    assert!(failure.sentence.contains("not this account's"), "{failure}");
    insert(
        &platform,
        "personal",
        "website",
        json!([{ "id": "m1", "state": "started", "config": {} }]),
        json!([]),
    );
    run.options.app = Some("website".to_owned());
    let failure = run
        .fly()
        .find(&mut Person::default())
        .expect_err("no satellite");
    assert_eq!(failure.code, USAGE);
}

#[test]
fn each_state_of_a_machine_has_its_meaning() {
    let cases = [
        ("started", Some(State::Running)),
        ("starting", Some(State::Running)),
        ("stopped", Some(State::Stopped)),
        ("suspended", Some(State::Stopped)),
        ("created", Some(State::Unfinished)),
        ("failed", Some(State::Unfinished)),
        ("destroyed", None),
        ("launch_failed", None),
    ];
    for (state, meaning) in cases {
        let platform = Platform::start();
        insert(
            &platform,
            "personal",
            "skypipe-sky",
            satellite("1.0.0", state),
            json!([]),
        );
        assert_eq!(
            found(&Run::new(&platform)).map(|found| found.state),
            meaning,
            "{state}"
        );
    }
}

#[test]
fn the_name_of_an_app_stays_in_one_segment_of_the_path() {
    let platform = Platform::start();
    let mut run = Run::new(&platform);
    run.options.app = Some("../a?b".to_owned());
    assert_eq!(found(&run), None);
    assert_eq!(platform.state().seen[0].path, "/v1/apps/..%2Fa%3Fb");
}
