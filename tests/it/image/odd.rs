//! Tests with registries that are odd, slow to come up, or hostile.

use std::time::{Duration, Instant};

use skypipe::exit::{FAILED, USAGE};
use skypipe::provision::image::{Architecture, Image, Registry};
use zeroize::Zeroizing;

use crate::image::server::{Asked, Fake, Said};

const PASSWORD: &str = "pass-word-of-ours";

/// `x:pass-word-of-ours` in base64.
const BASIC: &str = "Basic eDpwYXNzLXdvcmQtb2Ytb3Vycw==";

fn registry(base: &str) -> Registry {
    Registry {
        base: base.to_owned(),
        user: "x".to_owned(),
        password: Zeroizing::new(PASSWORD.to_owned()),
    }
}

fn image() -> Image {
    Image::pack(b"program", Architecture::Amd64)
}

fn push(fake: &Fake) -> Result<String, String> {
    image()
        .push(&registry(&fake.base()), "app", "1.0.0")
        .map_err(|failure| {
            assert_eq!(failure.code, FAILED);
            assert!(!failure.sentence.contains(PASSWORD), "{failure}");
            assert!(!failure.sentence.contains(&BASIC[6..]), "{failure}");
            failure.sentence
        })
}

/// The answer of a registry that is empty and accepts everything.
fn willing(asked: &Asked) -> Said {
    match asked.line.split_once(' ').expect("it is a request") {
        ("HEAD", _) => Said::status(404),
        ("POST", _) => Said::with(202, "Location", "/v2/app/blobs/uploads/1?_state=a"),
        _ => Said::status(201),
    }
}

/// A registry that accepts everything except requests that begin with `start`.
fn except(start: &'static str, said: impl Fn() -> Said + Send + 'static) -> Fake {
    Fake::new(move |_, asked| {
        if asked.line.starts_with(start) {
            return said();
        }
        willing(asked)
    })
}

fn lines(asked: &[Asked]) -> Vec<&str> {
    asked
        .iter()
        .map(|asked| asked.line.split('?').next().expect("there is a first part"))
        .collect()
}

#[test]
fn a_push_is_these_requests() {
    let fake = Fake::new(|_, asked| willing(asked));
    let reference = push(&fake).expect("it takes everything");
    assert_eq!(
        reference,
        format!("{}/app@{}", fake.host(), image().digest())
    );
    let asked = fake.asked();
    let methods: Vec<_> = asked
        .iter()
        .map(|asked| asked.line.split(' ').next().expect("there is one"))
        .collect();
    assert_eq!(
        methods,
        ["HEAD", "POST", "PUT", "HEAD", "POST", "PUT", "PUT"]
    );
    assert!(asked.iter().all(|asked| asked.authorization == BASIC));
    for asked in asked.iter().filter(|asked| !asked.line.starts_with("HEAD")) {
        assert_eq!(
            asked.length,
            Some(asked.body.len()),
            "{} is not sent in one piece",
            asked.line
        );
    }
    assert!(
        asked[2]
            .line
            .starts_with("PUT /v2/app/blobs/uploads/1?_state=a&digest=sha256:"),
        "{}",
        asked[2].line
    );
    assert_eq!(asked[6].line, "PUT /v2/app/manifests/1.0.0");
}

#[test]
fn what_is_there_is_not_sent_again() {
    let fake = except("HEAD", move || Said::status(200));
    push(&fake).expect("all is there");
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[2].line, "PUT /v2/app/manifests/1.0.0");
}

#[test]
fn no_password_goes_to_another_host() {
    let thief = Fake::new(|_, asked| willing(asked));
    let elsewhere = format!("{}/v2/app/blobs/uploads/1", thief.base());
    let fake =
        Fake::new(
            move |_, asked| match asked.line.split_once(' ').expect("it is a request").0 {
                "POST" => Said::with(202, "Location", &elsewhere),
                _ => willing(asked),
            },
        );
    let sentence = push(&fake).expect_err("it is refused");
    let expected = format!(
        "wants the upload to go to {}, which would get the password",
        thief.host()
    );
    assert!(sentence.contains(&expected), "{sentence}");
    assert_eq!(thief.asked(), []);
}

#[test]
fn redirections_are_not_followed() {
    let thief = Fake::new(|_, asked| willing(asked));
    for redirected in ["HEAD", "POST", "PUT"] {
        let elsewhere = thief.base();
        let fake = except(redirected, move || Said::with(307, "Location", &elsewhere));
        let pushed = push(&fake);
        // A redirection in answer to a query for a blob means that the blob has to be uploaded.
        assert_eq!(
            pushed.is_ok(),
            redirected == "HEAD",
            "{redirected}: {pushed:?}"
        );
    }
    assert_eq!(thief.asked(), []);
}

#[test]
fn what_passes_is_tried_again() {
    for status in [500, 502, 503, 504, 429] {
        let fake = Fake::new(move |count, asked| match count {
            0 | 3 => Said::body(status, "<html>a moment</html>"),
            _ => willing(asked),
        });
        push(&fake).unwrap_or_else(|sentence| panic!("{status} passes: {sentence}"));
        let asked = fake.asked();
        // The upload that failed starts over.
        let expected = [
            "HEAD", "HEAD", "POST", "PUT", "HEAD", "POST", "PUT", "HEAD", "POST", "PUT", "PUT",
        ];
        let methods: Vec<_> = asked
            .iter()
            .map(|asked| asked.line.split(' ').next().expect("there is one"))
            .collect();
        assert_eq!(methods, expected, "{status}");
    }
}

#[test]
fn a_registry_is_waited_for_as_long_as_it_asks() {
    let fake = Fake::new(|count, asked| match count {
        0 => Said::with(429, "Retry-After", "2"),
        _ => willing(asked),
    });
    let begun = Instant::now();
    push(&fake).expect("it takes everything");
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn what_does_not_pass_is_told_in_the_end() {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down."}]}"#;
    let fake = Fake::new(move |_, _| Said(429, vec![("Retry-After", "0".into())], body.into()));
    let sentence = push(&fake).expect_err("it never takes anything");
    assert!(
        sentence.starts_with(&format!(
            "the registry {} cannot take the image now: HTTP 429",
            fake.host()
        )),
        "{sentence}"
    );
    assert_eq!(fake.asked().len(), 5);
}

#[test]
fn its_own_words_are_told() {
    let fake = except("POST", move || {
        Said::body(
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{}}]}"#,
        )
    });
    let expected = format!(
        "the registry {} does not take the image: HTTP 404 (NAME_UNKNOWN: repository name not known to registry)",
        fake.host()
    );
    assert_eq!(push(&fake), Err(expected));
    assert_eq!(lines(&fake.asked()).len(), 2, "it is not tried again");
}

#[test]
fn who_is_not_let_in_is_told_so() {
    let cases = [
        (
            401,
            "does not accept the password of x: HTTP 401 (UNAUTHORIZED: authentication required)",
        ),
        (
            403,
            "does not let x push to app: HTTP 403 (UNAUTHORIZED: authentication required)",
        ),
    ];
    for (status, expected) in cases {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        let fake = Fake::new(move |_, _| {
            Said(
                status,
                vec![("WWW-Authenticate", "Basic realm=\"r\"".into())],
                body.into(),
            )
        });
        assert_eq!(
            push(&fake),
            Err(format!("the registry {} {expected}", fake.host()))
        );
    }
}

#[test]
fn what_it_repeats_of_ours_is_hidden() {
    let fake = Fake::new(|_, asked| {
        Said::body(
            400,
            format!(
                "you said {PASSWORD}, that is {}, with \u{1b}[2J in it",
                asked.authorization
            ),
        )
    });
    let sentence = push(&fake).expect_err("it refuses");
    assert!(
        sentence.ends_with("(you said [hidden], that is Basic [hidden], with [2J in it)"),
        "{sentence}"
    );
}

#[test]
fn no_part_of_it_is_shown_where_a_text_is_cut() {
    // Texts are cut after 600 characters.
    for before in 580..600 {
        let fake = Fake::new(move |_, _| Said::body(400, "x".repeat(before) + PASSWORD));
        let sentence = push(&fake).expect_err("it refuses");
        assert!(!sentence.contains("pass-"), "{sentence}");
    }
}

#[test]
fn pages_and_floods_stay_short() {
    for body in [
        b"<!DOCTYPE html><p>no".to_vec(),
        vec![b'x'; 40 << 20],
        vec![0xff; 1000],
        b"{\"errors\":{}}".to_vec(),
    ] {
        let fake = except("POST", move || Said::body(400, body.clone()));
        let sentence = push(&fake).expect_err("it refuses");
        assert!(
            sentence.contains("HTTP 400")
                && sentence.chars().count() < 1200
                && !sentence.contains('<'),
            "{sentence}"
        );
    }
}

#[test]
fn half_an_answer_is_told() {
    let missing = except("POST", || Said::status(202));
    let sentence = push(&missing).expect_err("there is no place to upload to");
    assert!(
        sentence.contains("does not say where to upload to"),
        "{sentence}"
    );
    for liar in ["PUT /v2/app/blobs", "PUT /v2/app/manifests"] {
        let other = format!("sha256:{}", "0".repeat(64));
        let fake = except(liar, move || {
            Said::with(201, "Docker-Content-Digest", &other)
        });
        let sentence = push(&fake).expect_err("it stored something else");
        assert!(sentence.contains("stored something else"), "{sentence}");
    }
}

#[test]
fn a_password_is_not_sent_in_the_clear() {
    let refused = image()
        .push(&registry("http://192.0.2.1:5000"), "app", "1")
        .expect_err("it is refused");
    assert_eq!(refused.code, USAGE);
    assert!(refused.sentence.contains("unencrypted"), "{refused}");
}

#[test]
fn a_registry_that_is_not_there_is_told() {
    let base = Fake::new(|_, asked| willing(asked)).base();
    let refused = image()
        .push(&registry(&base), "app", "1")
        .expect_err("nobody listens there any more");
    assert!(refused.sentence.contains(&base), "{refused}");
}
