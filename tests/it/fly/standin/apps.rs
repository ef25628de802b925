//! Apps: "Apps resource" of the Machines API.
//!
//! Owns the names, which are global, and the lag after an app's creation.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Organization;
use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock;
use super::shared::Shared;
use super::world::{App, State};
use super::{addresses, runs};

/// `POST /v1/apps`. The name is `app_name` in the documentation, `name` in the `OpenAPI` text and
/// in fly-go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    app_name: Option<String>,
    name: Option<String>,
    org_slug: String,
    network: Option<String>,
    enable_subdomains: Option<bool>,
    app_role_id: Option<String>,
}

/// Creates an app.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Create = call.json()?;
    let ((Some(name), None) | (None, Some(name))) = (wanted.name, wanted.app_name) else {
        return Err(Refusal::malformed(
            400,
            "one of name and app_name is required",
        ));
    };
    if wanted.enable_subdomains == Some(true)
        || wanted.app_role_id.is_some_and(|role| !role.is_empty())
    {
        return Err(Refusal::malformed(
            400,
            "subdomains and roles are not played by the stand-in",
        ));
    }
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !letters || name.starts_with('-') || name.ends_with('-') || !(2..=63).contains(&name.len()) {
        let what = "Validation failed: Name may only contain numbers, lowercase letters and dashes";
        return Err(Refusal::malformed(422, what));
    }
    organization(shared, &wanted.org_slug)?;
    let mut world = shared.world();
    if shared.options.first_name_is_taken && world.others.is_empty() {
        world.others.insert(name.clone());
    }
    if world.apps.contains_key(&name) || world.others.contains(&name) {
        let what = "Validation failed: Name has already been taken";
        return Err(Refusal::new(422, what).code("name_taken"));
    }
    let id = clock::unique(16);
    let app = App {
        id: id.clone(),
        number: clock::millis(),
        network: wanted
            .network
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".to_owned()),
        unseen_for: shared.options.lag.requests,
        seen_from: Instant::now() + shared.options.lag.time,
        deleting: false,
        addresses: Vec::new(),
        volumes: std::collections::BTreeMap::new(),
        machines: std::collections::BTreeMap::new(),
    };
    world.apps.insert(name, app);
    Ok(Answer::json(
        201,
        json!({ "id": id, "created_at": clock::millis() }),
    ))
}

/// The account's organisation, if it has this slug.
fn organization<'a>(shared: &'a Shared, slug: &str) -> Result<&'a Organization, Refusal> {
    let own = &shared.options.organization;
    let unknown = || Refusal::new(404, "organization not found");
    (own.slug == slug).then_some(own).ok_or_else(unknown)
}

/// The apps of an organisation.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let Some(slug) = call.value("org_slug")? else {
        return Err(Refusal::malformed(400, "org_slug is required"));
    };
    organization(shared, slug)?;
    let world = shared.world();
    let same = world.apps.iter();
    let apps: Vec<Value> = same
        .map(|(name, app)| {
            json!({
                "id": app.id, "name": name, "network": app.network,
                "machine_count": machines(app), "volume_count": volumes(app),
            })
        })
        .collect();
    Ok(Answer::json(
        200,
        json!({ "total_apps": apps.len(), "apps": apps }),
    ))
}

/// One app.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let app = world.app(call.app())?;
    let organization = &shared.options.organization;
    let status = if machines(app) > 0 {
        "deployed"
    } else {
        "pending"
    };
    let body = json!({
        "id": app.id, "internal_numeric_id": app.number, "name": call.app(), "network": app.network,
        "status": status, "machine_count": machines(app), "volume_count": volumes(app),
        "organization": {
            "name": organization.name, "slug": organization.slug, "internal_numeric_id": 1,
        },
    });
    Ok(Answer::json(200, body))
}

/// Destroys an app with everything in it, in the background. A running machine prevents that,
/// except with force.
pub fn delete(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let force = call.flag("force")?;
    let name = call.app().to_owned();
    {
        let mut world = shared.world();
        let app = world.app(&name)?;
        let running = app.machines.values().any(|machine| {
            !machine.state.is_over() && !matches!(machine.state, State::Stopped | State::Failed)
        });
        if running && !force {
            let what = "failed_precondition: machines should be stopped before the app is deleted";
            return Err(Refusal::new(412, what));
        }
        if std::mem::replace(&mut app.deleting, true) {
            return Ok(Answer::empty(202));
        }
    }
    shared.spawn(move |shared| end(&shared, &name));
    Ok(Answer::empty(202))
}

/// Removes everything in an app, and then the app.
fn end(shared: &Arc<Shared>, name: &str) {
    let ids: Vec<String> = {
        let mut world = shared.world();
        let Ok(app) = world.app(name) else { return };
        app.machines.keys().cloned().collect()
    };
    for id in &ids {
        runs::destroy(shared, name, id);
    }
    let held: Vec<_> = {
        let mut world = shared.world();
        let Ok(app) = world.app(name) else { return };
        app.addresses.drain(..).collect()
    };
    shared.edge.sync(shared);
    for address in held {
        addresses::release(&address);
    }
    let mut world = shared.world();
    let volumes = world
        .apps
        .remove(name)
        .map(|app| app.volumes)
        .unwrap_or_default();
    for id in volumes.keys() {
        let _ = std::fs::remove_dir_all(shared.volume_directory(id));
    }
    shared.changed.notify_all();
}

fn machines(app: &App) -> usize {
    app.machines
        .values()
        .filter(|machine| !machine.state.is_over())
        .count()
}

fn volumes(app: &App) -> usize {
    app.volumes.values().count()
}
