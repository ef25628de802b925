//! What happens to a machine over time: it starts, exits, is restarted, stopped, replaced and
//! destroyed.
//!
//! Owns every change of a machine's state after its creation. Each run of a machine has a number.
//! Work for a run that is no longer current is undone. Podman is called without the lock on the
//! world, but with the lock on the machine's container, so that operations on a machine happen one
//! after the other.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use super::clock;
use super::config::Policy;
use super::containers::{Container, Run, secret_file};
use super::shared::Shared;
use super::world::{Machine, State};

/// How long a program may take to stop, in seconds, by default (docs: `kill_timeout`, 5 seconds).
const PATIENCE: u64 = 5;

/// The signal and the time limit for stopping a program.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    pub signal: Option<String>,
    pub seconds: Option<u64>,
}

/// Takes a machine from `created`, `stopped` or the like to `started`, in the background. The
/// caller has assigned this run its number.
pub fn start(shared: &Arc<Shared>, app: &str, id: &str, run: u64) {
    let (app, id) = (app.to_owned(), id.to_owned());
    shared.spawn(move |shared| launch(&shared, &app, &id, run));
}

fn launch(shared: &Arc<Shared>, app: &str, id: &str, run: u64) {
    shared.pause(shared.options.boot);
    let Some(hands) = hands(shared, app, id) else {
        return;
    };
    let held = hands.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(what) = prepare(shared, app, id, run) else {
        return;
    };
    let container = shared.podman.run(&what);
    let Some(container) = arrived(shared, app, id, run, container) else {
        return;
    };
    drop(held);
    shared.edge.sync(shared);
    limit_trial(shared, app, id, run);
    let code = shared.podman.wait(&container.id);
    ended(shared, app, id, run, &container, code.unwrap_or(-1));
}

/// What to run; `None` if this run is no longer current.
fn prepare(shared: &Arc<Shared>, app: &str, id: &str, run: u64) -> Option<Run> {
    let mut world = shared.world();
    let closing = world.closing;
    let owner = world.apps.get_mut(app)?;
    let secrets: Vec<(String, String)> = owner
        .secrets
        .iter()
        .map(|(name, secret)| (name.clone(), secret.value.clone()))
        .collect();
    let machine = owner.machines.get_mut(id)?;
    if machine.run != run || closing || machine.state.is_over() {
        return None;
    }
    machine.state = State::Starting;
    shared.changed.notify_all();
    let mut volumes = files(shared, id, machine, &secrets);
    let mounts = machine.config.mounts.iter();
    volumes
        .extend(mounts.map(|mount| (shared.volume_directory(&mount.volume), mount.path.clone())));
    let mut env = if machine.skip_secrets {
        Vec::new()
    } else {
        secrets
    };
    env.extend(machine.config.env.clone());
    let known = [
        ("FLY_APP_NAME", app),
        ("FLY_MACHINE_ID", id),
        ("FLY_REGION", &machine.region),
    ];
    env.extend(known.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let init = &machine.config.init;
    let entrypoint = init.exec.clone().or_else(|| init.entrypoint.clone());
    let arguments = if init.exec.is_some() {
        None
    } else {
        init.cmd.clone()
    };
    Some(Run {
        name: format!("{id}-{run}"),
        image: machine.config.image.clone(),
        entrypoint,
        arguments: arguments.unwrap_or_default(),
        env,
        volumes,
    })
}

/// Writes the files that the configuration asks for.
fn files(
    shared: &Shared,
    id: &str,
    machine: &Machine,
    secrets: &[(String, String)],
) -> Vec<(PathBuf, String)> {
    let directory = shared.machine_directory(id);
    let wanted = machine.config.files.iter().enumerate();
    wanted
        .filter_map(|(number, file)| {
            let named = |name: &String| {
                secrets
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value)
            };
            let encoded = file
                .raw_value
                .as_ref()
                .or_else(|| file.secret_name.as_ref().and_then(named))?;
            let content = Base64::decode_vec(encoded.trim()).ok()?;
            fs::create_dir_all(&directory).expect("a directory is made");
            let path = directory.join(number.to_string());
            secret_file(&path, content, file.mode.unwrap_or(0o644));
            Some((path, file.guest_path.clone()))
        })
        .collect()
}

/// Handles a container that runs, or that could not be started.
fn arrived(
    shared: &Arc<Shared>,
    app: &str,
    id: &str,
    run: u64,
    container: Result<Container, String>,
) -> Option<Container> {
    let mut world = shared.world();
    let counts = !world.closing
        && world
            .machine(app, id)
            .is_ok_and(|machine| machine.run == run);
    if !counts {
        drop(world);
        if let Ok(container) = container {
            shared.podman.remove(&container.id);
        }
        return None;
    }
    let machine = world.machine(app, id).ok()?;
    let running = match container {
        Ok(container) => {
            machine.state = State::Started;
            machine.container = Some(container.clone());
            machine.event("start", "flyd", None);
            Some(container)
        }
        Err(what) => {
            machine.state = State::Failed;
            machine.event("launch", "flyd", Some(json!({ "error": what })));
            None
        }
    };
    shared.changed.notify_all();
    running
}

/// Handles a program that exited, by itself or because its machine was stopped.
fn ended(shared: &Arc<Shared>, app: &str, id: &str, run: u64, container: &Container, code: i32) {
    let again = {
        let mut world = shared.world();
        let closing = world.closing;
        let Ok(machine) = world.machine(app, id) else {
            return;
        };
        if machine.run != run || closing {
            return;
        }
        let again = match machine.config.policy() {
            (Policy::No, _) => false,
            (Policy::Always, _) => true,
            (Policy::OnFailure, most) => code != 0 && machine.restarts < most,
        };
        machine.container = None;
        machine.run += 1;
        machine.restarts += 1;
        machine.state = if again {
            State::Restarting
        } else {
            State::Stopped
        };
        machine.event("exit", "flyd", Some(exit(code, false, again)));
        shared.changed.notify_all();
        again.then_some(machine.run)
    };
    shared.edge.cut(id);
    shared.podman.remove(&container.id);
    if let Some(run) = again {
        shared.pause(shared.options.second);
        start(shared, app, id, run);
    } else if shared
        .world()
        .machine(app, id)
        .is_ok_and(|machine| machine.config.auto_destroy)
    {
        destroy(shared, app, id);
    }
}

/// Stops a trial's machine after a while (docs: "Free Trial overview", 5 minutes).
fn limit_trial(shared: &Arc<Shared>, app: &str, id: &str, run: u64) {
    let Some(after) = shared.options.trial else {
        return;
    };
    let (app, id) = (app.to_owned(), id.to_owned());
    shared.spawn(move |shared| {
        shared.pause(after);
        let next = {
            let mut world = shared.world();
            let Ok(machine) = world.machine(&app, &id) else {
                return;
            };
            if machine.run != run || machine.state != State::Started {
                return;
            }
            machine.run += 1;
            machine.state = State::Stopping;
            machine.event("stop", "flyd", None);
            machine.run
        };
        halt(&shared, &app, &id, next, &Stop::default());
    });
}

/// Stops the program of a machine that is `stopping`, and waits for it.
pub fn halt(shared: &Arc<Shared>, app: &str, id: &str, run: u64, stop: &Stop) {
    let code = end_container(shared, app, id, stop);
    let mut world = shared.world();
    let Ok(machine) = world.machine(app, id) else {
        return;
    };
    if machine.run == run {
        machine.state = State::Stopped;
        machine.event("exit", "flyd", Some(exit(code.unwrap_or(-1), true, false)));
    }
    shared.changed.notify_all();
}

/// Stops the program of a machine that is `replacing`. Then starts the new version, or leaves the
/// machine stopped.
pub fn replace(shared: &Arc<Shared>, app: &str, id: &str, run: u64, launches: bool) {
    end_container(shared, app, id, &Stop::default());
    shared.edge.sync(shared);
    if launches {
        start(shared, app, id, run);
        return;
    }
    let mut world = shared.world();
    if let Ok(machine) = world.machine(app, id)
        && machine.run == run
    {
        machine.state = State::Stopped;
    }
    shared.changed.notify_all();
}

/// Destroys a machine, and waits for that.
pub fn destroy(shared: &Arc<Shared>, app: &str, id: &str) {
    {
        let mut world = shared.world();
        let Ok(machine) = world.machine(app, id) else {
            return;
        };
        if machine.state == State::Destroyed {
            return;
        }
        machine.run += 1;
        machine.state = State::Destroying;
        machine.event("destroy", "user", None);
        shared.changed.notify_all();
    }
    end_container(
        shared,
        app,
        id,
        &Stop {
            signal: None,
            seconds: Some(0),
        },
    );
    let _ = fs::remove_dir_all(shared.machine_directory(id));
    let mut world = shared.world();
    if let Ok(app) = world.app(app) {
        for volume in app
            .volumes
            .values_mut()
            .filter(|volume| volume.attached_to.as_deref() == Some(id))
        {
            volume.attached_to = None;
        }
        if let Some(machine) = app.machines.get_mut(id) {
            machine.state = State::Destroyed;
            machine.lease = None;
            machine.event("destroy", "flyd", None);
        }
    }
    drop(world);
    shared.changed.notify_all();
    shared.edge.sync(shared);
}

/// Stops and removes the container, if there is one, once no other operation uses it.
fn end_container(shared: &Arc<Shared>, app: &str, id: &str, stop: &Stop) -> Option<i32> {
    let hands = hands(shared, app, id)?;
    let _held = hands.lock().unwrap_or_else(PoisonError::into_inner);
    let (container, config) = {
        let mut world = shared.world();
        let machine = world.machine(app, id).ok()?;
        (
            machine.container.take()?,
            machine.config.stop_config.clone().unwrap_or_default(),
        )
    };
    let said = config.timeout.and_then(|span| span.seconds());
    let seconds = stop.seconds.or(said).unwrap_or(PATIENCE);
    let signal = stop.signal.clone().or(config.signal);
    let code = shared
        .podman
        .stop(&container.id, signal.as_deref(), seconds);
    shared.edge.cut(id);
    code
}

fn hands(shared: &Arc<Shared>, app: &str, id: &str) -> Option<Arc<Mutex<()>>> {
    Some(Arc::clone(&shared.world().machine(app, id).ok()?.hands))
}

fn exit(code: i32, requested: bool, restarting: bool) -> Value {
    json!({
        "exit_event": {
            "exit_code": code, "guest_exit_code": code, "guest_signal": -1, "signal": -1,
            "oom_killed": false, "requested_stop": requested, "restarting": restarting,
            "exited_at": clock::stamp(),
        },
        "restart_count": 0,
    })
}

impl Shared {
    /// Sleeps for this time, or until the stand-in shuts down.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut world = self.world();
        while !world.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(world, left);
            world = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
