//! Machines: "Machines resource" of the Machines API.
//!
//! Owns the requests about machines, and how a machine is shown. `runs.rs` does what happens
//! afterwards.

use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::config::{Config, Launch, Span};
use super::runs::{self, Stop};
use super::shared::Shared;
use super::world::{App, Machine, State};
use super::{clock, leases, platform};

/// `StopRequest`, with the `id` that fly-go adds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    #[serde(rename = "id")]
    _id: Option<String>,
    signal: Option<String>,
    timeout: Option<Span>,
}

/// Creates a machine, and starts it.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Launch = call.json()?;
    if wanted.current_version.is_some() {
        return Err(Refusal::malformed(400, "current_version is for updates"));
    }
    let config = Config::read(&wanted.config)?;
    allowed(shared, call.app(), &wanted, &config)?;
    let image = shared.pull(&config.image)?;
    let mut world = shared.world();
    let full = world.full_for_machines.clone();
    let app = world.app(call.app())?;
    let region = place(app, &wanted, &config)?;
    if full.contains(region) {
        return Err(no_room(
            config.mounts.first().map(|mount| mount.volume.as_str()),
        ));
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
    let now = clock::stamp();
    let mut machine = Machine {
        name,
        region: region.to_owned(),
        state: State::Created,
        instance: clock::version(),
        shown: wanted.config,
        config,
        image,
        created_at: now.clone(),
        updated_at: now,
        events: Vec::new(),
        lease: None,
        volume,
        skip_secrets: wanted.skip_secrets,
        held: wanted.skip_launch,
        run: 1,
        restarts: 0,
        container: None,
        hands: Arc::new(Mutex::new(())),
    };
    machine.event("launch", "user", None);
    let nonce = (wanted.lease_ttl > 0)
        .then(|| leases::grant(&mut machine, wanted.lease_ttl, String::new()));
    let mut body = show(&id, &machine);
    if let Some(nonce) = nonce {
        body["nonce"] = nonce.into();
    }
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
        leases::check(machine, call)?;
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
    machine.skip_secrets = wanted.skip_secrets;
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
    call.flag("summary")?;
    let (region, state) = (call.value("region")?, call.value("state")?);
    let labels = call
        .query
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("metadata.")?, value)));
    let mut world = shared.world();
    let machines = world.app(call.app())?.machines.iter();
    let machines = machines.filter(|(_, machine)| {
        (deleted || !machine.state.is_over())
            && region.is_none_or(|region| region == machine.region)
            && state.is_none_or(|state| state == machine.state.name())
            && labels
                .clone()
                .all(|(name, value)| machine.config.metadata.get(name) == Some(value))
    });
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

/// The events of a machine, newest first.
pub fn events(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let most = usize::try_from(call.number("limit")?.unwrap_or(20)).unwrap_or(usize::MAX);
    let mut world = shared.world();
    let events = &world.machine(call.app(), call.item())?.events;
    Ok(Answer::json(
        200,
        events.iter().take(most).cloned().collect(),
    ))
}

/// Starts a machine that does not run.
pub fn start(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    leases::check(machine, call)?;
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

/// Stops a machine, in the background.
pub fn stop(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: StopRequest = call.json_if_any()?;
    let seconds = wanted.timeout.as_ref().map(|span| {
        span.seconds()
            .ok_or_else(|| Refusal::malformed(400, "timeout is no duration"))
    });
    let stop = Stop {
        signal: wanted.signal.filter(|signal| !signal.is_empty()),
        seconds: seconds.transpose()?,
    };
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    leases::check(machine, call)?;
    match machine.state {
        State::Stopped | State::Stopping => return Ok(Answer::ok()),
        State::Started | State::Starting | State::Restarting | State::Failed => {}
        state => return Err(wrong_state("stop", state)),
    }
    machine.run += 1;
    machine.state = State::Stopping;
    machine.event("stop", "user", None);
    let run = machine.run;
    drop(world);
    let (app, id) = (call.app().to_owned(), call.item().to_owned());
    shared.spawn(move |shared| runs::halt(&shared, &app, &id, run, &stop));
    Ok(Answer::ok())
}

/// Destroys a machine, in the background. A running one is destroyed only with force.
pub fn delete(shared: &Arc<Shared>, call: &Call) -> Outcome {
    // The documentation says `force`, fly-go says `kill`.
    let force = call.flag("force")? || call.flag("kill")?;
    let mut world = shared.world();
    let machine = world.machine(call.app(), call.item())?;
    if machine.state.is_over() {
        return Err(Refusal::new(404, "machine not found"));
    }
    leases::check(machine, call)?;
    if !force
        && !matches!(
            machine.state,
            State::Stopped | State::Failed | State::Created
        )
    {
        let what =
            "failed_precondition: unable to destroy machine, not currently in a stopped state";
        return Err(Refusal::new(412, what));
    }
    machine.state = State::Destroying;
    drop(world);
    let (app, id) = (call.app().to_owned(), call.item().to_owned());
    shared.spawn(move |shared| runs::destroy(&shared, &app, &id));
    Ok(Answer::ok())
}

/// The machine in the platform's form.
pub fn show(id: &str, machine: &Machine) -> Value {
    let image = &machine.image;
    json!({
        "id": id, "name": machine.name, "state": machine.state.name(), "region": machine.region,
        "instance_id": machine.instance, "private_ip": "fdaa:0:1:a7b:1:2:3:2",
        "created_at": machine.created_at, "updated_at": machine.updated_at, "config": machine.shown,
        "events": machine.events, "host_status": "ok",
        "image_ref": {
            "registry": image.registry, "repository": image.repository, "tag": image.tag,
            "digest": image.digest, "labels": null,
        },
    })
}

/// Checks the limits of the account and the required fields.
fn allowed(
    shared: &Arc<Shared>,
    app: &str,
    wanted: &Launch,
    config: &Config,
) -> Result<(), Refusal> {
    let _ = (
        wanted.lsvd,
        wanted.min_secrets_version,
        wanted.skip_service_registration,
    );
    if shared.options.trial.is_none() {
        return Ok(());
    }
    let large = config.guest.as_ref().is_some_and(|guest| {
        guest.cpus > 2 || guest.memory_mb > 4096 || guest.cpu_kind != "shared"
    });
    let mut world = shared.world();
    let machines = world
        .app(app)?
        .machines
        .values()
        .filter(|machine| !machine.state.is_over())
        .count();
    if large || machines >= 10 {
        return Err(Refusal::new(
            422,
            "this is not included in the free trial, add a payment method",
        ));
    }
    Ok(())
}

/// The region of a new machine: the requested one, or that of its volume.
fn place(app: &App, wanted: &Launch, config: &Config) -> Result<&'static str, Refusal> {
    let Some(mount) = config.mounts.first() else {
        return platform::region(wanted.region.as_deref());
    };
    let volume = app
        .volumes
        .get(&mount.volume)
        .filter(|volume| volume.shown_for.is_none());
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

fn no_room(volume: Option<&str>) -> Refusal {
    let refusal = match volume {
        Some(volume) => {
            let what = "insufficient resources to create new machine with existing volume";
            Refusal::new(412, format!("{what} '{volume}'"))
        }
        None => Refusal::new(
            409,
            "aborted: could not reserve resource for machine: insufficient memory available to fulfill request",
        ),
    };
    refusal.code("insufficient_capacity")
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
