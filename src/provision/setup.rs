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

use super::record::{self, Deployed};
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
    let joined = Joined::here()?;
    let target = match (&setup.target, &joined) {
        (Some(text), _) => Target::parse(text).map_err(Failure::usage)?,
        (None, Joined::Deployed(deployed, _)) => Target::parse(&deployed.target)
            .map_err(|why| Failure::failed(format!("{}: {why}", deployed.target)))?,
        (None, _) => Target::choose(talk)?,
    };
    joined.refuse_another(&target)?;
    let mut provider = target.provider(&setup.deploy, joined.name())?;
    let seed = joined.seed(&target)?;
    let found = look(provider.as_mut(), &target, talk)?;
    let is_new = found.is_none();
    let found = launch(provider.as_mut(), found, setup, &seed, talk)?;
    let endpoint = provider.endpoint(&found)?;
    let (place, name) = let_in(provider.as_mut(), &found, &seed, &endpoint, &joined, talk)?;
    record::remember(&Deployed {
        target: target.to_string(),
        name: found.name.clone(),
    })?;
    record::forget_seed(&target.to_string())?;
    talk.finish(
        "ready",
        json!({
            "target": target.to_string(),
            "name": found.name,
            "endpoint": place.to_string(),
            "version": found.version,
            "key": name,
        }),
    );
    say_ready(&place, &name, is_new, talk);
    if config::named_satellite()?.is_some() {
        talk.say("but where SATELLITE is set, as it is here, that one is used");
    }
    Ok(())
}

fn say_ready(place: &Place, name: &str, is_new: bool, talk: &mut Console) {
    talk.say(&format!(
        "ready: this machine uses the satellite at {place}, as {name}"
    ));
    if is_new {
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
    fn refuse_another(&self, target: &Target) -> Result<(), Failure> {
        match self {
            Self::Deployed(deployed, _) if deployed.target != target.to_string() => {
                Err(Failure::failed(format!(
                    "this machine uses the satellite that was set up at {} ({}): skypipe --leave forgets \
                     that one, skypipe --reset ends it",
                    deployed.target, deployed.name
                )))
            }
            _ => Ok(()),
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
    if found.state == State::Unfinished {
        return Task::Renew;
    }
    match found.version.as_deref().and_then(version) {
        Some(there) if Some(there) > version(VERSION) => Task::Newer,
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
        ipv4,
        satellite_binary,
        image,
        ..
    } = &setup.deploy;
    port.is_some()
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
    seed: &Seed,
    talk: &mut dyn Talk,
) -> Result<Found, Failure> {
    let plan = plan(setup, found.as_ref(), seed)?;
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
            "the satellite {} is stopped, and newer (version {}) than this program (version {VERSION}): start \
             it with the platform's own tools, or run --setup with a skypipe of its version",
            found.name,
            found.version.as_deref().unwrap_or_default()
        ))),
        (_, found) => provider.launch(&plan, found.as_ref(), talk),
    }
}

fn plan(setup: &Setup, found: Option<&Found>, seed: &Seed) -> Result<Plan, Failure> {
    let founder = found.and_then(|found| found.founder.clone());
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

/// Gets this machine a key of its own, and proves it. Returns where the satellite is and the key's name.
fn let_in(
    provider: &mut dyn Provider,
    found: &Found,
    seed: &Seed,
    endpoint: &str,
    joined: &Joined,
    talk: &mut dyn Talk,
) -> Result<(Place, String), Failure> {
    talk.begin("get this machine a key");
    let halves = Halves::of(seed);
    // A key may begin with a dash, and must not be taken for a flag.
    let words = ["--invite", &machine(), &format!("--for={halves}")];
    let told = LetIn::parse(&provider.beside(found, &words)?)?;
    talk.done(&told.name);
    let kind = match joined.token() {
        Some(token) if token.satellite == told.satellite.0 => token.kind,
        Some(_) => return Err(another(joined)),
        None if found.founder.as_deref() == Some(&halves.to_string()) => Kind::Founder,
        None => Kind::Phrase,
    };
    let (host, port) = endpoint
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| Failure::failed(format!("{endpoint} is no address of a satellite")))?;
    let token = Token {
        host,
        port,
        kind,
        satellite: told.satellite.0,
        seed: seed.clone(),
        expires: joined.token().and_then(|token| token.expires),
    };
    let mut member = Member::at(config::invited(&token.encode()).map_err(Failure::failed)?)?;
    talk.begin(&format!(
        "shake hands with the satellite at {}",
        member.place
    ));
    reach(&member)?;
    talk.done("it has the key that it should have");
    join::come_in(&mut member)?;
    join::keep(&member.token)?;
    Ok((member.place, told.name))
}

fn another(joined: &Joined) -> Failure {
    let place = match joined {
        Joined::Invited(place, _) => place.to_string(),
        Joined::Deployed(deployed, _) => deployed.name.clone(),
        Joined::None => String::new(),
    };
    Failure::failed(format!(
        "this machine has joined another satellite already, {place}: skypipe --leave forgets that, and the \
         key with it"
    ))
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

/// Waits until the satellite answers, with its own key and to ours.
fn reach(member: &Member) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match member.own_key() {
            Ok(_) => return Ok(()),
            Err(failure) if Instant::now() >= end => {
                return Err(Failure {
                    sentence: format!(
                        "{}; the satellite runs, so what is between may not let this machine through (a \
                         firewall, a closed port): when that is put right, say --setup once more",
                        failure.sentence
                    ),
                    ..failure
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests;
