//! How a machine gets in: a key of its own, let in beside the satellite, and the proof that it works.
//!
//! Owns which key that is, and the wait until the satellite answers. No secret leaves this machine.

use std::thread;
use std::time::{Duration, Instant};

use skypipe_broker::keys::address::Address;
use skypipe_broker::keys::public_keys::PublicKeys;
use skypipe_broker::keys::seed::Seed;
use skypipe_broker::keys::token::{Kind, Token};

use super::joined::Joined;
use crate::access::enroll::Enrolled;
use crate::access::join::NotIn;
use crate::access::{Member, join};
use crate::config::{self, Place};
use crate::exit::Failure;
use crate::provision::record::{self, Deployed};
use crate::provision::target::Target;
use crate::provision::{Found, Provider, Talk};

/// How long a satellite that the platform says runs may take until it answers here: addresses have to
/// get around first.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long there is between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(1);

/// What this machine has at the end.
pub(super) struct Ready {
    /// Where the satellite is.
    pub place: Place,
    /// The name of its key.
    pub name: String,
    /// The satellite's version, as it says itself.
    pub version: String,
    /// Whether it has founded the satellite just now.
    pub is_founder: bool,
}

/// What is said beside the satellite of the machine with this seed.
pub(super) fn ask_beside(
    provider: &mut dyn Provider,
    found: &Found,
    seed: &Seed,
) -> Result<Enrolled, Failure> {
    // A key may begin with a dash, and must not be taken for a flag.
    let key = format!("--for={}", PublicKeys::of(seed));
    Enrolled::parse(&provider.beside(found, &["--keys", &key])?)
}

/// Whether the machine with this seed has founded what was found.
pub(super) fn is_founder(found: &Found, seed: &Seed) -> bool {
    found.founder.as_deref() == Some(&PublicKeys::of(seed).to_string())
}

/// Gets this machine a key of its own, and proves it.
pub(super) fn let_in(
    provider: &mut dyn Provider,
    found: &Found,
    seed: &Seed,
    joined: &Joined,
    target: &Target,
    talk: &mut dyn Talk,
) -> Result<Ready, Failure> {
    talk.begin("get this machine a key");
    let mut told = ask_beside(provider, found, seed)?;
    joined.refuse_other_key(&told)?;
    let mut seed = seed.clone();
    let mut expires = joined.token().and_then(|token| token.expires);
    let mut kind = match joined.token() {
        Some(token) => token.kind,
        None if is_founder(found, &seed) => Kind::Founder,
        None => Kind::Phrase,
    };
    if told.name.is_none() {
        // Nobody has let it in yet, or its key has ended, and another founder was here before.
        kind = Kind::Phrase;
        expires = None;
        if joined.token().is_some() {
            talk.say("this machine's key has ended there, so it gets another one");
            seed = record::seed(&target.to_string())?;
        }
        let key = format!("--for={}", PublicKeys::of(&seed));
        told = Enrolled::parse(&provider.beside(found, &["--invite", &machine(), &key])?)?;
    }
    let name = told.name.clone().unwrap_or_default();
    talk.done(&name);
    let addresses = [Some(provider.endpoint(found)?), told.address.clone()];
    let at = |address| Token {
        address,
        kind,
        satellite: told.satellite.0,
        seed: seed.clone(),
        expires,
    };
    let members = members(addresses.into_iter().flatten(), &at)?;
    let mut member = reach(members, talk)?;
    let phrase = "the phrase is asked for, and nobody can be asked here: set SKYPIPE_PHRASE to it, or \
                  SKYPIPE_PHRASE_FILE to a file that holds it";
    join::come_in(&mut member, &mut || talk.secret("phrase", phrase)).map_err(advise)?;
    // Before the key is kept: whatever happens in between, the next --setup and --reset know of it.
    record::remember(&Deployed {
        target: target.to_string(),
        name: found.name.clone(),
        founder: found.founder.clone(),
    })?;
    join::keep(&member.token)?;
    let version = told.program.rsplit(' ').next().unwrap_or_default();
    Ok(Ready {
        place: member.place,
        name,
        version: version.to_owned(),
        is_founder: kind == Kind::Founder && joined.token().is_none(),
    })
}

/// Who knows no phrase, and has no other machine that is let in, gets no further.
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

/// This machine as a member, at each address under which the satellite may be reached from here.
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

/// What this machine is called where its key is listed.
pub(super) fn machine() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(15).collect();
    // It must not be taken for a flag.
    match name.trim_start_matches('-') {
        "" => "machine".to_owned(),
        name => name.to_owned(),
    }
}

/// Waits until the satellite answers at one of its addresses, with its own key and to ours.
fn reach(mut members: Vec<Member>, talk: &mut dyn Talk) -> Result<Member, Failure> {
    let places = members.iter().map(|member| member.place.to_string());
    let places: Vec<_> = places.collect();
    talk.begin(&format!(
        "shake hands with the satellite at {}",
        places.join(" or ")
    ));
    let end = Instant::now() + PATIENCE;
    let mut first = None;
    loop {
        for at in 0..members.len() {
            match members[at].own_key() {
                Ok(_) => {
                    talk.done("it has the key that it should have");
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
                    "{}; the satellite runs, so what is between may not let this machine through (a firewall, a \
                     closed port), or it goes by another name (--public): when that is put right, say --setup \
                     once more",
                    failure.sentence
                ),
                ..failure
            });
        }
        thread::sleep(PAUSE);
    }
}
