//! Wakes the loop from other threads.
//!
//! This module owns one pipe (a self-pipe). It carries no data: only the fact that something happened.
//! Channels carry the data.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The loop's end.
#[derive(Debug)]
pub struct Wake {
    hears: PipeReader,
    waker: Waker,
}

/// A thread's end.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    rope: PipeWriter,
    /// Whether a byte is in the pipe. There is at most one, so that waking never blocks and frequent wakes
    /// cost no system calls.
    rung: AtomicBool,
}

impl Wake {
    /// Creates the pipe.
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    pub fn new() -> io::Result<Self> {
        let (hears, rope) = io::pipe()?;
        Ok(Self {
            hears,
            waker: Waker(Arc::new(Bell {
                rope,
                rung: AtomicBool::new(false),
            })),
        })
    }

    /// Another end for a thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The descriptor to poll.
    pub fn fd(&self) -> RawFd {
        self.hears.as_raw_fd()
    }

    /// Resets the pipe after a wake. A later [`Waker::wake`] wakes the loop again. What was put into
    /// channels before is seen by a look at the channels after this call.
    pub fn clear(&mut self) {
        let _ = self.hears.read(&mut [0]);
        self.waker.0.rung.swap(false, Ordering::AcqRel);
    }
}

impl Waker {
    /// Wakes the loop.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            let _ = (&self.0.rope).write(&[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_once_for_many_rings_and_again_after() {
        let mut wake = Wake::new().expect("descriptors are left");
        for _ in 0..3 {
            (0..100_000).for_each(|_| wake.waker().wake());
            let mut items = [zmq::PollItem::from_fd(wake.fd(), zmq::POLLIN)];
            assert_eq!(zmq::poll(&mut items, 0), Ok(1));
            wake.clear();
            assert_eq!(zmq::poll(&mut items, 0), Ok(0));
        }
    }
}
