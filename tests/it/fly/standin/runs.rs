//! What happens to a machine over time: it starts, exits, is restarted, stopped, replaced and
//! destroyed.
//!
//! Owns every change of a machine's state after its creation. Each run of a machine has a number.
//! Work for a run that is no longer current is undone. Podman is called without the lock on the
//! world, but with the lock on the machine's container, so that operations on a machine happen one
//! after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::clock;
use super::containers::{Container, Run};
use super::shared::Shared;
use super::world::State;

/// How long a program may take to stop, in seconds, by default (docs: `kill_timeout`, 5 seconds).
const PATIENCE: u64 = 5;

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
    let machine = owner.machines.get_mut(id)?;
    if machine.run != run || closing || machine.state.is_over() {
        return None;
    }
    machine.state = State::Starting;
    shared.changed.notify_all();
    let mounts = machine.config.mounts.iter();
    let volumes = mounts.map(|mount| (shared.volume_directory(&mount.volume), mount.path.clone()));
    let known = [
        ("FLY_APP_NAME", app),
        ("FLY_MACHINE_ID", id),
        ("FLY_REGION", &machine.region),
    ];
    let env = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Run {
        name: format!("{id}-{run}"),
        image: machine.config.image.clone(),
        command: machine.config.init.exec.clone(),
        env: env.into(),
        volumes: volumes.collect(),
    })
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
        machine.container = None;
        machine.run += 1;
        machine.restarts += 1;
        machine.state = State::Restarting;
        machine.event("exit", "flyd", Some(exit(code, false, true)));
        shared.changed.notify_all();
        machine.run
    };
    shared.edge.cut(id);
    shared.podman.remove(&container.id);
    shared.pause(shared.options.second);
    start(shared, app, id, again);
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
        halt(&shared, &app, &id, next, PATIENCE);
    });
}

/// Stops the program of a machine that is `stopping`, and waits for it.
pub fn halt(shared: &Arc<Shared>, app: &str, id: &str, run: u64, seconds: u64) {
    let code = end_container(shared, app, id, seconds);
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
    end_container(shared, app, id, PATIENCE);
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
    end_container(shared, app, id, 0);
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
            machine.event("destroy", "flyd", None);
        }
    }
    drop(world);
    shared.changed.notify_all();
    shared.edge.sync(shared);
}

/// Stops and removes the container, if there is one, once no other operation uses it.
fn end_container(shared: &Arc<Shared>, app: &str, id: &str, seconds: u64) -> Option<i32> {
    let hands = hands(shared, app, id)?;
    let _held = hands.lock().unwrap_or_else(PoisonError::into_inner);
    let container = shared.world().machine(app, id).ok()?.container.take()?;
    let code = shared.podman.stop(&container.id, seconds);
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
