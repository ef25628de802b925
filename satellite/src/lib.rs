//! The broker of skypipe as a process.
//!
//! `skypipe --satellite` and the program `skypipe-satellite` both call [`run`] and do little else.
//! This crate owns what a process adds to the broker: settings, the choice of addresses and whether
//! they are allowed, limits of the system, signals and the log. It never decides anything about
//! pipes.

pub mod allocator;
mod background;
mod bound;
pub mod core_dumps;
mod data;
mod keys;
mod limits;
mod listen;
pub mod log;
pub mod randomness;
pub mod relay;
mod settings;
mod signals;
mod size;
pub mod standard;
mod watch;
pub mod websocket;

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use skypipe_broker::broker::{self, Broker};
use skypipe_broker::keys::KeyRegistry;
use skypipe_broker::server::Edge;
use skypipe_broker::store::disk::Presence;
use skypipe_broker::store::{Memory, Store};
use skypipe_protocol::address::Address;
use zeroize::Zeroizing;

use crate::bound::Bound;
use crate::keys::Keys;
use crate::log::Log;
use crate::watch::Watch;

pub use skypipe_broker::store::disk::has_logs;

pub use crate::background::Background;
pub use crate::limits::private_files;
pub use crate::listen::Listen;
pub use crate::settings::{Public, Refusal, Settings, quota};

/// Runs a satellite until SIGTERM, SIGINT, SIGHUP or a client stops it, or until it has been idle
/// for as long as the settings say. Its messages go to stderr, except its first invitation, which
/// goes to stdout, once.
///
/// `ready` is called once, when clients can connect, with the endpoints to connect to. For port 0,
/// they name the port that the system chose. `background` is for a satellite that nobody watches.
///
/// This raises the process's limit of open files, sets its umask so that its files are for its user
/// alone, and prevents core dumps. A signal that was ignored stays ignored.
///
/// # Errors
///
/// A [`Refusal`] when the settings do not allow listening at these addresses, which is a usage
/// error. Otherwise, when the system refuses an address; when the socket fails; when the data
/// directory cannot be used, for example because another satellite uses it; when its disk fails;
/// and when that directory, or a file by which clients find the satellite, was removed while the
/// satellite ran.
pub fn run(
    listen: &Listen,
    settings: &Settings,
    background: Option<&Background>,
    ready: impl FnOnce(&[String]),
) -> anyhow::Result<()> {
    let is_private = settings.is_private(listen)?;
    core_dumps::prevent();
    randomness::look().map_err(anyhow::Error::msg)?;
    allocator::reuse_large_blocks();
    limits::keep_files_private();
    let most = broker::most_clients(settings.memory);
    let clients = limits::clients(limits::raise_descriptors(most), most);
    // Signals are handled before there is a socket to leave behind, so that every exit from here on
    // is an orderly one.
    let signals = signals::stop_descriptor().and_then(|stop| {
        signals::survive_file_limit()?;
        Ok(stop)
    });
    let (stop, stopper) = signals.context("cannot set up the handling of signals")?;
    let process = Process {
        stop: stop.as_fd(),
        stopper,
        background,
    };
    let for_broker = for_broker(listen, settings, clients);
    let since = for_broker.since;
    let Some(directory) = &settings.data else {
        let broker = Broker::new(for_broker, Memory::default());
        let bound = Bound::new(listen, settings, clients, None)?;
        return process.serve(bound, broker, None, None, ready);
    };
    let timeout = background.map_or(Duration::ZERO, |_| background::TIMEOUT);
    let data = data::open(directory, settings.disk, timeout)?;
    let broker = Broker::restore(for_broker, data.store, data.recovered);
    let presence = Some(data.presence);
    if !is_private {
        let bound = Bound::new(listen, settings, clients, None)?.woken_by(data.synced);
        return process.serve(bound, broker, None, presence, ready);
    }
    let keys = Keys::open(directory)?;
    let bound = Bound::new(listen, settings, clients, Some(&keys.identity))?.woken_by(data.synced);
    let (registry, address) = registry(&keys, bound.server.endpoints(), settings, since)?;
    let address = address.map(|address| address.to_string());
    let broker = broker.guarded_by(registry, address);
    process.serve(bound, broker, Some(&keys), presence, ready)
}

/// The authorized keys, and the address for invitations if the settings name one. A satellite
/// without a registry makes its first one. It prints the first invitation unless the settings name
/// the owner's key.
fn registry(
    keys: &Keys,
    endpoints: &[String],
    settings: &Settings,
    since: u64,
) -> anyhow::Result<(KeyRegistry, Option<Address>)> {
    let bound: Vec<SocketAddr> = endpoints.iter().filter_map(|it| tcp(it)).collect();
    let &first = bound
        .first()
        .context("a satellite with keys listens on tcp first")?;
    // An address that other machines can reach.
    let is_open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
    let open = bound.iter().find(is_open).copied().unwrap_or(first);
    let address = settings.public.as_ref();
    let address = address.map(|public| public.at(open.port()));
    if let Some(mut registry) = keys.registry()? {
        keys.mend_host(&mut registry, first, since)?;
        keys.lead_host(first)?;
        return Ok((registry, address));
    }
    if let Some(owner) = &settings.owner {
        return Ok((keys.found_by(owner, first, since)?, address));
    }
    let reached_at = address.clone().unwrap_or_else(|| keys::reached_at(open));
    let registry = keys.found(first, &reached_at, since, |invitation| {
        let mut line = Zeroizing::new(String::with_capacity(invitation.len() + 1));
        line.push_str(invitation);
        line.push('\n');
        standard::print(line.as_bytes())
    })?;
    log::say(
        "the line above is the first invitation, only for you, and is not shown again: paste it \
         into skypipe --join",
    );
    if settings.public.is_none() && open.ip().is_unspecified() {
        log::say(&format!(
            "it names {reached_at}: if other machines reach this one by another name, use that \
             instead, and start the satellite with --public so that later invitations contain it"
        ));
    }
    Ok((registry, address))
}

/// The address of a `tcp://` endpoint; `None` for other schemes.
fn tcp(endpoint: &str) -> Option<SocketAddr> {
    endpoint.strip_prefix("tcp://")?.parse().ok()
}

/// The parts of the process around the broker.
struct Process<'a> {
    /// Becomes readable when the satellite must stop.
    stop: BorrowedFd<'a>,
    /// Writing to this end stops the satellite.
    stopper: UnixStream,
    background: Option<&'a Background>,
}

impl Process<'_> {
    /// Serves until the satellite is stopped. `data` are the files of the data directory
    /// that must stay in place.
    fn serve<S: Store>(
        self,
        bound: Bound,
        broker: Broker<S>,
        keys: Option<&Keys>,
        data: Option<Presence>,
        ready: impl FnOnce(&[String]),
    ) -> anyhow::Result<()> {
        let inherited = self.background.map(|it| it.inherited.clone());
        let mut broker = broker.limited_by(inherited.unwrap_or_default());
        let mut log = Log::new(self.background);
        let found_by = self.background.map(|it| Presence::of(&it.found_by));
        let found_by = found_by.transpose().context("cannot be found")?;
        let watched = data.into_iter().chain(found_by).collect();
        let watch = Watch::start(watched, self.stopper).context("cannot watch its files")?;
        ready(&bound.announced);
        let edge = Edge {
            log: &mut |line| log.line(line),
            save_keys: &mut |registry| match keys {
                Some(keys) => keys.save(registry).map_err(|error| error.to_string()),
                None => Err("this satellite keeps no keys".to_owned()),
            },
        };
        let ran = bound.server.run(&mut broker, self.stop, edge);
        match watch.fault() {
            None => Ok(ran?),
            Some(fault) => {
                bail!("{fault}, so the satellite has stopped; the next use starts a new one")
            }
        }
    }
}

/// Announces on stderr where a satellite listens. In the foreground, this is the `ready` of
/// [`run`].
pub fn announce(endpoints: &[String]) {
    for endpoint in endpoints {
        log::say(&format!("listening on {endpoint}"));
    }
}

fn for_broker(listen: &Listen, settings: &Settings, clients: usize) -> broker::Settings {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    broker::Settings {
        satellite: randomness::uuid(),
        program: concat!("skypipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        since: since.as_secs(),
        pid: std::process::id(),
        memory: settings.memory,
        quota: settings.pipe_limit.unwrap_or(u64::MAX),
        writer_lost: settings.lost_writer,
        listener_lost: settings.lost_listener,
        is_local: matches!(listen, Listen::Ipc(_)),
        idle: settings.idle,
        // Only the user can open a socket in the user's own directory.
        stoppable: matches!(listen, Listen::Ipc(_)),
        clients,
    }
}
