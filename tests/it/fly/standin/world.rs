//! The objects on the platform.
//!
//! Owns the records of apps and everything in them. Runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::answer::Refusal;
use super::config::Config;
use super::containers::{Container, Image};

/// All objects on the platform, and the switches of the stand-in.
#[derive(Debug, Default)]
pub struct World {
    /// The apps of this account.
    pub apps: BTreeMap<String, App>,
    /// Apps of other accounts. Only the names are known.
    pub others: BTreeSet<String>,
    /// Regions that are full for volumes.
    pub full_for_volumes: BTreeSet<String>,
    /// Regions that are full for machines.
    pub full_for_machines: BTreeSet<String>,
    /// How many addresses were ever assigned.
    pub addresses: u16,
    /// Whether the token is invalid.
    pub expired: bool,
    /// Whether the stand-in is shutting down.
    pub closing: bool,
}

/// An app.
#[derive(Debug)]
pub struct App {
    pub id: String,
    pub number: u64,
    pub network: String,
    /// How many more requests do not find the app.
    pub unseen_for: u32,
    /// The time from which on requests find the app.
    pub seen_from: Instant,
    pub deleting: bool,
    pub addresses: Vec<Address>,
    pub volumes: BTreeMap<String, Volume>,
    pub machines: BTreeMap<String, Machine>,
}

/// A public address of an app.
#[derive(Debug, Clone)]
pub struct Address {
    pub ip: IpAddr,
    pub shared: bool,
    pub region: String,
    pub created_at: String,
}

/// A volume.
#[derive(Debug)]
pub struct Volume {
    pub name: String,
    pub region: String,
    pub size_gb: u64,
    pub encrypted: bool,
    pub attached_to: Option<String>,
    pub created_at: String,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub region: String,
    pub state: State,
    /// The id of the current version.
    pub instance: String,
    pub shown: Value,
    pub config: Config,
    pub image: Image,
    pub created_at: String,
    /// The events, newest first.
    pub events: Vec<Value>,
    pub volume: Option<String>,
    /// Whether the machine was created without being started. Only such a machine stays `created`.
    pub held: bool,
    /// The number of the current run. Work for another run stops.
    pub run: u64,
    pub restarts: u32,
    pub container: Option<Container>,
    /// Locked during every operation on the machine's container.
    pub hands: Arc<Mutex<()>>,
}

/// The states of "Machine states and lifecycle" that this stand-in supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Starting,
    Started,
    Stopping,
    Stopped,
    Restarting,
    Replacing,
    Failed,
    Destroying,
    Destroyed,
}

impl State {
    /// The name that the platform writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Restarting => "restarting",
            Self::Replacing => "replacing",
            Self::Failed => "failed",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether the machine is destroyed or being destroyed.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Destroying | Self::Destroyed)
    }
}

impl World {
    /// An app of this account.
    pub fn app(&mut self, name: &str) -> Result<&mut App, Refusal> {
        let other = self.others.contains(name);
        self.apps.get_mut(name).ok_or_else(|| {
            if other {
                Refusal::new(403, "unauthorized: not allowed to access this app")
            } else {
                Refusal::new(404, "app not found")
            }
        })
    }

    /// Like `app`, for a request from outside. Such a request does not find a new app for a while.
    pub fn admit(&mut self, name: &str) -> Result<(), Refusal> {
        let app = self.app(name)?;
        let unseen = app.unseen_for;
        app.unseen_for = unseen.saturating_sub(1);
        if unseen > 0 || Instant::now() < app.seen_from {
            return Err(if unseen.is_multiple_of(2) {
                Refusal::new(404, "app not found")
            } else {
                Refusal::new(401, super::access::UNKNOWN)
            });
        }
        Ok(())
    }

    /// A machine of an app.
    pub fn machine(&mut self, app: &str, id: &str) -> Result<&mut Machine, Refusal> {
        let machines = &mut self.app(app)?.machines;
        machines
            .get_mut(id)
            .ok_or_else(|| Refusal::new(404, "machine not found"))
    }
}

impl Machine {
    /// Adds an event.
    pub fn event(&mut self, kind: &str, source: &str, request: Option<Value>) {
        let mut event = serde_json::json!({
            "id": super::clock::version(), "type": kind, "status": self.state.name(), "source": source,
            "timestamp": super::clock::millis(),
        });
        if let (Some(request), Value::Object(event)) = (request, &mut event) {
            event.insert("request".to_owned(), request);
        }
        self.events.insert(0, event);
    }
}
