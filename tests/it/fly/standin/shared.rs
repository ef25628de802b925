//! The state that all parts of the stand-in share.
//!
//! Owns locks and threads, and the directories with the data.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::Options;
use super::answer::Refusal;
use super::containers::{Image, Podman};
use super::faults::Faults;
use super::journal::Journal;
use super::limits::Limits;
use super::proxy::Edge;
use super::world::World;

/// The shared state.
pub struct Shared {
    pub options: Options,
    pub podman: Podman,
    pub edge: Edge,
    /// Notified whenever the world changes.
    pub changed: Condvar,
    pub directory: PathBuf,
    pub world: Mutex<World>,
    pub limits: Mutex<Limits>,
    pub faults: Mutex<Faults>,
    pub journal: Mutex<Journal>,
    pub threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    /// Locks the objects on the platform.
    pub fn world(&self) -> MutexGuard<'_, World> {
        hold(&self.world)
    }

    /// Locks the rate limits.
    pub fn limits(&self) -> MutexGuard<'_, Limits> {
        hold(&self.limits)
    }

    /// Locks the injected faults.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        hold(&self.faults)
    }

    /// Locks the record of requests.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        hold(&self.journal)
    }

    /// Does something in the background. The stand-in waits for it before it stops.
    pub fn spawn(self: &Arc<Self>, what: impl FnOnce(Arc<Self>) + Send + 'static) {
        let shared = Arc::clone(self);
        let thread = thread::spawn(move || what(shared));
        let mut threads = hold(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Waits for all background work.
    pub fn join(&self) {
        loop {
            let threads = std::mem::take(&mut *hold(&self.threads));
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                let _ = thread.join();
            }
        }
    }

    /// Pulls an image, as the platform does before it creates a machine.
    pub fn pull(&self, image: &str) -> Result<Image, Refusal> {
        if !image.starts_with(&format!("{}/", self.options.registry)) {
            let what = format!(
                "failed to get manifest {image}: only the stand-in's registry can be reached"
            );
            return Err(Refusal::new(400, what));
        }
        let pulled = self.podman.pull(image);
        pulled.map_err(|what| Refusal::new(400, format!("failed to get manifest {image}: {what}")))
    }

    /// The directory with a volume's data.
    pub fn volume_directory(&self, id: &str) -> PathBuf {
        self.directory.join("volumes").join(id)
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
