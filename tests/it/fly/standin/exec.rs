//! Commands that run next to a machine's program.
//!
//! Owns how a command line is split into words.

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
    cmd: Option<String>,
    command: Option<Vec<String>>,
    stdin: Option<String>,
    timeout: Option<u64>,
    container: Option<String>,
    machine: Option<bool>,
}

/// Runs a command and waits until it exits.
pub fn exec(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Exec = call.json()?;
    if wanted.container.is_some_and(|name| !name.is_empty()) || wanted.machine == Some(true) {
        return Err(Refusal::malformed(
            400,
            "containers are not played by the stand-in",
        ));
    }
    let command = match (wanted.cmd, wanted.command) {
        (Some(line), None) => words(&line),
        (None, Some(words)) => Some(words),
        _ => None,
    };
    let Some(command) = command.filter(|words| !words.is_empty()) else {
        return Err(Refusal::malformed(
            400,
            "invalid_argument: one of cmd and command is required",
        ));
    };
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
    let seconds = wanted.timeout.filter(|&seconds| seconds > 0).unwrap_or(30);
    let stdin = wanted.stdin.unwrap_or_default();
    let ended = shared.podman.exec(&container.id, &command, &stdin, seconds);
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

/// The words of a command line, with the quotes of a shell; `None` if a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (Some('"') | None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
