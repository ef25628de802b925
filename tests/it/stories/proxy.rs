//! A TCP relay on loopback between clients and a satellite, whose connections a test can cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The relay. Dropping it cuts all connections. Its thread stays until the program ends.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The satellite behind the relay. Without one, connections are closed as soon as they arrive.
    target: Mutex<Option<SocketAddr>>,
    connections: Mutex<Vec<TcpStream>>,
    carried: AtomicUsize,
}

impl Proxy {
    /// A relay to the satellite at `endpoint`.
    pub fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(Some(read(endpoint))),
            connections: Mutex::default(),
            carried: AtomicUsize::new(0),
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
}

impl Drop for Proxy {
    fn drop(&mut self) {
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
        let satellite = TcpStream::connect(address)?;
        for stream in [&client, &satellite] {
            stream.set_nodelay(true)?;
            lock(&self.connections).push(stream.try_clone()?);
        }
        let (from_client, from_satellite) = (client.try_clone()?, satellite.try_clone()?);
        for (from, to) in [(from_client, satellite), (from_satellite, client)] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(from, to));
        }
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            self.carried.fetch_add(count, Ordering::Relaxed);
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn read(endpoint: &str) -> SocketAddr {
    let address = endpoint.strip_prefix("tcp://").map(str::parse);
    address
        .and_then(Result::ok)
        .expect("it is an endpoint on loopback")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
