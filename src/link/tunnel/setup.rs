//! The time limit for making a connection.
//!
//! This module owns the deadline for everything before the satellite's first byte. Until then, reads and
//! writes block at most until the deadline. Afterwards they have no deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use skypipe_satellite::relay::Outer;

/// A deadline that holds until [`Setup::finish`].
pub(super) struct Setup {
    until: Instant,
    is_over: Arc<AtomicBool>,
}

/// A connection that is being made, and is used after that.
pub(super) struct Stream {
    socket: TcpStream,
    until: Instant,
    is_over: Arc<AtomicBool>,
}

impl Setup {
    pub(super) fn until(until: Instant) -> Self {
        Self {
            until,
            is_over: Arc::default(),
        }
    }

    pub(super) fn stream(&self, socket: TcpStream) -> Stream {
        Stream {
            socket,
            until: self.until,
            is_over: Arc::clone(&self.is_over),
        }
    }

    /// Ends the deadline, because the connection stands.
    pub(super) fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

impl Stream {
    /// Does something that blocks, with the remaining time as its timeout.
    fn in_time<T>(
        &mut self,
        limit: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        work: impl FnOnce(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.is_over.load(Ordering::Acquire) {
            return work(&mut self.socket);
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        limit(&self.socket, Some(left))?;
        work(&mut self.socket).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.in_time(TcpStream::set_read_timeout, |socket| socket.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time(TcpStream::set_write_timeout, |socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outer for Stream {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
