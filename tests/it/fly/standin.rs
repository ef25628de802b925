//! A strict stand-in for Fly.io, for tests.
//!
//! Owns the Machines API under `/v1`, GraphQL at `/graphql`, both on one loopback port, and the
//! objects behind them: machines are containers that really run, and addresses really exist.
//! Requests that are not documented are refused and recorded ([`Standin::complaints`]). It was
//! written only from Fly.io's documentation, fly-go and the API's `OpenAPI` text. It has to be
//! started in a [`crate::common::network::Network`].

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
pub mod limits;
pub mod machines;
pub mod platform;
pub mod proxy;
pub mod routes;
pub mod runs;
pub mod server;
pub mod shared;
pub mod volumes;
pub mod wait;
pub mod world;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use self::containers::Podman;
use self::faults::Faults;
pub use self::faults::How;
use self::journal::{Entry, Journal};
use self::limits::Limits;
use self::proxy::Edge;
use self::server::Door;
use self::shared::Shared;

/// The account's organisation.
#[derive(Debug, Clone)]
pub struct Organization {
    pub slug: &'static str,
    pub name: &'static str,
}

/// How long a new app is not found.
#[derive(Debug, Clone, Copy)]
pub struct Lag {
    /// The number of requests that do not find it. They are answered with 404 and 401 in turn.
    pub requests: u32,
    /// The time during which it is not found.
    pub time: Duration,
}

/// The properties of the account and of the platform.
#[derive(Debug, Clone)]
pub struct Options {
    /// The token, without a scheme.
    pub token: String,
    /// The registry's `HOST:PORT`.
    pub registry: String,
    pub organization: Organization,
    /// Whether the first requested name is taken by another account.
    pub first_name_is_taken: bool,
    /// The length of a second for rate limits, and for the pause before a program is restarted.
    pub second: Duration,
    pub lag: Lag,
    /// How long a machine stays `created` before it is `starting`.
    pub boot: Duration,
    /// If set, the account is on trial, and its machines are stopped after this time.
    pub trial: Option<Duration>,
}

impl Options {
    /// An account with one organisation, and a platform as documented: real seconds, rate limits, a
    /// lag.
    pub fn new(token: &str, registry: &str) -> Self {
        let own = Organization {
            slug: "personal",
            name: "Someone",
        };
        Self {
            token: token.to_owned(),
            registry: registry.to_owned(),
            organization: own,
            first_name_is_taken: false,
            second: Duration::from_secs(1),
            lag: Lag {
                requests: 2,
                time: Duration::ZERO,
            },
            boot: Duration::from_millis(100),
            trial: None,
        }
    }

    /// The same options with a second of 50 ms for rate limits.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.second = Duration::from_millis(50);
        self
    }
}

/// The objects that still exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    pub apps: Vec<String>,
    pub machines: Vec<String>,
    pub volumes: Vec<String>,
    /// Addresses as `ip address` lists them.
    pub addresses: Vec<String>,
    /// Containers as `podman ps` lists them.
    pub containers: Vec<String>,
}

/// A summary of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub app: String,
    pub id: String,
    pub state: &'static str,
    pub region: String,
    pub image: String,
    /// How often the machine's program was restarted after it exited.
    pub restarts: u32,
}

/// The running stand-in. Dropping it stops it.
pub struct Standin {
    shared: Arc<Shared>,
    door: Door,
    _directory: TempDir,
}

impl Standin {
    /// Starts a stand-in.
    pub fn start(options: Options) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("fly.")
            .tempdir()
            .expect("a directory");
        let shared = Arc::new(Shared {
            podman: Podman::new(directory.path(), &options.registry, &options.token),
            edge: Edge::default(),
            changed: Condvar::new(),
            directory: directory.path().to_owned(),
            world: Mutex::default(),
            limits: Mutex::new(Limits::new(options.second)),
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

    /// The base URL of the Machines API, without `/v1`. GraphQL is at `/graphql` below it.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// The malformed requests so far; empty if there were none.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.journal().complaints()
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Entry> {
        self.shared.journal().entries()
    }

    /// How many requests fit this pattern (`POST /v1/apps/*/machines`).
    pub fn count(&self, pattern: &str) -> usize {
        self.shared.journal().matching(pattern).count()
    }

    /// How many requests that fit this pattern took effect, whatever was answered.
    pub fn done(&self, pattern: &str) -> usize {
        self.shared
            .journal()
            .matching(pattern)
            .filter(|entry| entry.done)
            .count()
    }

    /// Makes the `nth` request from now on that fits a pattern fail. The first one is 1.
    pub fn fault(&self, pattern: &str, nth: u64, how: How) {
        self.shared.faults().add(pattern, nth, how);
    }

    /// How many injected faults have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.shared.faults().left()
    }

    /// Makes the token invalid, or valid again.
    pub fn expire_token(&self, expired: bool) {
        self.shared.world().expired = expired;
    }

    /// Makes this region full for machines, or not.
    pub fn full_for_machines(&self, region: &str, full: bool) {
        set(&mut self.shared.world().full_for_machines, region, full);
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

    /// The objects that still exist. Addresses and containers are looked up on the system.
    pub fn leftovers(&self) -> Leftovers {
        let containers = self.shared.podman.list();
        let machines = self
            .machines()
            .into_iter()
            .map(|machine| machine.id)
            .collect();
        let world = self.shared.world();
        let volumes = world.apps.values().flat_map(|app| app.volumes.iter());
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
        // A request in progress may start another container, which then removes itself.
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
