//! Leases of machines: who alone may change one for a while.
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

/// How long a lease lasts if nothing is said, in seconds.
const LASTS: u64 = 30;

/// `CreateLeaseRequest`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    description: Option<String>,
    ttl: Option<u64>,
}

/// Takes a lease, or makes one's own last longer.
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
        // This one error has a form of its own.
        refusal.0.body = Some(json!({ "status": "error", "message": what }));
        return Err(refusal);
    }
    grant(machine, ttl, wanted.description.unwrap_or_default());
    Ok(Answer::json(201, show(machine)))
}

/// The lease there is.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    if holding(machine).is_none() {
        return Err(Refusal::new(404, "no lease found"));
    }
    Ok(Answer::json(200, show(machine)))
}

/// Gives a lease back.
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

/// Checks that nobody else has the lease.
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

/// Gives a lease of so many seconds and returns its nonce.
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
