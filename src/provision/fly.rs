//! Satellites at Fly.io.
//!
//! Owns what a satellite consists of there: an app named `skypipe-` and ten letters with one
//! machine, one volume, an IPv6 address, and an IPv4 address if the user pays for one. The metadata
//! of the machine mark it as a satellite ([`config`]). Sources about the API are cited where they
//! are used. Nothing here knows what a pipe is.

mod account;
mod api;
mod config;
mod fault;
mod find;
mod flyctl;
mod launch;
mod parts;
mod place;
mod renew;
mod settings;
mod start;
mod surroundings;
mod things;
mod token;

use std::net::IpAddr;

use serde_json::json;

use self::account::Account;
use self::api::Api;
pub use self::settings::Settings;
pub use self::surroundings::{Here, Surroundings};
use super::{Found, Plan, Provider, State, Talk, bracketed};
use crate::exit::Failure;

/// The Fly.io options of the command line, completed from what this machine remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--org`: the organisation.
    pub org: Option<String>,
    /// `--region`: the region.
    pub region: Option<String>,
    /// `--ipv4`: whether to assign an IPv4 address, which costs money.
    pub ipv4: bool,
    /// The app, from `--app` or from what this machine remembers.
    pub app: Option<String>,
    /// Whether the app's name is from `--app`.
    pub is_app_said: bool,
}

/// Fly.io, for one account.
pub struct Fly {
    options: Options,
    settings: Settings,
    around: Box<dyn Surroundings>,
    api: Option<Api>,
}

impl Fly {
    /// Creates a provider from the environment and flyctl's configuration file. No request is sent
    /// yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let settings = Settings::read(&|name| std::env::var(name).ok());
        Self::with(options, settings, Box::new(Here))
    }

    /// Like `new`, with another environment, and with another clock and other routes.
    #[must_use]
    pub fn with(options: Options, settings: Settings, around: Box<dyn Surroundings>) -> Self {
        Self {
            options,
            settings,
            around,
            api: None,
        }
    }

    fn account(&mut self, talk: Option<&mut dyn Talk>) -> Result<Account<'_>, Failure> {
        let api = if let Some(api) = self.api.take() {
            api
        } else {
            self.settings.check()?;
            let token = self.settings.token(talk)?;
            Api::new(&self.settings.machines, &self.settings.api, token)
        };
        Ok(Account {
            api: self.api.insert(api),
            around: &*self.around,
            options: &self.options,
            settings: &self.settings,
        })
    }
}

impl Provider for Fly {
    fn find(&mut self, talk: &mut dyn Talk) -> Result<Option<Found>, Failure> {
        self.account(Some(&mut *talk))?.find(talk)
    }

    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        self.account(Some(&mut *talk))?.launch(plan, found, talk)
    }

    /// Checks here whether this machine has a route to the satellite: the address is known only
    /// after it was assigned, and each later call may come from another network.
    fn endpoint(&mut self, found: &Found) -> Result<String, Failure> {
        let mut account = self.account(None)?;
        let addresses = account
            .addresses(&found.name)
            .map_err(|fault| fault.failure("tell its addresses"))?;
        let machine = account.satellite(&found.name)?;
        let port = machine.as_ref().map_or(super::PORT, config::port);
        let first_v4 = addresses.iter().filter(|ip| ip.is_ipv4());
        let mut addresses = first_v4
            .chain(addresses.iter().filter(|ip| ip.is_ipv6()))
            .peekable();
        let Some(first) = addresses.peek().copied().copied() else {
            return Err(Failure::failed(format!(
                "the app {} at Fly.io has no public address: skypipe --setup fly gives it one",
                found.name
            )));
        };
        let routed = addresses.find(|ip| account.around.has_route(**ip));
        let address = routed.ok_or_else(|| no_route(first))?;
        Ok(format!("{}:{port}", bracketed(&address.to_string())))
    }

    fn beside(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        self.account(None)?.beside(&found.name, arguments)
    }

    fn destroy(&mut self, found: &Found, talk: &mut dyn Talk) -> Result<(), Failure> {
        self.account(Some(&mut *talk))?.destroy(&found.name, talk)
    }
}

fn no_route(address: IpAddr) -> Failure {
    Failure::failed(if address.is_ipv6() {
        format!(
            "the satellite runs at [{address}], and this machine has no IPv6 to reach it by: skypipe --setup fly \
             --ipv4 gives it an IPv4 address too, for about $2 a month"
        )
    } else {
        format!("the satellite runs at {address}, and this machine has no route to it")
    })
}

impl Account<'_> {
    fn beside(&mut self, app: &str, arguments: &[&str]) -> Result<String, Failure> {
        let machine = self.satellite(app)?;
        let machine = machine
            .ok_or_else(|| Failure::failed(format!("the app {app} at Fly.io has no satellite")))?;
        if machine.state() != State::Running {
            return Err(Failure::failed(format!(
                "the satellite at Fly.io does not run, {}: skypipe --setup fly starts it",
                machine.plight()
            )));
        }
        let command: Vec<&str> = [config::PROGRAM]
            .iter()
            .chain(arguments)
            .chain(&["--data", config::DATA])
            .copied()
            .collect();
        let body = json!({ "command": command, "timeout": account::EXEC.as_secs() });
        let exec = self
            .exec(app, &machine.id, &body)
            .map_err(|fault| fault.failure("run a command in the machine"))?;
        let stdout = exec.stdout.unwrap_or_default();
        if exec.exit_code == 0 && exec.exit_signal.unwrap_or_default() == 0 {
            return Ok(stdout);
        }
        let words = fault::tidy(&exec.stderr.unwrap_or_default());
        let words = if words.is_empty() {
            "it said nothing".to_owned()
        } else {
            words
        };
        let code = exec.exit_code;
        Err(Failure::failed(format!(
            "beside the satellite at Fly.io, skypipe ended with {code}: {words}"
        )))
    }
}
