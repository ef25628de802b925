//! A watch over the files that a running satellite needs: its data directory, and the files by
//! which clients find it.
//!
//! Owns a thread that checks them once a second. A satellite whose files were removed would go on
//! serving its clients and keep nothing. So it is stopped, and says why.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use skypipe_broker::store::disk::Presence;

/// The time between two checks.
const PERIOD: Duration = Duration::from_secs(1);

/// The watch. Dropping it ends the watch.
pub(crate) struct Watch {
    fault: Arc<OnceLock<String>>,
    _end: Sender<()>,
}

impl Watch {
    /// Starts the watch. If something is missing, it writes to `stop`.
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

    /// The missing file or directory, as text for people; `None` while all are there.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }
}
