//! Waits until a machine has a state.
//!
//! Owns the time-out of 1 to 60 seconds, after which the answer is 408.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;

/// The states for which a request can wait.
const STATES: [&str; 4] = ["started", "stopped", "suspended", "destroyed"];

/// Waits for a state.
pub fn wait(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut states = call.values("state");
    if states.is_empty() {
        states.push("started");
    }
    if let Some(odd) = states.iter().find(|state| !STATES.contains(state)) {
        return Err(Refusal::malformed(
            400,
            format!("invalid_argument: unknown state {odd}"),
        ));
    }
    let seconds = call.number("timeout")?.unwrap_or(60);
    let within = u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=60).contains(seconds));
    let Some(within) = within else {
        return Err(Refusal::malformed(
            400,
            "invalid_argument: timeout must be 1 to 60 seconds",
        ));
    };
    // The documentation says `instance_id`, fly-go says `version`.
    let version = call.value("instance_id")?.or(call.value("version")?);
    if states.contains(&"stopped") && version.is_none() {
        return Err(Refusal::malformed(
            400,
            "invalid_argument: instance_id is required to wait for stopped",
        ));
    }
    let until = Instant::now() + Duration::from_secs(1) * within;
    let mut world = shared.world();
    loop {
        let closing = world.closing;
        let machine = world.machine(call.app(), call.item())?;
        if version.is_some_and(|version| version != machine.instance) {
            return Err(Refusal::new(
                400,
                "invalid_argument: this version of the machine was replaced",
            ));
        }
        let now = machine.state.name();
        if states.contains(&now) {
            return Ok(Answer::ok());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || closing {
            let what = "deadline_exceeded: machine failed to reach desired state";
            return Err(Refusal::new(
                408,
                format!("{what}, {}, currently {now}", states.join(",")),
            ));
        }
        let waited = shared.changed.wait_timeout(world, left);
        world = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}
