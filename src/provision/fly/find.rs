//! Finds the satellite of an account.
//!
//! Owns what counts as a satellite, and which of several is meant. Changes nothing.

use std::collections::BTreeSet;

use super::account::{Account, AppOwner};
use super::api::{Call, FRESH, TICK, segment};
use super::app::{PREFIX, is_our_name};
use super::error::ApiError;
use super::types::{Apps, Machine};
use crate::exit::Failure;
use crate::provision::{Console, Found};

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

impl Account {
    /// Finds the satellite of this account.
    pub fn find(&mut self, console: &mut dyn Console) -> Result<Option<Found>, Failure> {
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
                Err(error) if error.status() == Some(404) => {}
                Err(error) => return Err(error.failure(&format!("tell what is in the app {app}"))),
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
            console.say(&format!(
                "the app {app} at Fly.io belongs to another launch that did not finish"
            ));
        }
        Ok(beginnings.first().map(|(_, app)| Self::found(app, None)))
    }

    /// The satellite in the app that was named or is remembered; `None` if a remembered app is
    /// gone.
    fn known(&mut self, app: &str) -> Result<Option<Found>, Failure> {
        let owner = self
            .owner(app)
            .map_err(|error| error.failure(&format!("tell of the app {app}")))?;
        match owner {
            AppOwner::Nobody if self.options.is_app_named => {
                return Err(Failure::usage(format!(
                    "there is no app {app} at Fly.io in this account"
                )));
            }
            AppOwner::Nobody => return Ok(None),
            AppOwner::Other => {
                return Err(Failure::failed(format!(
                    "the app {app} at Fly.io is not this account's"
                )));
            }
            AppOwner::This => {}
        }
        let stage = self
            .stage(app)
            .map_err(|error| error.failure(&format!("tell what is in the app {app}")))?;
        match stage {
            Some(Stage::Machine(machine)) => Ok(Some(Self::found(app, Some(&machine)))),
            Some(_) => Ok(Some(Self::found(app, None))),
            None => Err(Failure::usage(format!(
                "the app {app} at Fly.io is not a satellite"
            ))),
        }
    }

    /// The apps whose names begin with our prefix, in all relevant organisations.
    fn candidates(&mut self) -> Result<BTreeSet<String>, Failure> {
        let mut found = BTreeSet::new();
        for org in self.organisations()? {
            let path = format!("/apps?org_slug={}", segment(&org.name));
            let apps: Apps = self.api.send(&Call::get(&path)).map_err(|error| {
                error.failure(&format!("list the apps of the organisation {}", org.name))
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
    fn stage_of_listed(&mut self, app: &str) -> Result<Option<Stage>, ApiError> {
        let until = self.env().now() + FRESH;
        loop {
            match self.stage(app) {
                Err(error) if error.status() == Some(401) && self.env().now() < until => {
                    self.env().sleep(TICK);
                }
                stage => return stage,
            }
        }
    }

    fn stage(&mut self, app: &str) -> Result<Option<Stage>, ApiError> {
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

fn several<'a>(apps: impl Iterator<Item = &'a str>) -> Failure {
    let apps: Vec<&str> = apps.collect();
    Failure::failed(format!(
        "there are several satellites at Fly.io, in the apps {}: choose one with --app NAME",
        apps.join(", ")
    ))
}
