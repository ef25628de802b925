//! Satellites in containers of Docker or Podman, over the Engine API.
//!
//! Owns which objects belong to a satellite: one container, one volume and one image. Each of them
//! is recognised by both the label and a name in `names`. Objects without both are never touched:
//! images built on ours inherit its label, and a copy of the volume may have the label too.

mod containers;
mod engine;
mod images;
mod launch;
mod names;
mod stream;
pub mod target;
mod tunnel;
mod wanted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::containers::{Listed, Volume};
use self::engine::Engine;
use self::names::{CONTAINER, DATA, FOUNDER, FROM, INSIDE, PROGRAM, REPLACED, VERSION, VOLUME};
use self::target::Target;
use self::tunnel::Tunnel;
use super::ssh_program::ssh_program;
use super::{Found, Plan, Provider, State, Talk, bracketed};
use crate::exit::Failure;

/// The time limit of a command that runs next to the satellite.
const BESIDE: Duration = Duration::from_secs(120);

/// An engine of Docker or Podman, as a platform.
#[derive(Debug)]
pub struct Docker {
    target: Target,
    /// The program to use as `ssh`; `None` means the user's own.
    ssh: Option<PathBuf>,
    connected: Option<Connected>,
}

/// A connection to an engine, with the ssh tunnel that carries it if there is one.
#[derive(Debug)]
struct Connected {
    engine: Engine,
    tunnel: Option<Tunnel>,
}

impl Docker {
    /// Creates a provider for this engine. Nothing is sent to the engine yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            ssh: None,
            connected: None,
        }
    }

    /// Like `new`, with another program in place of `ssh`. That program must take ssh's arguments.
    #[must_use]
    pub fn through(target: Target, ssh: PathBuf) -> Self {
        Self {
            target,
            ssh: Some(ssh),
            connected: None,
        }
    }

    fn connected(&mut self) -> Result<&Connected, Failure> {
        let connected = match self.connected.take() {
            Some(connected) => connected,
            None => connect(&self.target, self.ssh.as_deref())?,
        };
        Ok(self.connected.insert(connected))
    }

    fn engine(&mut self) -> Result<&Engine, Failure> {
        Ok(&self.connected()?.engine)
    }
}

fn connect(target: &Target, ssh: Option<&Path>) -> Result<Connected, Failure> {
    let place = target.to_string();
    let (engine, tunnel) = match target {
        Target::Unix(path) => (Engine::at_path(Path::new(path), path)?, None),
        Target::Tcp(host, port) => (Engine::at_port(host, *port, &place)?, None),
        Target::Ssh(login) => {
            let ssh = ssh.map_or_else(ssh_program, |ssh| Ok(ssh.to_owned()))?;
            let tunnel = Tunnel::open(login, ssh.as_os_str()).map_err(Failure::failed)?;
            (Engine::at_path(tunnel.socket(), &place)?, Some(tunnel))
        }
    };
    Ok(Connected { engine, tunnel })
}

/// The host under which other machines reach the engine's machine.
fn outside(target: &Target, tunnel: Option<&Tunnel>) -> String {
    match (target, tunnel) {
        (_, Some(tunnel)) => tunnel.host().to_owned(),
        (Target::Tcp(host, _), _) => host.clone(),
        _ => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    }
}

impl Provider for Docker {
    fn find(&mut self, _talk: &mut dyn Talk) -> Result<Option<Found>, Failure> {
        let engine = self.engine()?;
        let mut listed = containers(engine)?;
        listed.sort_by_key(|container| (rank(container), name(container)));
        if let Some(first) = listed.first() {
            return Ok(Some(found(first, &listed)));
        }
        Ok(volume(engine)?.map(|volume| Found {
            version: None,
            founder: volume.labels.get(FOUNDER).cloned(),
            state: State::Unfinished,
            name: volume.name,
        }))
    }

    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        let target = self.target.clone();
        let Connected { engine, tunnel } = self.connected()?;
        let host = outside(&target, tunnel.as_ref());
        launch::launch(engine, &host, plan, found, talk)
    }

    fn endpoint(&mut self, found: &Found) -> Result<String, Failure> {
        let local = matches!(self.target, Target::Unix(_));
        let target = self.target.clone();
        let Connected { engine, tunnel } = self.connected()?;
        let container = engine.container(&found.name)?;
        let port = container
            .and_then(|container| container.port(INSIDE))
            .ok_or_else(|| {
                Failure::failed(format!("{} has no port at {}", found.name, engine.place()))
            })?;
        let host = if local {
            "127.0.0.1".to_owned()
        } else {
            outside(&target, tunnel.as_ref())
        };
        Ok(format!("{}:{port}", bracketed(&host)))
    }

    fn beside(&mut self, found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        let command = [&[PROGRAM], arguments, &["--data", DATA]].concat();
        let (code, output) = self.engine()?.run(&found.name, &command, BESIDE)?;
        if code != 0 {
            let said = stream::words(&output.stderr);
            let said = said.strip_prefix("skypipe: ").unwrap_or(&said);
            return Err(Failure::failed(format!(
                "the program beside the satellite failed with exit code {code}: {said}"
            )));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| Failure::failed("the program beside the satellite wrote no text"))
    }

    fn destroy(&mut self, found: &Found, talk: &mut dyn Talk) -> Result<(), Failure> {
        let engine = self.engine()?;
        talk.begin("remove the container, its image and its data");
        let (containers, volume) = (containers(engine)?, volume(engine)?);
        let labels = containers.iter().map(|container| &container.labels);
        let mut labels = labels.chain(volume.iter().map(|volume| &volume.labels));
        if labels.any(|labels| is_of_another(labels, found)) {
            return Err(Failure::failed(format!(
                "another satellite has taken the place of {} at {} meanwhile: nothing was removed",
                found.name,
                engine.place()
            )));
        }
        for container in &containers {
            engine.remove(&container.id)?;
        }
        // The volume with the data goes last: while it exists, the next call still finds the
        // satellite.
        for image in images::ours(engine)?
            .iter()
            .chain(containers.iter().filter_map(|one| one.labels.get(FROM)))
        {
            images::remove(engine, image)?;
        }
        if let Some(volume) = volume {
            engine.remove_volume(&volume.name)?;
        }
        let left = left(engine)?;
        if left.is_empty() {
            talk.done("");
            return Ok(());
        }
        Err(Failure::failed(format!(
            "there is still, at {}: {}",
            engine.place(),
            left.join(", ")
        )))
    }
}

/// The containers that a satellite may have. There are two during an upgrade.
fn containers(engine: &Engine) -> Result<Vec<Listed>, Failure> {
    let is_ours = |container: &Listed| [CONTAINER, REPLACED].contains(&&*name(container));
    let mut listed = engine.labelled()?;
    listed.retain(is_ours);
    Ok(listed)
}

fn volume(engine: &Engine) -> Result<Option<Volume>, Failure> {
    let mut labelled = engine.labelled_volumes()?.into_iter();
    Ok(labelled.find(|volume| volume.name == VOLUME))
}

/// Whether something with these labels belongs to another satellite than the one that was found.
/// Another founder means another satellite.
fn is_of_another(labels: &BTreeMap<String, String>, found: &Found) -> bool {
    let founders = labels.get(FOUNDER).zip(found.founder.as_ref());
    founders.is_some_and(|(theirs, ours)| theirs != ours)
}

/// The parts of a satellite that still exist, as text for people.
fn left(engine: &Engine) -> Result<Vec<String>, Failure> {
    let containers = containers(engine)?
        .into_iter()
        .map(|one| format!("the container {}", name(&one)));
    let volume = volume(engine)?.map(|one| format!("the volume {}", one.name));
    let images = images::ours(engine)?
        .into_iter()
        .map(|one| format!("the image {one}"));
    Ok(containers.chain(volume).chain(images).collect())
}

/// The order in which containers are preferred: a running one first, then the one with the regular
/// name, then the one that was to be replaced.
fn rank(container: &Listed) -> (bool, usize) {
    let own = name(container);
    let place = [CONTAINER, REPLACED].iter().position(|known| *known == own);
    (container.state != "running", place.unwrap_or(usize::MAX))
}

fn name(container: &Listed) -> String {
    let name = container.names.first().unwrap_or(&container.id);
    name.trim_start_matches('/').to_owned()
}

fn found(container: &Listed, all: &[Listed]) -> Found {
    let name = name(container);
    let label = |name: &str| container.labels.get(name).cloned();
    let broken_off = name == REPLACED || all.iter().any(|other| self::name(other) == REPLACED);
    let state = match container.state.as_str() {
        _ if broken_off => State::Unfinished,
        "created" | "configured" | "initialized" => State::Unfinished,
        "running" => State::Running,
        _ => State::Stopped,
    };
    Found {
        version: label(VERSION),
        founder: label(FOUNDER),
        state,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, state: &str, version: &str) -> Listed {
        let labels = [(VERSION, version), (FOUNDER, "f")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Listed {
            id: "0".to_owned(),
            names: vec![format!("/{name}")],
            labels: BTreeMap::from(labels),
            state: state.to_owned(),
        }
    }

    fn pick(mut all: Vec<Listed>) -> (String, State) {
        all.sort_by_key(|container| (rank(container), name(container)));
        let found = found(&all[0], &all);
        (found.version.unwrap_or_default(), found.state)
    }

    #[test]
    fn the_one_that_runs_counts() {
        let old = |state| listed(REPLACED, state, "1");
        let new = |state| listed(CONTAINER, state, "2");
        let is = |version: &str, state| (version.to_owned(), state);
        assert_eq!(pick(vec![new("running")]), is("2", State::Running));
        assert_eq!(pick(vec![new("exited")]), is("2", State::Stopped));
        assert_eq!(pick(vec![new("restarting")]), is("2", State::Stopped));
        assert_eq!(pick(vec![new("created")]), is("2", State::Unfinished));
        assert_eq!(pick(vec![old("exited")]), is("1", State::Unfinished));
        assert_eq!(
            pick(vec![old("exited"), new("running")]),
            is("2", State::Unfinished)
        );
        assert_eq!(
            pick(vec![old("running"), new("created")]),
            is("1", State::Unfinished)
        );
        assert_eq!(
            pick(vec![old("exited"), new("created")]),
            is("2", State::Unfinished)
        );
    }
}
