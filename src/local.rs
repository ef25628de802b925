//! The satellite that starts by itself on this machine.
//!
//! Owns its directory below the home directory, its locks, and how it is started. Never talks to
//! it: that is the link's.
//!
//! | file | what it is |
//! | --- | --- |
//! | `satellite.sock` | where it listens |
//! | `satellite.lock` | locked by the running satellite for life; its process id, as text |
//! | `start.lock` | locked by who starts one or looks whether to |
//! | `satellite.log` | its stderr, this run's and those before, up to 1 MiB; what was there before lies in `satellite.log.1` |
//!
//! Locks are `flock`'s, which the system frees when their holder dies, however it dies. So a stale
//! socket means nothing, whoever holds `satellite.lock` may replace it, and two first uses at the
//! same instant start one satellite: the second waits for `start.lock` and then finds it running.

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
    /// Its directory.
    pub path: PathBuf,
    /// Whether it is started if it does not run.
    pub start: bool,
}

impl Route for Local {
    /// Never: the satellite may have ended since it was last seen.
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
