//! The older API, GraphQL: the organisations.
//!
//! Owns the one query that is played. Errors have the form of GraphQL, with the status 200 (fly-go,
//! `types.go`: `message`, `path`, `extensions.code`).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;

/// The query, as in fly-go (`resource_organizations.go`).
const ORGANIZATIONS: &str = "query { organizations { nodes { slug name } } }";

/// A request of GraphQL over HTTP.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    query: String,
}

/// Answers the query.
pub fn answer(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let ask: Ask = call.json()?;
    if ask.query != ORGANIZATIONS {
        return Err(Refusal::malformed(400, "there is no such query"));
    }
    let organization = &shared.options.organization;
    let node = json!({ "slug": organization.slug, "name": organization.name });
    let data = json!({ "organizations": { "nodes": [node] } });
    Ok(Answer::json(200, json!({ "data": data })))
}

/// The answer to an unauthenticated client.
pub fn unknown(refusal: Refusal) -> Refusal {
    let mut answer = *refusal.0;
    answer.status = 200;
    answer.body = Some(json!({
        "data": null,
        "errors": [{ "message": "You must be authenticated to view this.", "path": ["organizations"],
            "extensions": { "code": "UNAUTHORIZED" } }],
    }));
    Refusal(Box::new(answer))
}
