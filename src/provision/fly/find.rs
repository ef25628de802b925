//! Finds the satellite of an account.
//!
//! Owns what counts as a satellite, and which of several is meant. Changes nothing.

use std::collections::BTreeSet;

use super::account::{Account, Owner};
use super::api::{Ask, FRESH, TICK, segment};
use super::fault::Fault;
use super::things::{ALPHABET, Apps, LETTERS, Machine, PREFIX};
use crate::exit::Failure;
use crate::provision::{Found, Talk};

/// How far the launch in an app got. An earlier variant is preferred to a later one.
#[derive(Debug)]
enum Stage {
    /// The app has a machine that was made as a satellite.
    Machine(Box<Machine>),
    /// The app has our volume and no machine.
    Volume,
    /// The app has a name of our form and is empty.
    Named,
}

impl Account<'_> {
    /// Finds the satellite of this account.
    ///
    /// # Errors
    ///
    /// When the platform cannot be queried, or there are several satellites.
    pub fn find(&mut self, talk: &mut dyn Talk) -> Result<Option<Found>, Failure> {
        if let Some(app) = self.options.app.clone() {
            return self.known(&app);
        }
        let mut machines = Vec::new();
        let mut beginnings = Vec::new();
        for app in self.candidates()? {
            match self.stage_of_listed(&app) {
                Ok(Some(Stage::Machine(machine))) => machines.push((app, machine)),
                Ok(Some(stage)) => beginnings.push((matches!(stage, Stage::Named), app)),
                Ok(None) => {}
                // The app was destroyed after it was listed.
                Err(fault) if fault.status() == Some(404) => {}
                Err(fault) => return Err(fault.failure(&format!("tell what is in the app {app}"))),
            }
        }
        beginnings.sort();
        if let [(app, machine)] = machines.as_slice() {
            return Ok(Some(Self::found(app, Some(machine))));
        }
        if !machines.is_empty() {
            return Err(several(machines.iter().map(|(app, _)| app.as_str())));
        }
        for (_, app) in beginnings.iter().skip(1) {
            talk.say(&format!(
                "the app {app} at Fly.io is another launch that did not get to its end"
            ));
        }
        Ok(beginnings.first().map(|(_, app)| Self::found(app, None)))
    }

    /// The satellite in the app that was named or is remembered; `None` if a remembered app is
    /// gone.
    fn known(&mut self, app: &str) -> Result<Option<Found>, Failure> {
        let owner = self
            .owner(app)
            .map_err(|fault| fault.failure(&format!("tell of the app {app}")))?;
        match owner {
            Owner::Nobody if self.options.is_app_said => {
                return Err(Failure::usage(format!(
                    "there is no app {app} at Fly.io in this account"
                )));
            }
            Owner::Nobody => return Ok(None),
            Owner::Others => {
                return Err(Failure::failed(format!(
                    "the app {app} at Fly.io is not this account's"
                )));
            }
            Owner::We => {}
        }
        let stage = self
            .stage(app)
            .map_err(|fault| fault.failure(&format!("tell what is in the app {app}")))?;
        match stage {
            Some(Stage::Machine(machine)) => Ok(Some(Self::found(app, Some(&machine)))),
            Some(_) => Ok(Some(Self::found(app, None))),
            None => Err(Failure::usage(format!(
                "the app {app} at Fly.io is something else than a satellite"
            ))),
        }
    }

    /// The apps whose names begin with our prefix, in all relevant organisations.
    fn candidates(&mut self) -> Result<BTreeSet<String>, Failure> {
        let mut found = BTreeSet::new();
        for org in self.organisations()? {
            let path = format!("/apps?org_slug={}", segment(&org.name));
            let apps: Apps = self.ask(&Ask::get(&path)).map_err(|fault| {
                fault.failure(&format!("list the apps of the organisation {}", org.name))
            })?;
            let names = apps
                .apps
                .unwrap_or_default()
                .into_iter()
                .map(|app| app.name);
            found.extend(names.filter(|name| name.starts_with(PREFIX)));
        }
        Ok(found)
    }

    /// How far the launch in a listed app got. The list proved that the token is valid. A 401
    /// therefore means an app that an interrupted launch created just now, and this waits for it.
    fn stage_of_listed(&mut self, app: &str) -> Result<Option<Stage>, Fault> {
        let until = self.around.now() + FRESH;
        loop {
            match self.stage(app) {
                Err(fault) if fault.status() == Some(401) && self.around.now() < until => {
                    self.around.sleep(TICK);
                }
                stage => return stage,
            }
        }
    }

    fn stage(&mut self, app: &str) -> Result<Option<Stage>, Fault> {
        let machines = self.machines(app)?;
        let is_empty = machines.is_empty();
        if let Some(machine) = machines.into_iter().find(Machine::is_satellite) {
            return Ok(Some(Stage::Machine(Box::new(machine))));
        }
        if !is_empty {
            return Ok(None);
        }
        if !self.volumes(app)?.is_empty() {
            return Ok(Some(Stage::Volume));
        }
        Ok(is_our_name(app).then_some(Stage::Named))
    }
}

/// Whether a launch could have given this name.
fn is_our_name(app: &str) -> bool {
    let letters = app.strip_prefix(PREFIX).map(str::as_bytes);
    letters.is_some_and(|letters| {
        letters.len() == LETTERS && letters.iter().all(|letter| ALPHABET.contains(letter))
    })
}

fn several<'a>(apps: impl Iterator<Item = &'a str>) -> Failure {
    let apps: Vec<&str> = apps.collect();
    Failure::failed(format!(
        "there are several satellites at Fly.io, in the apps {}: say --app NAME for the one that is meant",
        apps.join(", ")
    ))
}
