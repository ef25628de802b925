//! Collects the output of a pipe or a terminal while a program runs.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The output so far, collected by a thread.
#[derive(Debug, Clone, Default)]
pub struct Gathered(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    is_over: bool,
}

impl<R: Read + Send + 'static> From<R> for Gathered {
    fn from(mut source: R) -> Self {
        let gathered = Self::default();
        let sink = gathered.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                match source.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // A terminal whose other side is closed fails to read, which is its end of file.
                    Ok(0) | Err(_) => return sink.change(|state| state.is_over = true),
                    Ok(count) => {
                        sink.change(|state| state.bytes.extend_from_slice(&buffer[..count]));
                    }
                }
            }
        });
        gathered
    }
}

impl Gathered {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.0.0));
        self.0.1.notify_all();
    }

    /// All output so far.
    pub fn all(&self) -> Vec<u8> {
        lock(&self.0.0).bytes.clone()
    }

    /// Waits until the output satisfies `good`. Returns whether it does.
    pub fn wait(&self, patience: Duration, good: impl Fn(&[u8]) -> bool) -> bool {
        let wanting = |state: &mut State| !state.is_over && !good(&state.bytes);
        let waited = self
            .0
            .1
            .wait_timeout_while(lock(&self.0.0), patience, wanting);
        good(&waited.unwrap_or_else(PoisonError::into_inner).0.bytes)
    }

    /// Waits for the end of the output. Returns whether it came.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        let goes_on = |state: &mut State| !state.is_over;
        let waited = self
            .0
            .1
            .wait_timeout_while(lock(&self.0.0), patience, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }
}

/// Locks, and ignores poisoning: a panic elsewhere does not affect this data.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
