//! Malformed requests are refused and recorded. Injected faults happen as configured.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::parts;
use crate::fly::stage::{Stage, TOKEN};
use crate::fly::standin::{How, RetryAfter};

#[test]
fn what_is_malformed_is_refused_and_remembered() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.second = Duration::from_micros(1));
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "name": "mine", "org_slug": "personal" })),
    );
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
    let bad = malformed_resources()
        .into_iter()
        .chain(malformed_machines());
    for (number, (status, method, path, body)) in bad.enumerate() {
        let reply = stage.ask(method, path, body.as_ref());
        assert_eq!(
            reply.status, status,
            "{method} {path} {body:?}: {:?}",
            reply.body
        );
        assert!(
            reply.body["error"]
                .as_str()
                .is_some_and(|what| !what.is_empty()),
            "{:?}",
            reply.body
        );
        assert!(reply.headers.contains_key("fly-request-id"));
        let complaints = stage.standin.complaints();
        assert_eq!(
            complaints.len(),
            number + 1,
            "{method} {path} {body:?}: {complaints:?}"
        );
    }
}

#[test]
fn whoever_asks_says_who_it_is() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.second = Duration::from_micros(1));
    let list = "/v1/apps?org_slug=personal";
    let good = format!("Bearer {TOKEN}");
    assert_eq!(
        stage
            .ask_as(Some(&good), "GET", list, None)
            .expect("an answer")
            .status,
        200
    );
    assert_eq!(
        stage
            .ask_as(Some("Bearer another"), "GET", list, None)
            .expect("an answer")
            .status,
        401
    );
    stage.standin.expire_token(true);
    assert_eq!(
        stage
            .ask_as(Some(&good), "GET", list, None)
            .expect("an answer")
            .status,
        401
    );
    assert_eq!(
        stage.standin.complaints(),
        Vec::<String>::new(),
        "these are in order as such"
    );
    let odd = [
        None,
        Some(TOKEN),
        Some("Bearer "),
        Some("Bearer two words"),
        Some("Basic eDp5"),
        Some("Bearer fm2_abc"),
        Some("FlyV1 plain"),
        Some("FlyV1 fm2_abc,,fm2_def"),
        Some("FlyV1 FlyV1 fm2_abc"),
    ];
    for (number, header) in odd.into_iter().enumerate() {
        let reply = stage.ask_as(header, "GET", list, None).expect("an answer");
        assert_eq!(reply.status, 401, "{header:?}");
        assert_eq!(stage.standin.complaints().len(), number + 1, "{header:?}");
    }
    let record = format!(
        "{:?} {:?}",
        stage.standin.requests(),
        stage.standin.complaints()
    );
    assert!(!record.contains(TOKEN), "no token is recorded");
}

#[test]
fn macaroons_go_with_a_scheme_of_their_own() {
    if !parts::are_there() {
        return;
    }
    let token = "fm2_first,fm2_second";
    let stage = Stage::new(|options| options.token = token.to_owned());
    let header = format!("FlyV1 {token}");
    let reply = stage
        .ask_as(Some(&header), "GET", "/v1/apps?org_slug=personal", None)
        .expect("an answer");
    assert_eq!(reply.status, 200);
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn too_many_requests_are_refused_for_a_while() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| {
        options.second = Duration::from_millis(400);
        options.retry_after = RetryAfter::Alternating;
    });
    let list = "/v1/apps?org_slug=personal";
    let replies: Vec<_> = (0..5).map(|_| stage.ask("GET", list, None)).collect();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert!(!replies[3].headers.contains_key("retry-after"));
    assert_eq!(replies[4].headers["retry-after"], "1");
    assert_eq!(
        stage.ask("GET", "/v1/platform/regions", None).status,
        200,
        "each action has a rate of its own"
    );
    stage.expect(200, "GET", list, None);
    assert_eq!(
        stage.standin.complaints(),
        Vec::<String>::new(),
        "too often is not malformed"
    );
}

#[test]
fn a_refusal_may_say_when_to_come_back() {
    if !parts::are_there() {
        return;
    }
    let says = |retry_after| {
        let stage = Stage::new(|options| {
            options.second = Duration::from_secs(5);
            options.retry_after = retry_after;
        });
        let replies = (0..5).map(|_| stage.ask("GET", "/v1/platform/regions", None));
        let refused = replies.filter(|reply| reply.status == 429);
        refused
            .map(|reply| reply.headers.contains_key("retry-after"))
            .collect::<Vec<bool>>()
    };
    assert_eq!(says(RetryAfter::Never), [false, false]);
    assert_eq!(says(RetryAfter::Always), [true, true]);
}

#[test]
fn requests_fail_before_and_after_their_effect() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.second = Duration::from_micros(1));
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "app_name": "mine", "org_slug": "personal" })),
    );
    let path = "/v1/apps/mine/volumes";
    let pattern = "POST /v1/apps/*/volumes";
    let volume = json!({ "name": "data", "region": "fra", "size_gb": 1 });
    let bearer = format!("Bearer {TOKEN}");
    let status = || {
        stage
            .ask_as(Some(&bearer), "POST", path, Some(&volume))
            .map(|reply| reply.status)
    };
    stage.standin.fault(pattern, 2, How::Before(500));
    assert_eq!(status(), Some(200), "the first one");
    assert_eq!(status(), Some(500));
    stage.standin.fault(pattern, 1, How::After(502));
    assert_eq!(status(), Some(502));
    stage.standin.fault(pattern, 1, How::CutBefore);
    assert_eq!(status(), None);
    stage.standin.fault(pattern, 1, How::CutAfter);
    assert_eq!(status(), None);
    assert_eq!(stage.standin.faults_left(), 0);
    let there = stage.expect(200, "GET", path, None);
    assert_eq!(
        there.as_array().map(Vec::len),
        Some(3),
        "the first, the one after, the one cut after"
    );
    assert_eq!(
        (stage.standin.count(pattern), stage.standin.done(pattern)),
        (5, 3)
    );
    assert_eq!(stage.standin.leftovers().volumes.len(), 3);
}

/// The status with which a request is refused, and the request.
type Row = (u16, &'static str, &'static str, Option<Value>);

/// Malformed requests for apps, volumes, addresses and secrets.
fn malformed_resources() -> Vec<Row> {
    let (apps, volumes) = ("/v1/apps", "/v1/apps/mine/volumes");
    vec![
        (
            400,
            "POST",
            apps,
            Some(json!({ "name": "a1", "org_slug": "personal", "nonsense": 1 })),
        ),
        (
            400,
            "POST",
            apps,
            Some(json!({ "name": 1, "org_slug": "personal" })),
        ),
        (400, "POST", apps, Some(json!({ "name": "a1" }))),
        (400, "POST", apps, Some(json!({ "org_slug": "personal" }))),
        (
            400,
            "POST",
            apps,
            Some(json!({ "name": "a1", "app_name": "a1", "org_slug": "personal" })),
        ),
        (
            422,
            "POST",
            apps,
            Some(json!({ "name": "Not_a_name", "org_slug": "personal" })),
        ),
        (400, "GET", "/v1/apps", None),
        (400, "GET", "/v1/apps?org_slug=personal&nonsense=1", None),
        (405, "DELETE", apps, None),
        (404, "GET", "/v1/nonsense", None),
        (404, "GET", "/", None),
        (400, "DELETE", "/v1/apps/mine?force=yes", None),
        (
            400,
            "POST",
            volumes,
            Some(json!({ "name": "with-dash", "region": "fra" })),
        ),
        (
            400,
            "POST",
            volumes,
            Some(json!({ "name": "data", "region": "fra", "size_gb": "1" })),
        ),
        (
            400,
            "POST",
            volumes,
            Some(json!({ "name": "data", "region": "fra", "size_gb": 0 })),
        ),
        (
            400,
            "POST",
            "/v1/apps/mine/ip_assignments",
            Some(json!({ "type": "v5" })),
        ),
        (
            400,
            "POST",
            "/v1/apps/mine/secrets/A",
            Some(json!({ "value": 1 })),
        ),
    ]
}

/// Malformed requests for machines.
fn malformed_machines() -> Vec<Row> {
    let machines = "/v1/apps/mine/machines";
    let config = |more: Value| {
        let mut config = json!({ "image": "x/y" });
        config
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        Some(json!({ "config": config }))
    };
    vec![
        (400, "POST", machines, Some(json!({ "region": "fra" }))),
        (400, "POST", machines, Some(json!({ "config": {} }))),
        (400, "POST", machines, config(json!({ "nonsense": true }))),
        (
            400,
            "POST",
            machines,
            config(json!({ "guest": { "cpu_kind": "shared", "cpus": 1, "memory_mb": 300 } })),
        ),
        (
            400,
            "POST",
            machines,
            config(json!({ "restart": { "policy": "sometimes" } })),
        ),
        (
            400,
            "POST",
            machines,
            config(json!({ "services": [{ "protocol": "tcp", "ports": [{ "port": 9000 }] }] })),
        ),
        (
            400,
            "POST",
            machines,
            config(json!({ "mounts": [{ "volume": "vol_1" }] })),
        ),
        (
            400,
            "POST",
            machines,
            config(json!({ "checks": { "a": { "type": "tcp", "interval": "soon" } } })),
        ),
        (
            400,
            "POST",
            machines,
            config(json!({ "init": { "exec": "/skypipe" } })),
        ),
        (
            400,
            "GET",
            "/v1/apps/mine/machines/one/wait?state=stopped",
            None,
        ),
        (
            400,
            "GET",
            "/v1/apps/mine/machines/one/wait?state=nonsense",
            None,
        ),
        (
            400,
            "GET",
            "/v1/apps/mine/machines/one/wait?timeout=61",
            None,
        ),
        (400, "DELETE", "/v1/apps/mine/machines/one/lease", None),
    ]
}
