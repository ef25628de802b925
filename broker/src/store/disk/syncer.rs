//! The sync thread, which makes the log survive a power loss, so that the loop never waits for a disk.
//!
//! This module owns the order in which things must reach the disk: segments, then their names, then a state
//! file under a temporary name, then its rename, then the new name. It reports its progress and never decides
//! what to delete.
//!
//! # After a failed sync
//!
//! Linux reports a failed write-back once and then counts the pages as clean: a later `fdatasync` of the same
//! file succeeds without writing them. So after one failure, this process never again reports anything as
//! synced. The store reports a failure, so that the process ends. The next process writes again everything
//! that was not known to be synced (see `recovery`).
//!
//! The same applies when the directory was removed: a file without a name can be synced and is still lost.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::directory::{Directory, create};
use super::error::{is_full, is_shortage};
use super::presence::Presence;
use super::reserve::Reserve;

/// How a file's bytes are made safe. Tests replace it with a function that fails.
pub type SyncFile = fn(&File) -> io::Result<()>;

/// What to sync, in this order.
#[derive(Debug)]
pub struct Job {
    /// Segments, oldest first.
    pub files: Vec<Arc<File>>,
    /// Whether files were created.
    pub directory: bool,
    /// The log offset that this job covers.
    pub upto: u64,
    /// The number and contents of a state file.
    pub state: Option<(u32, Vec<u8>)>,
}

/// The progress of the sync thread.
#[derive(Debug, Default)]
pub struct Progress {
    /// The log offset below which everything survives a power loss.
    pub synced: u64,
    /// The number of unfinished jobs.
    pub running: usize,
    /// Why nothing can be made safe any more.
    pub failed: Option<String>,
    /// The finished state file: its number, and either its length or why it does not exist.
    pub state: Option<(u32, Result<u64, String>)>,
}

/// A handle of the thread. Dropping it lets the thread finish its jobs.
#[derive(Debug)]
pub struct Syncer {
    progress: Arc<Mutex<Progress>>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Worker {
    directory: Arc<Directory>,
    reserve: Arc<Reserve>,
    progress: Arc<Mutex<Progress>>,
    sync_file: SyncFile,
    presence: Presence,
}

impl Syncer {
    /// Starts the thread.
    pub fn start(
        directory: Arc<Directory>,
        reserve: Arc<Reserve>,
        sync_file: SyncFile,
        wake: Box<dyn Fn() + Send>,
    ) -> io::Result<Self> {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let presence = directory.presence()?;
        let worker = Worker {
            directory,
            reserve,
            progress: Arc::clone(&progress),
            sync_file,
            presence,
        };
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("sync".into())
            .spawn(move || worker.run(&inbox, &wake))?;
        Ok(Self {
            progress,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// The progress of the thread.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// Passes a job to the thread.
    pub fn send(&self, job: Job) {
        self.progress().running += 1;
        let is_sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if !is_sent {
            let mut progress = self.progress();
            progress.running -= 1;
            progress
                .failed
                .get_or_insert_with(|| "the sync thread is gone".into());
        }
    }

    /// Waits until all jobs are done, and ends the thread.
    pub fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread changes nothing here: whatever it did not reach is not reported as
            // synced.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Worker {
    fn run(&self, inbox: &Receiver<Job>, wake: &dyn Fn()) {
        while let Ok(job) = inbox.recv() {
            self.work(job);
            lock(&self.progress).running -= 1;
            wake();
        }
    }

    fn work(&self, job: Job) {
        let has_failed = lock(&self.progress).failed.is_some();
        let result = if has_failed {
            Err(io::Error::other("an earlier sync failed"))
        } else {
            self.sync(&job)
        };
        let synced = match result {
            Ok(()) => {
                lock(&self.progress).synced = job.upto;
                true
            }
            Err(error) => {
                self.note_failure(&error);
                false
            }
        };
        if let Some((number, bytes)) = job.state {
            let result = if synced {
                self.write_state(number, &bytes)
            } else {
                Err(io::Error::other("the log before it could not be synced"))
            };
            let told = match result {
                Ok(()) => Ok(bytes.len() as u64),
                Err(error) => {
                    let _ = fs::remove_file(self.directory.unfinished_state(number));
                    if !is_full(&error) && !is_shortage(&error) {
                        self.note_failure(&error);
                    }
                    Err(error.to_string())
                }
            };
            lock(&self.progress).state = Some((number, told));
        }
    }

    fn note_failure(&self, error: &io::Error) {
        let path = self.directory.path().display();
        let failed = format!("the disk failed to store what was written to {path}: {error}");
        lock(&self.progress).failed.get_or_insert(failed);
    }

    fn sync(&self, job: &Job) -> io::Result<()> {
        for file in &job.files {
            (self.sync_file)(file)?;
        }
        if job.directory {
            self.directory.sync()?;
        }
        self.presence.check().map_err(io::Error::other)?;
        match job.files.last() {
            Some(file) if file.metadata()?.nlink() == 0 => {
                Err(io::Error::other("its file was removed while it was in use"))
            }
            _ => Ok(()),
        }
    }

    fn write_state(&self, number: u32, bytes: &[u8]) -> io::Result<()> {
        let path = self.directory.unfinished_state(number);
        let write = || -> io::Result<()> {
            let _ = fs::remove_file(&path);
            let mut file = create(&path)?;
            file.write_all(bytes)?;
            (self.sync_file)(&file)
        };
        match write() {
            Err(error) if is_full(&error) && self.reserve.give_up() => write()?,
            other => other?,
        }
        fs::rename(&path, self.directory.state(number))?;
        self.directory.sync()
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    // The data is consistent after every statement, so a panic elsewhere does not spoil it.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
