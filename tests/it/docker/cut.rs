//! A proxy for an engine's socket, which loses answers of the engine.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Which answers are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// One answer, and every later request, as if the client had been killed then.
    ForGood,
    /// One answer. Everything after it works again.
    Once,
}

/// The proxy. Each connection carries one request, as skypipe makes them.
pub struct Proxy {
    socket: PathBuf,
    ended: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    at: usize,
    thread: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of `engine`. The connection with the number `at`, counted from 0,
    /// reaches the engine, and its answer is lost.
    pub fn start(directory: &Path, engine: &Path, how: Cut, at: usize) -> Self {
        let socket = directory.join(format!("cut{at}.sock"));
        let listener = UnixListener::bind(&socket).expect("the path is short");
        let (ended, seen) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stop, count, engine) = (Arc::clone(&ended), Arc::clone(&seen), engine.to_owned());
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("it can be accepted");
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                if number > at && how == Cut::ForGood {
                    continue;
                }
                let server = UnixStream::connect(&engine).expect("the engine listens");
                let is_cut = number == at;
                thread::spawn(move || pass(&client, &server, is_cut));
            }
        });
        Self {
            socket,
            ended,
            seen,
            at,
            thread,
        }
    }

    /// The proxy's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops the proxy. Returns whether it has cut anything.
    pub fn end(self) -> bool {
        self.ended.store(true, Ordering::SeqCst);
        UnixStream::connect(&self.socket).expect("it listens");
        self.thread.join().expect("it has not failed");
        self.seen.load(Ordering::SeqCst) > self.at
    }
}

fn pass(client: &UnixStream, server: &UnixStream, is_cut: bool) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(client, server);
            // A connection without a request has no answer to wait for.
            let _ = server.shutdown(Shutdown::Write);
        });
        if is_cut {
            // The beginning of the answer shows that the request took effect.
            let _ = (&*server).read(&mut [0]);
        } else {
            let _ = copy(server, client);
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length])?,
        }
    }
}
