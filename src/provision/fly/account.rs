//! What an account at Fly.io has, and how something is created exactly once.
//!
//! Owns the paths of the Machines API for apps, machines, volumes and addresses. Other modules
//! decide what to create, and in which order.

use std::net::IpAddr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::{Api, Call, TICK, segment};
use super::env::Env;
use super::error::ApiError;
use super::profile::Profile;
use super::types::{Address, Addresses, Exec, Machine, Volume};
use super::{Found, Options, State};
use crate::exit::Failure;
use crate::provision::Console;

/// The time limit of a command that runs next to the satellite, enforced by the platform.
const EXEC: Duration = Duration::from_secs(30);

/// How much longer this machine waits for an answer than the platform itself does.
pub const SLACK: Duration = Duration::from_secs(15);

/// How often creating something is tried.
const ATTEMPTS: u32 = 4;

/// How long creating a machine may take. The platform pulls the image meanwhile.
const CREATION: Duration = Duration::from_secs(2 * 60);

/// How long destroying an app may take.
const DESTRUCTION: Duration = Duration::from_secs(2 * 60);

/// One account.
pub struct Account {
    /// The connection to the API.
    pub api: Api,
    /// The options of the command line.
    pub options: Options,
    /// The settings from the environment.
    pub profile: Profile,
}

/// The account that owns an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppOwner {
    /// The app is in an organisation of this account.
    This,
    /// The app belongs to another account.
    Other,
    /// There is no such app.
    Nobody,
}

impl Account {
    /// Gets the token. Without a console nobody is asked for it.
    pub fn log_in(&mut self, console: Option<&mut dyn Console>) -> Result<(), Failure> {
        self.api.log_in(&self.profile, console)
    }

    /// The clock, and the routes of this machine.
    pub fn env(&self) -> &dyn Env {
        self.api.env()
    }

    /// Which account owns an app: 403 means another one, and 404 means none (`flaps/flaps_apps.go`
    /// in superfly/fly-go).
    pub fn owner(&mut self, app: &str) -> Result<AppOwner, ApiError> {
        let path = format!("/apps/{}", segment(app));
        match self.api.send::<Value>(&Call::get(&path)) {
            Ok(_) => Ok(AppOwner::This),
            Err(error) if error.status() == Some(403) => Ok(AppOwner::Other),
            Err(error) if error.status() == Some(404) => Ok(AppOwner::Nobody),
            Err(error) => Err(error),
        }
    }

    /// The machines of an app, except those that are gone.
    pub fn machines(&mut self, app: &str) -> Result<Vec<Machine>, ApiError> {
        let mut machines: Vec<Machine> = self.list(app, "machines")?;
        machines.retain(|machine| !machine.is_gone());
        Ok(machines)
    }

    /// A list of an app's parts. Go writes an empty list as `null`.
    pub fn list<T: DeserializeOwned>(
        &mut self,
        app: &str,
        parts: &str,
    ) -> Result<Vec<T>, ApiError> {
        let path = format!("/apps/{}/{parts}", segment(app));
        let list: Option<Vec<T>> = self.api.send(&Call::get(&path))?;
        Ok(list.unwrap_or_default())
    }

    /// The satellite's machine in an app, if there is one.
    pub fn satellite(&mut self, app: &str) -> Result<Option<Machine>, Failure> {
        let machines = self
            .machines(app)
            .map_err(|error| error.failure(&format!("list the machines of {app}")))?;
        Ok(machines.into_iter().find(Machine::is_satellite))
    }

    /// The current state of one machine.
    pub fn machine(&mut self, app: &str, id: &str) -> Result<Machine, ApiError> {
        let path = format!("/apps/{}/machines/{}", segment(app), segment(id));
        self.api.send(&Call::get(&path))
    }

    /// The volumes of ours in an app.
    pub fn volumes(&mut self, app: &str) -> Result<Vec<Volume>, ApiError> {
        let mut volumes: Vec<Volume> = self.list(app, "volumes")?;
        volumes.retain(Volume::is_ours);
        Ok(volumes)
    }

    /// The addresses at which an app accepts plain TCP.
    pub fn addresses(&mut self, app: &str) -> Result<Vec<IpAddr>, Failure> {
        let assignments = self
            .assignments(app)
            .map_err(|error| error.failure(&format!("list the addresses of {app}")))?;
        Ok(assignments.iter().filter_map(Address::public).collect())
    }

    /// All addresses of an app, of any kind.
    pub fn assignments(&mut self, app: &str) -> Result<Vec<Address>, ApiError> {
        let path = format!("/apps/{}/ip_assignments", segment(app));
        let addresses: Addresses = self.api.send(&Call::get(&path))?;
        Ok(addresses.ips.unwrap_or_default())
    }

    /// Creates something once. After a failure that does not tell whether it was created, `look`
    /// looks for it before the next attempt.
    pub fn create<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        look: &dyn Fn(&mut Self) -> Result<Option<T>, ApiError>,
    ) -> Result<T, ApiError> {
        let mut is_unsure = false;
        let mut attempt = 1;
        loop {
            let call = Call::post(path, body).within(CREATION);
            let error = match self.api.send(&call) {
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            is_unsure |= error.is_temporary();
            if is_unsure {
                self.env().sleep(TICK * attempt);
                if let Some(created) = look(self)? {
                    return Ok(created);
                }
            }
            if !error.is_temporary() || attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Runs a command in a machine. The request is not repeated, because the command may have
    /// effects.
    pub fn exec(&mut self, app: &str, machine: &str, command: &[&str]) -> Result<Exec, ApiError> {
        let path = format!("/apps/{}/machines/{}/exec", segment(app), segment(machine));
        let body = json!({ "command": command, "timeout": EXEC.as_secs() });
        self.api
            .send(&Call::post(&path, &body).within(EXEC + SLACK))
    }

    /// Runs a command in a machine, once that has started. If the platform refuses because of the
    /// machine's state (412), nothing ran: the machine was restarted meanwhile, and is waited for
    /// once more.
    pub fn exec_when_started(
        &mut self,
        app: &str,
        mut machine: Machine,
        command: &[&str],
    ) -> Result<Exec, Failure> {
        let doing = "run a command in the machine";
        if machine.state_name() != "started" {
            machine = self.settle(app, &machine)?;
        }
        let error = match self.exec(app, &machine.id, command) {
            Err(error) if error.status() == Some(412) => error,
            answer => return answer.map_err(|error| error.failure(doing)),
        };
        let now = self.machine(app, &machine.id);
        let now = now.map_err(|error| error.failure(doing))?;
        if now.state() != State::Running {
            return Err(error.failure(doing));
        }
        self.settle(app, &now)?;
        let answer = self.exec(app, &machine.id, command);
        answer.map_err(|error| error.failure(doing))
    }

    /// Destroys an app with everything in it, and waits until the app is gone. Its addresses,
    /// volumes and images in the registry are destroyed with it. Nothing of a satellite is stored
    /// outside the app.
    pub fn destroy(&mut self, app: &str, console: &mut dyn Console) -> Result<(), Failure> {
        let doing = format!("destroy the app {app}");
        console.begin(&format!("destroy the app {app} at Fly.io"));
        self.api.forget();
        let path = format!("/apps/{}?force=true", segment(app));
        match self.api.send::<Value>(&Call::repeatable("DELETE", &path)) {
            Ok(_) => {}
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error.failure(&doing)),
        }
        let until = self.env().now() + DESTRUCTION;
        while self.owner(app).map_err(|error| error.failure(&doing))? == AppOwner::This {
            if self.env().now() >= until {
                return Err(Failure::failed(format!(
                    "Fly.io accepted the order to destroy the app {app}, and it is still there: try again"
                )));
            }
            self.env().sleep(TICK);
        }
        console.done("");
        console.say("Fly.io deletes the volume and its data permanently after a day");
        Ok(())
    }

    /// The satellite in the form that other modules use.
    pub fn found(app: &str, machine: Option<&Machine>) -> Found {
        let metadata = |key| Some(machine?.metadata(key)?.to_owned());
        Found {
            name: app.to_owned(),
            version: metadata("skypipe_version"),
            owner: metadata("skypipe_owner"),
            state: machine.map_or(State::Unfinished, Machine::state),
        }
    }
}
