//! Starts the container of a satellite, and replaces a running one.
//!
//! Owns the order of the steps, each of which can be interrupted. A container is stopped and renamed,
//! and kept until its replacement works. If an upgrade was interrupted in between, there are two
//! containers: the new one stays if it works. Otherwise it is removed, and the old one gets its name
//! back and is started.
//!
//! The data stays in the volume all the time. No step removes the volume.

use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Container, Engine, Kind};
use super::images::{self, Present};
use super::names::{CONTAINER, DATA, PROGRAM, REPLACED};
use super::own_container;
use super::spec::Spec;
use crate::exit::Failure;
use crate::provision::host::RunError;

/// How long a started satellite may take until its check succeeds.
const BEGINNING: Duration = Duration::from_secs(60);

/// The time limit of one check.
const CHECK: Duration = Duration::from_secs(20);

/// The first and the longest pause between two checks. No command waits for a satellite that
/// works, and Podman keeps a process for minutes after each check.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// The containers of a satellite, before an interrupted upgrade is repaired.
#[derive(Debug, Default)]
pub struct Containers {
    /// The one with the regular name.
    current: Option<Container>,
    /// The one that an upgrade was to replace.
    replaced: Option<Container>,
    /// Whether the current one stays although there are two.
    is_current_good: bool,
}

impl Containers {
    /// Looks at both. Where there are two, the current one stays if it works. Changes nothing.
    pub fn look(engine: &Engine) -> Result<Self, Failure> {
        let current = own_container(engine, CONTAINER)?;
        let replaced = own_container(engine, REPLACED)?;
        let runs = current.as_ref().is_some_and(Container::is_running);
        Ok(Self {
            is_current_good: replaced.is_some() && runs && wait_until_it_works(engine).is_ok(),
            current,
            replaced,
        })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Container> {
        self.current.iter().chain(&self.replaced)
    }

    /// The one that a repair leaves.
    pub fn staying(&self) -> Option<&Container> {
        if self.is_current_good {
            return self.current.as_ref();
        }
        self.replaced.as_ref().or(self.current.as_ref())
    }
}

/// Repairs an interrupted upgrade. One container is left, if there was one.
pub fn repair(engine: &Engine, containers: &mut Containers) -> Result<(), Failure> {
    let Some(replaced) = &containers.replaced else {
        return Ok(());
    };
    if containers.is_current_good {
        engine.remove(Kind::Container, REPLACED)?;
    } else {
        if containers.current.is_some() {
            engine.remove(Kind::Container, CONTAINER)?;
        }
        engine.rename(REPLACED, CONTAINER)?;
        // The old container serves while the image is sent. If it cannot start, its replacement
        // still might.
        if !replaced.is_new() {
            let _ = engine.start(CONTAINER);
        }
        containers.current = engine.container(CONTAINER)?;
    }
    containers.replaced = None;
    Ok(())
}

/// Makes and starts a container, and waits until it works.
fn begin(engine: &Engine, spec: &Spec) -> Result<(), Failure> {
    engine.create(CONTAINER, &spec.options(engine.is_podman))?;
    go_on(engine, spec.port)
}

/// Starts the existing container, and waits until it works.
pub fn go_on(engine: &Engine, port: u16) -> Result<(), Failure> {
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
pub fn begin_or_remove(engine: &Engine, spec: &Spec) -> Result<(), Failure> {
    begin(engine, spec).inspect_err(|_| {
        // The failure is reported already, and the next launch removes the container as well.
        let _ = engine.remove(Kind::Container, CONTAINER);
    })
}

/// Replaces a container, and keeps the old one under another name.
pub fn replace(engine: &Engine, spec: &Spec) -> Result<(), RunError> {
    let stopped = engine.stop(CONTAINER);
    if let Err(failure) = stopped.and_then(|()| engine.rename(CONTAINER, REPLACED)) {
        // It is as it was, but for that.
        let _ = engine.start(CONTAINER);
        return Err(failure.into());
    }
    begin(engine, spec).map_err(RunError::Broken)
}

/// Removes the new container, starts the one that it should have replaced, and waits until that
/// works.
pub fn bring_back(engine: &Engine) -> Result<(), Failure> {
    engine.remove(Kind::Container, CONTAINER)?;
    engine.rename(REPLACED, CONTAINER)?;
    engine.start(CONTAINER)?;
    wait_until_it_works(engine)
}

/// Removes the container and the images that the running satellite does not need.
pub fn tidy(engine: &Engine, image: &Present) -> Result<(), Failure> {
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
