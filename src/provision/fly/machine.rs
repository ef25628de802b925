//! The satellite's machine: creates, updates and starts it, and waits until it runs.
//!
//! Owns how long that may take, and the error for a machine that does not get to run.

use std::time::Duration;

use serde_json::{Value, json};

use super::account::{Account, SLACK};
use super::api::{Call, TICK, segment};
use super::error::ApiError;
use super::types::{MACHINE, Machine};
use crate::exit::Failure;
use crate::provision::State;

/// How long a machine may take until it runs and its check passes.
const STARTING: Duration = Duration::from_secs(3 * 60);

/// How often starting a machine is tried while the machine changes its state.
const STARTS: u32 = 10;

/// The longest time that the platform waits in one request, in seconds
/// (`flaps/flaps_machines_wait.go`).
const LONGEST_WAIT: u64 = 60;

impl Account {
    /// Creates the satellite's machine, once.
    pub fn create_machine(
        &mut self,
        app: &str,
        region: &str,
        config: &Value,
    ) -> Result<Machine, Failure> {
        let path = format!("/apps/{}/machines", segment(app));
        let body = json!({ "name": MACHINE, "region": region, "config": config });
        let look = |account: &mut Self| {
            let machines = account.machines(app)?;
            Ok(machines.into_iter().find(Machine::is_satellite))
        };
        self.create(&path, &body, &look).map_err(|error| {
            let failure = error.failure(&format!("create a machine in {region}"));
            if !error.is_full() {
                return failure;
            }
            Failure::failed(format!(
                "{failure}. An empty volume is left in {region}. To continue elsewhere, add --region; without \
                 it, the next launch tries {region} again"
            ))
        })
    }

    /// Updates the configuration of a machine, once, and starts it if `start`. `current_version`
    /// makes the update fail if another one came first.
    pub fn update_machine(
        &mut self,
        app: &str,
        machine: &Machine,
        config: &Value,
        start: bool,
    ) -> Result<Machine, ApiError> {
        let path = format!("/apps/{}/machines/{}", segment(app), segment(&machine.id));
        let mut body = json!({ "config": config });
        if let Some(instance) = &machine.instance_id {
            body["current_version"] = json!(instance);
        }
        if !start {
            body["skip_launch"] = json!(true);
        }
        let look = |account: &mut Self| {
            let now = account.machine(app, &machine.id)?;
            let is_updated = now.config.as_ref().is_some_and(|now| is_same(now, config));
            Ok(is_updated.then_some(now))
        };
        self.create(&path, &body, &look)
    }

    /// Waits until a machine that was created, updated or started is up, and returns its state
    /// then.
    pub fn settle(&mut self, app: &str, machine: &Machine) -> Result<Machine, Failure> {
        let doing = "start the machine";
        let until = self.env().now() + STARTING;
        let mut machine = machine.clone();
        loop {
            let left = until.saturating_duration_since(self.env().now());
            let unknown = match self.wait(app, &machine, left) {
                Ok(()) => None,
                // The platform does not know this instance. The machine may be being replaced.
                Err(error) if error.status() == Some(400) => Some(error),
                Err(error) => return Err(error.failure(doing)),
            };
            let now = self
                .machine(app, &machine.id)
                .map_err(|error| error.failure(doing))?;
            let is_replaced =
                now.instance_id != machine.instance_id || now.state_name() == "replacing";
            if let Some(error) = unknown.filter(|_| !is_replaced) {
                return Err(error.failure(doing));
            }
            if now.is_up() {
                return Ok(now);
            }
            let lost = now.is_gone() || now.state_name() == "failed";
            if lost || self.env().now() >= until {
                let minutes = STARTING.as_secs() / 60;
                let time = if lost {
                    String::new()
                } else {
                    format!(" within {minutes} minutes")
                };
                return Err(Failure::failed(format!(
                    "the satellite at Fly.io did not start{time}: {}; fly logs --app {app} tells more",
                    now.describe()
                )));
            }
            machine = now;
            self.env().sleep(TICK);
        }
    }

    /// Sends one waiting request. Reaching its time limit is no error.
    fn wait(&mut self, app: &str, machine: &Machine, left: Duration) -> Result<(), ApiError> {
        let seconds = left.as_secs().clamp(1, LONGEST_WAIT);
        let (app, id) = (segment(app), segment(&machine.id));
        let mut path = format!("/apps/{app}/machines/{id}/wait?state=started&timeout={seconds}");
        if let Some(instance) = &machine.instance_id {
            path.push_str("&instance_id=");
            path.push_str(&segment(instance));
        }
        let timeout = Duration::from_secs(seconds) + SLACK;
        match self.api.send::<Value>(&Call::get(&path).within(timeout)) {
            Ok(_) => Ok(()),
            Err(error) if error.status() == Some(408) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Starts a stopped machine. Starting it twice is harmless.
    pub fn start(&mut self, app: &str, machine: &Machine) -> Result<Machine, Failure> {
        let path = format!(
            "/apps/{}/machines/{}/start",
            segment(app),
            segment(&machine.id)
        );
        let doing = "start the machine";
        let mut attempt = 1;
        while let Err(error) = self.api.send::<Value>(&Call::repeatable("POST", &path)) {
            // 412: the machine cannot be started from its current state. It may be starting by
            // itself.
            if error.status() != Some(412) || attempt == STARTS {
                return Err(error.failure(doing));
            }
            let now = self.machine(app, &machine.id);
            if now.map_err(|error| error.failure(doing))?.state() == State::Running {
                break;
            }
            self.env().sleep(TICK);
            attempt += 1;
        }
        self.settle(app, machine)
    }
}

/// Whether two configurations are the same for us. The platform may add to a configuration.
fn is_same(one: &Value, other: &Value) -> bool {
    ["image", "init", "metadata"]
        .iter()
        .all(|key| one[key] == other[key])
}
