//! Tests of apps and their names, organisations, and the limits of an account on trial.

use std::time::Duration;

use serde_json::json;

use crate::common::parts;
use crate::fly::stage::{Stage, until};
use crate::fly::standin::{Lag, Organization};

/// The query of fly-go's `GetOrganizations`.
const ORGANIZATIONS: &str = "
    query($admin: Boolean!) {
        organizations(admin: $admin) {
            nodes { id slug rawSlug name type paidPlan billable viewerRole internalNumericId }
        }
    }
";

#[test]
fn an_app_is_not_found_at_once() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| {
        options.lag = Lag {
            requests: 3,
            time: Duration::from_millis(150),
        }
    });
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "app_name": "mine", "org_slug": "personal" })),
    );
    let body = json!({ "name": "data", "region": "fra" });
    assert_eq!(stage.ask("GET", "/v1/apps/mine", None).status, 401);
    assert_eq!(
        stage
            .ask("POST", "/v1/apps/mine/volumes", Some(&body))
            .status,
        404
    );
    assert_eq!(stage.ask("GET", "/v1/apps/mine", None).status, 401);
    until("the app", || {
        stage.ask("GET", "/v1/apps/mine", None).status == 200
    });
    assert_eq!(stage.standin.leftovers().volumes, Vec::<String>::new());
    let list = stage.expect(200, "GET", "/v1/apps?org_slug=personal", None);
    assert_eq!(
        (
            list["total_apps"].as_u64(),
            list["apps"][0]["name"].as_str()
        ),
        (Some(1), Some("mine"))
    );
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn names_are_global() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.taken = vec!["theirs".to_owned()]);
    let create = |name: &str| {
        stage.ask(
            "POST",
            "/v1/apps",
            Some(&json!({ "name": name, "org_slug": "personal" })),
        )
    };
    assert_eq!(stage.ask("GET", "/v1/apps/free", None).status, 404);
    assert_eq!(stage.ask("GET", "/v1/apps/theirs", None).status, 403);
    assert_eq!(
        stage.ask("GET", "/v1/apps/theirs/machines", None).status,
        403
    );
    let taken = create("theirs");
    assert_eq!(
        (taken.status, taken.body["status"].as_str()),
        (422, Some("name_taken"))
    );
    assert_eq!(create("mine").status, 201);
    assert_eq!(create("mine").status, 422);
    let app = stage.expect(200, "GET", "/v1/apps/mine", None);
    assert_eq!(
        (app["name"].as_str(), app["organization"]["slug"].as_str()),
        (Some("mine"), Some("personal"))
    );
    assert_eq!(
        stage.ask("DELETE", "/v1/apps/mine?force=true", None).status,
        202
    );
    until("its end", || {
        stage.ask("GET", "/v1/apps/mine", None).status == 404
    });
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn organisations_are_asked_for_by_graphql() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| {
        let second = Organization {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            personal: false,
        };
        options.organizations.push(second);
    });
    let query = json!({ "query": ORGANIZATIONS, "variables": { "admin": false } });
    let body = stage.expect(200, "POST", "/graphql", Some(&query));
    let nodes = &body["data"]["organizations"]["nodes"];
    assert_eq!(nodes.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (nodes[0]["type"].as_str(), nodes[1]["slug"].as_str()),
        (Some("PERSONAL"), Some("acme"))
    );
    let regions =
        json!({ "query": "{ platform { requestRegion regions { code requiresPaidPlan } } }" });
    let body = stage.expect(200, "POST", "/graphql", Some(&regions));
    assert_eq!(body["data"]["platform"]["regions"][0]["code"], "fra");
    let unknown = stage
        .ask_as(Some("Bearer another"), "POST", "/graphql", Some(&query))
        .expect("an answer");
    assert_eq!(unknown.status, 200);
    assert_eq!(
        unknown.body["errors"][0]["extensions"]["code"],
        "UNAUTHORIZED"
    );
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
    let odd = [
        json!({ "query": "{ organizations { nodes { nonsense } } }" }),
        json!({ "query": "{ organizations { nodes } }" }),
        json!({ "query": "{ organizations { nodes { slug }" }),
        json!({ "query": "mutation { deleteApp(name: \"mine\") { id } }" }),
        json!({ "query": ORGANIZATIONS }),
    ];
    for (number, query) in odd.iter().enumerate() {
        let body = stage.expect(200, "POST", "/graphql", Some(query));
        assert!(body["errors"][0]["message"].is_string(), "{query}: {body}");
        assert_eq!(stage.standin.complaints().len(), number + 1, "{query}");
    }
}

#[test]
fn an_unknown_account_of_graphql_can_be_a_status() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.graphql_401 = true);
    let query = json!({ "query": "{ organizations { nodes { slug } } }" });
    stage.standin.expire_token(true);
    assert_eq!(stage.ask("POST", "/graphql", Some(&query)).status, 401);
}

#[test]
fn a_trial_has_limits() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|options| options.trial = Some(Duration::from_secs(5 * 60)));
    stage.expect(
        201,
        "POST",
        "/v1/apps",
        Some(&json!({ "app_name": "mine", "org_slug": "personal" })),
    );
    stage.expect(
        422,
        "POST",
        "/v1/apps/mine/ip_assignments",
        Some(&json!({ "type": "v4" })),
    );
    stage.expect(
        200,
        "POST",
        "/v1/apps/mine/ip_assignments",
        Some(&json!({ "type": "v6" })),
    );
    let large = json!({ "name": "data", "region": "fra", "size_gb": 21 });
    stage.expect(422, "POST", "/v1/apps/mine/volumes", Some(&large));
    let guest = json!({ "cpu_kind": "performance", "cpus": 1, "memory_mb": 2048 });
    let machine = json!({ "config": { "image": "x/y", "guest": guest } });
    stage.expect(422, "POST", "/v1/apps/mine/machines", Some(&machine));
    assert_eq!(stage.standin.complaints(), Vec::<String>::new());
}

#[test]
fn regions_are_told_in_either_spelling() {
    if !parts::are_there() {
        return;
    }
    let stage = Stage::new(|_| {});
    stage.standin.full_for_machines("ams", true);
    let body = stage.expect(200, "GET", "/v1/platform/regions?cpus=1", None);
    assert_eq!(
        (
            body["nearest"].as_str(),
            body["regions"][1]["capacity"].as_u64()
        ),
        (Some("fra"), Some(0))
    );
    drop(stage);
    let stage = Stage::new(|options| options.capital_regions = true);
    let body = stage.expect(200, "GET", "/v1/platform/regions", None);
    assert_eq!(
        (
            body["Nearest"].as_str(),
            body["Regions"][0]["code"].as_str()
        ),
        (Some("fra"), Some("fra"))
    );
}
