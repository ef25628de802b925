//! Tests of which token is used, and that nobody is told the token.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use skypipe::provision::Host;

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

/// A flyctl that is logged in with this token, in `directory`.
fn install(directory: &Path, name: &str, token: &str) {
    let script =
        format!("#!/bin/sh\n[ \"$*\" = 'auth token' ] || exit 1\necho old >&2\necho {token}\n");
    fs::create_dir_all(directory).expect("there is room");
    fs::write(directory.join(name), script).expect("there is room");
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(directory.join(name), mode).expect("it is ours");
}

#[test]
fn the_environment_goes_before_flyctl_and_flyctl_before_a_question() {
    let platform = Platform::start();
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("bin");
    install(&path, "fly", "fo1_path00");
    install(&home.path().join(".fly/bin"), "flyctl", "fo1_home00");
    let mut person = Person {
        secret: Some("fo1_typed0"),
        ..Person::default()
    };
    let mut run = Run::new(&platform)
        .set("FLY_ACCESS_TOKEN", "fo1_access")
        .set("FLY_API_TOKEN", "fo1_api000")
        .set("HOME", home.path().to_str().expect("a path"))
        .set("PATH", path.to_str().expect("a path"));
    for (name, token) in [
        ("FLY_ACCESS_TOKEN", "fo1_access"),
        ("FLY_API_TOKEN", "fo1_api000"),
        ("PATH", "fo1_path00"),
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
fn a_flyctl_that_nobody_is_logged_in_to_is_passed_over() {
    let platform = Platform::start();
    let home = tempfile::tempdir().expect("a directory");
    install(home.path(), "flyctl", "no; exit 1");
    let run = Run::new(&platform)
        .set("FLY_API_TOKEN", "")
        .set("PATH", home.path().to_str().expect("a path"));
    let failure = run
        .fly()
        .find(&mut Person::default())
        .expect_err("no token");
    assert!(failure.sentence.contains("fly auth login"), "{failure}");
}

/// Whoever runs `--setup` in somebody else's directory must not run that one's programs.
#[test]
fn no_flyctl_of_the_current_directory_is_run() {
    let platform = Platform::start();
    let home = tempfile::tempdir().expect("a directory");
    install(&home.path().join(".fly/bin"), "flyctl", "fo1_home00");
    let here = std::env::current_dir().expect("there is one");
    let up = "../".repeat(here.components().count() - 1);
    let relative = format!("{up}{}", &home.path().display().to_string()[1..]);
    assert!(Path::new(&relative).exists());
    for (name, value) in [
        ("HOME", relative.clone()),
        ("PATH", format!("{relative}/.fly/bin")),
    ] {
        let run = Run::new(&platform)
            .set("FLY_API_TOKEN", "")
            .set(name, &value);
        let failure = run.fly().find(&mut Person::default());
        let failure = failure.expect_err("no token");
        assert!(failure.sentence.contains("fly auth login"), "{failure}");
    }
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
