//! Machines: "Machines resource" of the Machines API.
//!
//! Owns the requests about machines, and how a machine is shown. `runs.rs` does what happens
//! afterwards.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::config::{Config, Launch};
use super::runs;
use super::shared::Shared;
use super::world::{App, Machine, State};
use super::{clock, platform};

/// Creates a machine, and starts it.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Launch = call.json()?;
    if wanted.current_version.is_some() {
        return Err(Refusal::malformed(400, "current_version is for updates"));
    }
    let config = Config::read(&wanted.config)?;
    let image = shared.pull(&config.image)?;
    let mut world = shared.world();
    let full = world.full_for_machines.clone();
    let app = world.app(call.app())?;
    let region = place(app, &wanted, &config)?;
    if full.contains(region) {
        return Err(no_room(&config.mounts[0].volume));
    }
    let id = clock::unique(14);
    let name = named(app, &id, wanted.name.as_deref())?;
    let volume = config.mounts.first().map(|mount| mount.volume.clone());
    if let Some(volume) = volume
        .as_ref()
        .and_then(|volume| app.volumes.get_mut(volume))
    {
        volume.attached_to = Some(id.clone());
    }
    let mut machine = Machine {
        name,
        region: region.to_owned(),
        state: State::Created,
        instance: clock::version(),
        shown: wanted.config,
        config,
        image,
        created_at: clock::stamp(),
        events: Vec::new(),
        volume,
        held: wanted.skip_launch,
        run: 1,
        restarts: 0,
        container: None,
        hands: Arc::new(Mutex::new(())),
    };
    machine.event("launch", "user", None);
    let body = show(&id, &machine);
    app.machines.insert(id.clone(), machine);
    drop(world);
    shared.edge.sync(shared);
    if !wanted.skip_launch {
        runs::start(shared, call.app(), &id, 1);
    }
    Ok(Answer::json(200, body))
}

/// Updates the configuration of a machine, and restarts it. The volume is kept.
pub fn update(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Launch = call.json()?;
    let config = Config::read(&wanted.config)?;
    {
        let mut world = shared.world();
        let machine = world.machine(call.app(), call.item())?;
        changeable(machine, &wanted, &config)?;
    }
    let image = shared.pull(&config.image)?;
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    changeable(machine, &wanted, &config)?;
    machine.run += 1;
    machine.restarts = 0;
    machine.instance = clock::version();
    machine.config = config;
    machine.shown = wanted.config;
    machine.image = image;
    machine.state = State::Replacing;
    machine.event("update", "user", None);
    if let Some(name) = wanted.name.filter(|name| !name.is_empty()) {
        machine.name = name;
    }
    let (run, body) = (machine.run, show(call.item(), machine));
    drop(world);
    shared.changed.notify_all();
    let (app, id, launches) = (
        call.app().to_owned(),
        call.item().to_owned(),
        !wanted.skip_launch,
    );
    shared.spawn(move |shared| runs::replace(&shared, &app, &id, run, launches));
    Ok(Answer::json(200, body))
}

/// The machines of an app.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let deleted = call.flag("include_deleted")?;
    let mut world = shared.world();
    let machines = world.app(call.app())?.machines.iter();
    let machines = machines.filter(|(_, machine)| deleted || !machine.state.is_over());
    Ok(Answer::json(
        200,
        machines.map(|(id, machine)| show(id, machine)).collect(),
    ))
}

/// One machine, even if it is destroyed.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    Ok(Answer::json(
        200,
        show(call.item(), world.machine(call.app(), call.item())?),
    ))
}

/// Starts a machine that does not run.
pub fn start(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    let before = machine.state;
    let body = json!({ "previous_state": before.name(), "migrated": false, "new_host": "" });
    match before {
        State::Started => return Ok(Answer::json(200, body)),
        State::Stopped | State::Failed => {}
        State::Created if machine.held => {}
        State::Replacing => {
            return Err(Refusal::new(
                412,
                "failed_precondition: machine getting replaced, refusing to start",
            ));
        }
        state => return Err(wrong_state("start", state)),
    }
    machine.held = false;
    machine.run += 1;
    machine.state = State::Starting;
    machine.event("start", "user", None);
    let run = machine.run;
    drop(world);
    runs::start(shared, call.app(), call.item(), run);
    Ok(Answer::json(200, body))
}

/// The machine in the platform's form.
pub fn show(id: &str, machine: &Machine) -> Value {
    let image = &machine.image;
    json!({
        "id": id, "name": machine.name, "state": machine.state.name(), "region": machine.region,
        "instance_id": machine.instance, "private_ip": "fdaa:0:1:a7b:1:2:3:2",
        "created_at": machine.created_at, "config": machine.shown,
        "events": machine.events, "host_status": "ok",
        "image_ref": {
            "registry": image.registry, "repository": image.repository, "tag": image.tag,
            "digest": image.digest, "labels": null,
        },
    })
}

/// The region of a new machine, which is that of its volume.
fn place(app: &App, wanted: &Launch, config: &Config) -> Result<&'static str, Refusal> {
    let mount = &config.mounts[0];
    let volume = app.volumes.get(&mount.volume);
    let volume = volume.ok_or_else(|| {
        Refusal::new(
            400,
            format!("invalid_argument: volume {} does not exist", mount.volume),
        )
    })?;
    if let Some(machine) = &volume.attached_to {
        let what = format!(
            "failed_precondition: volume {} is attached to machine {machine}",
            mount.volume
        );
        return Err(Refusal::new(412, what));
    }
    let asked = wanted.region.as_deref().filter(|region| !region.is_empty());
    let region = platform::region(asked.or(Some(&volume.region)))?;
    if region != volume.region {
        let what = format!(
            "invalid_argument: volume {} is in region {}",
            mount.volume, volume.region
        );
        return Err(Refusal::new(400, what));
    }
    Ok(region)
}

fn named(app: &App, id: &str, wanted: Option<&str>) -> Result<String, Refusal> {
    let Some(wanted) = wanted.filter(|name| !name.is_empty()) else {
        return Ok(format!("quiet-sky-{}", &id[..4]));
    };
    let mut alive = app
        .machines
        .iter()
        .filter(|(_, machine)| !machine.state.is_over());
    match alive.find(|(_, machine)| machine.name == wanted) {
        None => Ok(wanted.to_owned()),
        Some((other, _)) => {
            let what = "already_exists: unique machine name violation, machine ID";
            Err(Refusal::new(
                409,
                format!("{what} {other} already exists with name \"{wanted}\""),
            ))
        }
    }
}

fn no_room(volume: &str) -> Refusal {
    let what = "insufficient resources to create new machine with existing volume";
    Refusal::new(412, format!("{what} '{volume}'")).code("insufficient_capacity")
}

/// Checks what an update changes, and whether the machine's state allows it.
fn changeable(machine: &Machine, wanted: &Launch, config: &Config) -> Result<(), Refusal> {
    if machine.state.is_over() {
        return Err(Refusal::new(404, "machine not found"));
    }
    if matches!(machine.state, State::Replacing | State::Stopping) {
        return Err(Refusal::new(
            409,
            format!("aborted: machine is {}", machine.state.name()),
        ));
    }
    let version = wanted
        .current_version
        .as_deref()
        .filter(|version| !version.is_empty());
    if version.is_some_and(|version| version != machine.instance) {
        return Err(Refusal::new(
            409,
            "aborted: current_version is not the machine's version",
        ));
    }
    let region = wanted.region.as_deref().filter(|region| !region.is_empty());
    if region.is_some_and(|region| region != machine.region) {
        return Err(Refusal::malformed(
            400,
            "invalid_argument: a machine's region cannot be changed",
        ));
    }
    if config.mounts.first().map(|mount| &mount.volume) != machine.volume.as_ref() {
        return Err(Refusal::malformed(
            400,
            "invalid_argument: a machine's volume cannot be changed",
        ));
    }
    Ok(())
}

fn wrong_state(verb: &str, state: State) -> Refusal {
    let what = "failed_precondition: unable to";
    Refusal::new(
        412,
        format!(
            "{what} {verb} machine from current state: '{}'",
            state.name()
        ),
    )
}
