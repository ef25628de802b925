//! The platform's proxy, which passes raw TCP from public addresses on to machines.
//!
//! Owns listeners and connections. It listens where an app has its own address and the services of
//! a machine ask for raw TCP. It passes a connection on if that machine is started. Each direction
//! ends separately, and an idle connection is kept.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::world::State;

/// How long a program may take to listen before a connection to it fails.
const PATIENCE: Duration = Duration::from_secs(2);

/// All listeners and connections.
#[derive(Debug, Default)]
pub struct Edge {
    listeners: Mutex<BTreeMap<SocketAddr, Listener>>,
    live: Mutex<Vec<Live>>,
}

#[derive(Debug)]
struct Listener {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A connection that is passed on, and its machine.
#[derive(Debug)]
struct Live {
    machine: String,
    ends: [TcpStream; 2],
}

impl Edge {
    /// Opens the listeners that are needed, and closes the others.
    pub fn sync(&self, shared: &Arc<Shared>) {
        let mut listeners = hold(&self.listeners);
        let wanted = wanted(shared);
        listeners.retain(|at, listener| {
            let stays = wanted.contains(at);
            if !stays {
                listener.close(*at);
            }
            stays
        });
        for at in wanted {
            listeners
                .entry(at)
                .or_insert_with(|| Listener::open(at, shared));
        }
    }

    /// Cuts all connections to a machine.
    pub fn cut(&self, machine: &str) {
        hold(&self.live).retain(|live| {
            if live.machine == machine {
                live.ends.iter().for_each(cut);
            }
            live.machine != machine
        });
    }

    /// Closes everything.
    pub fn close(&self) {
        for (at, mut listener) in std::mem::take(&mut *hold(&self.listeners)) {
            listener.close(at);
        }
        hold(&self.live)
            .drain(..)
            .for_each(|live| live.ends.iter().for_each(cut));
    }
}

impl Listener {
    fn open(at: SocketAddr, shared: &Arc<Shared>) -> Self {
        let listener = TcpListener::bind(at).expect("a public address can be bound");
        let closing = Arc::new(AtomicBool::new(false));
        let (shared, ends) = (Arc::clone(shared), Arc::clone(&closing));
        let thread = thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                shared.spawn(move |shared| pass_on(&shared, client, at));
            }
        });
        Self {
            closing,
            thread: Some(thread),
        }
    }

    fn close(&mut self, at: SocketAddr) {
        self.closing.store(true, Ordering::SeqCst);
        // A connection wakes up the thread that waits for one.
        let _ = TcpStream::connect(at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The addresses at which the proxy has to listen now.
fn wanted(shared: &Arc<Shared>) -> Vec<SocketAddr> {
    let world = shared.world();
    if world.closing {
        return Vec::new();
    }
    let mut all = Vec::new();
    for app in world.apps.values() {
        let machines = app
            .machines
            .values()
            .filter(|machine| !machine.state.is_over());
        let ports: Vec<u16> = machines
            .flat_map(|machine| machine.config.raw_ports())
            .map(|(port, _)| port)
            .collect();
        for address in app.addresses.iter().filter(|address| !address.shared) {
            all.extend(ports.iter().map(|port| SocketAddr::new(address.ip, *port)));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Passes a connection on to a started machine, or closes it.
fn pass_on(shared: &Arc<Shared>, client: TcpStream, at: SocketAddr) {
    let Some((machine, inside)) = target(shared, at) else {
        return;
    };
    let until = Instant::now() + PATIENCE;
    let upstream = loop {
        match TcpStream::connect_timeout(&inside, PATIENCE) {
            Ok(upstream) => break upstream,
            Err(_) if Instant::now() < until && !shared.world().closing => {
                shared.pause(Duration::from_millis(20));
            }
            Err(_) => return,
        }
    };
    let (Ok(one), Ok(other)) = (client.try_clone(), upstream.try_clone()) else {
        return;
    };
    hold(&shared.edge.live).push(Live {
        machine,
        ends: [one, other],
    });
    join(client, upstream);
}

/// The started machine behind a public address, and the address of its program.
fn target(shared: &Arc<Shared>, at: SocketAddr) -> Option<(String, SocketAddr)> {
    let world = shared.world();
    let of = |ip: IpAddr| {
        world
            .apps
            .values()
            .find(|app| app.addresses.iter().any(|address| address.ip == ip))
    };
    of(at.ip())?.machines.iter().find_map(|(id, machine)| {
        let container = machine
            .container
            .as_ref()
            .filter(|_| machine.state == State::Started)?;
        let ports = machine.config.raw_ports();
        let (_, inside) = ports.into_iter().find(|(port, _)| *port == at.port())?;
        Some((id.clone(), SocketAddr::new(container.address?, inside)))
    })
}

/// Copies bytes both ways until both directions have ended.
pub fn join(one: TcpStream, other: TcpStream) {
    let (Ok(from), Ok(to)) = (one.try_clone(), other.try_clone()) else {
        return;
    };
    let back = thread::spawn(move || carry(from, to));
    carry(other, one);
    let _ = back.join();
}

/// Copies bytes one way, including the end of the stream. An error ends both directions.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    match io::copy(&mut from, &mut to) {
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => [&from, &to].into_iter().for_each(cut),
    }
}

/// Closes a connection at once.
pub fn cut(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
