//! The broker of skypipe as a process.
//!
//! `skypipe --satellite` and the program `skypipe-satellite` are both thin around [`run`]. The crate
//! owns what a process has beside the broker: settings, where to listen and whether that is
//! allowed, limits of the system, signals and the log. It never decides anything about pipes.

mod allocator;
mod data;
mod limits;
mod listen;
mod log;
mod settings;
mod signals;
mod size;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use skypipe_broker::broker::{self, Broker};
use skypipe_broker::server::Server;
use skypipe_broker::store::{Memory, Store};
use uuid::Uuid;

pub use crate::listen::Listen;
use crate::log::Log;
pub use crate::settings::{Refusal, Settings};

/// Is a satellite until SIGTERM, SIGINT, SIGHUP or a client stops it, or it has been idle for as
/// long as the settings say. What it has to tell goes to stderr.
///
/// `ready` is called once, when clients can connect, with the endpoint to connect to: for port 0,
/// that names the port which the system chose.
///
/// It raises the process's limit of open files, and a signal that was ignored stays ignored.
///
/// # Errors
///
/// A [`Refusal`] when the settings do not allow to listen there, which is a matter of usage; else
/// when the system refuses the address, the socket fails, or the data directory cannot be used, as
/// when another satellite uses it.
pub fn run(listen: &Listen, settings: &Settings, ready: impl FnOnce(&str)) -> anyhow::Result<()> {
    settings.allow(listen)?;
    allocator::share_one_arena();
    let clients = limits::clients(limits::raise_descriptors());
    // Before there is a socket to leave behind, so that from here on every end is an orderly one.
    let stop = signals::stop_descriptor().context("cannot set up the handling of signals")?;
    let for_broker = for_broker(listen, settings, clients);
    let Some(directory) = &settings.data else {
        let broker = Broker::new(for_broker, Memory::default());
        return serve(bind(listen)?, broker, stop.as_fd(), ready);
    };
    let data = data::open(directory, settings.disk)?;
    let broker = Broker::restore(for_broker, data.store, data.recovered);
    let server = bind(listen)?.woken_by(data.synced);
    serve(server, broker, stop.as_fd(), ready)
}

fn serve<S: Store>(
    server: Server,
    mut broker: Broker<S>,
    stop: BorrowedFd<'_>,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let mut log = Log::default();
    ready(server.endpoint());
    server
        .run(&mut broker, stop, &mut |line| log.line(line))
        .context("the satellite's socket failed")
}

/// Says on stderr where a satellite listens: what [`run`] is given as `ready` in the foreground.
pub fn announce(endpoint: &str) {
    log::say(&format!("listening on {endpoint}"));
}

fn bind(listen: &Listen) -> anyhow::Result<Server> {
    let endpoint = listen
        .endpoint()
        .context("the path of a satellite's socket must be UTF-8")?;
    limits::private_files(|| Server::bind(&endpoint))
        .with_context(|| format!("cannot listen on {endpoint}"))
}

fn for_broker(listen: &Listen, settings: &Settings, clients: usize) -> broker::Settings {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    broker::Settings {
        satellite: Uuid::new_v4(),
        program: concat!("skypipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        since: since.as_secs(),
        pid: std::process::id(),
        memory: settings.memory,
        quota: settings.pipe_limit.unwrap_or(u64::MAX),
        writer_lost: settings.lost_writer,
        listener_lost: settings.lost_listener,
        idle: settings.idle,
        // Who can open a socket in the user's own directory is the user.
        stoppable: matches!(listen, Listen::Ipc(_)),
        clients,
    }
}
