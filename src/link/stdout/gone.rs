//! How it is noticed that the other end of a socket has gone.
//!
//! Owns a thread that waits for this alone.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;

use super::FromStdout;
use crate::link::wake::Waker;

/// Reports that the other end of a socket has gone before anything is written to it. That takes a thread,
/// for the loop's own poll has no word for it.
///
/// A Unix socket tells when its other end is closed, and goes on if that has only finished sending, as
/// whoever has no stdin does at once. TCP tells the one like the other, and what is written to an end
/// that is closed is lost: so there it counts as gone. Nothing is lost by that.
///
/// # Errors
///
/// When the system refuses a thread.
pub fn watch_socket(sender: Sender<FromStdout>, waker: Waker) -> io::Result<()> {
    let socket = stdout().try_clone_to_owned().map(UnixStream::from);
    let is_unix = socket.is_ok_and(|socket| socket.local_addr().is_ok());
    let events = if is_unix {
        PollFlags::empty()
    } else {
        END_OF_SENDING
    };
    let watch = move || {
        let mut fds = [PollFd::from_borrowed_fd(stdout(), events)];
        while let Err(Errno::INTR) = poll(&mut fds, None) {}
        if sender.send(FromStdout::Closed).is_ok() {
            waker.wake();
        }
    };
    let thread = thread::Builder::new().name("socket".to_owned());
    thread.spawn(watch).map(drop)
}

/// What a poll calls it that the other end has finished sending.
#[cfg(target_os = "linux")]
const END_OF_SENDING: PollFlags = PollFlags::RDHUP;

/// Not every system has a word for it. An end that is closed is noticed by the next write there.
#[cfg(not(target_os = "linux"))]
const END_OF_SENDING: PollFlags = PollFlags::empty();
