//! The parts of a satellite that are made before its machine: the app, the volume, the addresses.
//!
//! Owns that each is made once, and is taken as it is where it is there.

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

/// How many names are tried: that even one of 2^50 is taken is a wonder.
const NAMES: usize = 5;

/// How often it is tried to make an app of one name, and to find out whether it was made.
const TRIES: u32 = 5;

/// Some global address, to see whether this machine has a route to such.
const GLOBAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1));

const PRICE: &str = "an IPv4 address at Fly.io costs about $2 a month; without one, only machines that have IPv6 \
                     reach the satellite";

/// What came of the making of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// It was made now.
    New,
    /// It is there, in this account.
    There,
    /// It is another account's.
    Taken,
}

impl Account<'_> {
    /// Makes an app with a name that nobody else has. The name derives from the founder's key, so that a
    /// launch that broke off finds its app again, even if the platform does not list it yet. Says
    /// whether it was there already.
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
            // It may have been made all the same: then it is taken at the next try, if it is not known yet.
            self.around.sleep(TICK * tries);
            match self.owner_so_far(name)? {
                Owner::We => return Ok(Made::New),
                Owner::Others => return Ok(Made::Taken),
                Owner::Nobody => {}
            }
        }
        unreachable!("the tries above come to an end")
    }

    /// Whose an app is of which the platform says that it is there. One that was made just now may be
    /// unknown for a while all the same.
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

    /// Whose an app is, as far as the platform knows already: at first it may say 401 as well as 404.
    fn owner_so_far(&mut self, name: &str) -> Result<Owner, Fault> {
        match self.owner(name) {
            Err(fault) if fault.status() == Some(401) => Ok(Owner::Nobody),
            owner => owner,
        }
    }

    /// The volume in that region, made if there is none.
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
        // The machine is named too, so that the volume gets to a host that has room for one.
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

    /// The region where a launch goes on: that of its volume. A volume cannot move; where another region
    /// is named, as after one without room, a volume there takes its place, if it is sure to be empty.
    ///
    /// # Errors
    ///
    /// When it is not, or none was chosen.
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

    /// Whether there shall be an IPv4 address beside the one of IPv6.
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

    /// The app's addresses, with those that were missing.
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

/// The name that the app of this founder has, or one of those that it has if others are taken.
fn name_of(founder: &str, number: usize) -> String {
    let hash = digest(&SHA256, format!("{founder} {number}").as_bytes());
    let letters = hash.as_ref().iter().take(LETTERS);
    let letters = letters.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    PREFIX.chars().chain(letters).collect()
}
