//! Starts a satellite on an engine, or replaces a running one.
//!
//! Owns the order of the steps, each of which can be interrupted:
//!
//! 1. Make the volume, with the founder in its labels. From here on `find` finds a satellite.
//! 2. Repair an interrupted upgrade. Of two containers, the new one stays if it works. Otherwise it
//!    is removed, and the old one gets its name back and is started.
//! 3. Send or pull the image.
//! 4. If there is no container, make and start one. If the container is as wanted, start it.
//!    Otherwise stop and rename it, and keep it until its replacement works. If the replacement
//!    fails, the old container gets its name back.
//! 5. Remove the replaced container, and images that no container uses.
//!
//! The data stays in the volume all the time. No step removes the volume.

use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Container, Engine, Kind};
use super::images::{self, Present};
use super::is_labelled;
use super::names::{CONTAINER, DATA, FOUNDER, FROM, LABEL, PROGRAM, REPLACED, VERSION, VOLUME};
use super::wanted::Wanted;
use crate::exit::Failure;
use crate::provision::{Found, Plan, State, Talk};

/// How long a started satellite may take until its check succeeds.
const BEGINNING: Duration = Duration::from_secs(60);

/// The time limit of one check.
const CHECK: Duration = Duration::from_secs(20);

/// The first and the longest pause between two checks. No command waits for a satellite that
/// works, and Podman keeps a process for minutes after each check.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// The containers that exist when a launch begins.
struct Remains {
    current: Option<Container>,
    replaced: Option<Container>,
}

/// Deploys a satellite, or continues a launch. `host` is where others reach the engine's machine,
/// as far as the engine's address tells.
///
/// # Errors
///
/// When the satellite does not run at the end. The previous container then runs again, as far as
/// the engine allows.
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
        Some(current) if !current.is_new() => replace(engine, &wanted)?,
        Some(_) => {
            engine.remove(Kind::Container, CONTAINER)?;
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

/// The container's image, if it can stay: the plan names none, and the version is the same. An
/// image named once stays, and a restart need not pack anything.
fn kept(current: &Container, plan: &Plan) -> Option<Present> {
    let label = |name: &str| current.labels.get(name);
    let names_none = plan.image.is_none() && plan.binary.is_none();
    let is_same = label(VERSION) == Some(&plan.version);
    let name = label(FROM).filter(|_| names_none && is_same)?;
    Some(Present {
        name: name.clone(),
        id: current.image.clone(),
    })
}

/// The container with this name, if there is one. A container without our label belongs to somebody
/// else, which is an error.
fn own_container(engine: &Engine, name: &str) -> Result<Option<Container>, Failure> {
    let container = engine.container(name)?;
    if container
        .as_ref()
        .is_some_and(|found| !is_labelled(&found.labels))
    {
        return Err(Failure::failed(format!(
            "{} has a container named {name} that is not skypipe's: rename or remove it, and try again",
            engine.place()
        )));
    }
    Ok(container)
}

/// Makes the volume if there is none, and returns the satellite's founder. The founder stays the
/// same for as long as any part of the satellite exists.
fn founder(
    engine: &Engine,
    remains: &Remains,
    plan: &Plan,
    found: Option<&Found>,
) -> Result<String, Failure> {
    let volume = engine.volume(VOLUME)?;
    if volume.as_ref().is_some_and(|found| !is_labelled(found)) {
        return Err(Failure::failed(format!(
            "{} has a volume named {VOLUME} that is not skypipe's: remove it, and try again",
            engine.place()
        )));
    }
    let containers = [&remains.current, &remains.replaced].into_iter().flatten();
    let labels = containers.map(|container| &container.labels);
    let known = labels
        .chain(volume.as_ref())
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
        engine.create_volume(VOLUME, &labels)?;
    }
    Ok(founder)
}

/// Repairs an interrupted upgrade. At most one container is left.
fn settle(engine: &Engine, remains: Remains) -> Result<Option<Container>, Failure> {
    let Some(replaced) = remains.replaced else {
        return Ok(remains.current);
    };
    if let Some(current) = remains.current {
        if current.is_running() && wait_until_it_works(engine).is_ok() {
            engine.remove(Kind::Container, REPLACED)?;
            return Ok(Some(current));
        }
        engine.remove(Kind::Container, CONTAINER)?;
    }
    engine.rename(REPLACED, CONTAINER)?;
    // The old container serves while the image is sent. If it cannot start, its replacement still
    // might.
    if !replaced.is_new() {
        let _ = engine.start(CONTAINER);
    }
    engine.container(CONTAINER)
}

/// Makes and starts a container, and waits until it works.
fn begin(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    engine.create(CONTAINER, &wanted.options(engine.is_podman))?;
    go_on(engine, wanted.port)
}

/// Starts the existing container, and waits until it works.
fn go_on(engine: &Engine, port: u16) -> Result<(), Failure> {
    engine
        .start(CONTAINER)
        .map_err(|failure| cannot_start(engine, port, &failure))?;
    wait_until_it_works(engine)
}

fn cannot_start(engine: &Engine, port: u16, failure: &Failure) -> Failure {
    // The text of Docker, and that of the system, which Podman passes on.
    let taken = ["port is already allocated", "address already in use"];
    let words = &failure.sentence;
    if taken.iter().any(|mark| words.contains(mark)) {
        return Failure::failed(format!(
            "port {port} is taken at {}: end what has it, or choose another port ({words})",
            engine.place()
        ));
    }
    Failure::failed(format!("the satellite cannot be started: {words}"))
}

/// Waits until the check of the satellite in the container succeeds. Fails at once if the container
/// exits or is restarted.
fn wait_until_it_works(engine: &Engine) -> Result<(), Failure> {
    let deadline = Instant::now() + BEGINNING;
    let mut restarts = None;
    let (mut pause, longest) = AGAIN;
    loop {
        let container = engine.container(CONTAINER)?;
        let container =
            container.ok_or_else(|| Failure::failed("the container was removed just now"))?;
        let before = *restarts.get_or_insert(container.restarts);
        if !container.is_running() || container.restarts != before {
            return Err(ended(engine, &container));
        }
        let command = [PROGRAM, "--check", "--data", DATA];
        let Err(why) = engine.exec(CONTAINER, &command, CHECK) else {
            return Ok(());
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
    let told = container.exit_code;
    let code = if container.has_ended() {
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

/// Makes and starts a container where there was none. Removes it if it does not work.
fn begin_or_remove(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    begin(engine, wanted).inspect_err(|_| {
        // The failure is reported already, and the next launch removes the container as well.
        let _ = engine.remove(Kind::Container, CONTAINER);
    })
}

/// Replaces a container. If the new one does not work, the old one is restored.
fn replace(engine: &Engine, wanted: &Wanted) -> Result<(), Failure> {
    engine.stop(CONTAINER)?;
    engine.rename(CONTAINER, REPLACED)?;
    begin(engine, wanted).map_err(|failure| {
        let again = match bring_back(engine) {
            Ok(()) => "the one that was there before is back".to_owned(),
            Err(why) => format!("the one before it is not back yet: try again ({why})"),
        };
        Failure {
            sentence: format!("{failure}; {again}"),
            ..failure
        }
    })
}

fn bring_back(engine: &Engine) -> Result<(), Failure> {
    engine.remove(Kind::Container, CONTAINER)?;
    engine.rename(REPLACED, CONTAINER)?;
    engine.start(CONTAINER)
}

/// Removes the container and the images that the running satellite does not need.
fn tidy(engine: &Engine, image: &Present) -> Result<(), Failure> {
    let mut images = images::ours(engine)?;
    if let Some(replaced) = own_container(engine, REPLACED)? {
        engine.remove(Kind::Container, REPLACED)?;
        images.push(replaced.image);
    }
    for name in images
        .iter()
        .filter(|name| **name != image.name && **name != image.id)
    {
        // An image that something else uses stays. It harms no satellite.
        let _ = engine.remove(Kind::Image, name);
    }
    Ok(())
}
