//! Waits until a machine runs.
//!
//! Owns how long that may take, and the error for a machine that does not get to run.

use std::time::Duration;

use serde_json::Value;

use super::account::{Account, SLACK};
use super::api::{Ask, TICK, segment};
use super::fault::Fault;
use super::things::Machine;
use crate::exit::Failure;
use crate::provision::State;

/// How long a machine may take until it runs and its check passes.
const STARTING: Duration = Duration::from_secs(3 * 60);

/// How often starting a machine is tried while the machine changes its state.
const STARTS: u32 = 10;

/// The longest time that the platform waits in one request, in seconds
/// (`flaps/flaps_machines_wait.go`).
const LONGEST_WAIT: u64 = 60;

impl Account<'_> {
    /// Waits until a machine that was created, updated or started is up, and returns its state
    /// then.
    ///
    /// # Errors
    ///
    /// When the machine is not up in time, or can no longer get up.
    pub fn settle(&mut self, app: &str, machine: &Machine) -> Result<Machine, Failure> {
        let doing = "start the machine";
        let until = self.around.now() + STARTING;
        loop {
            let left = until.saturating_duration_since(self.around.now());
            self.wait(app, machine, left)
                .map_err(|fault| fault.failure(doing))?;
            let now = self
                .machine(app, &machine.id)
                .map_err(|fault| fault.failure(doing))?;
            if now.is_up() {
                return Ok(now);
            }
            let lost = now.is_gone() || now.state_name() == "failed";
            if lost || self.around.now() >= until {
                let minutes = STARTING.as_secs() / 60;
                let time = if lost {
                    String::new()
                } else {
                    format!(" within {minutes} minutes")
                };
                return Err(Failure::failed(format!(
                    "the satellite at Fly.io did not start{time}: {}; fly logs --app {app} tells more",
                    now.plight()
                )));
            }
            self.around.sleep(TICK);
        }
    }

    /// Sends one waiting request. Reaching its time limit is no error.
    fn wait(&mut self, app: &str, machine: &Machine, left: Duration) -> Result<(), Fault> {
        let seconds = left.as_secs().clamp(1, LONGEST_WAIT);
        let (app, id) = (segment(app), segment(&machine.id));
        let mut path = format!("/apps/{app}/machines/{id}/wait?state=started&timeout={seconds}");
        if let Some(instance) = &machine.instance_id {
            path.push_str("&instance_id=");
            path.push_str(&segment(instance));
        }
        let patience = Duration::from_secs(seconds) + SLACK;
        match self.ask::<Value>(&Ask {
            patience,
            ..Ask::get(&path)
        }) {
            Ok(_) => Ok(()),
            Err(fault) if fault.status() == Some(408) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Starts a stopped machine. Starting it twice is harmless.
    ///
    /// # Errors
    ///
    /// When the machine cannot be started.
    pub fn start(&mut self, app: &str, machine: &Machine) -> Result<Machine, Failure> {
        let path = format!(
            "/apps/{}/machines/{}/start",
            segment(app),
            segment(&machine.id)
        );
        let ask = Ask {
            method: "POST",
            ..Ask::get(&path)
        };
        let doing = "start the machine";
        for tries in 1.. {
            let Err(fault) = self.ask::<Value>(&ask) else {
                break;
            };
            // 412: the machine cannot be started from its current state. It may be starting by
            // itself.
            if fault.status() != Some(412) || tries == STARTS {
                return Err(fault.failure(doing));
            }
            let now = self.machine(app, &machine.id);
            if now.map_err(|fault| fault.failure(doing))?.state() == State::Running {
                break;
            }
            self.around.sleep(TICK);
        }
        self.settle(app, machine)
    }
}
