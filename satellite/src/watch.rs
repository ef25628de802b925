//! A watch over what a satellite must not lose while it runs: its data directory, and what it is found by.
//!
//! Owns a thread that looks once a second. A satellite whose files were taken away would serve those whom it
//! has, and keep nothing; so it is stopped, and says why.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use skypipe_broker::store::disk::Presence;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The watch, until it is dropped.
pub(crate) struct Watch {
    fault: Arc<OnceLock<String>>,
    _end: Sender<()>,
}

impl Watch {
    /// Watches. When something is gone, `stop` becomes readable at its other end.
    pub(crate) fn start(presences: Vec<Presence>, mut stop: UnixStream) -> io::Result<Self> {
        let fault = Arc::new(OnceLock::new());
        let found = Arc::clone(&fault);
        let (end, ended) = channel();
        let look = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if let Err(what) = presences.iter().try_for_each(Presence::check) {
                    let _ = found.set(what);
                    // The other end is open for as long as the satellite runs.
                    let _ = stop.write_all(b"w");
                    return;
                }
            }
        };
        thread::Builder::new().name("watch".into()).spawn(look)?;
        Ok(Self { fault, _end: end })
    }

    /// What is gone, if anything is.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }
}
