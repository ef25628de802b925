//! Satellites in containers of Docker or Podman, by the user's own `docker` or `podman` command.
//!
//! Owns which objects belong to a satellite: one container, one volume and one image. Each of them
//! is recognised by both the label and a name in `names`. Objects without both are never touched:
//! images built on ours inherit its label, and a copy of the volume may have the label too.

mod engine;
mod images;
mod names;
mod program;
mod spec;
mod start;
pub mod target;

use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use self::engine::{Container, Engine, Kind, Labels};
use self::images::Present;
use self::names::{
    CONTAINER, DATA, FROM, LABEL, OUTSIDE, OWNER, PROGRAM, PUBLIC, REPLACED, VERSION, VOLUME,
};
use self::spec::Spec;
use self::start::Containers;
use self::target::Target;
use super::host::{Found, Host, RunError, State};
use super::image::Architecture;
use super::plan::Existing;
use super::plan::{Program, Settings};
use super::{Console, PORT, bracketed};
use crate::exit::Failure;

/// The time limit of a command that runs next to the satellite.
const EXEC: Duration = Duration::from_secs(120);

/// An engine of Docker or Podman, as a platform.
#[derive(Debug)]
pub struct Docker {
    target: Target,
    /// The command to use in place of the user's own `docker` or `podman`.
    command: Option<PathBuf>,
    engine: Option<Engine>,
    parts: Parts,
}

/// What exists of a satellite during a launch.
#[derive(Debug, Default)]
struct Parts {
    has_volume: bool,
    /// The containers as they were before the launch. After [`Host::prepare`] there is at most one.
    containers: Containers,
    /// The image that was put there.
    image: Option<Present>,
}

impl Docker {
    /// Creates a host for this engine. Nothing is sent to the engine yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            command: None,
            engine: None,
            parts: Parts::default(),
        }
    }

    /// Like `new`, with this command in place of the user's own `docker` or `podman`.
    #[must_use]
    pub fn with_command(target: Target, command: PathBuf) -> Self {
        Self {
            command: Some(command),
            ..Self::new(target)
        }
    }

    fn engine(&mut self) -> Result<&Engine, Failure> {
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::connect(&self.target, self.command.clone())?,
        };
        Ok(self.engine.insert(engine))
    }
}

/// The name of this machine, by which others may know it.
fn own_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

impl Host for Docker {
    fn find(&mut self, _console: &mut dyn Console) -> Result<Option<Found>, Failure> {
        let engine = self.engine()?;
        if let Some(found) = found(&containers(engine)?) {
            return Ok(Some(found));
        }
        Ok(volume(engine)?.map(|volume| Found {
            version: None,
            owner: volume.get(OWNER).cloned(),
            state: State::Unfinished,
            name: VOLUME.to_owned(),
        }))
    }

    fn inspect(&mut self, _found: Option<&Found>) -> Result<Existing, Failure> {
        let engine = self.engine()?;
        let containers = Containers::look(engine)?;
        let volume = own_volume(engine)?;
        let owner = {
            let labels = containers.all().map(|container| &container.labels);
            let mut labels = labels.chain(&volume);
            labels.find_map(|labels| labels.get(OWNER)).cloned()
        };
        let settings = containers.staying().and_then(settings_of);
        self.parts = Parts {
            has_volume: volume.is_some(),
            containers,
            image: None,
        };
        Ok(Existing { owner, settings })
    }

    fn architecture(&mut self) -> Result<Architecture, Failure> {
        let engine = self.engine()?;
        Architecture::read(&engine.architecture).ok_or_else(|| {
            Failure::failed(format!(
                "{} runs on {}, for which there is no satellite: name an image with --image",
                engine.place(),
                engine.architecture
            ))
        })
    }

    /// Repairs an interrupted upgrade, and makes the volume, with the owner in its labels. From here
    /// on `find` finds a satellite.
    fn prepare(
        &mut self,
        settings: &Settings,
        _console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let mut containers = mem::take(&mut self.parts.containers);
        start::repair(self.engine()?, &mut containers)?;
        self.parts.containers = containers;
        if !self.parts.has_volume {
            let labels = [(LABEL, "1"), (OWNER, settings.owner.as_str())];
            self.engine()?.create_volume(VOLUME, &labels)?;
            self.parts.has_volume = true;
        }
        Ok(CONTAINER.to_owned())
    }

    fn put(
        &mut self,
        program: &Program,
        version: &str,
        console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let image = images::provide(self.engine()?, program, version, console)?;
        let name = image.name.clone();
        self.parts.image = Some(image);
        Ok(name)
    }

    fn run(&mut self, settings: &Settings, _console: &mut dyn Console) -> Result<(), RunError> {
        let image = self.parts.image.clone();
        let container = self.parts.containers.staying().cloned();
        let kept = container.as_ref().map(|container| Present {
            name: settings.program.clone(),
            id: container.image.clone(),
        });
        let image = image.or(kept);
        let image = image.ok_or_else(|| Failure::failed("there is no image to run"))?;
        let engine = self.engine()?;
        let host = engine.host()?.unwrap_or_else(own_name);
        let spec = Spec::new(settings, &host, image);
        match &container {
            Some(container) if spec.is(container) => start::go_on(engine, spec.port)?,
            Some(container) if !container.is_new() => start::replace(engine, &spec)?,
            Some(_) => {
                engine.remove(Kind::Container, CONTAINER)?;
                start::begin_or_remove(engine, &spec)?;
            }
            None => start::begin_or_remove(engine, &spec)?,
        }
        Ok(start::tidy(engine, &spec.image)?)
    }

    fn restore(&mut self, _console: &mut dyn Console) -> Result<(), Failure> {
        start::bring_back(self.engine()?)
    }

    fn endpoint(&mut self, found: &Found) -> Result<String, Failure> {
        let engine = self.engine()?;
        let container = engine.container(&found.name)?;
        let port = container
            .and_then(|container| container.port)
            .ok_or_else(|| {
                Failure::failed(format!("{} has no port at {}", found.name, engine.place()))
            })?;
        let host = engine.host()?.unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(format!("{}:{port}", bracketed(&host)))
    }

    fn exec(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        let command = [&[PROGRAM], arguments, &["--data", DATA]].concat();
        let said = self.engine()?.exec(&found.name, &command, EXEC);
        said.map_err(|why| {
            Failure::failed(format!("the command next to the satellite failed: {why}"))
        })
    }

    fn remove(&mut self, found: &Found, console: &mut dyn Console) -> Result<(), Failure> {
        let engine = self.engine()?;
        console.begin("remove the container, its image and its data");
        let (containers, volume) = (containers(engine)?, volume(engine)?);
        let labels = containers.iter().map(|container| &container.labels);
        let mut all = labels.clone().chain(volume.iter());
        if all.any(|labels| is_of_another(labels, found)) {
            return Err(Failure::failed(format!(
                "another satellite has taken the place of {} at {} meanwhile: nothing was removed",
                found.name,
                engine.place()
            )));
        }
        for container in &containers {
            engine.remove(Kind::Container, &container.name)?;
        }
        // Something else may use the image. What is left of it is looked for at the end.
        let pulled = labels.filter_map(|labels| labels.get(FROM).cloned());
        for image in images::ours(engine)?.into_iter().chain(pulled) {
            let _ = engine.remove(Kind::Image, &image);
        }
        // The volume with the data goes last: while it exists, the next call still finds the
        // satellite.
        if volume.is_some() {
            engine.remove(Kind::Volume, VOLUME)?;
        }
        let left = left(engine)?;
        if left.is_empty() {
            console.done("");
            return Ok(());
        }
        Err(Failure::failed(format!(
            "could not remove everything at {}: {} still there",
            engine.place(),
            left.join(", ")
        )))
    }
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

/// The labels of the volume, if there is one. A volume without our label is an error.
fn own_volume(engine: &Engine) -> Result<Option<Labels>, Failure> {
    let volume = engine.volume(VOLUME)?;
    if volume.as_ref().is_some_and(|found| !is_labelled(found)) {
        return Err(Failure::failed(format!(
            "{} has a volume named {VOLUME} that is not skypipe's: remove it, and try again",
            engine.place()
        )));
    }
    Ok(volume)
}

/// The settings in a container's labels; `None` if they are incomplete.
fn settings_of(container: &Container) -> Option<Settings> {
    let label = |name: &str| container.labels.get(name).cloned();
    Some(Settings {
        version: label(VERSION)?,
        owner: label(OWNER)?,
        port: label(OUTSIDE)
            .and_then(|port| port.parse().ok())
            .unwrap_or(PORT),
        public: label(PUBLIC),
        program: label(FROM)?,
    })
}

fn is_labelled(labels: &Labels) -> bool {
    labels.get(LABEL).is_some_and(|value| value == "1")
}

/// The containers that a satellite may have. There are two during an upgrade.
fn containers(engine: &Engine) -> Result<Vec<Container>, Failure> {
    let names = engine.names(Kind::Container)?;
    let names = [CONTAINER, REPLACED]
        .into_iter()
        .filter(|own| names.iter().any(|name| name == own));
    let mut containers = Vec::new();
    for name in names {
        containers.extend(engine.container(name)?);
    }
    containers.retain(|container| is_labelled(&container.labels));
    Ok(containers)
}

fn volume(engine: &Engine) -> Result<Option<Labels>, Failure> {
    let volume = engine.volume(VOLUME)?;
    Ok(volume.filter(is_labelled))
}

/// Whether something with these labels belongs to another satellite than the one that was found.
/// Another owner means another satellite.
fn is_of_another(labels: &Labels, found: &Found) -> bool {
    let owners = labels.get(OWNER).zip(found.owner.as_ref());
    owners.is_some_and(|(theirs, ours)| theirs != ours)
}

/// The parts of a satellite that still exist, as text for people.
fn left(engine: &Engine) -> Result<Vec<String>, Failure> {
    let containers = containers(engine)?;
    let containers = containers
        .iter()
        .map(|one| format!("the container {}", one.name));
    let volume = volume(engine)?.map(|_| format!("the volume {VOLUME}"));
    let images = images::ours(engine)?;
    let images = images.iter().map(|one| format!("the image {one}"));
    Ok(containers.chain(volume).chain(images).collect())
}

/// The satellite of these containers: the running one first, then the one with the regular name,
/// then the one that was to be replaced.
fn found(containers: &[Container]) -> Option<Found> {
    let order = |container: &&Container| {
        let is_replaced = container.name == REPLACED;
        (!container.is_running(), is_replaced)
    };
    let first = containers.iter().min_by_key(order)?;
    let label = |name: &str| first.labels.get(name).cloned();
    let is_broken_off = containers
        .iter()
        .any(|container| container.name == REPLACED);
    let state = match first {
        first if is_broken_off || first.is_new() => State::Unfinished,
        first if first.is_running() => State::Running,
        _ => State::Stopped,
    };
    Some(Found {
        name: first.name.clone(),
        version: label(VERSION),
        owner: label(OWNER),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, state: &str, version: &str) -> Container {
        let text = format!(
            r#"{{"Name": "/{name}", "Image": "0", "State": {{"Status": "{state}"}}, "HostConfig": {{}},
                "Config": {{"Labels": {{"{VERSION}": "{version}", "{OWNER}": "f"}}}}}}"#
        );
        Container::read(&serde_json::from_str(&text).expect("it is JSON"))
    }

    #[test]
    fn the_one_that_runs_counts() {
        let old = |state| container(REPLACED, state, "1");
        let new = |state| container(CONTAINER, state, "2");
        let assert = |containers: &[Container], version: &str, state| {
            let found = found(containers).expect("there is one");
            assert_eq!(
                (found.version.as_deref(), found.state),
                (Some(version), state)
            );
        };
        assert_eq!(found(&[]), None);
        assert(&[new("running")], "2", State::Running);
        assert(&[new("exited")], "2", State::Stopped);
        assert(&[new("restarting")], "2", State::Stopped);
        assert(&[new("created")], "2", State::Unfinished);
        assert(&[old("exited")], "1", State::Unfinished);
        assert(&[new("running"), old("exited")], "2", State::Unfinished);
        assert(&[new("created"), old("running")], "1", State::Unfinished);
        assert(&[new("created"), old("exited")], "2", State::Unfinished);
    }
}
