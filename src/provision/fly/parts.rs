//! The parts of a satellite that are created before its machine: the app, the volume, the
//! addresses.
//!
//! Owns that each part is created once, and is reused if it exists.

use std::net::{IpAddr, Ipv6Addr};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::account::{Account, Owner};
use super::api::{Ask, FRESH, TICK, segment};
use super::config::guest;
use super::fault::Fault;
use super::things::{ALPHABET, Address, LETTERS, Machine, PREFIX, VOLUME, Volume};
use crate::exit::Failure;
use crate::provision::Talk;

/// How many names are tried. There are 2^50 names, so even one that is taken would be a surprise.
const NAMES: usize = 5;

/// How often creating an app of one name is tried, and how often its existence is checked.
const TRIES: u32 = 5;

/// Some global address, to check whether this machine has a route to such addresses.
const GLOBAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1));

const PRICE: &str = "an IPv4 address at Fly.io costs about $2 a month; without one, only machines that have IPv6 \
                     reach the satellite";

/// The result of creating an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// The app was created now.
    New,
    /// The app exists already, in this account.
    There,
    /// The app exists in another account.
    Taken,
}

impl Account<'_> {
    /// Creates an app with an unused name, and returns the name and whether the app existed before.
    /// The name derives from the founder's key, so that an interrupted launch finds its app again
    /// even if the platform does not list it yet.
    ///
    /// # Errors
    ///
    /// When the platform refuses.
    pub fn make_app(
        &mut self,
        org: &str,
        founder: &str,
        talk: &mut dyn Talk,
    ) -> Result<(String, bool), Failure> {
        talk.begin("create an app at Fly.io");
        for number in 0..NAMES {
            let name = name_of(founder, number);
            let made = self.make_named(&name, org);
            let made = made.map_err(|fault| fault.failure("create an app"))?;
            if made == Made::Taken {
                continue;
            }
            self.api.created(&name, self.around);
            talk.done(&name);
            return Ok((name, made == Made::There));
        }
        Err(Failure::failed(
            "Fly.io calls every name taken that was tried for an app",
        ))
    }

    fn make_named(&mut self, name: &str, org: &str) -> Result<Made, Fault> {
        let body = json!({ "name": name, "org_slug": org });
        for tries in 1.. {
            let Err(fault) = self.ask::<Value>(&Ask::post("/apps", &body)) else {
                return Ok(Made::New);
            };
            if matches!(&fault, Fault::Refused(refusal) if refusal.is_taken()) {
                return self.whose(name);
            }
            if !fault.is_passing() || tries == TRIES {
                return Err(fault);
            }
            // The app may have been created all the same. If the platform does not know it yet, the
            // next attempt finds the name taken.
            self.around.sleep(TICK * tries);
            match self.owner_so_far(name)? {
                Owner::We => return Ok(Made::New),
                Owner::Others => return Ok(Made::Taken),
                Owner::Nobody => {}
            }
        }
        unreachable!("the tries above come to an end")
    }

    /// Which account owns an app whose name is taken. The platform may not know an app for a while
    /// after its creation, so this waits for it.
    fn whose(&mut self, name: &str) -> Result<Made, Fault> {
        let until = self.around.now() + FRESH;
        loop {
            match self.owner_so_far(name)? {
                Owner::We => return Ok(Made::There),
                Owner::Others => return Ok(Made::Taken),
                Owner::Nobody if self.around.now() >= until => return Ok(Made::Taken),
                Owner::Nobody => self.around.sleep(TICK),
            }
        }
    }

    /// Which account owns an app, as far as the platform knows. For a new app it may answer 401 as
    /// well as 404; both mean nobody.
    fn owner_so_far(&mut self, name: &str) -> Result<Owner, Fault> {
        match self.owner(name) {
            Err(fault) if fault.status() == Some(401) => Ok(Owner::Nobody),
            owner => owner,
        }
    }

    /// The volume in this region. It is created if there is none.
    ///
    /// # Errors
    ///
    /// When the platform refuses.
    pub fn volume(
        &mut self,
        app: &str,
        region: &str,
        volumes: &[Volume],
        talk: &mut dyn Talk,
    ) -> Result<Volume, Failure> {
        let there = volumes
            .iter()
            .find(|volume| volume.region.as_deref() == Some(region));
        if let Some(volume) = there {
            return Ok(volume.clone());
        }
        talk.begin(&format!("create a volume in {region}"));
        let path = format!("/apps/{}/volumes", segment(app));
        // The request names the size of the machine, so that the platform puts the volume on a host
        // that has capacity for it.
        let body = json!({
            "name": VOLUME, "region": region, "size_gb": 1, "encrypted": true, "compute": guest(),
        });
        let look = |account: &mut Self| {
            let volumes = account.volumes(app)?;
            Ok(volumes
                .into_iter()
                .find(|volume| volume.region.as_deref() == Some(region)))
        };
        let made = self.make(&path, &body, &look);
        let volume =
            made.map_err(|fault| fault.failure(&format!("create a volume in {region}")))?;
        talk.done("1 GB");
        Ok(volume)
    }

    /// The region in which to continue a launch: that of its volume, which cannot move. If another
    /// region is named, for example because this one has no capacity, a new volume there is used
    /// instead. That requires that no machine can have written to the old volume.
    ///
    /// # Errors
    ///
    /// When the volume may hold data, or no region was chosen.
    pub fn region_for(
        &mut self,
        app: Option<&str>,
        volumes: &[Volume],
        talk: &mut dyn Talk,
    ) -> Result<String, Failure> {
        let newest = volumes.iter().max_by_key(|volume| &volume.created_at);
        let (Some(app), Some(newest)) = (app, newest) else {
            return self.region(talk);
        };
        let there = newest.region.clone().unwrap_or_default();
        let Some(said) = self.said_region().map(str::to_owned) else {
            return Ok(there);
        };
        if volumes
            .iter()
            .any(|volume| volume.region.as_ref() == Some(&said))
        {
            return Ok(said);
        }
        let path = format!("/apps/{}/machines?include_deleted=true", segment(app));
        let machines = self.ask::<Option<Vec<Machine>>>(&Ask::get(&path));
        let machines =
            machines.map_err(|fault| fault.failure(&format!("list the machines of {app}")))?;
        if machines.iter().flatten().any(Machine::may_have_run) {
            return Err(Failure::failed(format!(
                "the satellite's data lie on a volume in {there}, which cannot move to {said}: name {there} \
                 as the region"
            )));
        }
        let id = &newest.id;
        talk.say(&format!(
            "the volume {id} in {there} is empty and stays until the satellite is destroyed"
        ));
        Ok(said)
    }

    /// Whether to assign an IPv4 address in addition to the IPv6 address.
    ///
    /// # Errors
    ///
    /// When the person does not answer.
    pub fn wants_ipv4(&self, addresses: &[IpAddr], talk: &mut dyn Talk) -> Result<bool, Failure> {
        if self.options.ipv4 || addresses.iter().any(IpAddr::is_ipv4) {
            return Ok(self.options.ipv4);
        }
        let here = if self.around.has_route(GLOBAL) {
            ""
        } else {
            ", which this one has not"
        };
        let answer = talk.confirm(&format!("{PRICE}{here}. Take an IPv4 address?"))?;
        Ok(answer.unwrap_or(false))
    }

    /// The app's addresses. Missing ones are assigned.
    ///
    /// # Errors
    ///
    /// When the platform refuses one.
    pub fn assign(
        &mut self,
        app: &str,
        mut addresses: Vec<IpAddr>,
        ipv4: bool,
        talk: &mut dyn Talk,
    ) -> Result<Vec<IpAddr>, Failure> {
        if !addresses.iter().any(IpAddr::is_ipv6) {
            addresses.push(self.address(app, "v6", IpAddr::is_ipv6, talk)?);
        }
        if ipv4 && !addresses.iter().any(IpAddr::is_ipv4) {
            addresses.push(self.address(app, "v4", IpAddr::is_ipv4, talk)?);
        }
        Ok(addresses)
    }

    fn address(
        &mut self,
        app: &str,
        kind: &str,
        is_kind: fn(&IpAddr) -> bool,
        talk: &mut dyn Talk,
    ) -> Result<IpAddr, Failure> {
        talk.begin(&format!("get an address of IP{kind}"));
        let path = format!("/apps/{}/ip_assignments", segment(app));
        let look = |account: &mut Self| {
            let mut assignments = account.assignments(app)?;
            assignments.retain(|address| address.public().is_some_and(|ip| is_kind(&ip)));
            Ok(assignments.into_iter().next())
        };
        let made = self.make::<Address>(&path, &json!({ "type": kind }), &look);
        let doing = format!("assign an address of IP{kind}");
        let address = made.map_err(|fault| fault.failure(&doing))?;
        let address = address.public().filter(is_kind);
        let address = address.ok_or_else(|| {
            Fault::Odd("it is another kind of address".to_owned()).failure(&doing)
        })?;
        talk.done(&address.to_string());
        Ok(address)
    }
}

/// The name of the founder's app. Larger numbers give other names, for when a name is taken.
fn name_of(founder: &str, number: usize) -> String {
    let hash = digest(&SHA256, format!("{founder} {number}").as_bytes());
    let letters = hash.as_ref().iter().take(LETTERS);
    let letters = letters.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    PREFIX.chars().chain(letters).collect()
}
