//! Tests of how headers of registries are parsed, and where they lead.

use super::place::{Realm, origin, realm, within};
use super::*;

const HERE: &str = "/v2/app/blobs/uploads/";

fn base(text: &str) -> Uri {
    origin(text).expect("it is a registry")
}

#[test]
fn a_password_goes_encrypted_or_stays_here() {
    for good in [
        "https://registry.example.com",
        "https://r.example.com:5000/",
        "http://127.0.0.1:5000",
        "http://[::1]:5000",
        "http://localhost",
    ] {
        assert!(origin(good).is_ok(), "{good}");
    }
    for bad in [
        "http://registry.example.com",
        "http://10.0.0.1:5000",
        "ftp://127.0.0.1",
        "registry.example.com",
        "/v2",
        "",
        "https://a:b@example.com",
        "https://example.com/prefix",
        "https://example.com/?x",
    ] {
        assert!(origin(bad).is_err(), "{bad}");
    }
}

#[test]
fn uploads_go_to_the_registry_alone() {
    let registry = base("https://registry.example.com");
    let good = [
        (
            "/v2/app/blobs/uploads/1?_state=a",
            "/v2/app/blobs/uploads/1?_state=a",
        ),
        (
            "/upload?back=https://elsewhere",
            "/upload?back=https://elsewhere",
        ),
        ("1?x", "/v2/app/blobs/uploads/1?x"),
        ("https://registry.example.com/u/1", "/u/1"),
        ("https://REGISTRY.example.com:443/u/1?a#b", "/u/1?a"),
        // A registry behind a proxy. The password is sent encrypted all the same.
        ("http://registry.example.com/u/1", "/u/1"),
        // This stays a path at the registry.
        ("//elsewhere.example.com/u/1", "//elsewhere.example.com/u/1"),
    ];
    for (location, expected) in good {
        assert_eq!(
            within(&registry, HERE, location).as_deref(),
            Ok(expected),
            "{location}"
        );
    }
    for bad in [
        "https://elsewhere.example.com/u/1",
        "https://registry.example.com:444/u/1",
        "https://registry.example.com@elsewhere.example.com/u/1",
        "https://registry.example.com.elsewhere.net/u/1",
        "://",
        "/a b",
        "/a\u{7f}",
        &"/".repeat(9000),
    ] {
        assert!(within(&registry, HERE, bad).is_err(), "{bad}");
    }
    let local = base("http://127.0.0.1:5000");
    assert_eq!(
        within(&local, HERE, "http://127.0.0.1:5000/u").as_deref(),
        Ok("/u")
    );
    assert!(within(&local, HERE, "http://127.0.0.1:5001/u").is_err());
}

#[test]
fn token_services_are_asked_encrypted() {
    let (public, local) = (
        base("https://registry.example.com"),
        base("http://127.0.0.1:5000"),
    );
    let expected = Realm {
        origin: "https://auth.example.com".into(),
        path: "/token?a=b".into(),
    };
    assert_eq!(
        realm(&public, "https://auth.example.com/token?a=b"),
        Ok(expected)
    );
    assert!(realm(&local, "http://127.0.0.1:6000/token").is_ok());
    for bad in [
        "http://auth.example.com/token",
        "http://127.0.0.1/token",
        "https://127.0.0.1:8443/token",
        "https://localhost/token",
        "https://a:b@auth.example.com/",
        "/token",
        "x",
        "",
    ] {
        assert!(realm(&public, bad).is_err(), "{bad}");
    }
    assert!(realm(&local, "http://auth.example.com/token").is_err());
}

#[test]
fn challenges_are_read() {
    let header = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:app:pull,push""#;
    let expected = Challenge {
        realm: "https://auth.example.com/token".into(),
        service: Some("registry.example.com".into()),
        scope: Some("repository:app:pull,push".into()),
    };
    assert_eq!(challenge::bearer(header), Some(expected.clone()));
    let spread = r#"bearer  Realm="https://auth.example.com/token" , error="a \"b\"", service=registry.example.com, scope="repository:app:pull,push" "#;
    assert_eq!(challenge::bearer(spread), Some(expected));
    let alone = Challenge {
        realm: "x".into(),
        service: None,
        scope: None,
    };
    assert_eq!(challenge::bearer(r#"Bearer realm="x""#), Some(alone));
    for other in [
        "",
        "Bearer",
        "Basic realm=\"x\"",
        "Bearer realm=\"x",
        "Bearer service=\"x\"",
        "Bearer =",
        "Bearer realm=\"\\",
    ] {
        assert_eq!(challenge::bearer(other), None, "{other}");
    }
}

#[test]
fn tokens_are_asked_for() {
    let scope = "repository:app:pull,push";
    assert_eq!(
        challenge::query("/token", Some("a b"), scope),
        "/token?service=a%20b&scope=repository%3Aapp%3Apull%2Cpush"
    );
    assert_eq!(
        challenge::query("/token?x=1", None, "ü&"),
        "/token?x=1&scope=%C3%BC%26"
    );
}

#[test]
fn waits_double_and_are_bounded() {
    let waits: Vec<_> = (1..=4)
        .map(|attempt| pause(attempt, None).as_millis())
        .collect();
    assert_eq!(waits, [500, 1000, 2000, 4000]);
    assert_eq!(
        pause(1, Some(Duration::from_secs(3))),
        Duration::from_secs(3)
    );
    assert_eq!(pause(1, Some(Duration::from_secs(86_400))), LONGEST_WAIT);
    assert_eq!(pause(u32::MAX, None), LONGEST_WAIT);
}

#[test]
fn names_are_checked() {
    for good in ["app", "skypipe-1a2b", "a/b/c", "a.b_c/d--e"] {
        assert!(check_names(good, "1.0.0").is_ok(), "{good}");
    }
    for bad in [
        "",
        "/",
        "a//b",
        "../x",
        "A",
        "a b",
        "a/",
        "-a",
        "a?x",
        "ä",
        &"a".repeat(256),
    ] {
        assert!(check_names(bad, "1.0.0").is_err(), "{bad}");
    }
    for bad in ["", "1.0.0+build", ".a", "-a", "a/b", &"a".repeat(129)] {
        assert!(check_names("app", bad).is_err(), "{bad}");
    }
}

#[test]
fn who_we_are_is_encoded_as_the_specification_has_it() {
    // The example of RFC 7617, section 2.
    let registry = Registry {
        base: "https://example.com".into(),
        user: "Aladdin".into(),
        password: Zeroizing::new("open sesame".into()),
    };
    assert_eq!(
        basic(&registry).as_str(),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
}
