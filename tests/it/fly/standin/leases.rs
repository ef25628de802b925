//! Leases of machines. Only the holder of a lease may change the machine.
//!
//! Owns nonces.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock;
use super::shared::Shared;
use super::world::{Lease, Machine};

/// How long a lease lasts by default, in seconds.
const LASTS: u64 = 30;

/// `CreateLeaseRequest`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    description: Option<String>,
    ttl: Option<u64>,
}

/// Takes a lease, or extends the client's own one.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Create = call.json_if_any()?;
    // The documentation has the time in the body, fly-go in the query.
    let ttl = call.number("ttl")?.or(wanted.ttl).unwrap_or(LASTS);
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    if let Some(lease) =
        holding(machine).filter(|lease| call.nonce.as_deref() != Some(&lease.nonce))
    {
        let what = format!(
            "machine ID {} lease currently held by user@example.com",
            call.item()
        );
        let what = format!("{what}, expires at {}", lease.expires_at);
        let mut refusal = Refusal::new(409, "");
        // Only this error has this form.
        refusal.0.body = Some(json!({ "status": "error", "message": what }));
        return Err(refusal);
    }
    grant(machine, ttl, wanted.description.unwrap_or_default());
    Ok(Answer::json(201, show(machine)))
}

/// The current lease.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    if holding(machine).is_none() {
        return Err(Refusal::new(404, "no lease found"));
    }
    Ok(Answer::json(200, show(machine)))
}

/// Releases a lease.
pub fn delete(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let Some(nonce) = &call.nonce else {
        return Err(Refusal::malformed(
            400,
            "fly-machine-lease-nonce is required",
        ));
    };
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    if holding(machine).is_none_or(|lease| &lease.nonce != nonce) {
        return Err(Refusal::new(
            400,
            "invalid_argument: nonce does not match the lease",
        ));
    }
    machine.lease = None;
    Ok(Answer::json(
        200,
        json!({ "status": "success", "data": { "ok": true } }),
    ))
}

/// Checks that no other client holds the lease.
pub fn check(machine: &Machine, call: &Call) -> Result<(), Refusal> {
    match holding(machine) {
        Some(lease) if call.nonce.as_deref() != Some(&lease.nonce) => {
            let what = "aborted: machine lease currently held by user@example.com";
            Err(Refusal::new(
                409,
                format!("{what}, expires at {}", lease.expires_at),
            ))
        }
        _ => Ok(()),
    }
}

/// Grants a lease of this many seconds, and returns its nonce.
pub fn grant(machine: &mut Machine, ttl: u64, description: String) -> String {
    let nonce = holding(machine).map_or_else(|| clock::unique(12), |lease| lease.nonce.clone());
    let (expires, expires_at) = (
        Instant::now() + Duration::from_secs(ttl),
        clock::wall().as_secs() + ttl,
    );
    machine.lease = Some(Lease {
        nonce: nonce.clone(),
        description,
        expires,
        expires_at,
    });
    nonce
}

fn holding(machine: &Machine) -> Option<&Lease> {
    machine
        .lease
        .as_ref()
        .filter(|lease| lease.expires > Instant::now())
}

fn show(machine: &Machine) -> Value {
    let data = machine.lease.as_ref().map(|lease| {
        json!({
            "nonce": lease.nonce, "expires_at": lease.expires_at, "owner": "user@example.com",
            "description": lease.description, "version": machine.instance,
        })
    });
    json!({ "status": "success", "data": data })
}
