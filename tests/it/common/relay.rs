//! A TCP relay on loopback between clients and a satellite. A test can delay, stall and cut its connections,
//! lead new ones elsewhere, and look at what passed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::gathered::lock;

/// The most pieces in flight in one direction, of at most [`PIECE`] bytes each.
const PIECES: usize = 64;
const PIECE: usize = 32 << 10;

/// The relay. Dropping it cuts all connections. Its thread stays until the program ends.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The satellite behind the relay. Without one, connections are closed as soon as they arrive.
    target: Mutex<Option<SocketAddr>>,
    connections: Mutex<Vec<TcpStream>>,
    weather: Mutex<Weather>,
    changed: Condvar,
    /// How many connections have been made, and how many of these are silent.
    made: AtomicUsize,
    silenced: AtomicUsize,
    /// How many bytes were passed on, both ways.
    carried: AtomicUsize,
    /// A copy of the bytes from clients, and of those to them, if the relay keeps one.
    record: Option<[Mutex<Vec<u8>>; 2]>,
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

impl Relay {
    /// A relay to the satellite at `endpoint`, without delay.
    pub fn to(endpoint: &str) -> Self {
        Self::with(endpoint, None)
    }

    /// The same, with a copy of what passes.
    pub fn recording(endpoint: &str) -> Self {
        Self::with(endpoint, Some(Default::default()))
    }

    fn with(endpoint: &str, record: Option<[Mutex<Vec<u8>>; 2]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(Some(read(endpoint))),
            connections: Mutex::default(),
            weather: Mutex::default(),
            changed: Condvar::new(),
            made: AtomicUsize::new(0),
            silenced: AtomicUsize::new(0),
            carried: AtomicUsize::new(0),
            record,
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

    /// Leads to the satellite at `endpoint` from now on, or nowhere. Existing connections are cut.
    pub fn lead(&self, endpoint: Option<&str>) {
        *lock(&self.shared.target) = endpoint.map(read);
        self.cut();
    }

    /// How many bytes it has carried, both ways.
    pub fn carried(&self) -> usize {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// The clients' bytes and the satellite's bytes since the last call, if it keeps a copy.
    pub fn take(&self) -> [(&'static str, Vec<u8>); 2] {
        let [up, down] = self.shared.record.as_ref().expect("it keeps a copy");
        let taken = |way: &Mutex<Vec<u8>>| std::mem::take(&mut *lock(way));
        [("up", taken(up)), ("down", taken(down))]
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.weather(Weather::default());
        self.lead(None);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        // The lock is held here, so that a cut reaches every connection to the old target.
        let target = lock(&self.target);
        let Some(address) = *target else {
            return Ok(());
        };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let satellite = TcpStream::connect(address)?;
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
            let here = Arc::clone(self);
            thread::spawn(move || here.take_in(way, from, &pieces));
        }
        Ok(())
    }

    /// Bytes are recorded before they are passed on.
    fn take_in(&self, way: Way, mut from: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>) {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let piece = buffer[..count].to_vec();
            if let Some(record) = &self.record {
                lock(&record[way as usize]).extend_from_slice(&piece);
            }
            if pieces.send((Instant::now(), piece)).is_err() {
                break;
            }
        }
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
            self.carried.fetch_add(piece.len(), Ordering::Relaxed);
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

fn read(endpoint: &str) -> SocketAddr {
    let address = endpoint.strip_prefix("tcp://").map(str::parse);
    address
        .and_then(Result::ok)
        .expect("it is an endpoint on loopback")
}
