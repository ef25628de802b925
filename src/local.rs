//! The satellite that starts by itself on this machine.
//!
//! This module owns its directory below the home directory, its locks, and how it is started. It never
//! talks to the satellite: `link` does.
//!
//! | file | content |
//! | --- | --- |
//! | `satellite.sock` | the socket on which it listens |
//! | `satellite.lock` | locked by the running satellite for life; its process id, as text |
//! | `start.lock` | locked by a process that starts a satellite, or looks whether to |
//! | `satellite.log` | its stderr of all runs, up to 1 MiB; older lines are in `satellite.log.1` |
//!
//! The locks are `flock`'s, which the system releases when their holder dies, however it dies. So a stale
//! socket means nothing, and the holder of `satellite.lock` may replace it. Two first uses at the same
//! instant start one satellite: the second waits for `start.lock` and then finds it running.

pub mod directory;
mod independence;
mod serve;
mod service;
mod start;

use std::path::PathBuf;

use self::directory::Directory;
pub use self::serve::serve;
use crate::link::route::{Route, Way};

/// The route to this machine's own satellite.
#[derive(Debug)]
pub struct Local {
    /// The satellite's directory.
    pub path: PathBuf,
    /// Whether to start the satellite if it does not run.
    pub start: bool,
}

impl Route for Local {
    /// Always `None`: the satellite may have ended since it was last seen.
    fn known(&self) -> Option<Way> {
        None
    }

    fn find(&self) -> Result<Vec<Way>, String> {
        let directory = Directory::make(&self.path).map_err(|failure| failure.sentence)?;
        if self.start {
            start::ensure(&directory)?;
        }
        let endpoint = format!("ipc://{}", directory.socket()?.display());
        Ok(vec![Way {
            name: endpoint.clone(),
            endpoint,
            keys: None,
            ipv6: false,
            directory: Some(directory.into_handle()),
            tunnel: None,
        }])
    }
}
