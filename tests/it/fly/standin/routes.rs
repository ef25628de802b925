//! The known requests: those of a client that deploys one machine.
//!
//! Owns the table of methods and paths: the action for rate limits (fly-go, `flaps/actions.go`), the
//! handler, the allowed query parameters, and whether there is a JSON body. Everything else is
//! refused as malformed.

use std::sync::Arc;

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;
use super::{addresses, apps, exec, graphql, machines, platform, volumes, wait};

/// The function that answers.
type Handler = fn(&Arc<Shared>, &Call) -> Outcome;

/// A kind of request.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method, and the path with `*` for names.
    request: &'static str,
    /// The action for rate limits.
    pub action: &'static str,
    /// The function that answers.
    pub handler: Handler,
    /// The allowed query parameters.
    pub query: &'static [&'static str],
    /// Whether there is a body of JSON.
    pub takes_json: bool,
}

const fn to(
    request: &'static str,
    action: &'static str,
    handler: Handler,
    query: &'static [&'static str],
    takes_json: bool,
) -> Route {
    Route {
        request,
        action,
        handler,
        query,
        takes_json,
    }
}

const ROUTES: [Route; 17] = [
    to("POST graphql", "graphql", graphql::answer, &[], true),
    to(
        "GET v1/platform/regions",
        "regions_get",
        platform::regions,
        &[],
        false,
    ),
    to("GET v1/apps", "app_list", apps::list, &["org_slug"], false),
    to("POST v1/apps", "app_create", apps::create, &[], true),
    to("GET v1/apps/*", "app_get", apps::get, &[], false),
    to(
        "DELETE v1/apps/*",
        "app_delete",
        apps::delete,
        &["force"],
        false,
    ),
    to(
        "GET v1/apps/*/ip_assignments",
        "ip_assignment_list",
        addresses::list,
        &[],
        false,
    ),
    to(
        "POST v1/apps/*/ip_assignments",
        "ip_assignment_create",
        addresses::create,
        &[],
        true,
    ),
    to(
        "GET v1/apps/*/volumes",
        "volume_list",
        volumes::list,
        &[],
        false,
    ),
    to(
        "POST v1/apps/*/volumes",
        "volume_create",
        volumes::create,
        &[],
        true,
    ),
    to(
        "GET v1/apps/*/machines",
        "machine_list",
        machines::list,
        &["include_deleted"],
        false,
    ),
    to(
        "POST v1/apps/*/machines",
        "machine_launch",
        machines::create,
        &[],
        true,
    ),
    to(
        "GET v1/apps/*/machines/*",
        "machine_get",
        machines::get,
        &[],
        false,
    ),
    to(
        "POST v1/apps/*/machines/*",
        "machine_update",
        machines::update,
        &[],
        true,
    ),
    to(
        "POST v1/apps/*/machines/*/start",
        "machine_start",
        machines::start,
        &[],
        false,
    ),
    to(
        "GET v1/apps/*/machines/*/wait",
        "machine_wait",
        wait::wait,
        &["instance_id", "timeout", "state"],
        false,
    ),
    to(
        "POST v1/apps/*/machines/*/exec",
        "machine_exec",
        exec::exec,
        &[],
        true,
    ),
];

/// Finds the route of a request.
pub fn find(call: &Call) -> Result<Route, Refusal> {
    let fits = |route: &&Route| {
        let (method, path) = route.request.split_once(' ').expect("it has a method");
        let known: Vec<&str> = path.split('/').collect();
        let mut pairs = known.iter().zip(&call.parts);
        method == call.method
            && known.len() == call.parts.len()
            && pairs.all(|(known, part)| *known == "*" || known == part)
    };
    let route = ROUTES.iter().find(fits);
    let unknown = || Refusal::malformed(404, "there is no such request");
    route.copied().ok_or_else(unknown)
}
