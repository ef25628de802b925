//! Detects that the other end of a socket has closed.
//!
//! This module owns a thread that waits for that event only.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;

use super::FromStdout;
use crate::link::wake::Waker;

/// Reports that the other end of a socket has closed before anything is written to it. This needs a thread,
/// because the loop's own poll has no flag for it.
///
/// A Unix socket reports that its other end is closed. It stays quiet if the other end has only finished
/// sending, as a program without stdin does at once. TCP reports both alike, and data written to a closed
/// end is lost. So on TCP either event counts as closed. Nothing is lost by that.
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

/// The poll flag for an other end that has finished sending.
#[cfg(target_os = "linux")]
const END_OF_SENDING: PollFlags = PollFlags::RDHUP;

/// Not every system has such a flag. There, the next write notices a closed end.
#[cfg(not(target_os = "linux"))]
const END_OF_SENDING: PollFlags = PollFlags::empty();
