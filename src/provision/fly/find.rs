//! Finding the satellite of an account.
//!
//! Owns what counts as one, and which of several is meant. Nothing is changed here.

use std::collections::BTreeSet;

use super::account::{Account, Owner};
use super::api::{Ask, FRESH, TICK, segment};
use super::fault::Fault;
use super::things::{ALPHABET, Apps, LETTERS, Machine, PREFIX};
use crate::exit::Failure;
use crate::provision::{Found, Talk};

/// How far an app is on the way to a satellite. The order is that in which one is preferred.
#[derive(Debug)]
enum Stage {
    /// It has a machine that was made to be one.
    Machine(Box<Machine>),
    /// It has our volume and no machine.
    Volume,
    /// It has our kind of name and is empty.
    Named,
}

impl Account<'_> {
    /// The satellite of this account.
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked, or there are several.
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
                // It is listed, and was destroyed meanwhile.
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

    /// The app that was named or is remembered; none if it is gone.
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

    /// The apps that have the beginning of our names, in all the organisations that count.
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

    /// How far an app is that is listed. The token was good for the list, so that a 401 means an app that was
    /// made just now, by a launch that broke off.
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
