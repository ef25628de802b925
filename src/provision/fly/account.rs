//! What is asked of one account at Fly.io.
//!
//! Owns the paths of the Machines API and how something is made exactly once. Which things are made,
//! and in which order, is for others.

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

/// How long a command beside the satellite may take, there.
pub const EXEC: Duration = Duration::from_secs(30);

/// How much longer an answer may take than what is waited for at the other end.
pub const SLACK: Duration = Duration::from_secs(15);

/// How often it is tried to make something.
const MAKINGS: u32 = 4;

/// How long a machine may take to be made: the platform pulls its image meanwhile.
const MAKING: Duration = Duration::from_secs(2 * 60);

/// How long an app may take to go.
const GOING: Duration = Duration::from_secs(2 * 60);

/// One account, in the midst of a call.
pub struct Account<'a> {
    /// Where it is asked.
    pub api: &'a mut Api,
    /// This machine.
    pub around: &'a dyn Surroundings,
    /// What was said.
    pub options: &'a Options,
    /// What the environment says.
    pub settings: &'a Settings,
}

/// Whose an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It is in an organisation of this account.
    We,
    /// It is another account's.
    Others,
    /// There is no such app.
    Nobody,
}

impl Account<'_> {
    /// Asks the Machines API.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn ask<T: DeserializeOwned>(&mut self, ask: &Ask<'_>) -> Result<T, Fault> {
        self.api.ask(ask, self.around)
    }

    /// Whose that app is: 403 says another's and 404 nobody's (`flaps/flaps_apps.go` in superfly/fly-go).
    ///
    /// # Errors
    ///
    /// When nobody says.
    pub fn owner(&mut self, app: &str) -> Result<Owner, Fault> {
        let path = format!("/apps/{}", segment(app));
        match self.ask::<Value>(&Ask::get(&path)) {
            Ok(_) => Ok(Owner::We),
            Err(fault) if fault.status() == Some(403) => Ok(Owner::Others),
            Err(fault) if fault.status() == Some(404) => Ok(Owner::Nobody),
            Err(fault) => Err(fault),
        }
    }

    /// The machines of an app, without those that are gone.
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
    /// When the platform cannot be asked.
    pub fn satellite(&mut self, app: &str) -> Result<Option<Machine>, Failure> {
        let machines = self
            .machines(app)
            .map_err(|fault| fault.failure(&format!("list the machines of {app}")))?;
        Ok(machines.into_iter().find(Machine::is_satellite))
    }

    /// One machine, as it is now.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub fn machine(&mut self, app: &str, id: &str) -> Result<Machine, Fault> {
        let path = format!("/apps/{}/machines/{}", segment(app), segment(id));
        self.ask(&Ask::get(&path))
    }

    /// Our volumes in an app.
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

    /// The addresses by which plain TCP reaches an app.
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

    /// The addresses of an app, of whatever kind.
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

    /// Makes something once. After a failure that does not tell whether it was made, `look` finds out
    /// before it is tried again.
    ///
    /// # Errors
    ///
    /// When it was refused, or failed too often.
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

    /// Runs a command in a machine. It is not repeated, as nothing is known of what it does.
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

    /// Ends an app with all that is in it, and waits until it is gone. Its addresses, its volumes and its
    /// images in the registry go with it; nothing is kept elsewhere.
    ///
    /// # Errors
    ///
    /// When it is still there.
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

    /// What was found, as others know it.
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
