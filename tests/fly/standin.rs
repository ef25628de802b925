//! A strict stand-in of Fly.io for tests.
//!
//! Owns the Machines API under `/v1` and GraphQL at `/graphql`, on one port of loopback, and what they
//! stand for: machines are containers that really run, addresses are really there. What is not
//! documented is refused and remembered ([`Standin::complaints`]). Written from Fly.io's documentation,
//! fly-go and the API's `OpenAPI` text alone. It has to be started in a [`crate::common::network::Network`].

pub mod access;
pub mod addresses;
pub mod answer;
pub mod apps;
pub mod call;
pub mod clock;
pub mod config;
pub mod containers;
pub mod exec;
pub mod faults;
pub mod graphql;
pub mod journal;
pub mod leases;
pub mod limits;
pub mod machines;
pub mod platform;
pub mod proxy;
pub mod routes;
pub mod runs;
pub mod secrets;
pub mod server;
pub mod shared;
pub mod volumes;
pub mod wait;
pub mod world;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use self::answer::Refusal;
use self::containers::Podman;
use self::faults::Faults;
pub use self::faults::How;
use self::journal::{Entry, Journal};
use self::limits::Limits;
pub use self::limits::RetryAfter;
use self::proxy::Edge;
use self::server::Door;
use self::shared::Shared;
use self::world::World;

/// An organisation of the account.
#[derive(Debug, Clone)]
pub struct Organization {
    pub slug: String,
    pub name: String,
    /// Whether it is the account's own, which also answers to the slug `personal`.
    pub personal: bool,
}

/// How long an app that was made is not found.
#[derive(Debug, Clone, Copy)]
pub struct Lag {
    /// For how many requests; they are answered with 404 and 401 in turn.
    pub requests: u32,
    /// For how long.
    pub time: Duration,
}

/// What kind of account and platform it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The token, without a scheme.
    pub token: String,
    /// The registry's `HOST:PORT`.
    pub registry: String,
    pub organizations: Vec<Organization>,
    /// Names of apps that others have.
    pub taken: Vec<String>,
    /// Whether the first name that is asked for is another's.
    pub first_name_is_taken: bool,
    /// How long a second takes for rates and for the pause before a program is started again.
    pub second: Duration,
    /// How long a second takes in `wait`.
    pub wait_second: Duration,
    pub retry_after: RetryAfter,
    pub lag: Lag,
    /// How long a machine stays `created` before it is `starting`.
    pub boot: Duration,
    /// The account is on trial, and its machines are stopped after so long.
    pub trial: Option<Duration>,
    /// Whether the regions are written `Regions`, not `regions`.
    pub capital_regions: bool,
    /// Whether GraphQL answers one who is not known with 401, not with 200 and errors.
    pub graphql_401: bool,
}

impl Options {
    /// An account with one organisation, and a platform as it is described: real seconds, rates, a lag.
    pub fn new(token: &str, registry: &str) -> Self {
        let own = Organization {
            slug: "personal".into(),
            name: "Someone".into(),
            personal: true,
        };
        Self {
            token: token.to_owned(),
            registry: registry.to_owned(),
            organizations: vec![own],
            taken: Vec::new(),
            first_name_is_taken: false,
            second: Duration::from_secs(1),
            wait_second: Duration::from_secs(1),
            retry_after: RetryAfter::Alternating,
            lag: Lag {
                requests: 2,
                time: Duration::ZERO,
            },
            boot: Duration::from_millis(100),
            trial: None,
            capital_regions: false,
            graphql_401: false,
        }
    }

    /// The same with a second of 50 ms for rates.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.second = Duration::from_millis(50);
        self
    }

    /// An organisation of the account.
    fn organization(&self, slug: &str) -> Result<&Organization, Refusal> {
        let same = |one: &&Organization| one.slug == slug || (one.personal && slug == "personal");
        self.organizations
            .iter()
            .find(same)
            .ok_or_else(|| Refusal::new(404, "organization not found"))
    }
}

/// What is still there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    pub apps: Vec<String>,
    pub machines: Vec<String>,
    pub volumes: Vec<String>,
    /// As `ip address` tells.
    pub addresses: Vec<String>,
    /// As `podman ps` tells.
    pub containers: Vec<String>,
}

/// A machine, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub app: String,
    pub id: String,
    pub state: &'static str,
    pub region: String,
    pub image: String,
    /// How often its program was started again because it had ended.
    pub restarts: u32,
}

/// The stand-in, which runs until it is dropped.
pub struct Standin {
    shared: Arc<Shared>,
    door: Door,
    _directory: TempDir,
}

impl Standin {
    /// Starts one.
    pub fn start(options: Options) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("fly.")
            .tempdir()
            .expect("a directory");
        let others = options.taken.iter().cloned().collect();
        let shared = Arc::new(Shared {
            podman: Podman::new(directory.path(), &options.registry, &options.token),
            edge: Edge::default(),
            changed: Condvar::new(),
            directory: directory.path().to_owned(),
            world: Mutex::new(World {
                others,
                ..World::default()
            }),
            limits: Mutex::new(Limits::new(options.second, options.retry_after)),
            faults: Mutex::new(Faults::default()),
            journal: Mutex::new(Journal::default()),
            threads: Mutex::new(Vec::new()),
            options,
        });
        let door = Door::open(&shared);
        Self {
            shared,
            door,
            _directory: directory,
        }
    }

    /// Where the Machines API is, without `/v1`; GraphQL is at `/graphql` of the same.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// What was wrong with the form of requests; empty if nothing ever was.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.journal().complaints()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Entry> {
        self.shared.journal().entries()
    }

    /// How many requests there were of this pattern (`POST /v1/apps/*/machines`).
    pub fn count(&self, pattern: &str) -> usize {
        self.shared.journal().matching(pattern).count()
    }

    /// How many of them were done, whatever was answered.
    pub fn done(&self, pattern: &str) -> usize {
        self.shared
            .journal()
            .matching(pattern)
            .filter(|entry| entry.done)
            .count()
    }

    /// Makes the `nth` request from now on that fits a pattern fail; the first one is 1.
    pub fn fault(&self, pattern: &str, nth: u64, how: How) {
        self.shared.faults().add(pattern, nth, how);
    }

    /// How many faults have not come about yet.
    pub fn faults_left(&self) -> usize {
        self.shared.faults().left()
    }

    /// The token is one no more, or is one again.
    pub fn expire_token(&self, expired: bool) {
        self.shared.world().expired = expired;
    }

    /// In this region there is no room for machines (any more), or there is again.
    pub fn full_for_machines(&self, region: &str, full: bool) {
        set(&mut self.shared.world().full_for_machines, region, full);
    }

    /// The same for volumes.
    pub fn full_for_volumes(&self, region: &str, full: bool) {
        set(&mut self.shared.world().full_for_volumes, region, full);
    }

    /// All machines that are not destroyed.
    pub fn machines(&self) -> Vec<Seen> {
        let world = self.shared.world();
        let all = world
            .apps
            .iter()
            .flat_map(|(app, of)| of.machines.iter().map(move |one| (app, one)));
        let alive = all.filter(|(_, (_, machine))| machine.state != world::State::Destroyed);
        alive
            .map(|(app, (id, machine))| Seen {
                app: app.clone(),
                id: id.clone(),
                state: machine.state.name(),
                region: machine.region.clone(),
                image: machine.config.image.clone(),
                restarts: machine.restarts,
            })
            .collect()
    }

    /// Ends a machine's program as a crash would.
    pub fn crash(&self, app: &str, machine: &str) {
        let container = self
            .shared
            .world()
            .machine(app, machine)
            .ok()
            .and_then(|one| one.container.clone());
        self.shared
            .podman
            .kill(&container.expect("the machine runs").id);
    }

    /// The directory that stands for a volume, or none if there is no such volume.
    pub fn volume(&self, id: &str) -> Option<std::path::PathBuf> {
        let directory = self.shared.volume_directory(id);
        directory.exists().then_some(directory)
    }

    /// What is still there; addresses and containers are really looked for.
    pub fn leftovers(&self) -> Leftovers {
        let containers = self.shared.podman.list();
        let machines = self
            .machines()
            .into_iter()
            .map(|machine| machine.id)
            .collect();
        let world = self.shared.world();
        let volumes = world.apps.values().flat_map(|app| app.volumes.iter());
        let volumes = volumes.filter(|(_, volume)| volume.shown_for.is_none());
        Leftovers {
            apps: world.apps.keys().cloned().collect(),
            machines,
            volumes: volumes.map(|(id, _)| id.clone()).collect(),
            addresses: addresses::present(),
            containers,
        }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.shared.world().closing = true;
        self.shared.changed.notify_all();
        self.door.close();
        self.shared.edge.close();
        // What is on its way may start one container more, which then removes itself.
        for container in self.shared.podman.list() {
            self.shared.podman.remove(&container);
        }
        self.shared.join();
        for container in self.shared.podman.list() {
            self.shared.podman.remove(&container);
        }
        let apps = std::mem::take(&mut self.shared.world().apps);
        apps.values()
            .flat_map(|app| &app.addresses)
            .for_each(addresses::release);
    }
}

fn set(regions: &mut std::collections::BTreeSet<String>, region: &str, full: bool) {
    if full {
        regions.insert(region.to_owned());
    } else {
        regions.remove(region);
    }
}
