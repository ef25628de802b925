//! Launches a satellite, from the beginning or from where an earlier launch stopped.
//!
//! Owns the order of the steps: the questions to the person; the app, the volume, the addresses,
//! the image and the machine; the wait. Each step uses what exists already. Whichever step failed,
//! the next launch continues there.

use serde_json::{Value, json};

use super::account::Account;
use super::api::{TICK, segment};
use super::config::Wanted;
use super::things::{MACHINE, Machine};
use crate::exit::Failure;
use crate::provision::image::{Architecture, Image, Registry, satellite};
use crate::provision::{Found, Plan, Talk, megabytes};

/// How often an image is pushed for an app that was created just now. The registry may not know the
/// app yet.
const PUSHES: u32 = 4;

/// The program that the machine should run.
pub enum Program {
    /// An image in some registry.
    Named(String),
    /// An image to push to Fly's registry.
    Packed(Box<Image>),
}

impl Program {
    /// Packs the program, or takes the image that the plan names. Fly.io runs only `linux/amd64`.
    ///
    /// # Errors
    ///
    /// When there is no executable that could run there.
    pub fn read(plan: &Plan) -> Result<Self, Failure> {
        if let Some(image) = &plan.image {
            return Ok(Self::Named(image.clone()));
        }
        let executable = satellite(plan.binary.as_deref(), Architecture::Amd64)?;
        Ok(Self::Packed(Box::new(Image::pack(
            &executable,
            Architecture::Amd64,
        ))))
    }
}

impl Account<'_> {
    /// Launches a satellite, continues a launch, or renews a satellite.
    ///
    /// # Errors
    ///
    /// When a step fails. What was made is left for the next launch.
    pub fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        let app = found.map(|found| found.name.as_str());
        if let Some(app) = app
            && let Some(machine) = self.satellite(app)?
        {
            self.refuse_other_region(&machine)?;
            return self.renew(plan, app, &machine, talk);
        }
        self.begin(plan, app, talk)
    }

    /// Refuses a region other than the machine's. A volume cannot move, and the machine has to be
    /// where its volume is.
    fn refuse_other_region(&self, machine: &Machine) -> Result<(), Failure> {
        match (&self.options.region, &machine.region) {
            (Some(said), Some(there)) if said != there => Err(Failure::usage(format!(
                "the satellite is in {there} with its data, and cannot move to {said}"
            ))),
            _ => Ok(()),
        }
    }

    /// Launches a satellite that has no machine yet. The program is checked, and all questions are
    /// asked, before anything is created.
    fn begin(
        &mut self,
        plan: &Plan,
        app: Option<&str>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        let program = Program::read(plan)?;
        let (mut volumes, mut addresses) = (Vec::new(), Vec::new());
        if let Some(app) = app {
            volumes = self
                .volumes(app)
                .map_err(|fault| fault.failure(&format!("list the volumes of {app}")))?;
            addresses = self
                .addresses(app)
                .map_err(|fault| fault.failure(&format!("list the addresses of {app}")))?;
        }
        let org = if app.is_none() {
            self.organisation(talk)?
        } else {
            String::new()
        };
        let region = self.region_for(app, &volumes, talk)?;
        let ipv4 = self.wants_ipv4(&addresses, talk)?;
        let app = match app {
            Some(app) => app.to_owned(),
            None => match self.make_app(&org, &plan.founder, talk)? {
                (app, false) => app,
                // An interrupted launch created this app, and the list did not show it before.
                (app, true) => return self.launch(plan, Some(&Self::found(&app, None)), talk),
            },
        };
        let volume = self.volume(&app, &region, &volumes, talk)?;
        let addresses = self.assign(&app, addresses, ipv4, talk)?;
        let image = self.deliver(program, &app, &plan.version, talk)?;
        let config = Wanted::new(plan, None, &addresses, image).config(&volume.id);
        talk.begin("start the machine");
        let machine = self.make_machine(&app, &region, &config)?;
        let machine = self.settle(&app, &machine)?;
        talk.done(&region);
        Ok(Self::found(&app, Some(&machine)))
    }

    fn make_machine(
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
        self.make(&path, &body, &look).map_err(|fault| {
            let failure = fault.failure(&format!("create a machine in {region}"));
            if !fault.is_full() {
                return failure;
            }
            Failure::failed(format!(
                "{}. A volume waits in {region}, empty as no machine ran yet: with another --region, the \
                 launch goes on there with a volume of its own; without, it tries {region} again",
                failure.sentence
            ))
        })
    }

    /// Makes the image available to the platform, and returns its name there.
    ///
    /// # Errors
    ///
    /// When the registry refuses.
    pub fn deliver(
        &mut self,
        program: Program,
        app: &str,
        version: &str,
        talk: &mut dyn Talk,
    ) -> Result<String, Failure> {
        let image = match program {
            Program::Named(name) => return Ok(name),
            Program::Packed(image) => image,
        };
        talk.begin("push the image");
        let registry = Registry {
            base: self.settings.registry.clone(),
            user: "x".to_owned(),
            password: self.api.password(),
        };
        for tries in 1.. {
            match image.push(&registry, app, version) {
                Ok(name) => {
                    talk.done(&megabytes(image.size()));
                    return Ok(name);
                }
                Err(_) if tries < PUSHES && self.api.is_fresh(app, self.around) => {
                    self.around.sleep(TICK * 2_u32.pow(tries));
                }
                Err(failure) => return Err(failure),
            }
        }
        unreachable!("the tries above come to an end")
    }
}
