//! Satellites at Fly.io.
//!
//! Owns what a satellite consists of there: an app named `skypipe-` and ten letters with one
//! machine, one volume, an IPv6 address, and an IPv4 address if the user pays for one. The metadata
//! of the machine mark it as a satellite ([`config`]). Sources about the API are cited where they
//! are used. Nothing here knows what a pipe is.

mod account;
mod address;
mod api;
mod app;
mod config;
mod env;
mod error;
mod find;
mod flyctl;
mod machine;
mod profile;
mod region;
mod token;
mod types;
mod volume;

use std::net::IpAddr;

use self::account::Account;
use self::api::{Api, TICK};
pub use self::env::{Env, System};
pub use self::profile::Profile;
use self::types::Machine;
use super::host::{Found, Host, RunError, State};
use super::image::{Architecture, Image, Registry};
use super::plan::Existing;
use super::plan::{Program, Settings};
use super::quote::quote;
use super::{Console, bracketed, megabytes};
use crate::exit::Failure;

/// How often an image is pushed for an app that was created just now. The registry may not know the
/// app yet.
const PUSHES: u32 = 4;

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
    pub is_app_named: bool,
}

/// Fly.io, for one account.
pub struct Fly {
    account: Account,
    parts: Parts,
}

/// What exists of a satellite during a launch.
#[derive(Default)]
struct Parts {
    app: Option<String>,
    region: String,
    volume: String,
    addresses: Vec<IpAddr>,
    /// The machine as it was before the launch.
    machine: Option<Machine>,
    /// The settings of that machine, where the launch went on without them: its app was not listed.
    unseen: Option<Settings>,
}

impl Fly {
    /// Creates a host from the environment. No request is sent yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let profile = Profile::read(&|name| std::env::var(name).ok());
        Self::with(options, profile, Box::new(System))
    }

    /// Like `new`, with other variables, and with another clock and other routes.
    #[must_use]
    pub fn with(options: Options, profile: Profile, env: Box<dyn Env>) -> Self {
        let api = Api::new(&profile, env);
        Self {
            account: Account {
                api,
                options,
                profile,
            },
            parts: Parts::default(),
        }
    }

    /// Makes the app, the volume and the addresses of a satellite that has no machine yet. All
    /// questions are asked before anything is created.
    fn begin(&mut self, owner: &str, console: &mut dyn Console) -> Result<(), Failure> {
        let account = &mut self.account;
        let known = self.parts.app.clone();
        let (mut volumes, mut addresses) = match &known {
            Some(app) => (account.our_volumes(app)?, account.addresses(app)?),
            None => Default::default(),
        };
        let org = match known {
            Some(_) => String::new(),
            None => account.organisation(console)?,
        };
        let mut region = account.region_for(known.as_deref(), &volumes, console)?;
        let ipv4 = account.wants_ipv4(&addresses, console)?;
        let app = if let Some(app) = known {
            app
        } else {
            let (app, is_old) = account.create_app(&org, owner, console)?;
            // An interrupted launch created this app, and the list did not show it before.
            if is_old {
                volumes = account.our_volumes(&app)?;
                addresses = account.addresses(&app)?;
                self.parts.machine = account.satellite(&app)?;
                match &self.parts.machine {
                    Some(machine) if machine.config.is_none() => return Err(unanswered()),
                    Some(machine) => account.refuse_other_region(machine)?,
                    None => region = account.region_for(Some(&app), &volumes, console)?,
                }
                self.parts.unseen = self.parts.machine.as_ref().and_then(config::settings);
            }
            app
        };
        if self.parts.machine.is_none() {
            self.parts.volume = account.volume(&app, &region, &volumes, console)?.id;
        }
        self.parts.addresses = account.assign(&app, addresses, ipv4, console)?;
        self.parts.region = region;
        self.parts.app = Some(app);
        Ok(())
    }

    fn app(&self) -> &str {
        self.parts.app.as_deref().unwrap_or_default()
    }

    fn push(&mut self, image: &Image, version: &str) -> Result<String, Failure> {
        let app = self.parts.app.clone().unwrap_or_default();
        let registry = Registry {
            base: self.account.profile.registry.clone(),
            user: "x".to_owned(),
            password: self.account.api.password(),
        };
        let mut attempt = 1;
        loop {
            match image.push(&registry, &app, version) {
                Err(_) if attempt < PUSHES && self.account.api.is_fresh(&app) => {
                    self.account.env().sleep(TICK * 2_u32.pow(attempt));
                    attempt += 1;
                }
                pushed => return pushed,
            }
        }
    }
}

impl Host for Fly {
    fn find(&mut self, console: &mut dyn Console) -> Result<Option<Found>, Failure> {
        self.account.log_in(Some(&mut *console))?;
        self.account.find(console)
    }

    fn inspect(&mut self, found: Option<&Found>) -> Result<Existing, Failure> {
        self.account.log_in(None)?;
        self.parts = Parts::default();
        let Some(found) = found else {
            return Ok(Existing::default());
        };
        self.parts.app = Some(found.name.clone());
        let Some(machine) = self.account.satellite(&found.name)? else {
            return Ok(Existing::default());
        };
        if machine.config.is_none() {
            return Err(unanswered());
        }
        let settings = config::settings(&machine);
        self.parts.machine = Some(machine);
        Ok(Existing {
            owner: settings.as_ref().map(|settings| settings.owner.clone()),
            settings,
        })
    }

    /// Fly.io runs only `linux/amd64`.
    fn architecture(&mut self) -> Result<Architecture, Failure> {
        Ok(Architecture::Amd64)
    }

    fn prepare(
        &mut self,
        settings: &Settings,
        console: &mut dyn Console,
    ) -> Result<String, Failure> {
        if let Some(machine) = &self.parts.machine {
            let app = self.app().to_owned();
            self.account.refuse_other_region(machine)?;
            let addresses = self.account.addresses(&app)?;
            let ipv4 = self.account.options.ipv4;
            self.parts.addresses = self.account.assign(&app, addresses, ipv4, console)?;
        } else {
            self.begin(&settings.owner, console)?;
        }
        Ok(self.app().to_owned())
    }

    fn put(
        &mut self,
        program: &Program,
        version: &str,
        console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let (bytes, architecture) = match program {
            Program::Image(name) => return Ok(name.clone()),
            Program::Executable(bytes, architecture) => (bytes, *architecture),
        };
        console.begin("push the image");
        let image = Image::pack(bytes, architecture);
        let name = self.push(&image, version)?;
        console.done(&megabytes(image.size()));
        Ok(name)
    }

    fn run(&mut self, settings: &Settings, _console: &mut dyn Console) -> Result<(), RunError> {
        let app = self.app().to_owned();
        let Parts {
            region,
            volume,
            addresses,
            machine,
            unseen,
            ..
        } = &self.parts;
        let settings = &completed(settings, unseen.as_ref());
        let account = &mut self.account;
        let Some((machine, config)) = machine
            .as_ref()
            .and_then(|it| Some((it, it.config.as_ref()?)))
        else {
            let config = config::new(settings, addresses, volume);
            let machine = account.create_machine(&app, region, &config)?;
            account.settle(&app, &machine)?;
            return Ok(());
        };
        let updated = config::updated(config, settings, addresses);
        if updated != *config {
            let now = account.update_machine(&app, machine, &updated, true);
            // A refused update has changed nothing.
            let now = now.map_err(|error| error.failure("update the machine"))?;
            account.settle(&app, &now).map_err(RunError::Broken)?;
        } else if machine.state() == State::Running {
            account.settle(&app, machine)?;
        } else {
            account.start(&app, machine)?;
        }
        Ok(())
    }

    /// Restores the previous configuration. A machine that did not run before is not started.
    fn restore(&mut self, _console: &mut dyn Console) -> Result<(), Failure> {
        let app = self.app().to_owned();
        let former = self.parts.machine.as_ref();
        let Some((machine, config)) = former.and_then(|it| Some((it, it.config.as_ref()?))) else {
            return Ok(());
        };
        let doing = "put the former program back";
        let ran = machine.state() == State::Running;
        let now = self.account.machine(&app, &machine.id);
        let now = now.map_err(|error| error.failure(doing))?;
        let back = self.account.update_machine(&app, &now, config, ran);
        let back = back.map_err(|error| error.failure(doing))?;
        if ran {
            self.account.settle(&app, &back)?;
        }
        Ok(())
    }

    /// Checks here whether this machine has a route to the satellite: the address is known only
    /// after it was assigned, and each later call may come from another network.
    fn endpoint(&mut self, found: &Found) -> Result<String, Failure> {
        let account = &mut self.account;
        account.log_in(None)?;
        let mut addresses = account.addresses(&found.name)?;
        let machine = account.satellite(&found.name)?;
        let port = machine.as_ref().map_or(super::PORT, config::port);
        addresses.sort_by_key(IpAddr::is_ipv6);
        let Some(first) = addresses.first() else {
            return Err(Failure::failed(format!(
                "the app {} at Fly.io has no public address: skypipe --setup fly gives it one",
                found.name
            )));
        };
        let routed = addresses.iter().find(|ip| account.env().has_route(**ip));
        let address = routed.ok_or_else(|| no_route(*first))?;
        Ok(format!("{}:{port}", bracketed(&address.to_string())))
    }

    fn exec(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        let (account, app) = (&mut self.account, &found.name);
        account.log_in(None)?;
        let machine = account
            .satellite(app)?
            .ok_or_else(|| Failure::failed(format!("the app {app} at Fly.io has no satellite")))?;
        if machine.state() != State::Running {
            return Err(Failure::failed(format!(
                "the satellite at Fly.io does not run, {}: skypipe --setup fly starts it",
                machine.describe()
            )));
        }
        let command = [&[config::PROGRAM], arguments, &["--data", config::DATA]].concat();
        let exec = account.exec_when_started(app, machine, &command)?;
        if exec.exit_code == 0 && exec.exit_signal.unwrap_or_default() == 0 {
            return Ok(exec.stdout.unwrap_or_default());
        }
        let code = exec.exit_code;
        let said = quote(&exec.stderr.unwrap_or_default());
        Err(Failure::failed(format!(
            "the command next to the satellite at Fly.io failed with exit code {code}: {}",
            if said.is_empty() {
                "it said nothing"
            } else {
                &said
            }
        )))
    }

    fn remove(&mut self, found: &Found, console: &mut dyn Console) -> Result<(), Failure> {
        self.account.log_in(Some(&mut *console))?;
        self.account.destroy(&found.name, console)
    }
}

fn unanswered() -> Failure {
    Failure::failed("the host of the satellite at Fly.io does not answer just now: try again later")
}

/// The settings with what they leave to the platform taken from the machine that was seen late. The
/// default port counts as left open.
fn completed(settings: &Settings, unseen: Option<&Settings>) -> Settings {
    let mut settings = settings.clone();
    if let Some(unseen) = unseen {
        if settings.port == super::PORT {
            settings.port = unseen.port;
        }
        settings.public = settings.public.or_else(|| unseen.public.clone());
    }
    settings
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
