//! Renews a satellite: replaces its program, changes its address, or only starts it.
//!
//! Owns that the satellite keeps its data, founder, port and address, and that a satellite that
//! does not start with its new program gets the previous one back.

use serde_json::{Value, json};

use super::account::Account;
use super::api::segment;
use super::config::Wanted;
use super::fault::Fault;
use super::launch::Program;
use super::things::Machine;
use crate::exit::Failure;
use crate::provision::{Found, Plan, State, Talk};

impl Account<'_> {
    /// Changes the existing machine to what `plan` says, and starts it.
    ///
    /// # Errors
    ///
    /// When that fails. The machine is then as it was before, or the sentence says that it is not.
    pub fn renew(
        &mut self,
        plan: &Plan,
        app: &str,
        machine: &Machine,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        let config = machine.config.as_ref().ok_or_else(|| {
            Failure::failed(
                "the host of the satellite at Fly.io does not answer just now: try again later",
            )
        })?;
        let program = renewed_program(plan, machine, config)?;
        let addresses = self
            .addresses(app)
            .map_err(|fault| fault.failure(&format!("list the addresses of {app}")))?;
        let addresses = self.assign(app, addresses, self.options.ipv4, talk)?;
        let image = self.deliver(program, app, &plan.version, talk)?;
        let renewed = Wanted::new(plan, Some(machine), &addresses, image).renewed(config);
        let up = if renewed != *config {
            self.replace(app, machine, config, &renewed, talk)?
        } else if machine.is_up() {
            machine.clone()
        } else {
            talk.begin("start the machine");
            let is_starting = machine.state() == State::Running;
            let up = if is_starting {
                self.settle(app, machine)
            } else {
                self.start(app, machine)
            }?;
            talk.done("");
            up
        };
        Ok(Self::found(app, Some(&up)))
    }

    fn replace(
        &mut self,
        app: &str,
        machine: &Machine,
        config: &Value,
        renewed: &Value,
        talk: &mut dyn Talk,
    ) -> Result<Machine, Failure> {
        talk.begin("replace the program");
        let updated = self.update(app, machine, renewed, false);
        // A refused update has changed nothing.
        let updated = updated.map_err(|fault| fault.failure("update the machine"))?;
        let failure = match self.settle(app, &updated) {
            Ok(up) => {
                talk.done("");
                return Ok(up);
            }
            Err(failure) => failure,
        };
        talk.say("it does not start, so the former program is put back");
        let back = self.put_back(app, machine, config);
        Err(match back {
            Ok(()) => Failure {
                sentence: format!("{}. The former program was put back", failure.sentence),
                ..failure
            },
            Err(other) => Failure::failed(format!(
                "{}. The former program could not be put back either: {}",
                failure.sentence, other.sentence
            )),
        })
    }

    /// Restores the previous configuration. A machine that did not run before is not started.
    fn put_back(&mut self, app: &str, machine: &Machine, config: &Value) -> Result<(), Failure> {
        let doing = "put the former program back";
        let now = self
            .machine(app, &machine.id)
            .map_err(|fault| fault.failure(doing))?;
        let ran = machine.state() == State::Running;
        let back = self
            .update(app, &now, config, !ran)
            .map_err(|fault| fault.failure(doing))?;
        if ran {
            self.settle(app, &back).map(|_| ())
        } else {
            Ok(())
        }
    }

    /// Updates the configuration of a machine. `current_version` makes the update fail if another
    /// one came first.
    fn update(
        &mut self,
        app: &str,
        machine: &Machine,
        config: &Value,
        skip_launch: bool,
    ) -> Result<Machine, Fault> {
        let path = format!("/apps/{}/machines/{}", segment(app), segment(&machine.id));
        let mut body = json!({ "config": config });
        if let Some(instance) = &machine.instance_id {
            body["current_version"] = json!(instance);
        }
        if skip_launch {
            body["skip_launch"] = json!(true);
        }
        let look = |account: &mut Self| {
            let now = account.machine(app, &machine.id)?;
            let is_made = now.config.as_ref().is_some_and(|now| is_same(now, config));
            Ok(is_made.then_some(now))
        };
        self.make(&path, &body, &look)
    }
}

/// Whether two configurations are the same for us. The platform may add to a configuration.
fn is_same(one: &Value, other: &Value) -> bool {
    ["image", "init", "metadata"]
        .iter()
        .all(|key| one[key] == other[key])
}

/// The program for the machine. It is replaced if the plan names one, or if the version differs.
fn renewed_program(plan: &Plan, machine: &Machine, config: &Value) -> Result<Program, Failure> {
    let is_same = machine.metadata("skypipe_version") == Some(plan.version.as_str());
    let names_none = plan.image.is_none() && plan.binary.is_none();
    match config["image"].as_str() {
        Some(image) if is_same && names_none => Ok(Program::Named(image.to_owned())),
        _ => Program::read(plan),
    }
}
