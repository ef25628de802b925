//! Enrolls a machine: a key of its own, enrolled next to the satellite, and the proof that the key
//! works.
//!
//! Owns the choice of that key, and the wait until the satellite answers. No secret leaves this
//! machine.

use std::thread;
use std::time::{Duration, Instant};

use skypipe_protocol::address::Address;
use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::{Kind, Token};

use super::joined::{Joined, enrolled, is_owner};
use crate::access::enroll::Enrolled;
use crate::access::join::NotIn;
use crate::access::{Member, join};
use crate::config::{self, Place};
use crate::exit::Failure;
use crate::joined;
use crate::provision::record::{self, Deployed};
use crate::provision::target::Target;
use crate::provision::{Console, Found, Host};

/// How long a running satellite may take until it answers this machine: a new address takes time to
/// become known everywhere.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The pause between two attempts to reach the satellite.
const PAUSE: Duration = Duration::from_secs(1);

/// The result of a set-up.
pub(super) struct Ready {
    /// The address of the satellite.
    pub place: Place,
    /// The name of this machine's key.
    pub name: String,
    /// The version that the satellite itself reports.
    pub version: String,
    /// Whether this machine has just become the owner of the satellite.
    pub is_owner: bool,
}

/// Gets this machine a key of its own, and proves that the key works.
pub(super) fn enroll(
    host: &mut dyn Host,
    found: &Found,
    seed: &Seed,
    joined: &Joined,
    target: &Target,
    console: &mut dyn Console,
) -> Result<Ready, Failure> {
    console.begin("get this machine a key");
    let mut told = enrolled(host, found, seed)?;
    joined.refuse_other_key(&told)?;
    let mut seed = seed.clone();
    let mut expires = joined.token().and_then(|token| token.expires);
    let mut kind = match joined.token() {
        Some(token) => token.kind,
        None if is_owner(found, &seed) => Kind::Owner,
        None => Kind::Phrase,
    };
    if told.name.is_none() {
        // This machine was never enrolled, or its key was revoked. Another machine is the owner.
        kind = Kind::Phrase;
        expires = None;
        if joined.token().is_some() {
            console.say("this machine's key was revoked, so it gets a new one");
            seed = record::seed(&target.to_string())?;
        }
        let key = format!("--for={}", PublicKeys::of(&seed));
        told = Enrolled::parse(&host.exec(found, &["--invite", &machine(), &key])?)?;
    }
    let name = told.name.clone().unwrap_or_default();
    console.done(&name);
    let addresses = [Some(host.endpoint(found)?), told.address.clone()];
    let at = |address| Token {
        address,
        kind,
        satellite: told.satellite.0,
        seed: seed.clone(),
        expires,
    };
    let members = members(addresses.into_iter().flatten(), &at)?;
    let mut member = reach(members, console)?;
    let phrase = "the phrase is needed, and there is no terminal to ask at: set SKYPIPE_PHRASE to it, or \
                  SKYPIPE_PHRASE_FILE to a file that holds it";
    join::come_in(&mut member, &mut || console.secret("phrase", phrase)).map_err(advise)?;
    // This comes before the key is saved: whatever happens in between, the next `--setup` and
    // `--reset` know the satellite.
    record::remember(&Deployed {
        target: target.to_string(),
        name: found.name.clone(),
        owner: found.owner.clone(),
    })?;
    joined::keep(&member.token)?;
    let version = told.program.rsplit(' ').next().unwrap_or_default();
    Ok(Ready {
        place: member.place,
        name,
        version: version.to_owned(),
        is_owner: kind == Kind::Owner && joined.token().is_none(),
    })
}

/// Adds advice for a person who knows no phrase: without another enrolled machine, only a reset
/// helps.
fn advise(why: NotIn) -> Failure {
    let is_about_phrase = matches!(why, NotIn::NoPhrase);
    let failure = Failure::from(why);
    if !is_about_phrase {
        return failure;
    }
    Failure {
        sentence: format!(
            "{failure}; if there is no such machine any more, skypipe --reset TARGET ends the satellite"
        ),
        ..failure
    }
}

/// This machine as a member, once for each address at which this machine may reach the satellite.
fn members(
    addresses: impl Iterator<Item = String>,
    at: &dyn Fn(Address) -> Token,
) -> Result<Vec<Member>, Failure> {
    let member = |address: String| {
        let address = address
            .parse()
            .map_err(|_| Failure::failed(format!("{address} is no address of a satellite")))?;
        Member::at(config::place_of_token(at(address)).map_err(Failure::failed)?)
    };
    let mut members = addresses.map(member).collect::<Result<Vec<_>, _>>()?;
    members.dedup_by_key(|member| member.place.to_string());
    Ok(members)
}

/// The name of this machine in the list of keys.
pub(super) fn machine() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(15).collect();
    // The name must not be read as a flag.
    match name.trim_start_matches('-') {
        "" => "machine".to_owned(),
        name => name.to_owned(),
    }
}

/// Waits until the satellite answers at one of its addresses, proves its key and accepts ours.
fn reach(mut members: Vec<Member>, console: &mut dyn Console) -> Result<Member, Failure> {
    let places = members.iter().map(|member| member.place.to_string());
    let places: Vec<_> = places.collect();
    console.begin(&format!(
        "shake hands with the satellite at {}",
        places.join(" or ")
    ));
    let end = Instant::now() + TIMEOUT;
    let mut first = None;
    loop {
        for at in 0..members.len() {
            match members[at].own_key() {
                Ok(_) => {
                    console.done("identity verified");
                    return Ok(members.swap_remove(at));
                }
                Err(failure) => {
                    first.get_or_insert(failure);
                }
            }
        }
        if Instant::now() >= end {
            let failure = first.unwrap_or_else(|| Failure::failed("it has no address"));
            return Err(Failure {
                sentence: format!(
                    "{}; the satellite is running, but this machine cannot reach it: a firewall may block the \
                     port, or it has another name (--public). Fix that, then run --setup again",
                    failure.sentence
                ),
                ..failure
            });
        }
        thread::sleep(PAUSE);
    }
}
