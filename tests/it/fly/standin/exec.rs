//! Commands that run next to a machine's program.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;
use super::world::State;

/// `MachineExecRequest`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exec {
    command: Vec<String>,
    timeout: u64,
}

/// Runs a command and waits until it exits.
pub fn exec(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Exec = call.json()?;
    let container = {
        let mut world = shared.world();
        let machine = world.machine(call.app(), call.item())?;
        let started = machine.state == State::Started;
        machine
            .container
            .clone()
            .filter(|_| started)
            .ok_or_else(|| {
                let what = "failed_precondition: unable to exec on machine in current state";
                Refusal::new(412, format!("{what}: '{}'", machine.state.name()))
            })?
    };
    let ended = shared
        .podman
        .exec(&container.id, &wanted.command, wanted.timeout);
    let ended = ended.ok_or_else(|| Refusal::new(408, "deadline_exceeded: command timed out"))?;
    // Zero and empty fields are omitted (fly-go, MachineExecResponse: omitempty).
    let mut body = Map::new();
    if ended.code != 0 {
        body.insert("exit_code".to_owned(), ended.code.into());
    }
    for (name, text) in [("stdout", ended.stdout), ("stderr", ended.stderr)] {
        if !text.is_empty() {
            body.insert(name.to_owned(), text.into());
        }
    }
    Ok(Answer::json(200, Value::Object(body)))
}
