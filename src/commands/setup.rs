//! `--setup`: deploys a satellite, or finds a deployed one, and enrolls this machine.
//!
//! Owns the order of the steps: look, launch what is missing, enroll, prove the key, remember. Any
//! step can be interrupted; the next `--setup` continues there. Never destroys a satellite.

mod enroll;
mod joined;

use serde_json::json;
use skypipe_protocol::address::Transport;
use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::seed::Seed;

use self::enroll::{Ready, enroll};
use self::joined::Joined;
use crate::cli::{Deploy, Setup};
use crate::config;
use crate::exit::Failure;
use crate::provision::console::StdioConsole;
use crate::provision::record::{self, Lock};
use crate::provision::target::Target;
use crate::provision::{Console, Found, Host, Plan, State, launch};

/// The version of this program, which is the version that it deploys.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sets a satellite up, and returns the exit code.
///
/// # Errors
///
/// When a step failed. The error says what to do.
pub fn setup(setup: &Setup) -> Result<u8, Failure> {
    StdioConsole::over(setup.deploy.json, |console| set_up(setup, console))
}

fn set_up(setup: &Setup, console: &mut StdioConsole) -> Result<(), Failure> {
    let _lock = Lock::take()?;
    // Invalid settings are reported before anything is done.
    let named = config::named_satellite()?;
    let joined = Joined::here()?;
    let target = match (&setup.target, &joined) {
        (Some(text), _) => Target::parse(text).map_err(Failure::usage)?,
        (None, Joined::Deployed(deployed, _)) => Target::recorded(&deployed.target)
            .map_err(|why| Failure::failed(format!("{}: {why}", deployed.target)))?,
        (None, _) => Target::choose(console)?,
    };
    joined.refuse_another(&target, setup.deploy.app.as_deref())?;
    if target.asks_at_the_terminal() {
        console.keep_still();
    }
    let mut host = target.host(&setup.deploy, joined.name())?;
    let found = look(host.as_mut(), &target, console)?;
    joined.refuse_what_is_not_ours(found.as_ref(), &target, host.as_mut())?;
    let seed = joined.seed(&target)?;
    let found = ensure(host.as_mut(), found, setup, &joined, &seed, console)?;
    let ready = enroll(host.as_mut(), &found, &seed, &joined, &target, console)?;
    record::forget_seed(&target.to_string())?;
    say_ready(&ready, console);
    if named.is_some() {
        console.say("SATELLITE is set here and takes precedence; to use this satellite, unset it");
    }
    console.finish(
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

fn say_ready(ready: &Ready, console: &mut StdioConsole) {
    console.done("");
    console.say(&format!(
        "ready: this machine uses the satellite at {}, as {}",
        ready.place, ready.name
    ));
    if ready.is_owner {
        console.say(
            "to enroll your other machines, make a phrase of six words now: skypipe --phrase (without the \
             phrase or this machine, nobody can enroll another)",
        );
    }
}

fn look(
    host: &mut dyn Host,
    target: &Target,
    console: &mut dyn Console,
) -> Result<Option<Found>, Failure> {
    console.begin(&format!("look for a satellite at {target}"));
    let found = host.find(console)?;
    console.done(&match &found {
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

/// What to do about the satellite that was found, or was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// There is no satellite.
    Launch,
    /// The satellite is not running, has an older version, or the flags change it.
    Renew,
    /// The satellite runs and needs no change.
    Nothing,
    /// The satellite has a newer version than this program.
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

/// The three numbers of a version. Anything behind them is ignored.
fn version(text: &str) -> Option<[u64; 3]> {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Whether the flags ask for something other than what is there.
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

/// Makes sure that a satellite of this version runs.
fn ensure(
    host: &mut dyn Host,
    found: Option<Found>,
    setup: &Setup,
    joined: &Joined,
    seed: &Seed,
    console: &mut dyn Console,
) -> Result<Found, Failure> {
    let owner = found.as_ref().and_then(|found| found.owner.clone());
    let owner = owner.or_else(|| joined.owner().map(str::to_owned));
    let plan = plan(setup, owner, seed)?;
    match (task(found.as_ref(), changes(setup)), found) {
        (Task::Nothing, Some(found)) => Ok(found),
        (Task::Newer, Some(found)) if found.state == State::Running => {
            console.say(&format!(
                "the satellite has version {}, which is newer than this program; it is unchanged",
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
        (_, found) => launch::launch(host, &plan, found.as_ref(), console),
    }
}

fn plan(setup: &Setup, owner: Option<String>, seed: &Seed) -> Result<Plan, Failure> {
    let deploy = &setup.deploy;
    let public = setup.public.as_ref().map(|public| public.at(1));
    if let Some(address) = public.as_ref().filter(|it| it.transport != Transport::Tcp) {
        return Err(Failure::usage(format!(
            "{address} needs a web server in front of the satellite, which --setup does not put there: \
             with --setup, --public is HOST or HOST:PORT"
        )));
    }
    let named = setup.public.as_ref().filter(|public| public.has_port());
    let port = named.map(|public| public.at(1).port);
    if let (Some(one), Some(other)) = (port, deploy.port)
        && one != other
    {
        return Err(Failure::usage(format!(
            "--public names port {one} and --port says {other}"
        )));
    }
    Ok(Plan {
        version: VERSION.to_owned(),
        owner: owner.unwrap_or_else(|| PublicKeys::of(seed).to_string()),
        port: deploy.port.or(port),
        public: public.map(|address| address.host),
        binary: deploy.satellite_binary.clone(),
        image: deploy.image.clone(),
    })
}

#[cfg(test)]
mod tests;
