//! Secrets of apps.
//!
//! Owns their values. They are in the environment of machines that are created or updated
//! afterwards. Never shows a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock;
use super::shared::Shared;
use super::world::{App, Secret};

/// `SetAppSecretRequest`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    value: String,
}

/// `AppSecretsUpdateRequest`: null deletes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    values: BTreeMap<String, Option<String>>,
}

/// Sets a secret.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Set = call.json()?;
    let mut world = shared.world();
    let app = world.app(call.app())?;
    set(app, call.item(), wanted.value)?;
    app.secrets_version += 1;
    let mut body = show(call.item(), &app.secrets[call.item()]);
    body["version"] = app.secrets_version.into();
    Ok(Answer::json(201, body))
}

/// Sets and deletes several secrets.
pub fn update(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Update = call.json()?;
    let mut world = shared.world();
    let app = world.app(call.app())?;
    for (name, value) in wanted.values {
        match value {
            Some(value) => set(app, &name, value)?,
            None => drop(app.secrets.remove(&name)),
        }
    }
    app.secrets_version += 1;
    Ok(Answer::json(
        200,
        json!({ "secrets": all(app), "version": app.secrets_version }),
    ))
}

/// All secrets, without their values.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    refuse_values(call)?;
    let mut world = shared.world();
    Ok(Answer::json(
        200,
        json!({ "secrets": all(world.app(call.app())?) }),
    ))
}

/// One secret, without its value.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    refuse_values(call)?;
    let mut world = shared.world();
    let secret = world
        .app(call.app())?
        .secrets
        .get(call.item())
        .ok_or_else(missing)?;
    Ok(Answer::json(200, show(call.item(), secret)))
}

/// Deletes a secret.
pub fn delete(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let app = world.app(call.app())?;
    app.secrets.remove(call.item()).ok_or_else(missing)?;
    app.secrets_version += 1;
    Ok(Answer::json(200, json!({ "version": app.secrets_version })))
}

fn set(app: &mut App, name: &str, value: String) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(Refusal::malformed(400, "invalid secret name"));
    }
    let (now, digest) = (clock::stamp(), clock::unique(16));
    let created_at = app
        .secrets
        .get(name)
        .map_or_else(|| now.clone(), |old| old.created_at.clone());
    app.secrets.insert(
        name.to_owned(),
        Secret {
            value,
            digest,
            created_at,
            updated_at: now,
        },
    );
    Ok(())
}

fn refuse_values(call: &Call) -> Result<(), Refusal> {
    if call.flag("show_secrets")? {
        Err(Refusal::new(403, "not allowed to read secrets"))
    } else {
        Ok(())
    }
}

fn missing() -> Refusal {
    Refusal::new(404, "secret not found")
}

fn all(app: &App) -> Vec<Value> {
    app.secrets
        .iter()
        .map(|(name, secret)| show(name, secret))
        .collect()
}

fn show(name: &str, secret: &Secret) -> Value {
    json!({
        "name": name, "digest": secret.digest, "created_at": secret.created_at,
        "updated_at": secret.updated_at,
    })
}
