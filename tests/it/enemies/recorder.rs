//! A man in the middle that passes everything on and keeps a copy.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::gathered::lock;

/// The relay. Its threads stay until both sides of their connections are closed.
pub struct Recorder {
    address: SocketAddr,
    record: Arc<Record>,
}

/// The bytes of each connection, one after the other, for each direction.
#[derive(Default)]
struct Record {
    up: Mutex<Vec<u8>>,
    down: Mutex<Vec<u8>>,
}

impl Recorder {
    /// A relay to the satellite at `endpoint`.
    pub fn to(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("tcp://").parse();
        let target: SocketAddr = target.expect("it is an endpoint on loopback");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let satellite = TcpStream::connect(target).expect("the satellite is there");
                connect(&shared, client, satellite);
            }
        });
        Self { address, record }
    }

    /// The endpoint for clients.
    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// The clients' bytes and the satellite's bytes since the last call.
    pub fn take(&self) -> [(&'static str, Vec<u8>); 2] {
        let taken = |way: &Mutex<Vec<u8>>| std::mem::take(&mut *lock(way));
        [
            ("up", taken(&self.record.up)),
            ("down", taken(&self.record.down)),
        ]
    }
}

fn connect(record: &Arc<Record>, client: TcpStream, satellite: TcpStream) {
    let (up, down) = (Arc::clone(record), Arc::clone(record));
    let again = |stream: &TcpStream| stream.try_clone().expect("there are descriptors left");
    let (from_client, from_satellite) = (again(&client), again(&satellite));
    thread::spawn(move || carry(from_client, satellite, &up.up));
    thread::spawn(move || carry(from_satellite, client, &down.down));
}

/// Bytes are recorded before they are passed on.
fn carry(mut from: TcpStream, mut to: TcpStream, record: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        lock(record).extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
