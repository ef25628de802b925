//! `--setup`: puts a satellite in the sky, or finds the one that is there, and lets this machine in.
//!
//! Owns the order of things: look, launch what is missing, be let in, prove it, remember. Every step can
//! break off, and the next `--setup` goes on where that one was. It never ends a satellite.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use skypipe_broker::keys::halves::Halves;
use skypipe_broker::keys::seed::Seed;
use skypipe_broker::keys::token::{Kind, Token};

use super::record::{self, Deployed, Turn};
use super::talk::Console;
use super::target::Target;
use super::{Found, Plan, Provider, State, Talk};
use crate::cli::{Deploy, Setup};
use crate::config::{self, Place};
use crate::exit::{DONE, Failure};
use crate::members::letting::LetIn;
use crate::members::{Member, join};

/// The version of this program, which is what it deploys.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a satellite that the platform says runs may take until it answers here: addresses have to
/// get around first.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long there is between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(1);

/// Sets a satellite up, and returns the exit code.
///
/// # Errors
///
/// When it did not get that far; what to do is told.
pub fn setup(setup: &Setup) -> Result<u8, Failure> {
    let mut talk = Console::new(setup.deploy.json);
    let done = set_up(setup, &mut talk);
    if let Err(failure) = &done {
        talk.fail(failure);
    }
    done.map(|()| DONE)
}

fn set_up(setup: &Setup, talk: &mut Console) -> Result<(), Failure> {
    let _turn = Turn::take()?;
    // What makes no sense is told before anything is done.
    let named = config::named_satellite()?;
    let joined = Joined::here()?;
    let target = match (&setup.target, &joined) {
        (Some(text), _) => Target::parse(text).map_err(Failure::usage)?,
        (None, Joined::Deployed(deployed, _)) => Target::parse(&deployed.target)
            .map_err(|why| Failure::failed(format!("{}: {why}", deployed.target)))?,
        (None, _) => Target::choose(talk)?,
    };
    joined.refuse_another(&target, setup.deploy.app.as_deref())?;
    if target.asks_at_the_terminal() {
        talk.keep_still();
    }
    let mut provider = target.provider(&setup.deploy, joined.name())?;
    let found = look(provider.as_mut(), &target, talk)?;
    joined.refuse_what_is_not_ours(found.as_ref(), &target, provider.as_mut())?;
    let seed = joined.seed(&target)?;
    let found = launch(provider.as_mut(), found, setup, &joined, &seed, talk)?;
    let ready = let_in(provider.as_mut(), &found, &seed, &joined, &target, talk)?;
    record::forget_seed(&target.to_string())?;
    say_ready(&ready, talk);
    if named.is_some() {
        talk.say("but where SATELLITE is set, as it is here, that one is used");
    }
    talk.finish(
        "ready",
        json!({
            "target": target.to_string(),
            "name": found.name,
            "endpoint": ready.place.to_string(),
            "version": ready.version,
            "key": ready.name,
        }),
    );
    Ok(())
}

/// What this machine has at the end.
struct Ready {
    place: Place,
    /// The name of its key.
    name: String,
    /// The satellite's version, as it says itself.
    version: String,
    /// Whether it has founded the satellite just now.
    is_founder: bool,
}

fn say_ready(ready: &Ready, talk: &mut Console) {
    talk.done("");
    talk.say(&format!(
        "ready: this machine uses the satellite at {}, as {}",
        ready.place, ready.name
    ));
    if ready.is_founder {
        talk.say(
            "skypipe --phrase makes six words with which --setup lets your other machines in; do it now, \
             for without them or this machine nobody can",
        );
    }
}

/// Which satellite this machine uses before it is set up.
enum Joined {
    /// Its own.
    None,
    /// One that was deployed, by this machine or another.
    Deployed(Deployed, Box<Token>),
    /// One it was invited to.
    Invited(Place, Box<Token>),
}

impl Joined {
    fn here() -> Result<Self, Failure> {
        let Some(place) = config::joined_satellite()? else {
            return Ok(Self::None);
        };
        let Place::Invited(_, token) = &place else {
            return Ok(Self::None);
        };
        let token = token.clone();
        Ok(match record::deployed()? {
            Some(deployed) => Self::Deployed(deployed, token),
            None => Self::Invited(place, token),
        })
    }

    /// A machine has one satellite: that it changes must be meant.
    fn refuse_another(&self, target: &Target, app: Option<&str>) -> Result<(), Failure> {
        let is_other = |deployed: &Deployed| {
            deployed.target != target.to_string() || app.is_some_and(|app| app != deployed.name)
        };
        match self {
            Self::Deployed(deployed, _) if is_other(deployed) => Err(Failure::failed(format!(
                "this machine uses the satellite that was set up at {} ({}): skypipe --leave forgets \
                     that one, skypipe --reset ends it",
                deployed.target, deployed.name
            ))),
            _ => Ok(()),
        }
    }

    /// What is at the target must be what this machine uses, if it uses one: its key would be of no use
    /// elsewhere, and what others have there is not to be touched.
    fn refuse_what_is_not_ours(
        &self,
        found: Option<&Found>,
        target: &Target,
        provider: &mut dyn Provider,
    ) -> Result<(), Failure> {
        match (self, found) {
            (Self::Invited(place, _), None) => Err(Failure::failed(format!(
                "this machine has joined the satellite at {place}, which is not at {target}: skypipe --leave \
                 forgets that, and the key with it"
            ))),
            (Self::Deployed(deployed, _), None) => Err(Failure::failed(format!(
                "the satellite that this machine uses, {}, is not at {target} any more: skypipe --leave \
                 forgets it, and then --setup puts another one there",
                deployed.name
            ))),
            (Self::Deployed(deployed, _), Some(found)) if !deployed.is(found) => {
                Err(Failure::failed(format!(
                    "the satellite that this machine used at {target} is gone, and another one is there: \
                     skypipe --leave forgets the old one, and then --setup uses the other"
                )))
            }
            (Self::Invited(_, token), Some(found)) if found.state == State::Running => {
                let told = ask_beside(provider, found, &token.seed)?;
                self.refuse_other_key(&told)
            }
            (Self::Invited(place, token), Some(found)) if !is_founder(found, &token.seed) => {
                Err(Failure::failed(format!(
                    "this machine has joined the satellite at {place}; the one at {target} does not run, so that \
                     it cannot be told whether it is the same: start it from the machine that set it up"
                )))
            }
            _ => Ok(()),
        }
    }

    fn refuse_other_key(&self, told: &LetIn) -> Result<(), Failure> {
        match self.token() {
            Some(token) if token.satellite != told.satellite.0 => {
                Err(Failure::failed(match self {
                    Self::Deployed(..) => {
                        "the satellite there has another key than it had, so it has lost its data: skypipe --reset \
                         ends it, and then --setup begins anew"
                    }
                    Self::None | Self::Invited(..) => {
                        "this machine has joined another satellite already: skypipe --leave forgets that, and the \
                         key with it"
                    }
                }))
            }
            _ => Ok(()),
        }
    }

    /// The founder of what it uses, as far as it is known.
    fn founder(&self) -> Option<&str> {
        match self {
            Self::Deployed(deployed, _) => deployed.founder.as_deref(),
            Self::None | Self::Invited(..) => None,
        }
    }

    /// What the platform calls the satellite that is used already.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Deployed(deployed, _) => Some(&deployed.name),
            Self::None | Self::Invited(..) => None,
        }
    }

    fn token(&self) -> Option<&Token> {
        match self {
            Self::Deployed(_, token) | Self::Invited(_, token) => Some(token),
            Self::None => None,
        }
    }

    /// The seed of this machine's key there: what it has, or what it will have.
    fn seed(&self, target: &Target) -> Result<Seed, Failure> {
        match self.token() {
            Some(token) => Ok(token.seed.clone()),
            None => record::seed(&target.to_string()),
        }
    }
}

fn look(
    provider: &mut dyn Provider,
    target: &Target,
    talk: &mut dyn Talk,
) -> Result<Option<Found>, Failure> {
    talk.begin(&format!("look for a satellite at {target}"));
    let found = provider.find(talk)?;
    talk.done(&match &found {
        None => "none yet".to_owned(),
        Some(found) => format!("{}, {}", found.name, state(found)),
    });
    Ok(found)
}

fn state(found: &Found) -> String {
    let version = match &found.version {
        Some(version) => format!("version {version}"),
        None => "of unknown version".to_owned(),
    };
    match found.state {
        State::Running => version,
        State::Stopped => format!("{version}, stopped"),
        State::Unfinished => "not finished".to_owned(),
    }
}

/// What is to be done about a satellite that was found, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// There is none.
    Launch,
    /// It is not running, or of an older version, or is to change.
    Renew,
    /// All is well.
    Nothing,
    /// It is of a newer version than this program.
    Newer,
}

fn task(found: Option<&Found>, changes: bool) -> Task {
    let Some(found) = found else {
        return Task::Launch;
    };
    match found.version.as_deref().and_then(version) {
        Some(there) if Some(there) > version(VERSION) => Task::Newer,
        _ if found.state == State::Unfinished => Task::Renew,
        there if there == version(VERSION) && found.state == State::Running && !changes => {
            Task::Nothing
        }
        _ => Task::Renew,
    }
}

/// The three numbers of a version; what is behind them makes no difference.
fn version(text: &str) -> Option<[u64; 3]> {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Whether the flags ask for something else than what is there.
fn changes(setup: &Setup) -> bool {
    let Deploy {
        port,
        region,
        ipv4,
        satellite_binary,
        image,
        ..
    } = &setup.deploy;
    port.is_some()
        || region.is_some()
        || *ipv4
        || satellite_binary.is_some()
        || image.is_some()
        || setup.public.is_some()
}

/// Sees to it that a satellite of this version runs.
fn launch(
    provider: &mut dyn Provider,
    found: Option<Found>,
    setup: &Setup,
    joined: &Joined,
    seed: &Seed,
    talk: &mut dyn Talk,
) -> Result<Found, Failure> {
    let founder = found.as_ref().and_then(|found| found.founder.clone());
    let founder = founder.or_else(|| joined.founder().map(str::to_owned));
    let plan = plan(setup, founder, seed)?;
    match (task(found.as_ref(), changes(setup)), found) {
        (Task::Nothing, Some(found)) => Ok(found),
        (Task::Newer, Some(found)) if found.state == State::Running => {
            talk.say(&format!(
                "the satellite is of version {}, newer than this program, and is left as it is",
                found.version.as_deref().unwrap_or_default()
            ));
            Ok(found)
        }
        (Task::Newer, Some(found)) => Err(Failure::failed(format!(
            "the satellite {} does not run or is not finished, and is newer (version {}) than this program (version {VERSION}): \
             start it with the platform's own tools, or run --setup with a skypipe of its version",
            found.name,
            found.version.as_deref().unwrap_or_default()
        ))),
        (_, found) => provider.launch(&plan, found.as_ref(), talk),
    }
}

fn plan(setup: &Setup, founder: Option<String>, seed: &Seed) -> Result<Plan, Failure> {
    let deploy = &setup.deploy;
    let (public, port) = match setup.public.as_deref().map(split) {
        None => (None, None),
        Some((host, port)) => (Some(host), port),
    };
    if let (Some(one), Some(other)) = (port, deploy.port)
        && one != other
    {
        return Err(Failure::usage(format!(
            "--public names port {one} and --port says {other}"
        )));
    }
    Ok(Plan {
        version: VERSION.to_owned(),
        founder: founder.unwrap_or_else(|| Halves::of(seed).to_string()),
        port: deploy.port.or(port),
        public,
        binary: deploy.satellite_binary.clone(),
        image: deploy.image.clone(),
    })
}

/// Host and port of `HOST[:PORT]`, which the flag's own check has found good.
fn split(public: &str) -> (String, Option<u16>) {
    match public.rsplit_once(':') {
        Some((host, port)) if !public.ends_with(']') => (host.to_owned(), port.parse().ok()),
        _ => (public.to_owned(), None),
    }
}

/// What is said beside the satellite of the machine with this seed.
fn ask_beside(provider: &mut dyn Provider, found: &Found, seed: &Seed) -> Result<LetIn, Failure> {
    // A key may begin with a dash, and must not be taken for a flag.
    let key = format!("--for={}", Halves::of(seed));
    LetIn::parse(&provider.beside(found, &["--keys", &key])?)
}

/// Whether the machine with this seed has founded what was found.
fn is_founder(found: &Found, seed: &Seed) -> bool {
    found.founder.as_deref() == Some(&Halves::of(seed).to_string())
}

/// Gets this machine a key of its own, and proves it.
fn let_in(
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
        let key = format!("--for={}", Halves::of(&seed));
        told = LetIn::parse(&provider.beside(found, &["--invite", &machine(), &key])?)?;
    }
    let name = told.name.clone().unwrap_or_default();
    talk.done(&name);
    let addresses = [Some(provider.endpoint(found)?), told.address.clone()];
    let token = Token {
        host: String::new(),
        port: 0,
        kind,
        satellite: told.satellite.0,
        seed,
        expires,
    };
    let members = members(addresses.into_iter().flatten(), &token)?;
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
fn advise(failure: Failure) -> Failure {
    if !failure.sentence.contains("skypipe --phrase makes one") {
        return failure;
    }
    Failure {
        sentence: format!(
            "{}; if there is no such machine any more, skypipe --reset TARGET ends the satellite",
            failure.sentence
        ),
        ..failure
    }
}

/// This machine as a member, at each address under which the satellite may be reached from here.
fn members(addresses: impl Iterator<Item = String>, token: &Token) -> Result<Vec<Member>, Failure> {
    let member = |address: String| {
        let parts = address.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        let (host, port) = parts
            .ok_or_else(|| Failure::failed(format!("{address} is no address of a satellite")))?;
        let token = Token {
            host,
            port,
            ..token.clone()
        };
        Member::at(config::invited(&token.encode()).map_err(Failure::failed)?)
    };
    let mut members = addresses.map(member).collect::<Result<Vec<_>, _>>()?;
    members.dedup_by_key(|member| member.place.to_string());
    Ok(members)
}

/// What this machine is called where its key is listed.
fn machine() -> String {
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

#[cfg(test)]
mod tests;
