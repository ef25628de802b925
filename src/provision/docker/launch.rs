//! How a satellite gets to run on an engine, and how one takes another's place.
//!
//! Owns the order of the steps, which can break off anywhere:
//!
//! 1. The volume is made, with the founder in its labels: from here on something is found.
//! 2. What an upgrade that broke off left is put right: of two containers the new one stays if it works;
//!    else it goes, and the old one gets its name back and is started.
//! 3. The image is sent or pulled.
//! 4. Without a container one is made and started. One that is as it should be is started. Another one is
//!    stopped, renamed, and stays until the one in its place works; if that does not, it gets its name back.
//! 5. The replaced container and images that no container has go.
//!
//! The data is in the volume all the time, which no step here removes.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::containers::Container;
use super::engine::{Engine, Fault};
use super::images::{self, Present};
use super::names::{CONTAINER, DATA, FOUNDER, FROM, LABEL, PROGRAM, REPLACED, VERSION, VOLUME};
use super::wanted::{Wanted, owned};
use crate::exit::Failure;
use crate::provision::{Found, Plan, State, Talk};

/// How long a satellite may take until it works.
const BEGINNING: Duration = Duration::from_secs(60);

/// How long a satellite may take to say whether it works.
const CHECK: Duration = Duration::from_secs(20);

/// After how long it is asked again for the first time, and at last: Podman keeps a process of each time
/// for minutes.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// The containers that are there.
struct Remains {
    current: Option<Container>,
    replaced: Option<Container>,
}

/// Deploys a satellite, or goes on with it. `host` is where others reach the engine's machine, as far as
/// the engine's address tells.
///
/// # Errors
///
/// When it does not run at the end; what was there before runs again then, as far as the engine allows.
pub fn launch(
    engine: &Engine,
    host: &str,
    plan: &Plan,
    found: Option<&Found>,
    talk: &mut dyn Talk,
) -> Result<Found, Failure> {
    let remains = Remains {
        current: own_container(engine, CONTAINER)?,
        replaced: own_container(engine, REPLACED)?,
    };
    let founder = founder(engine, &remains, plan, found)?;
    let current = settle(engine, remains)?;
    let image = match current.as_ref().and_then(|current| kept(current, plan)) {
        Some(image) => image,
        None => images::provide(engine, plan, talk)?,
    };
    let wanted = Wanted::new(plan, host, &founder, current.as_ref(), image);
    talk.begin("start the satellite");
    match &current {
        Some(current) if wanted.is(current) => go_on(engine, wanted.port)?,
        Some(current) if !current.state.is_new() => replace(engine, &wanted)?,
        Some(_) => {
            engine.remove(CONTAINER)?;
            begin_or_remove(engine, &wanted)?;
        }
        None => begin_or_remove(engine, &wanted)?,
    }
    tidy(engine, &wanted.image)?;
    talk.done("");
    Ok(Found {
        name: CONTAINER.to_owned(),
        version: Some(plan.version.clone()),
        founder: Some(founder),
        state: State::Running,
    })
}

/// The image that the container has, if the plan names none and its version is the same: what was named
/// once stays, and nothing has to be packed to start it again.
fn kept(current: &Container, plan: &Plan) -> Option<Present> {
    let label = |name: &str| current.config.labels.get(name);
    let names_none = plan.image.is_none() && plan.binary.is_none();
    let is_same = label(VERSION) == Some(&plan.version);
    let name = label(FROM).filter(|_| names_none && is_same)?;
    Some(Present {
        name: name.clone(),
        id: current.image.clone(),
    })
}

/// The container of this name, if there is one; one without our label is somebody else's.
fn own_container(engine: &Engine, name: &str) -> Result<Option<Container>, Failure> {
    let container = engine.container(name)?;
    if container
        .as_ref()
        .is_some_and(|found| !is_labelled(&found.config.labels))
    {
        return Err(Failure::failed(format!(
            "{} has a container named {name} that is not skypipe's: rename or remove it, and try again",
            engine.place()
        )));
    }
    Ok(container)
}

fn is_labelled(labels: &BTreeMap<String, String>) -> bool {
    labels.get(LABEL).is_some_and(|value| value == "1")
}

/// Makes the volume if there is none. Returns whose satellite it is: who founded it once, for as long as
/// any of it is left.
fn founder(
    engine: &Engine,
    remains: &Remains,
    plan: &Plan,
    found: Option<&Found>,
) -> Result<String, Failure> {
    let volume = engine.volume(VOLUME)?;
    if volume
        .as_ref()
        .is_some_and(|found| !is_labelled(&found.labels))
    {
        return Err(Failure::failed(format!(
            "{} has a volume named {VOLUME} that is not skypipe's: remove it, and try again",
            engine.place()
        )));
    }
    let containers = [&remains.current, &remains.replaced].into_iter().flatten();
    let labels = containers.map(|container| &container.config.labels);
    let known = labels
        .chain(volume.as_ref().map(|volume| &volume.labels))
        .find_map(|labels| labels.get(FOUNDER));
    let founder = known.unwrap_or(&plan.founder).clone();
    if found.is_none() && founder != plan.founder {
        return Err(Failure::failed(format!(
            "somebody else has just launched a satellite at {}: try again, and it is found",
            engine.place()
        )));
    }
    if volume.is_none() {
        let labels = [(LABEL, "1"), (FOUNDER, &founder)];
        engine.create_volume(VOLUME, &owned(&labels))?;
    }
    Ok(founder)
}

/// Puts right what an upgrade that broke off left: at most one container is there afterwards.
fn settle(engine: &Engine, remains: Remains) -> Result<Option<Container>, Failure> {
    let Some(replaced) = remains.replaced else {
        return Ok(remains.current);
    };
    if let Some(current) = remains.current {
        if current.state.is_running() && wait_until_it_works(engine).is_ok() {
            engine.remove(REPLACED)?;
            return Ok(Some(current));
        }
        engine.remove(CONTAINER)?;
    }
    engine.rename(REPLACED, CONTAINER)?;
    // It is to serve while the image is on its way; if it cannot, the one that takes its place might.
    if !replaced.state.is_new() {
        let _ = engine.start(CONTAINER);
    }
    Ok(engine.container(CONTAINER)?)
}

/// Makes a container and starts it; it works at the end.
fn begin(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    engine.create(CONTAINER, &wanted.body(engine.is_podman))?;
    go_on(engine, wanted.port)
}

/// Starts the container that is there; it works at the end.
fn go_on(engine: &Engine, port: u16) -> Result<(), Failure> {
    engine
        .start(CONTAINER)
        .map_err(|fault| cannot_start(engine, port, &fault))?;
    wait_until_it_works(engine)
}

fn cannot_start(engine: &Engine, port: u16, fault: &Fault) -> Failure {
    // Docker's words, and those of the system, which Podman passes on.
    let taken = ["port is already allocated", "address already in use"];
    let words = fault.to_string();
    if taken.iter().any(|mark| words.contains(mark)) {
        return Failure::failed(format!(
            "port {port} is taken at {}: end what has it, or choose another port ({words})",
            engine.place()
        ));
    }
    Failure::failed(format!("the satellite cannot be started: {words}"))
}

/// Waits until the satellite in the container says that it works; fails as soon as it has ended.
fn wait_until_it_works(engine: &Engine) -> Result<(), Failure> {
    let deadline = Instant::now() + BEGINNING;
    let mut restarts = None;
    let (mut pause, longest) = AGAIN;
    loop {
        let container = engine.container(CONTAINER)?;
        let container =
            container.ok_or_else(|| Failure::failed("the container was removed just now"))?;
        let before = *restarts.get_or_insert(container.restart_count);
        if !container.state.is_running() || container.restart_count != before {
            return Err(ended(engine, &container));
        }
        let command = [PROGRAM, "--check", "--data", DATA];
        let why = match engine.run(CONTAINER, &command, CHECK) {
            Ok((0, _)) => return Ok(()),
            Ok((_, output)) => super::stream::words(&output.stderr),
            Err(fault) => fault.to_string(),
        };
        if Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "the satellite runs, and does not work after {} seconds: {why}",
                BEGINNING.as_secs()
            )));
        }
        thread::sleep(pause);
        pause = longest.min(pause * 2);
    }
}

fn ended(engine: &Engine, container: &Container) -> Failure {
    let told = container.state.exit_code;
    let code = if container.state.has_ended() {
        engine.exit_code(CONTAINER).unwrap_or(told)
    } else {
        told
    };
    let words = engine.last_words(CONTAINER);
    let words = if words.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("its last words: {words}")
    };
    Failure::failed(format!(
        "the satellite ended at once with exit code {code}; {words}"
    ))
}

/// The first container: none is left if it does not work.
fn begin_or_remove(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    begin(engine, wanted).inspect_err(|_| {
        // The reason is told already, and the next launch removes it as well.
        let _ = engine.remove(CONTAINER);
    })
}

/// Puts a container in the place of another, which comes back if that does not work.
fn replace(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    engine.stop(CONTAINER)?;
    engine.rename(CONTAINER, REPLACED)?;
    begin(engine, wanted).map_err(|failure| {
        let again = match bring_back(engine) {
            Ok(()) => "the one that was there before is back".to_owned(),
            Err(fault) => format!("the one before it is not back yet: try again ({fault})"),
        };
        Failure {
            sentence: format!("{failure}; {again}"),
            ..failure
        }
    })
}

fn bring_back(engine: &Engine) -> Result<(), Fault> {
    engine.remove(CONTAINER)?;
    engine.rename(REPLACED, CONTAINER)?;
    engine.start(CONTAINER)
}

/// Removes what the satellite that runs now does not need.
fn tidy(engine: &Engine, image: &Present) -> Result<(), Failure> {
    let mut images = images::ours(engine)?;
    if let Some(replaced) = own_container(engine, REPLACED)? {
        engine.remove(REPLACED)?;
        images.push(replaced.image);
    }
    for name in images
        .iter()
        .filter(|name| **name != image.name && **name != image.id)
    {
        images::remove(engine, name)?;
    }
    Ok(())
}
