//! The known requests.
//!
//! Owns the table of methods and paths: the handler, the allowed query parameters, and whether
//! there is a body.

use std::sync::Arc;

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;
use super::{addresses, apps, exec, graphql, leases, machines, platform, secrets, volumes, wait};

/// The function that answers.
type Handler = fn(&Arc<Shared>, &Call) -> Outcome;

/// A kind of request.
pub struct Route {
    /// The action for rate limits (fly-go, `flaps/actions.go`).
    pub action: &'static str,
    /// The function that answers.
    pub handler: Handler,
    /// The allowed query parameters.
    pub query: &'static [&'static str],
    /// The allowed body.
    pub takes: Takes,
}

/// Which body is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Json,
    MaybeJson,
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Finds the route of a request.
pub fn find(call: &Call) -> Result<Route, Refusal> {
    let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    if let Some(route) = route(&call.method, &parts) {
        return Ok(route);
    }
    if METHODS.iter().any(|method| route(method, &parts).is_some()) {
        return Err(Refusal::malformed(405, "method not allowed"));
    }
    Err(Refusal::malformed(404, "there is nothing at this path"))
}

fn route(method: &str, parts: &[&str]) -> Option<Route> {
    match parts {
        ["graphql"] => graph(method),
        ["v1", "platform", "regions"] => regions(method),
        ["v1", "apps"] => all_apps(method),
        ["v1", "apps", _] => one_app(method),
        ["v1", "apps", _, kind] => collection(method, kind),
        ["v1", "apps", _, "machines", _] => one_machine(method),
        ["v1", "apps", _, kind, _] => item(method, kind),
        ["v1", "apps", _, "machines", _, what] => part(method, what),
        _ => None,
    }
}

fn made(
    action: &'static str,
    handler: Handler,
    query: &'static [&'static str],
    takes: Takes,
) -> Route {
    Route {
        action,
        handler,
        query,
        takes,
    }
}

fn graph(method: &str) -> Option<Route> {
    (method == "POST").then_some(())?;
    Some(made("graphql", graphql::answer, &[], Takes::Json))
}

fn regions(method: &str) -> Option<Route> {
    (method == "GET").then_some(())?;
    let query = &["size", "cpu_kind", "memory_mb", "cpus", "gpus", "gpu_kind"];
    Some(made(
        "regions_get",
        platform::regions,
        query,
        Takes::Nothing,
    ))
}

fn all_apps(method: &str) -> Option<Route> {
    match method {
        "GET" => Some(made(
            "app_list",
            apps::list,
            &["org_slug", "app_role"],
            Takes::Nothing,
        )),
        "POST" => Some(made("app_create", apps::create, &["wait"], Takes::Json)),
        _ => None,
    }
}

fn one_app(method: &str) -> Option<Route> {
    match method {
        "GET" => Some(made("app_get", apps::get, &[], Takes::Nothing)),
        "DELETE" => Some(made("app_delete", apps::delete, &["force"], Takes::Nothing)),
        _ => None,
    }
}

fn collection(method: &str, kind: &str) -> Option<Route> {
    const MACHINES: &[&str] = &["include_deleted", "region", "state", "summary", "metadata."];
    match (method, kind) {
        ("GET", "ip_assignments") => Some(made(
            "ip_assignment_list",
            addresses::list,
            &[],
            Takes::Nothing,
        )),
        ("POST", "ip_assignments") => Some(made(
            "ip_assignment_create",
            addresses::create,
            &[],
            Takes::Json,
        )),
        ("GET", "volumes") => Some(made(
            "volume_list",
            volumes::list,
            &["summary"],
            Takes::Nothing,
        )),
        ("POST", "volumes") => Some(made("volume_create", volumes::create, &[], Takes::Json)),
        ("GET", "secrets") => Some(made(
            "app_secrets_list",
            secrets::list,
            &["version", "min_version", "show_secrets"],
            Takes::Nothing,
        )),
        ("POST", "secrets") => Some(made("app_secret_update", secrets::update, &[], Takes::Json)),
        ("GET", "machines") => Some(made(
            "machine_list",
            machines::list,
            MACHINES,
            Takes::Nothing,
        )),
        ("POST", "machines") => Some(made("machine_launch", machines::create, &[], Takes::Json)),
        _ => None,
    }
}

fn item(method: &str, kind: &str) -> Option<Route> {
    match (method, kind) {
        ("DELETE", "ip_assignments") => Some(made(
            "ip_assignment_delete",
            addresses::delete,
            &[],
            Takes::Nothing,
        )),
        ("GET", "volumes") => Some(made("volume_get", volumes::get, &[], Takes::Nothing)),
        ("DELETE", "volumes") => Some(made("volume_delete", volumes::delete, &[], Takes::Nothing)),
        ("GET", "secrets") => Some(made(
            "app_secret_get",
            secrets::get,
            &["version", "min_version", "show_secrets"],
            Takes::Nothing,
        )),
        ("POST", "secrets") => Some(made("app_secret_set", secrets::create, &[], Takes::Json)),
        ("DELETE", "secrets") => Some(made(
            "app_secret_delete",
            secrets::delete,
            &[],
            Takes::Nothing,
        )),
        _ => None,
    }
}

fn one_machine(method: &str) -> Option<Route> {
    match method {
        "GET" => Some(made("machine_get", machines::get, &[], Takes::Nothing)),
        "POST" => Some(made("machine_update", machines::update, &[], Takes::Json)),
        "DELETE" => Some(made(
            "machine_destroy",
            machines::delete,
            &["force", "kill"],
            Takes::Nothing,
        )),
        _ => None,
    }
}

fn part(method: &str, what: &str) -> Option<Route> {
    const WAIT: &[&str] = &[
        "instance_id",
        "version",
        "timeout",
        "state",
        "from_event_id",
    ];
    match (method, what) {
        ("POST", "start") => Some(made("machine_start", machines::start, &[], Takes::Nothing)),
        ("POST", "stop") => Some(made("machine_stop", machines::stop, &[], Takes::MaybeJson)),
        ("GET", "wait") => Some(made("machine_wait", wait::wait, WAIT, Takes::Nothing)),
        ("GET", "events") => Some(made(
            "machine_events",
            machines::events,
            &["limit"],
            Takes::Nothing,
        )),
        ("POST", "exec") => Some(made("machine_exec", exec::exec, &[], Takes::Json)),
        ("POST", "lease") => Some(made(
            "machine_acquire_lease",
            leases::create,
            &["ttl"],
            Takes::MaybeJson,
        )),
        ("GET", "lease") => Some(made("machine_find_lease", leases::get, &[], Takes::Nothing)),
        ("DELETE", "lease") => Some(made(
            "machine_release_lease",
            leases::delete,
            &[],
            Takes::Nothing,
        )),
        _ => None,
    }
}
