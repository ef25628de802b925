//! The broker of skypipe as a process.
//!
//! `skypipe --satellite` and the program `skypipe-satellite` are both thin around [`run`]. The crate
//! owns what a process has beside the broker: settings, where to listen and whether that is
//! allowed, limits of the system, signals and the log. It never decides anything about pipes.

mod allocator;
mod data;
mod keys;
mod limits;
mod listen;
mod log;
pub mod randomness;
mod settings;
mod signals;
mod size;

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use skypipe_broker::broker::{self, Broker};
use skypipe_broker::keys::Roll;
use skypipe_broker::keys::seed::Pair;
use skypipe_broker::server::{Edge, Server};
use skypipe_broker::store::{Memory, Store};
use zeroize::Zeroizing;

use crate::keys::Keys;

pub use crate::listen::Listen;
use crate::log::Log;
pub use crate::settings::{Refusal, Settings};

/// Is a satellite until SIGTERM, SIGINT, SIGHUP or a client stops it, or it has been idle for as
/// long as the settings say. What it has to tell goes to stderr, but for its first invitation, which
/// goes to stdout, once.
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
/// when another satellite uses it, or its disk fails.
pub fn run(listen: &Listen, settings: &Settings, ready: impl FnOnce(&str)) -> anyhow::Result<()> {
    let is_private = settings.is_private(listen)?;
    randomness::look().map_err(anyhow::Error::msg)?;
    allocator::share_one_arena();
    let clients = limits::clients(limits::raise_descriptors());
    // Before there is a socket to leave behind, so that from here on every end is an orderly one.
    let stop = signals::stop_descriptor().context("cannot set up the handling of signals")?;
    let for_broker = for_broker(listen, settings, clients);
    let since = for_broker.since;
    let Some(directory) = &settings.data else {
        let broker = Broker::new(for_broker, Memory::default());
        return serve(bind(listen, None)?, broker, None, stop.as_fd(), ready);
    };
    let data = data::open(directory, settings.disk)?;
    let broker = Broker::restore(for_broker, data.store, data.recovered);
    if !is_private {
        let server = bind(listen, None)?.woken_by(data.synced);
        return serve(server, broker, None, stop.as_fd(), ready);
    }
    let keys = Keys::open(directory)?;
    let server = bind(listen, Some(&keys.pair))?.woken_by(data.synced);
    let (roll, address) = roll(&keys, server.endpoint(), settings, since)?;
    let broker = broker.guarded_by(roll, address);
    serve(server, broker, Some(&keys), stop.as_fd(), ready)
}

/// Who may connect, and the address for invitations, if it was told. A satellite without a roll makes
/// its first one, and prints the first invitation.
fn roll(
    keys: &Keys,
    endpoint: &str,
    settings: &Settings,
    since: u64,
) -> anyhow::Result<(Roll, Option<String>)> {
    let bound = endpoint.strip_prefix("tcp://").unwrap_or(endpoint);
    let bound: SocketAddr = bound
        .parse()
        .context("a private satellite listens on tcp")?;
    let address = settings.public.as_ref().map(|public| {
        let has_port = public.contains(':') && !public.ends_with(']');
        if has_port {
            public.clone()
        } else {
            format!("{public}:{}", bound.port())
        }
    });
    if let Some(roll) = keys.roll()? {
        keys.lead_host(bound)?;
        return Ok((roll, address));
    }
    if let Some(founder) = &settings.founder {
        return Ok((keys.found_by(founder, bound, since)?, address));
    }
    let reached_at = address.clone().unwrap_or_else(|| keys::reached_at(bound));
    let roll = keys.found(bound, &reached_at, since, |invitation| {
        let mut line = Zeroizing::new(String::with_capacity(invitation.len() + 1));
        line.push_str(invitation);
        line.push('\n');
        // Not through a buffer, in which it would stay.
        rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), line.as_bytes()))?;
        Ok(())
    })?;
    log::say(
        "the line above is the first invitation, for you alone, and is not shown again: paste it \
         into skypipe --join",
    );
    if settings.public.is_none() && bound.ip().is_unspecified() {
        log::say(&format!(
            "it names {reached_at}: where this machine goes by another name, write that in its \
             place, and start the satellite with --public so that other invitations name it"
        ));
    }
    Ok((roll, address))
}

fn serve<S: Store>(
    server: Server,
    mut broker: Broker<S>,
    keys: Option<&Keys>,
    stop: BorrowedFd<'_>,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let mut log = Log::default();
    ready(server.endpoint());
    let edge = Edge {
        log: &mut |line| log.line(line),
        save_keys: &mut |roll| match keys {
            Some(keys) => keys.save(roll).map_err(|error| error.to_string()),
            None => Err("this satellite keeps no keys".to_owned()),
        },
    };
    Ok(server.run(&mut broker, stop, edge)?)
}

/// Says on stderr where a satellite listens: what [`run`] is given as `ready` in the foreground.
pub fn announce(endpoint: &str) {
    log::say(&format!("listening on {endpoint}"));
}

fn bind(listen: &Listen, pair: Option<&Pair>) -> anyhow::Result<Server> {
    let secret = pair.map(|pair| pair.secret.as_bytes());
    let endpoint = listen
        .endpoint()
        .context("the path of a satellite's socket must be UTF-8")?;
    limits::private_files(|| Server::bind(&endpoint, secret))
        .with_context(|| format!("cannot listen on {endpoint}"))
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
        // Who can open a socket in the user's own directory is the user.
        stoppable: matches!(listen, Listen::Ipc(_)),
        clients,
    }
}
