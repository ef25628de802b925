//! Requests on behalf of one account at Fly.io.
//!
//! Owns the paths of the Machines API, and how something is created exactly once. Other modules
//! decide what to create, and in which order.

use std::net::IpAddr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Api, Ask, TICK, segment};
use super::fault::Fault;
use super::settings::Settings;
use super::surroundings::Surroundings;
use super::things::{Address, Addresses, Exec, Machine, Volume};
use super::{Found, Options, State};
use crate::exit::Failure;
use crate::provision::Talk;

/// The time limit of a command that runs next to the satellite, enforced by the platform.
pub const EXEC: Duration = Duration::from_secs(30);

/// How much longer this machine waits for an answer than the platform itself does.
pub const SLACK: Duration = Duration::from_secs(15);

/// How often creating something is tried.
const MAKINGS: u32 = 4;

/// How long creating a machine may take. The platform pulls the image meanwhile.
const MAKING: Duration = Duration::from_secs(2 * 60);

/// How long destroying an app may take.
const GOING: Duration = Duration::from_secs(2 * 60);

/// One account, for the duration of one call.
pub struct Account<'a> {
    /// The connection to the API.
    pub api: &'a mut Api,
    /// The clock and the routes of this machine.
    pub around: &'a dyn Surroundings,
    /// The options of the command line.
    pub options: &'a Options,
    /// The settings from the environment.
    pub settings: &'a Settings,
}

/// The account that owns an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The app is in an organisation of this account.
    We,
    /// The app belongs to another account.
    Others,
    /// There is no such app.
    Nobody,
}

impl Account<'_> {
    /// Sends a request to the Machines API.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn ask<T: DeserializeOwned>(&mut self, ask: &Ask<'_>) -> Result<T, Fault> {
        self.api.ask(ask, self.around)
    }

    /// Which account owns an app: 403 means another one, and 404 means none (`flaps/flaps_apps.go`
    /// in superfly/fly-go).
    ///
    /// # Errors
    ///
    /// When the platform does not tell.
    pub fn owner(&mut self, app: &str) -> Result<Owner, Fault> {
        let path = format!("/apps/{}", segment(app));
        match self.ask::<Value>(&Ask::get(&path)) {
            Ok(_) => Ok(Owner::We),
            Err(fault) if fault.status() == Some(403) => Ok(Owner::Others),
            Err(fault) if fault.status() == Some(404) => Ok(Owner::Nobody),
            Err(fault) => Err(fault),
        }
    }

    /// The machines of an app, except those that are gone.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn machines(&mut self, app: &str) -> Result<Vec<Machine>, Fault> {
        let path = format!("/apps/{}/machines", segment(app));
        let mut machines: Vec<Machine> =
            self.ask::<Option<_>>(&Ask::get(&path))?.unwrap_or_default();
        machines.retain(|machine| !machine.is_gone());
        Ok(machines)
    }

    /// The satellite's machine in an app, if there is one.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried.
    pub fn satellite(&mut self, app: &str) -> Result<Option<Machine>, Failure> {
        let machines = self
            .machines(app)
            .map_err(|fault| fault.failure(&format!("list the machines of {app}")))?;
        Ok(machines.into_iter().find(Machine::is_satellite))
    }

    /// The current state of one machine.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn machine(&mut self, app: &str, id: &str) -> Result<Machine, Fault> {
        let path = format!("/apps/{}/machines/{}", segment(app), segment(id));
        self.ask(&Ask::get(&path))
    }

    /// The volumes of ours in an app.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn volumes(&mut self, app: &str) -> Result<Vec<Volume>, Fault> {
        let path = format!("/apps/{}/volumes", segment(app));
        let mut volumes: Vec<Volume> = self.ask::<Option<_>>(&Ask::get(&path))?.unwrap_or_default();
        volumes.retain(Volume::is_ours);
        Ok(volumes)
    }

    /// The addresses at which an app accepts plain TCP.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn addresses(&mut self, app: &str) -> Result<Vec<IpAddr>, Fault> {
        Ok(self
            .assignments(app)?
            .iter()
            .filter_map(Address::public)
            .collect())
    }

    /// All addresses of an app, of any kind.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn assignments(&mut self, app: &str) -> Result<Vec<Address>, Fault> {
        let path = format!("/apps/{}/ip_assignments", segment(app));
        Ok(self
            .ask::<Addresses>(&Ask::get(&path))?
            .ips
            .unwrap_or_default())
    }

    /// Creates something once. After a failure that does not tell whether it was created, `look`
    /// looks for it before the next attempt.
    ///
    /// # Errors
    ///
    /// When the platform refused, or the attempts failed too often.
    pub fn make<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        look: &dyn Fn(&mut Self) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        let ask = Ask {
            patience: MAKING,
            ..Ask::post(path, body)
        };
        let mut unsure = false;
        for tries in 1.. {
            let fault = match self.ask(&ask) {
                Ok(made) => return Ok(made),
                Err(fault) => fault,
            };
            unsure |= fault.is_passing();
            if unsure {
                self.around.sleep(TICK * tries);
                if let Some(made) = look(self)? {
                    return Ok(made);
                }
            }
            if !fault.is_passing() || tries == MAKINGS {
                return Err(fault);
            }
        }
        unreachable!("the tries above come to an end")
    }

    /// Runs a command in a machine. The request is not repeated, because the command may have
    /// effects.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn exec(&mut self, app: &str, machine: &str, body: &Value) -> Result<Exec, Fault> {
        let path = format!("/apps/{}/machines/{}/exec", segment(app), segment(machine));
        self.ask(&Ask {
            patience: EXEC + SLACK,
            ..Ask::post(&path, body)
        })
    }

    /// Destroys an app with everything in it, and waits until the app is gone. Its addresses,
    /// volumes and images in the registry are destroyed with it. Nothing of a satellite is stored
    /// outside the app.
    ///
    /// # Errors
    ///
    /// When the app still exists.
    pub fn destroy(&mut self, app: &str, talk: &mut dyn Talk) -> Result<(), Failure> {
        let doing = format!("destroy the app {app}");
        talk.begin(&format!("destroy the app {app} at Fly.io"));
        self.api.forget();
        let path = format!("/apps/{}?force=true", segment(app));
        let ask = Ask {
            method: "DELETE",
            ..Ask::get(&path)
        };
        match self.ask::<Value>(&ask) {
            Ok(_) => {}
            Err(fault) if fault.status() == Some(404) => {}
            Err(fault) => return Err(fault.failure(&doing)),
        }
        let until = self.around.now() + GOING;
        while self.owner(app).map_err(|fault| fault.failure(&doing))? == Owner::We {
            if self.around.now() >= until {
                return Err(Failure::failed(format!(
                    "Fly.io took the order to destroy the app {app}, and it is still there: try again"
                )));
            }
            self.around.sleep(TICK);
        }
        talk.done("");
        talk.say("Fly.io deletes the volume, and with it what was on it, for good a day after");
        Ok(())
    }

    /// The satellite in the form that other modules use.
    #[must_use]
    pub fn found(app: &str, machine: Option<&Machine>) -> Found {
        let word = |key| {
            machine
                .and_then(|machine| machine.metadata(key))
                .map(str::to_owned)
        };
        Found {
            name: app.to_owned(),
            version: word("skypipe_version"),
            founder: word("skypipe_founder"),
            state: machine.map_or(State::Unfinished, Machine::state),
        }
    }
}
