//! A simulated long line: a relay on loopback with a delay and a limited rate.
//!
//! Each direction has a queue. A piece leaves the queue once the line has had time to carry it and
//! the delay is over. The queue holds at most twice what a line with this rate and delay holds.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The largest piece that travels as one, in bytes.
const PIECE: usize = 64 << 10;

/// The delay and the rate of a line.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The delay in one direction.
    pub delay: Duration,
    /// The rate in bytes a second, in each direction, for all connections together.
    pub rate: f64,
}

/// Listens on a free port and relays to `target`. Returns the port.
pub fn start(target: SocketAddr, line: Line) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("an address").port();
    let (up, down) = (Arc::default(), Arc::default());
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(target) else {
                continue;
            };
            for stream in [&near, &far] {
                let _ = stream.set_nodelay(true);
            }
            relay(&near, &far, line, &up);
            relay(&far, &near, line, &down);
        }
    });
    port
}

/// The time at which one direction of the line is free again.
type Free = Mutex<Option<Instant>>;

#[derive(Default)]
struct Queue {
    pieces: Mutex<Pieces>,
    changed: Condvar,
}

#[derive(Default)]
struct Pieces {
    waiting: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    is_over: bool,
}

fn relay(from: &TcpStream, to: &TcpStream, line: Line, free: &Arc<Free>) {
    let queue = Arc::new(Queue::default());
    let (mut from, mut to) = (
        from.try_clone().expect("a descriptor"),
        to.try_clone().expect("one"),
    );
    let (inward, free) = (Arc::clone(&queue), Arc::clone(free));
    let room = (line.rate * line.delay.as_secs_f64() * 2.0) as usize + 4 * PIECE;
    thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            inward.put(piece[..count].to_vec(), due(&free, line, count), room);
        }
        inward.end();
    });
    thread::spawn(move || {
        while let Some(piece) = queue.take() {
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// When a piece of `count` bytes arrives if it is sent now.
fn due(free: &Free, line: Line, count: usize) -> Instant {
    let mut free = free.lock().expect("nobody panics");
    let begin = free.map_or_else(Instant::now, |free| free.max(Instant::now()));
    let end = begin + Duration::from_secs_f64(count as f64 / line.rate);
    *free = Some(end);
    end + line.delay
}

impl Queue {
    fn put(&self, piece: Vec<u8>, due: Instant, room: usize) {
        let mut pieces = self.pieces.lock().expect("nobody panics");
        while pieces.bytes > room && !pieces.is_over {
            pieces = self.changed.wait(pieces).expect("nobody panics");
        }
        pieces.bytes += piece.len();
        pieces.waiting.push_back((due, piece));
        self.changed.notify_all();
    }

    fn end(&self) {
        self.pieces.lock().expect("nobody panics").is_over = true;
        self.changed.notify_all();
    }

    /// The next piece, once it has arrived.
    fn take(&self) -> Option<Vec<u8>> {
        let mut pieces = self.pieces.lock().expect("nobody panics");
        loop {
            let Some((due, _)) = pieces.waiting.front() else {
                if pieces.is_over {
                    return None;
                }
                pieces = self.changed.wait(pieces).expect("nobody panics");
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (_, piece) = pieces.waiting.pop_front()?;
                pieces.bytes -= piece.len();
                self.changed.notify_all();
                return Some(piece);
            }
            pieces = self
                .changed
                .wait_timeout(pieces, left)
                .expect("nobody panics")
                .0;
        }
    }
}
