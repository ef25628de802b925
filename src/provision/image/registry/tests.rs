//! Tests of where a push leads, and of what goes there.

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
