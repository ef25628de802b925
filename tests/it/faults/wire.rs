//! A relay on loopback between clients and a satellite: it can delay, stall and cut connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most pieces in flight in one direction, of at most [`PIECE`] bytes each.
const PIECES: usize = 64;
const PIECE: usize = 32 << 10;

/// The relay. Dropping it cuts all connections. Its thread stays until the program ends.
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    connections: Mutex<Vec<TcpStream>>,
    weather: Mutex<Weather>,
    changed: Condvar,
    /// How many connections have been made, and how many of these are silent.
    made: AtomicUsize,
    silenced: AtomicUsize,
}

/// The state of the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The delay of each piece.
    pub delay: Duration,
    /// Whether nothing passes from clients, and whether nothing passes to them.
    pub no_way_up: bool,
    pub no_way_down: bool,
}

/// The direction of a piece: from a client to the satellite, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Wire {
    /// A relay to the satellite at `endpoint`, without delay.
    pub fn to(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("tcp://").parse();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: target.expect("it is an endpoint on loopback"),
            connections: Mutex::default(),
            weather: Mutex::default(),
            changed: Condvar::new(),
            made: AtomicUsize::new(0),
            silenced: AtomicUsize::new(0),
        });
        let relay = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Some tests are about a satellite that is not there.
                let _ = relay.connect(client);
            }
        });
        Self { address, shared }
    }

    /// The endpoint for clients.
    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Changes the state of the network.
    pub fn weather(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
        self.shared.changed.notify_all();
    }

    /// Silences all existing connections, without closing them. New ones work.
    pub fn silence(&self) {
        self.shared
            .silenced
            .store(self.shared.made.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Cuts all connections. New ones are accepted.
    pub fn cut(&self) {
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.weather(Weather::default());
        self.cut();
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let satellite = TcpStream::connect(self.target)?;
        for stream in [&client, &satellite] {
            stream.set_nodelay(true)?;
            lock(&self.connections).push(stream.try_clone()?);
        }
        let (from_client, from_satellite) = (client.try_clone()?, satellite.try_clone()?);
        let ways = [
            (Way::Up, from_client, satellite),
            (Way::Down, from_satellite, client),
        ];
        for (way, from, to) in ways {
            let (pieces, there) = sync_channel(PIECES);
            let here = Arc::clone(self);
            thread::spawn(move || here.hand_on(number, way, &there, to));
            thread::spawn(move || {
                let (mut from, mut buffer) = (from, vec![0; PIECE]);
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    if pieces
                        .send((Instant::now(), buffer[..count].to_vec()))
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
        Ok(())
    }

    fn hand_on(
        &self,
        number: usize,
        way: Way,
        pieces: &Receiver<(Instant, Vec<u8>)>,
        mut to: TcpStream,
    ) {
        while let Ok((since, piece)) = pieces.recv() {
            self.wait(way, since);
            if number < self.silenced.load(Ordering::Relaxed) {
                continue;
            }
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        if number >= self.silenced.load(Ordering::Relaxed) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }

    /// Waits until a piece sent at `since` has arrived.
    fn wait(&self, way: Way, since: Instant) {
        let mut weather = lock(&self.weather);
        loop {
            let is_held = match way {
                Way::Up => weather.no_way_up,
                Way::Down => weather.no_way_down,
            };
            let rest = weather.delay.saturating_sub(since.elapsed());
            if !is_held && rest.is_zero() {
                return;
            }
            // A change of the weather ends the wait.
            let patience = if is_held {
                Duration::from_secs(3600)
            } else {
                rest
            };
            let waited = self.changed.wait_timeout(weather, patience);
            weather = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
